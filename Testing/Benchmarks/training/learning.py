"""How SliceNet, PriorNet and MetalNet learn: AdamW, a rate that falls as a cosine over a given time, a moving average of the weights.

A training that was cut off goes on from its last checkpoint where its output folder has one: weights, optimizer, place in the schedule.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy
import torch

from SSLMARLib.atomic_files import write_complete
from SSLMARLib.ct.attenuation import attenuation_difference_to_hu
from SSLMARLib.networks.imgnet import RESIDUAL_UNIT_PER_CM
from SSLMARLib.networks.weights import load_network, save_weights

WARM_UP_STEPS, LEAST_SHARE_OF_RATE = 100, 0.02
LARGEST_GRADIENT, LONGEST_MEMORY = 1.0, 0.998


def checkpoint_path(output: Path, name: str) -> Path:
    return output / f"{name}_checkpoint.pt"


def steps_before(path: Path) -> int:
    """Of a training's checkpoint, 0 without one: for its seeds, so that it does not see the same slices again."""
    return torch.load(path, map_location="cpu", weights_only=True)["step"] if path.exists() else 0


def error_of(added, wanted, known):
    """The loss of SliceNet and PriorNet: root mean square of each slice, plus half of the mean absolute error, mean of the slices, in units
    of the network's output; all (slices, rows, columns), images in 1/cm."""
    error = (added - wanted) * known / RESIDUAL_UNIT_PER_CM
    return (error.square().mean((1, 2)) + 1e-4).sqrt().mean() + 0.5 * error.abs().mean()


def rmse_hu(errors, known) -> torch.Tensor:
    """RMSE in HU of each slice where it is known: (errors, slices), of several errors (slices, rows, columns) in 1/cm."""
    left = [attenuation_difference_to_hu(error) * known for error in errors]
    return torch.stack([(error.square().sum((1, 2)) / known.sum((1, 2))).sqrt() for error in left])


def reseed(generator, noise: torch.Generator, steps: int) -> None:
    """Set numpy's and torch's generator, which drew what validates, to what follows from the steps before alone."""
    generator.bit_generator.state = numpy.random.default_rng(steps).bit_generator.state
    noise.manual_seed(2 + steps)


class Course:
    """The time that a training has: goes on from the checkpoint in its output folder, validates and saves now and then."""

    def __init__(self, options, name: str, learner: Learner, generator, noise: torch.Generator):
        """options: of the command line. name: of the weights. generator, noise: see `reseed`."""
        self._output, self._name, self._learner, self._options = options.output, name, learner, options
        reseed(generator, noise, steps_before(self._checkpoint))
        self._last = time.monotonic()
        self._start = self._last - learner.resume(self._checkpoint)

    @property
    def share(self) -> float:
        """Of the time, that has passed: from 0 on."""
        return (time.monotonic() - self._start) / self._options.seconds

    def save_now_and_then(self, loss, facts, **further) -> None:
        """Where it is time: print the loss and facts(), and save the weights, described by them and what is further said."""
        now = time.monotonic()
        if now - self._last <= self._options.validate_every and self.share < 1:
            return
        self._last = now
        found = {"step": self._learner.step, "seconds": round(now - self._start), **facts()}
        print(json.dumps({"loss": float(loss.detach()), **found}), flush=True)
        described = {"network": self._learner.network.options, **found, **further}
        save_weights(self._output / f"{self._name}.safetensors", self._learner.weights(), described)
        self._learner.save(self._checkpoint, time.monotonic() - self._start)

    @property
    def _checkpoint(self) -> Path:
        return checkpoint_path(self._output, self._name)


class Learner:
    """network: what learns. average: the mean of its latest weights, which is validated and saved. step: how many were made."""

    def __init__(self, untrained, start: str | None, device, rate: float):
        """untrained: the network; or with `start`, weights of its class to go on from, those."""
        network = untrained
        if start:
            network = load_network(type(untrained), start)[0].float().train().requires_grad_(True)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.average = type(untrained)(**network.options).to(device)
        self.average.load_state_dict(network.state_dict())
        self.step, self._rate = 0, rate
        self._optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)

    def learn(self, loss, share: float) -> None:
        """One step down the gradient of a loss; share: of the time that has passed, 0 to 1."""
        falling = (0.5 - LEAST_SHARE_OF_RATE / 2) * (1 + math.cos(math.pi * share)) + LEAST_SHARE_OF_RATE
        self._optimizer.param_groups[0]["lr"] = self._rate * min(1, (self.step + 1) / WARM_UP_STEPS) * falling
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)):
            self._optimizer.step()
        self.step += 1
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.data.lerp_(now.data, 1 - min(LONGEST_MEMORY, self.step / (self.step + 9)))

    def save(self, path: Path, seconds: float) -> None:
        """Write a checkpoint, whole or not at all; seconds: that the training took so far."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "_optimizer")}
        write_complete(path, lambda partial: torch.save({**parts, "step": self.step, "seconds": seconds}, partial), overwrite=True)

    def resume(self, path: Path) -> float:
        """Go on from a checkpoint, if there is one; the seconds that it took, else 0."""
        if not path.exists():
            return 0.0
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        for name in ("network", "average", "_optimizer"):
            getattr(self, name).load_state_dict(checkpoint[name])
        self.step = checkpoint["step"]
        return checkpoint["seconds"]

    def weights(self) -> dict:
        """The average in half precision."""
        return {name: tensor.half() for name, tensor in self.average.state_dict().items()}
