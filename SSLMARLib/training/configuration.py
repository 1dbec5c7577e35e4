"""One JSON file holds every hyper-parameter of a training; it is written beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..errors import InputError


@dataclass(frozen=True)
class TrainingConfiguration:
    """What a training is made of. Relative paths are relative to the folder of the configuration file.

    network: what learns; "cnnmar". network_options: arguments of its class.
    data: folder of metal-free CT (NRRD, NIfTI, MetaImage files, folders of DICOM, or .npz with `hu` (slices, rows, columns) and
        `patient`). leave_out: file names in it that are not used.
    output: folder of checkpoints, logs and, at the end, weights.
    validation_share: share of the patients that only validates. pairs, validation_pairs: simulated pairs made beforehand.
    materials: metals of the simulated pairs, each as likely as it is named often.
    patch_pixels, batch_size, steps, learning_rate, adam_betas: of the optimization (Adam; the rate falls to zero as a cosine).
    validate_every, checkpoint_every: in steps. seed: of everything that is drawn.
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
    patch_pixels: int = 128
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 1e-3
    adam_betas: tuple[float, float] = (0.9, 0.999)
    validate_every: int = 500
    checkpoint_every: int = 250
    seed: int = 0

    def __post_init__(self):
        for name in ("leave_out", "materials", "adam_betas"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("pairs", "validation_pairs", "patch_pixels", "batch_size", "steps", "validate_every", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r} in the training configuration: give a whole number, 1 or more.")
        if not 0 < self.validation_share < 1:
            raise InputError(f"validation_share is {self.validation_share!r} in the training configuration: give a share between 0 and 1.")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate!r} in the training configuration: give a number above 0.")

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
            raise InputError(f"The training configuration {path} is no JSON ({error}).") from error
        known = {one.name for one in fields(cls)}
        unknown = sorted(set(values) - known) if isinstance(values, dict) else ["(no object)"]
        missing = [name for name in ("network", "data", "output") if unknown or name not in values]
        if unknown or missing:
            problem = f"has unknown entries ({', '.join(unknown)})" if unknown else f"lacks {', '.join(missing)}"
            raise InputError(f"The training configuration {path} {problem}: it may have {', '.join(sorted(known))}.")
        for name in ("data", "output"):
            values[name] = str((path.parent / values[name]).resolve())
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"The training configuration {path} has an entry of a wrong kind ({error}).") from error
