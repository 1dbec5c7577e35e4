"""What the tests of training share: a scanner of 64 x 64 pixels, a folder of small scans, and pairs simulated once."""

from __future__ import annotations

import numpy
import pytest
import torch

from SSLMARLib.tomography import FanBeamGeometry, FanBeamProjector

SIZE = 64


def small_scan(patient: int, slices: int = 2, size: int = SIZE) -> numpy.ndarray:
    """(slices, size, size) HU, int16: a body of the patient's own with bones, fat and gas, without metal."""
    generator = numpy.random.default_rng([5, patient])
    y, x = numpy.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    volume = numpy.repeat(numpy.where((x / 0.78) ** 2 + (y / 0.62) ** 2 < 1, 40, -1000)[None], slices, axis=0)
    for one in volume:
        for value in (700, 500, -90, -800, 60):
            center = generator.uniform(-0.45, 0.45, 2)
            one[(x - center[0]) ** 2 + (y - center[1]) ** 2 < generator.uniform(0.005, 0.03)] = value
    return volume.astype(numpy.int16)


@pytest.fixture(scope="session")
def make_scan():
    return small_scan


@pytest.fixture(scope="session")
def small_projector() -> FanBeamProjector:
    geometry = FanBeamGeometry(image_shape=(SIZE, SIZE), pixel_size_cm=0.25, views=96, bins=97)
    return FanBeamProjector(geometry)


@pytest.fixture(autouse=True)
def small_world(monkeypatch, small_projector):
    """Every test of this folder trains on the small scanner, with one thread, and leaves torch's random state as it was."""
    monkeypatch.setattr("SSLMARLib.training.cnnmar.get_projector", lambda device: small_projector)
    monkeypatch.setattr("SSLMARLib.training.sslmar.get_projector", lambda device: small_projector)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Metal-free scans of five patients in one .npz, as `sslmar train` takes them."""
    folder = tmp_path_factory.mktemp("data")
    scans = [small_scan(patient) for patient in range(5)]
    patients = numpy.repeat([f"patient {number}" for number in range(5)], 2)
    numpy.savez(folder / "scans.npz", hu=numpy.concatenate(scans), patient=patients)
    return folder


@pytest.fixture(scope="session")
def configuration_values(data_folder):
    """Entries of a training that takes a second; `output` is each test's own."""
    return {
        "network": "cnnmar",
        "network_options": {"channels": 6, "dilations": [1, 2]},
        "data": str(data_folder),
        "validation_share": 0.3,
        "pairs": 10,
        "validation_pairs": 3,
        "patch_pixels": 24,
        "batch_size": 4,
        "steps": 12,
        "learning_rate": 4e-3,
        "validate_every": 5,
        "checkpoint_every": 4,
    }


@pytest.fixture
def make_configuration(configuration_values, tmp_path, simulated_pairs):
    """make_configuration(**other entries) -> TrainingConfiguration whose output folder has the shared pairs already."""
    from SSLMARLib.training.configuration import TrainingConfiguration

    def make(output="run", **entries):
        folder = tmp_path / output
        folder.mkdir(exist_ok=True)
        for name, content in simulated_pairs.items():
            (folder / name).write_bytes(content)
        return TrainingConfiguration(**{**configuration_values, "output": str(folder), **entries})

    return make


@pytest.fixture(scope="session")
def simulated_pairs(configuration_values, small_projector, tmp_path_factory) -> dict[str, bytes]:
    """The files of pairs of `configuration_values`, name to content."""
    from SSLMARLib.training import cnnmar
    from SSLMARLib.training.configuration import TrainingConfiguration

    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnnmar, "get_projector", lambda device: small_projector)
        cnnmar.CNNMARTask(TrainingConfiguration(**configuration_values, output=str(folder)))
    return {item.name: item.read_bytes() for item in folder.iterdir()}


@pytest.fixture
def make_sslmar_configuration(data_folder, tmp_path):
    """make_sslmar_configuration(**other entries) -> TrainingConfiguration of networks that learn in a second."""
    from SSLMARLib.training.configuration import TrainingConfiguration

    tiny = {"channels": 4, "levels": 2, "stem": 2}

    def make(output="run", **entries):
        values = {
            "network": "sslmar",
            "network_options": {"sinogram_network": tiny, "image_network": tiny},
            "data": str(data_folder),
            "output": str(tmp_path / output),
            "validation_share": 0.3,
            "validation_pairs": 3,
            "metal_pixels": [4, 100],
            "batch_size": 2,
            "steps": 6,
            "learning_rate": 4e-3,
            "validate_every": 3,
            "checkpoint_every": 2,
            "device": "cpu",
        }
        return TrainingConfiguration(**{**values, **entries})

    return make
