"""The project's own small case: two simulated slices of a pelvis, with a hip prosthesis and with screws, and every method's error on them.

    python Testing/Benchmarks/own_case.py        writes Testing/Python/methods/own_case.json, what the tests expect

Nothing is read but the package: the body is `simulation.phantom`'s, the scan is polychromatic, with noise. Run this anew when a method
or its weights were changed on purpose, and look at what changed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from SSLMARLib.correction import reduce_metal_artifacts
from SSLMARLib.ct.attenuation import attenuation_difference_to_hu, hu_to_attenuation
from SSLMARLib.methods import METHODS, available_methods, get_method
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.cnnmar import CNNMAR
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.cnnmar import CNNMARNetwork
from SSLMARLib.networks.sslmar import SSLMARNetwork
from SSLMARLib.networks.weights import load_weights, save_weights
from SSLMARLib.sample_data import phantom_metal, simulate_scan_of
from SSLMARLib.simulation.phantom import body_phantom
from SSLMARLib.simulation.scan import ScanProtocol, simulate_scan
from SSLMARLib.tomography import get_projector

EXPECTED = Path(__file__).resolve().parents[1] / "Python" / "methods" / "own_case.json"
SCREWS = ((150, 150), (285, 180), (200, 330))  # row, column of their middles in the second slice


def own_case(projector) -> tuple[MetalAffectedScan, torch.Tensor]:
    """(the scan of two slices, the images (slices, rows, columns) in 1/cm that a scan without the metal would have given)."""
    phantom = body_phantom("pelvis", slices=1, size=projector.geometry.image_shape[0])
    image = hu_to_attenuation(torch.from_numpy(phantom.voxels_hu).float()).clamp(min=0.0)
    hip = torch.from_numpy(phantom_metal("pelvis", phantom))[0]
    rows, columns = torch.meshgrid(*(torch.arange(count) for count in hip.shape), indexing="ij")
    screws = torch.zeros_like(hip)
    for row, column in SCREWS:
        screws |= (rows - row) ** 2 + (columns - column) ** 2 <= 36
    scan = simulate_scan(image, torch.stack([hip, screws]), projector, ScanProtocol(), torch.Generator().manual_seed(7))
    truth = projector.fbp(scan.metal_free_sinogram)
    return MetalAffectedScan(scan.sinogram, scan.metal_trace, scan.metal_mask, projector), truth


def rmse_hu(image: torch.Tensor, truth: torch.Tensor, metal_mask: torch.Tensor) -> list[float]:
    """One figure a slice, metal left out."""
    difference_hu = attenuation_difference_to_hu(image - truth)
    return [float(one[~metal].square().mean().sqrt()) for one, metal in zip(difference_hu, metal_mask, strict=True)]


def with_untrained(part: str, folder: Path):
    """The method "sslmar" or "cnnmar" whose network, or whose part of it, is as it was before any training.

    part: "sslmar.sinogram_network", "sslmar.image_network" or "cnnmar". The weights are written into `folder`.
    """
    name = part.split(".")[0]
    tensors, description = load_weights(name)
    torch.manual_seed(0)
    untrained = (SSLMARNetwork if name == "sslmar" else CNNMARNetwork)(**description["network"]).state_dict()
    prefix = part.partition(".")[2]
    path = folder / f"{part}.safetensors"
    save_weights(path, {key: untrained[key] if key.startswith(prefix) else value for key, value in tensors.items()}, description)
    return SSLMAR(str(path)) if name == "sslmar" else CNNMAR(str(path))


def untrained(method, scan):
    """A learned method with its network as it was before any training."""
    torch.manual_seed(0)
    network = method.network_class()(**method.weights_description["network"]).requires_grad_(False).eval()
    method.use_network(network, scan.sinogram.device)
    return method


def set_apart() -> list[str]:
    """The methods that are here to be compared with."""
    return [name for name, one in METHODS.items() if one.for_research]


def measured(projector) -> dict[str, list[float]]:
    """RMSE in HU of both slices: uncorrected, by each method, by each with an untrained network, and by SinoNet alone; then of
    one slice of the sample "hip", a volume that goes through the whole of `reduce_metal_artifacts`."""
    scan, truth = own_case(projector)
    figures = {"uncorrected": rmse_hu(scan.uncorrected_image, truth, scan.metal_mask)}
    with tempfile.TemporaryDirectory() as folder:
        methods = {name: get_method(name) for name in available_methods()}
        for part in ("cnnmar", "sslmar.sinogram_network", "sslmar.image_network"):
            methods[f"{part} untrained"] = with_untrained(part, Path(folder))
        methods["sslmar.sinogram_network alone"] = SSLMAR(iterations=0)
        methods["sslmar without PriorNet"] = SSLMAR(with_prior_network=False)
        for name, method in methods.items():
            figures[name] = rmse_hu(projector.fbp(method.correct(scan)), truth, scan.metal_mask)
    for name in set_apart():
        method = get_method(name)
        figures[name] = rmse_hu(method.image(scan), truth, scan.metal_mask)
        figures[f"{name} untrained"] = rmse_hu(untrained(method, scan).image(scan), truth, scan.metal_mask)
    completed = projector.fbp(SSLMAR(iterations=0).correct(scan))
    figures["SinoNet alone, against li"] = rmse_hu(completed, scan.interpolated_image, scan.metal_mask)
    sample = simulate_scan_of("hip", slices=1, device="cpu")
    volume, truth_hu, metal = sample.volume, sample.truth.voxels_hu, sample.metal_mask
    without_slice_network = {"sslmar without SliceNet": SSLMAR(with_slice_network=False)}
    for name, method in {"uncorrected": None, **{name: name for name in available_methods()}, **without_slice_network}.items():
        voxels_hu = volume.voxels_hu
        if method is not None:
            voxels_hu = reduce_metal_artifacts(volume.voxels_hu, volume.spacing_mm, metal, method=method, device="cpu").volume_hu
        difference_hu = (voxels_hu.astype(float) - truth_hu)[~metal]
        figures[f"volume, {name}"] = [float((difference_hu**2).mean() ** 0.5)]
    return figures


if __name__ == "__main__":
    figures = {name: [round(value, 3) for value in values] for name, values in measured(get_projector("cpu")).items()}
    EXPECTED.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for name, values in figures.items():
        print(f"{name}: {values}")
