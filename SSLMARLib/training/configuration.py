"""One JSON file holds every hyper-parameter of a training; it is written beside the weights."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy

from ..device import DEVICE_CHOICES
from ..errors import InputError
from ..simulation.materials import METALS
from ..simulation.metal_masks import read_metal_shapes

PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("cosine", "constant")
COUNTS = ("pairs", "validation_pairs", "patch_pixels", "batch_size", "steps", "validate_every", "checkpoint_every", "iterations")
LISTS = ("leave_out", "materials", "adam_betas", "scales", "metal_pixels")


@dataclass(frozen=True)
class TrainingConfiguration:
    """What a training is made of. Relative paths are relative to the folder of the configuration file.

    network: what learns: "cnnmar", "sslmar", "sslmar_image" for its ImgNet alone, "sslmar_paper", "sslmar_paper_image", or a
        peer. network_options: arguments of its class.
    data: folder of metal-free CT (NRRD, NIfTI, MetaImage files, folders of DICOM, or .npz with `hu` (slices, rows, columns) and
        `patient`). leave_out: file names in it that are not used.
    output: folder of checkpoints, logs and, at the end, weights.
    validation_share: share of the patients that only validates. validation_pairs: number of cases that validate.
    batch_size, steps, learning_rate, adam_betas: of the optimization by Adam. schedule: "cosine", the rate falls to zero after a short
        warm-up; or "constant", as the paper's.
    largest_gradient: gradients of a larger norm are scaled down to it; 0 for none.
    validate_every, checkpoint_every: in steps. seed: of everything that is drawn.
    pairs, patch_pixels: not of "sslmar": pairs made beforehand, and the size of what is learned from at once. materials: of "cnnmar"
        alone: the metals simulated in its pairs, each as likely as it is named often.
    metal_shapes: a file of metal masks (.npz, .npy or .mat; see `simulation.metal_masks.read_metal_shapes`), which are placed on the
        slices at random, as the paper does; without it implants are drawn.
    augmentation, polychromatic: of "sslmar..." alone: whether slices are turned, mirrored and scaled; and whether the metal-free
        sinograms are those of a simulated polychromatic scan with noise, as the paper's, and not projections of the slices.
    scales, metal_pixels, device, precision: not of "cnnmar": limits of the augmentation's scale, and of the metal masks' size in
        pixels; "auto", "cpu" or "cuda"; "float32" or "bfloat16" for the networks.
    loss_weights, iterations: not of "cnnmar": weights of the terms of the loss (see `losses.LossWeights`), and iterations of ImgNet and
        metal trace replacement; "sslmar_image" learns one, but validates with, and its weights ask for, as many.
    workers: of "sslmar" alone: processes that prepare mini-batches, 0 for none.
    pictures: a PNG of a validation case after each validation (needs matplotlib). tensorboard: logs for TensorBoard (needs it).
    """

    network: str
    data: str
    output: str
    network_options: dict = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    validation_share: float = 0.15
    pairs: int = 600
    validation_pairs: int = 24
    materials: tuple[str, ...] = ("titanium", "titanium", "iron", "cobalt_chromium")
    metal_shapes: str | None = None
    patch_pixels: int = 128
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 1e-3
    adam_betas: tuple[float, float] = (0.9, 0.999)
    validate_every: int = 500
    checkpoint_every: int = 250
    seed: int = 0
    largest_gradient: float = 0.0
    loss_weights: dict = field(default_factory=dict)
    iterations: int = 1
    schedule: str = "cosine"
    augmentation: bool = True
    polychromatic: bool = False
    scales: tuple[float, float] = (0.5, 1.15)
    metal_pixels: tuple[int, int] = (16, 5000)
    device: str = "auto"
    precision: str = "float32"
    workers: int = 0
    pictures: bool = False
    tensorboard: bool = False

    def __post_init__(self):
        for name in ("network", "data", "output"):
            self._check(name, isinstance(getattr(self, name), str), "a text")
        self._check("metal_shapes", self.metal_shapes is None or isinstance(self.metal_shapes, str), "the path of a file")
        for name in ("network_options", "loss_weights"):
            self._check(name, isinstance(getattr(self, name), dict), "an object")
        for name in LISTS:
            self._check(name, isinstance(getattr(self, name), list | tuple), "a list")
        self._check("leave_out", all(isinstance(name, str) for name in self.leave_out), "a list of file names")
        self._check("materials", bool(self.materials) and all(name in METALS for name in self.materials), f"some of {', '.join(METALS)}")
        for name in COUNTS:
            self._check(name, _is_whole(getattr(self, name)) and getattr(self, name) >= 1, "a whole number, 1 or more")
        for name in ("seed", "workers"):
            self._check(name, _is_whole(getattr(self, name)) and getattr(self, name) >= 0, "a whole number, 0 or more")
        for name in ("pictures", "tensorboard", "augmentation", "polychromatic"):
            self._check(name, isinstance(getattr(self, name), bool), "true or false")
        for name, choices in (("device", DEVICE_CHOICES), ("precision", PRECISIONS), ("schedule", SCHEDULES)):
            self._check(name, getattr(self, name) in choices, f"one of {', '.join(choices)}")
        scales, pixels, gradient = self.scales, self.metal_pixels, self.largest_gradient
        self._check("scales", len(scales) == 2 and all(_is_number(s) for s in scales) and 0 < scales[0] <= scales[1], "two numbers above 0")
        good = len(pixels) == 2 and all(_is_whole(p) for p in pixels) and 1 <= pixels[0] < pixels[1]
        self._check("metal_pixels", good, "the smallest and the largest number of pixels")
        self._check("largest_gradient", _is_number(gradient) and gradient >= 0, "a number, 0 or more")
        share, rate, betas = self.validation_share, self.learning_rate, self.adam_betas
        self._check("validation_share", _is_number(share) and 0 < share < 1, "a share between 0 and 1")
        self._check("learning_rate", _is_number(rate) and rate > 0, "a number above 0")
        self._check("adam_betas", len(betas) == 2 and all(_is_number(b) and 0 <= b < 1 for b in betas), "two numbers from 0 to below 1")
        for name in LISTS:
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def _check(self, name: str, is_good: bool, wanted: str) -> None:
        if not is_good:
            raise InputError(f"{name} is {getattr(self, name)!r} in the training configuration: give {wanted}.")

    def make_network(self, network_class: type):
        """A network of network_options. Raises InputError where they cannot be used."""
        try:
            return network_class(**self.network_options)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"network_options is {self.network_options} in the training configuration: {error}.") from error

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def read(cls, path: str | Path) -> TrainingConfiguration:
        """From a JSON file. Raises InputError for what is missing, unknown or of a wrong kind."""
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"The training configuration {path} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise InputError(f"The training configuration {path} is not JSON ({error}).") from error
        known = {one.name for one in fields(cls)}
        unknown = sorted(set(values) - known) if isinstance(values, dict) else ["(no object)"]
        missing = [name for name in ("network", "data", "output") if unknown or name not in values]
        if unknown or missing:
            problem = f"has unknown entries ({', '.join(unknown)})" if unknown else f"lacks {', '.join(missing)}"
            raise InputError(f"The training configuration {path} {problem}: it may have {', '.join(sorted(known))}.")
        configuration = cls(**values)
        data, output = ((path.parent / place).resolve() for place in (configuration.data, configuration.output))
        if output == data or data in output.parents:
            raise InputError(f"The output {output} lies in the training data folder {data}: give another folder, it would be read as data.")
        shapes = configuration.metal_shapes and str((path.parent / configuration.metal_shapes).resolve())
        return replace(configuration, data=str(data), output=str(output), metal_shapes=shapes)

    def read_metal_shapes(self) -> tuple[list[numpy.ndarray], str | None]:
        """(the shapes of `metal_shapes`, the file's SHA-256); none and None without it. Raises InputError for a file of none."""
        if self.metal_shapes is None:
            return [], None
        shapes = read_metal_shapes(self.metal_shapes)
        return shapes, hashlib.sha256(Path(self.metal_shapes).read_bytes()).hexdigest()


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
