"""Checkpoints: a training goes on from one to the bit; a damaged one is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from SSLMARLib import atomic_files
from SSLMARLib.errors import InputError
from SSLMARLib.networks.cnnmar import CNNMARNetwork
from SSLMARLib.training.checkpoints import NAME, load_checkpoint, save_checkpoint


def make(channels=5, seed=0):
    """(network, optimizer) as the training has them: weights channels last in memory."""
    torch.manual_seed(seed)
    network = CNNMARNetwork(channels=channels).to(memory_format=torch.channels_last)
    return network, torch.optim.Adam(network.parameters(), lr=1e-2)


def take_steps(network, optimizer, first, last):
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        images = torch.rand(2, 3, 12, 12, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        (network(images) - 0.5).abs().mean().backward()
        optimizer.step()


def same(network, other) -> bool:
    return all(torch.equal(one, another) for one, another in zip(network.parameters(), other.parameters(), strict=True))


@pytest.fixture
def saved(tmp_path):
    """A folder with the checkpoint after 3 steps, its network and its optimizer."""
    network, optimizer = make()
    take_steps(network, optimizer, 0, 3)
    save_checkpoint(tmp_path, 3, network, optimizer, {"best_score": float("inf"), "seconds": 1.25, "recent_losses": [0.1]})
    return tmp_path, network, optimizer


def test_going_on_gives_the_same_weights_to_the_bit(saved):
    folder, network, optimizer = saved
    take_steps(network, optimizer, 3, 9)
    resumed, its_optimizer = make(seed=1)
    assert not same(resumed, network)
    step, facts = load_checkpoint(folder, resumed, its_optimizer)
    assert step == 3 and facts == {"best_score": float("inf"), "seconds": 1.25, "recent_losses": [0.1]}
    take_steps(resumed, its_optimizer, step, 9)
    assert same(resumed, network)


def test_the_optimizer_is_as_it_was(saved):
    folder, network, optimizer = saved
    resumed, its_optimizer = make(seed=1)
    load_checkpoint(folder, resumed, its_optimizer)
    assert same(resumed, network)
    for parameter, other in zip(network.parameters(), resumed.parameters(), strict=True):
        expected, found = optimizer.state[parameter], its_optimizer.state[other]
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value) and found[name].stride() == value.stride() and found[name].dtype == value.dtype


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path, *make()) is None


def test_the_former_checkpoint_stays_when_writing_fails(saved, monkeypatch):
    folder, network, optimizer = saved
    before = (folder / NAME).read_bytes()
    monkeypatch.setattr(atomic_files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(folder, 4, network, optimizer, {})
    assert [item.name for item in folder.iterdir()] == [NAME] and (folder / NAME).read_bytes() == before


def damage(content: bytes, kind: str) -> bytes:
    middle = len(content) - 40
    return {
        "cut off": content[:-7],
        "half": content[: len(content) // 2],
        "empty": b"",
        "one bit": content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :],
        "the step": content.replace(b'\\"step\\": 3', b'\\"step\\": 9', 1),
        "text": b"checkpoint",
    }[kind]


@pytest.mark.parametrize("kind", ["cut off", "half", "empty", "one bit", "the step", "text"])
def test_a_damaged_checkpoint_is_refused(saved, kind):
    folder, *_ = saved
    content = (folder / NAME).read_bytes()
    assert damage(content, kind) != content
    (folder / NAME).write_bytes(damage(content, kind))
    with pytest.raises(InputError, match="is damaged or of another network: remove it"):
        load_checkpoint(folder, *make())


def test_other_networks_and_files_are_refused(saved, tmp_path_factory):
    folder, *_ = saved
    with pytest.raises(InputError, match="of another network"):
        load_checkpoint(folder, *make(channels=6))
    save_file(load_file(folder / NAME), folder / NAME)  # the tensors without what describes them
    with pytest.raises(InputError, match="is damaged"):
        load_checkpoint(folder, *make())
    torch.save(make()[0].state_dict(), folder / NAME)
    with pytest.raises(InputError, match="is damaged"):
        load_checkpoint(folder, *make())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_and_the_former_checkpoint_stays(saved, value):
    folder, network, optimizer = saved
    content = (folder / NAME).read_bytes()
    with torch.no_grad():
        next(network.parameters())[0] = value
    with pytest.raises(InputError, match="^Training diverged: network.*after step 4; lower learning_rate.$"):
        save_checkpoint(folder, 4, network, optimizer, {})
    assert (folder / NAME).read_bytes() == content
