"""What every method makes of the project's own simulated case, in HU, and what is lost when a network is untrained.

Nothing beside this repository is needed. The expected figures are in own_case.json, which Testing/Benchmarks/own_case.py wrote.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from SSLMARLib.methods import METHODS, available_methods

EXPECTED = json.loads(Path(__file__).with_name("own_case.json").read_text(encoding="utf-8"))
TOLERANCE = 0.01  # of a figure: rounding of other processors and versions of PyTorch; a change of a method is larger


@pytest.fixture(scope="module")
def figures(repository, projector):
    path = repository / "Testing" / "Benchmarks" / "own_case.py"
    specification = importlib.util.spec_from_file_location("own_case", path)
    own_case = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(own_case)
    return own_case.measured(projector)


def test_every_method_has_its_figure(figures):
    assert set(figures) == set(EXPECTED)
    assert {"uncorrected", *available_methods(for_research=True)} <= set(EXPECTED)
    assert {"volume, uncorrected", *(f"volume, {name}" for name in available_methods())} <= set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_error_is_the_expected_one(figures, name):
    assert figures[name] == pytest.approx(EXPECTED[name], rel=TOLERANCE)


def test_each_learned_part_has_an_effect_that_the_figures_show(figures):
    """So wide apart that no tolerance hides a network that does nothing."""
    for slice_index in range(2):
        assert figures["cnnmar"][slice_index] < 0.7 * figures["cnnmar untrained"][slice_index]
        assert figures["sslmar"][slice_index] < 0.7 * figures["sslmar.image_network untrained"][slice_index]
        assert figures["sslmar.sinogram_network alone"][slice_index] < 0.9 * figures["li"][slice_index]
        assert figures["sslmar"][slice_index] < 0.99 * figures["sslmar.sinogram_network untrained"][slice_index]
        assert figures["sslmar"][slice_index] < 0.9 * figures["sslmar without PriorNet"][slice_index]
    assert figures["volume, sslmar"][0] < 0.99 * figures["volume, sslmar without SliceNet"][0]


@pytest.mark.parametrize("name", [name for name, one in METHODS.items() if one.for_research])
def test_each_peer_has_learned(figures, name):
    """Its error is smaller than without its training, on the sum of both slices; DuDoNet has learned little so far."""
    assert sum(figures[name]) < (0.985 if name == "dudonet" else 0.9) * sum(figures[f"{name} untrained"])
