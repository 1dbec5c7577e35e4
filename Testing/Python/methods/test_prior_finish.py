"""SSLMAR's last step on measured sinograms: PriorNet betters the prior, in the trace alone, and of no slice that was loaded as an image."""

from __future__ import annotations

import pytest
import torch

from SSLMARLib.ct.scale import WATER_ATTENUATION_PER_CM
from SSLMARLib.methods import prior_finish
from SSLMARLib.methods.base import MetalAffectedScan
from SSLMARLib.methods.sslmar import SSLMAR
from SSLMARLib.networks.slice_network import PriorNet


@pytest.fixture(scope="module")
def water_and_metal(projector):
    size = projector.geometry.image_shape[0]
    rows, columns = torch.meshgrid(*(torch.arange(size) - size / 2,) * 2, indexing="ij")
    water = WATER_ATTENUATION_PER_CM * (rows**2 + columns**2 < 150**2).float()[None]
    metal = ((rows - 40).abs() < 8)[None] & ((columns + 20).abs() < 8)[None]
    return water, metal


def scan_of(water, metal, projector, is_measured):
    """With a dark band through the metal, as beam hardening makes it."""
    scan = MetalAffectedScan.from_images(water + 2.4 * metal, metal, projector)
    scan.is_measured = is_measured
    scan.sinogram = torch.where(scan.trace, 0.9 * scan.sinogram, scan.sinogram)
    return scan


def test_measured_sinograms_are_filled_once_more_in_the_trace_alone(water_and_metal, projector):
    with torch.inference_mode():
        scan = scan_of(*water_and_metal, projector, is_measured=True)
        corrected = SSLMAR().correct(scan)
        without = SSLMAR(with_prior_network=False).correct(scan_of(*water_and_metal, projector, is_measured=True))
    assert torch.equal(corrected[~scan.trace], scan.sinogram[~scan.trace])
    assert not torch.equal(corrected, without)


def test_slices_that_were_loaded_are_not(water_and_metal, projector):
    assert not MetalAffectedScan.from_images(*water_and_metal, projector).is_measured
    with torch.inference_mode():
        corrected = SSLMAR().correct(scan_of(*water_and_metal, projector, is_measured=False))
        without = SSLMAR(with_prior_network=False).correct(scan_of(*water_and_metal, projector, is_measured=False))
    assert torch.equal(corrected, without)


def test_an_untrained_network_gives_the_corrected_image_back(water_and_metal, projector, monkeypatch):
    water, metal = water_and_metal
    scan = scan_of(water, metal, projector, is_measured=True)
    scan.images = {"prior": water, "nmar": water, "measured": water}
    monkeypatch.setattr(prior_finish, "shipped_network", lambda *_, **__: (PriorNet([4, 8]), {}))
    inputs = prior_finish.network_inputs(scan)
    assert set(inputs) == {*PriorNet.differences, "metal", "trace"}
    assert all(one.shape == water.shape for one in inputs.values())
    assert torch.equal(prior_finish.better_prior(scan.sinogram, scan), projector.fbp(scan.sinogram))
