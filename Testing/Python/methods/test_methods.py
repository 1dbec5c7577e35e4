"""LI and NMAR on the benchmark's cases and on a phantom; the protocol."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.errors import InputError
from SSLMARLib.methods import available_methods, get_method
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.filters import gaussian_smoothing
from SSLMARLib.methods.nmar import tissue_prior
from SSLMARLib.sinogram import metal_trace

HU_PER_CM = 1000 / 0.192


@pytest.mark.parametrize("name", available_methods())
def test_every_method_keeps_the_protocol(name, projector):
    image = torch.zeros(2, 416, 416)
    image[:, 100:300, 80:340] = 0.2
    mask = torch.zeros(2, 416, 416, dtype=torch.bool)
    mask[:, 190:200, 190:210] = True
    image[mask] = 2.0
    scan = MetalAffectedScan.from_images(image, mask, projector)
    before = scan.sinogram.clone()
    method = get_method(name)
    corrected = method.correct(scan)
    assert corrected.shape == scan.sinogram.shape and torch.isfinite(corrected).all()
    assert torch.equal(corrected[~scan.trace], before[~scan.trace])
    assert torch.equal(scan.sinogram, before)
    assert method.name == name and method.title and method.description.endswith(".")
    # the metal is gone: what is left at its place is near the tissue around it
    assert projector.fbp(corrected)[mask].mean() == pytest.approx(0.2, abs=0.02)


def test_unknown_method_is_refused():
    with pytest.raises(InputError, match=r"no method 'magic': choose one of li, nmar"):
        get_method("magic")


def rmse_hu(image, reference, keep):
    return float(((image - reference)[keep] * HU_PER_CM).square().mean().sqrt())


def test_benchmark_figures(shared, projector):
    h5py = pytest.importorskip("h5py")
    ratios = []
    for truth_path in sorted((shared / "data/benchmark").glob("*/*/gt.h5")):
        with h5py.File(truth_path) as file:
            reference = projector.fbp(torch.from_numpy(file["poly_sinogram"][()]))
        for path in sorted(truth_path.parent.glob("[0-9]*.h5")):
            with h5py.File(path) as file:
                sinogram, trace, affected = (torch.from_numpy(file[name][()])[None] for name in ("ma_sinogram", "metal_trace", "ma_CT"))
            mask = affected > 0.192 * 3.5  # 2500 HU
            scan = MetalAffectedScan(sinogram, trace > 0.5, mask, projector)
            li, nmar = (rmse_hu(projector.fbp(get_method(name).correct(scan))[0], reference, ~mask[0]) for name in ("li", "nmar"))
            ratios.append(nmar / li)
            if truth_path.parent.name == "000376_02_01_040":
                assert li == pytest.approx(24.6, abs=1.0)
    assert len(ratios) >= 5 and max(ratios) < 0.92 and sum(ratios) / len(ratios) < 0.8


def test_tissue_classes():
    image = torch.full((1, 64, 64), 0.192 * 1.05)
    image[:, :20] = 0.005  # air
    image[:, 40:] = 0.4  # bone
    mask = torch.zeros_like(image, dtype=torch.bool)
    mask[:, 50:54, 10:14] = True
    prior = tissue_prior(image, mask)
    assert (prior[:, :16] == 0).all() and (prior[:, 26:34] == 0.192).all()
    assert (prior[:, 46:][~mask[:, 46:]] == torch.tensor(0.4)).all() and (prior[mask] == 0.192).all()


def test_smoothing_is_scipys(random_generator):
    from scipy.ndimage import gaussian_filter

    image = random_generator.random((2, 40, 30))
    expected = [gaussian_filter(one, 1.5, mode="nearest", radius=4) for one in image]
    found = gaussian_smoothing(torch.from_numpy(image), 1.5).numpy()
    assert abs(found - expected).max() < 1e-10


def test_li_is_the_interpolation_of_the_trace(projector):
    image = torch.full((1, 416, 416), 0.1)
    mask = torch.zeros_like(image, dtype=torch.bool)
    mask[:, 200:210, 200:210] = True
    scan = MetalAffectedScan.from_images(image, mask, projector, trace_dilation_bins=1)
    assert torch.equal(scan.trace, metal_trace(mask, projector, 1))
    assert get_method("li").correct(scan) is scan.interpolated_sinogram
