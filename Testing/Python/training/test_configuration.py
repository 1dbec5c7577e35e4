"""The training configuration: what it holds, and what is refused with a sentence before anything is computed."""

from __future__ import annotations

import json

import pytest

from SSLMARLib.errors import InputError
from SSLMARLib.training.configuration import TrainingConfiguration

NEEDED = {"network": "cnnmar", "data": "scans", "output": "run"}


@pytest.fixture
def read(tmp_path):
    """read(entries or text) -> the configuration of a file with that content."""

    def write_and_read(content):
        path = tmp_path / "train.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return TrainingConfiguration.read(path)

    return write_and_read


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_paths_are_relative_to_the_file(read, tmp_path):
    configuration = read({**NEEDED, "output": "../somewhere/run"})
    assert configuration.data == str(tmp_path / "scans")
    assert configuration.output == str(tmp_path.parent / "somewhere/run")
    assert read({**NEEDED, "data": "/scans/all"}).data == "/scans/all"


def test_what_is_written_is_read_again(read):
    configuration = read({**NEEDED, "adam_betas": [0.5, 0.999], "materials": ["gold"], "leave_out": ["a.nrrd"], "seed": 3})
    assert configuration.adam_betas == (0.5, 0.999) and configuration.materials == ("gold",)
    assert read(json.loads(json.dumps(configuration.to_dict()))) == configuration


def test_missing_and_unknown_entries(read):
    assert "lacks data, output" in refusal(lambda: read({"network": "cnnmar"}))
    message = refusal(lambda: read({**NEEDED, "learningrate": 1}))
    assert "unknown entries (learningrate)" in message and "learning_rate" in message
    for content in ("[]", "3", '"text"', "null"):
        assert "no object" in refusal(lambda content=content: read(content))


def test_files_that_cannot_be_read(read, tmp_path):
    assert "is not JSON" in refusal(lambda: read("{"))
    assert "is not JSON" in refusal(lambda: read(""))
    assert "cannot be read" in refusal(lambda: TrainingConfiguration.read(tmp_path / "nothing.json"))
    assert "cannot be read" in refusal(lambda: TrainingConfiguration.read(tmp_path))
    (tmp_path / "train.json").write_bytes(b"\xff\xfe\x00")
    assert "is not JSON" in refusal(lambda: TrainingConfiguration.read(tmp_path / "train.json"))


@pytest.mark.parametrize(
    "name, values",
    {
        "pairs": [0, -1, 2.5, "many", True, None],
        "steps": [0, "1"],
        "batch_size": [0],
        "patch_pixels": [0, 12.0],
        "validate_every": [0],
        "checkpoint_every": [0],
        "seed": [-1, 1.5, "x", True],
        "validation_share": [0, 1, -0.2, "half", None],
        "learning_rate": [0, -1e-3, "small", None, True],
        "adam_betas": [[0.9], [0.9, 1.0], [-0.1, 0.9], 0.9, ["a", "b"], "ab"],
        "materials": [[], ["water"], ["titanum"], "titanium", [["titanium"]], 5],
        "leave_out": ["scan.nrrd", [1], 7],
        "network_options": [[], "wide", 3],
        "loss_weights": [[], "equal", 1],
        "iterations": [0, 1.5, True],
        "scales": [[1], [0, 1], [1.2, 0.8], [0.5, "1"], 1.0],
        "metal_pixels": [[16], [0, 5000], [50, 50], [16, 50.5], 16],
        "largest_gradient": [-1, "none", None],
        "device": ["gpu", None, ["cpu"]],
        "precision": ["float16", 32, None],
        "workers": [-1, 1.5, True],
        "pictures": [1, "yes", None],
        "tensorboard": [0, "no"],
        "network": [5, ["cnnmar"], None],
        "data": [5, None],
        "output": [5, ["run"]],
    }.items(),
)
def test_wrong_values_are_refused_by_name(read, name, values):
    for value in values:
        assert refusal(lambda value=value: read({**NEEDED, name: value})).startswith(f"{name} is {value!r}")


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_numbers_that_are_none(read, number):
    text = json.dumps({**NEEDED, "learning_rate": "?"}).replace('"?"', number)
    assert "learning_rate" in refusal(lambda: read(text))


@pytest.mark.parametrize("output", ["scans", "scans/run", "scans/a/b", "./scans/../scans"])
def test_an_output_inside_the_data_would_be_read_as_data(read, output):
    assert "lies in the training data folder" in refusal(lambda: read({**NEEDED, "output": output}))
    assert read({**NEEDED, "output": "scans-run"})


NETWORKS = {"sslmar_small": "sslmar", "ablation": "sslmar_paper", "sslmar_paper_small": "sslmar_paper_image"}  # of the others their name's


@pytest.mark.parametrize("name", ["sslmar_image", "sslmar_small", "ablation", "sslmar_paper", "sslmar_paper_small"])
def test_shipped_configurations(repository, name):
    """They are read, their paths lie beside the repository, and their networks can be made."""
    from SSLMARLib.networks.sslmar import SSLMARNetwork
    from SSLMARLib.training.losses import LossWeights

    path = repository / "Testing/Benchmarks/training" / f"{name}.json"
    configuration = TrainingConfiguration.read(path)
    assert configuration.network == NETWORKS.get(name, name)
    if name == "sslmar_paper":
        assert configuration.adam_betas == (0.5, 0.999) and configuration.learning_rate == 1e-4 and configuration.schedule == "constant"
        assert configuration.polychromatic and not configuration.augmentation and configuration.metal_shapes.endswith("xcist_97_masks.mat")
    assert configuration.data == str((repository.resolve().parent / "shared/data/train").resolve())
    assert repository.resolve() not in type(repository)(configuration.output).parents
    LossWeights(**configuration.loss_weights)
    assert SSLMARNetwork(**configuration.network_options).options["sinogram_network"]["stem"] in (1, 2)
