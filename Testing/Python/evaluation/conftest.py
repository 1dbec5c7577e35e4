"""A small phantom with metal streaks, and the same as a benchmark folder and as a simulated volume."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import pytest

from SSLMARLib.ct.attenuation import attenuation_to_hu, hu_to_attenuation

SIZE = 416


def _disc(row: float, column: float, radius: float) -> numpy.ndarray:
    rows, columns = numpy.mgrid[:SIZE, :SIZE]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


@pytest.fixture(scope="session")
def phantom_hu() -> numpy.ndarray:
    """Water with fat, an air hole and a bone, (416, 416) HU."""
    image = numpy.full((SIZE, SIZE), -1000.0)
    for mask, value in (
        (_disc(208, 208, 160), 0.0),
        (_disc(160, 120, 40), -100.0),
        (_disc(280, 150, 20), -1000.0),
        (_disc(290, 260, 25), 700.0),
    ):
        image[mask] = value
    return image


@pytest.fixture(scope="session")
def phantom_metals() -> numpy.ndarray:
    """Two metal masks, (2, 416, 416) bool: two screws; one small ball."""
    return numpy.stack([_disc(200, 200, 8) | _disc(200, 300, 8), _disc(150, 250, 4)])


@pytest.fixture(scope="session")
def phantom_scan(phantom_hu, phantom_metals, projector):
    """(metal-free sinogram, metal-affected sinograms (2, views, bins)); the metal is 2.4 /cm and saturates."""
    import torch

    clean = projector.project(torch.from_numpy(hu_to_attenuation(phantom_hu)).float())
    metal = projector.project(torch.from_numpy(phantom_metals).float() * 2.4)
    affected = clean + metal / (1 + 0.4 * metal)
    return clean.numpy(), affected.numpy()


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory, phantom_hu, phantom_scan, phantom_metals, projector) -> Path:
    """Two slices of the phantom in the benchmark's format: the first with masks 0 and 1, the second with mask 1."""
    import h5py
    import torch

    folder = tmp_path_factory.mktemp("benchmark")
    clean, affected = phantom_scan
    traces = (projector.project(torch.from_numpy(phantom_metals).float()) > 1e-6).numpy()
    for name, numbers in (("slice_a", (0, 1)), ("slice_b", (1,))):
        (folder / name).mkdir()
        with h5py.File(folder / name / "gt.h5", "w") as file:
            file["image"] = hu_to_attenuation(phantom_hu).astype("float32")
            file["poly_sinogram"] = clean
            file["poly_CT"] = projector.fbp(torch.from_numpy(clean)).numpy()
        for number in numbers:
            with h5py.File(folder / name / f"{number}.h5", "w") as file:
                file["ma_sinogram"] = affected[number]
                file["ma_CT"] = projector.fbp(torch.from_numpy(affected[number])).numpy()
                file["metal_trace"] = traces[number].astype("uint8")
    return folder


@pytest.fixture(scope="session")
def masks_file(tmp_path_factory, phantom_metals) -> Path:
    """The phantom's metal as an .npz that needs no resizing."""
    path = tmp_path_factory.mktemp("masks") / "masks.npz"
    numpy.savez(path, mask=phantom_metals.astype("uint8"))
    return path


@pytest.fixture(scope="session")
def affected_hu(phantom_scan, projector) -> numpy.ndarray:
    """The uncorrected images, (2, 416, 416) HU."""
    import torch

    return attenuation_to_hu(projector.fbp(torch.from_numpy(phantom_scan[1])).numpy().astype("float64"))


@pytest.fixture
def run_evaluate(capsys):
    """Run the verb with arguments as a user gives them; returns what it printed."""
    from SSLMARLib.commands import evaluate

    def run(*words) -> str:
        parser = argparse.ArgumentParser()
        evaluate.add_arguments(parser)
        parser.add_argument("--quiet", action="store_true")
        assert evaluate.run(parser.parse_args([str(word) for word in words])) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def without_package(monkeypatch):
    """Make a package look as if it were not installed."""
    import sys

    def hide(package: str):
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, package, None)

    return hide
