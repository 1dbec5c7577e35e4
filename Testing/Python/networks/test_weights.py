"""Weights on disk: what was saved comes back to the bit; anything else is refused with one sentence."""

from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch

from SSLMARLib import atomic_files
from SSLMARLib.errors import InputError
from SSLMARLib.networks.cnnmar import CNNMARNetwork
from SSLMARLib.networks.weights import load_network, load_weights, save_weights


@pytest.mark.parametrize("name", ["cnnmar", "sslmar"])
def test_shipped_weights_name_no_patient_and_no_file(repository, name):
    description = json.loads((repository / "SSLMARLib" / "models" / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(description["validation_patients"], int) and isinstance(description["training_patients"], int)
    assert isinstance(description["files_left_out"], int) and "leave_out" not in description["configuration"]


@pytest.fixture
def network():
    torch.manual_seed(3)
    network = CNNMARNetwork(channels=2, dilations=(1, 2))
    torch.nn.init.normal_(network.layers[-1].weight)
    return network


@pytest.fixture
def path(tmp_path, network):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network.state_dict(), {"network": network.options, "step": 7})
    return path


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and message[0].isupper()
    return message


def test_round_trip(path, network):
    tensors, description = load_weights(path)
    assert tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())
    assert description["step"] == 7 and description["network"] == {"channels": 2, "dilations": [1, 2], "shuffle": 1}
    images = torch.rand(1, 3, 12, 12)
    loaded, _ = load_network(CNNMARNetwork, str(path))
    assert torch.equal(loaded(images), network(images)) and not loaded.training
    assert not loaded(images).requires_grad  # correcting builds no graph


def test_the_description_has_the_sha256_of_the_file(path):
    description = json.loads(path.with_suffix(".json").read_text())
    assert description["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_channels_last_and_parameters_are_saved_too(tmp_path, network):
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    network.to(memory_format=torch.channels_last)
    save_weights(tmp_path / "a.safetensors", dict(network.named_parameters()), {})
    tensors, _ = load_weights(tmp_path / "a.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in expected.items())


def test_truncated_or_altered_weights_are_refused(path):
    content = path.read_bytes()
    for wrong in (content[:-1], content[: len(content) // 2], b"", content[:-5] + bytes([content[-5] ^ 1]) + content[-4:], content + b"\0"):
        path.write_bytes(wrong)
        assert "altered or cut off" in refusal(lambda: load_weights(path))


def test_what_is_no_safetensors_file_is_refused_even_with_its_sha256(path, network, tmp_path):
    marker = tmp_path / "unpickled"

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save(network.state_dict(), tmp_path / "torch.bin")
    for content in (pickle.dumps(Evil()), (tmp_path / "torch.bin").read_bytes(), b"{}", b""):
        path.write_bytes(content)
        path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))
        assert "not a safetensors file" in refusal(lambda: load_weights(path))
    assert not marker.exists()


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '"text"', b"\xff\xfe"])
def test_without_its_description_nothing_is_loaded(path, content):
    description = path.with_suffix(".json")
    if content is None:
        description.unlink()
    else:
        description.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert "tiny.json" in refusal(lambda: load_weights(path))


def test_missing_weights_are_refused(tmp_path):
    assert "There are no weights" in refusal(lambda: load_weights(tmp_path / "nothing.safetensors"))
    assert "nobody" in refusal(lambda: load_weights("nobody"))


@pytest.mark.parametrize("description", [{"network": {"channels": 3, "dilations": [1, 2]}}, {"network": {"width": 9}}, {"network": 5}, {}])
def test_another_network_is_refused(path, network, description):
    save_weights(path, network.state_dict(), description)
    assert "do not fit the network of CNNMAR" in refusal(lambda: load_network(CNNMARNetwork, str(path)))


def test_other_tensors_are_refused(path, network):
    save_weights(path, {"something": torch.zeros(3)}, {"network": network.options})
    assert "do not fit the network of CNNMAR" in refusal(lambda: load_network(CNNMARNetwork, str(path)))


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_writing_leaves_the_former_weights(path, network, monkeypatch, failure):
    before = {item.name: item.read_bytes() for item in path.parent.iterdir()}

    def fail(*_):
        raise failure

    monkeypatch.setattr(atomic_files.os, "replace", fail)
    with pytest.raises(InputError if isinstance(failure, OSError) else KeyboardInterrupt):
        save_weights(path, {"a": torch.ones(2)}, {})
    assert {item.name: item.read_bytes() for item in path.parent.iterdir()} == before
    load_weights(path)


def test_interrupted_between_the_two_files_they_do_not_pass_for_a_pair(path, monkeypatch):
    replace, calls = atomic_files.os.replace, []

    def fail_at_second(*names):
        calls.append(names)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*names)

    monkeypatch.setattr(atomic_files.os, "replace", fail_at_second)
    with pytest.raises(KeyboardInterrupt):
        save_weights(path, {"a": torch.ones(2)}, {})
    assert sorted(item.name for item in path.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]
    assert "SHA-256" in refusal(lambda: load_weights(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_neither_stored_nor_loaded(tmp_path, monkeypatch, value):
    from SSLMARLib.networks import weights

    path, bad = tmp_path / "bad.safetensors", {"good": torch.ones(2), "bad": torch.tensor([1.0, value])}
    assert "hold NaN or infinity (bad)" in refusal(lambda: save_weights(path, bad, {}))
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as unchecked:
        unchecked.setattr(weights, "_refuse_not_finite", lambda *_: None)
        save_weights(path, bad, {})
    assert "hold NaN or infinity (bad)" in refusal(lambda: load_weights(path))
