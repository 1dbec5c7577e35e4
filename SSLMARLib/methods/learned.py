"""What the methods with trained weights have in common. Importing this needs no torch."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from ..errors import InputError
from ..networks.weights import load_description, load_network, load_weights
from .base import Method


@dataclass(frozen=True)
class WeightsConstants:
    """Numbers that were chosen together with weights; they stand beside them, as "constants" in the JSON file.

    soft_tissue_hu, border_pixels: of `cnnmar.tissue_processing`. small_change_hu, small_change_pixels: see `base.Method`.
    """

    soft_tissue_hu: tuple[float, float]
    border_pixels: int
    small_change_hu: float
    small_change_pixels: float

    def __post_init__(self):
        for one in fields(self):
            value = getattr(self, one.name)
            is_pair = one.type.startswith("tuple")
            numbers = value if is_pair and isinstance(value, list | tuple) else [value]
            kind = int if one.type == "int" else int | float
            if len(numbers) != (2 if is_pair else 1) or not all(isinstance(n, kind) and math.isfinite(n) for n in numbers):
                raise ValueError(f"{one.name} is {value!r}")
            if is_pair:
                object.__setattr__(self, one.name, tuple(value))


class LearnedMethod(Method):
    """A method with weights: shipped ones of the method's name, or those of a file that `sslmar train` wrote.

    network_path: file and class of its network in the folder networks, "cnnmar.CNNMARNetwork", which imports torch.
    shipped_sha256: of the shipped weights; other content under their name is refused. constants_class: what is read from beside
    the weights; a number that is missing there is that of the shipped weights. channels_last: the network's layout in memory.
    """

    packages = ("safetensors",)
    network_path: ClassVar[str]
    shipped_sha256: ClassVar[str]
    constants_class: ClassVar[type[WeightsConstants]] = WeightsConstants
    channels_last: ClassVar[bool] = False

    def __init__(self, weights: str | os.PathLike | None = None):
        """weights: the path of a .safetensors file that `sslmar train` wrote for this method; None for the shipped ones."""
        self.weights = self.name if weights is None else weights
        if self.weights != self.name:
            self.title = f"{type(self).title} ({Path(weights).stem})"
        self._networks = {}  # by device, read at first use

    @classmethod
    def network_class(cls) -> type:
        """The class of the network, a torch.nn.Module."""
        module, name = cls.network_path.split(".")
        return getattr(import_module(f"..networks.{module}", __package__), name)

    @cached_property
    def weights_description(self) -> dict:
        """The JSON file beside the weights. Raises InputError where it is missing or damaged."""
        return load_description(self.weights)

    @cached_property
    def constants(self) -> WeightsConstants:
        """Those of the weights. Raises InputError where they cannot be used."""
        values = {**load_description(self.name)["constants"], **self.weights_description.get("constants", {})}
        try:
            return self.constants_class(**values)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The constants beside the weights {self.weights} cannot be used ({error}): see those of the shipped {self.name}.json."
            ) from error

    @property
    def small_change_hu(self) -> float:
        return self.constants.small_change_hu

    @property
    def small_change_pixels(self) -> float:
        return self.constants.small_change_pixels

    def load_weights(self):
        """(tensors by name, description), see `networks.weights.load_weights`."""
        return load_weights(self.weights, self._pinned_sha256)

    def network(self, device):
        """The trained network on a device, ready to be used; what was read once is kept."""
        import torch

        if device not in self._networks:
            network, _ = load_network(self.network_class(), self.weights, self._pinned_sha256)
            layout = torch.channels_last if self.channels_last else torch.preserve_format
            self._networks[device] = network.to(device, memory_format=layout)
        return self._networks[device]

    def use_network(self, network, device) -> None:
        """Compute with this network on that device in place of the weights: a training's, or one that has learned nothing."""
        self._networks[device] = network

    @property
    def _pinned_sha256(self) -> str | None:
        return self.shipped_sha256 if self.weights == self.name else None

    def facts(self) -> dict:
        return {"weights": Path(self.weights).name, "weights_sha256": self.weights_description["sha256"]}


class PeerMethod(LearnedMethod):
    """A learned method that is here to be compared with: its weights bring no constants."""

    for_research = True
    small_change_hu = Method.small_change_hu
    small_change_pixels = Method.small_change_pixels


class ImagePeerMethod(PeerMethod):
    """A peer whose result is an image: `image`, however sinograms are reconstructed."""

    def images(self, scan, reconstructions) -> list:
        return [self.image(scan)] * len(reconstructions)
