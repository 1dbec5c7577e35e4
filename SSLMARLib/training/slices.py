"""Metal-free slices to learn from, on the projector's grid, split by patient into training and validation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy

from ..ct.resampling import SliceGrid
from ..ct.scale import BODY_ABOVE_HU
from ..device import to_array, to_tensor
from ..errors import InputError, short_text
from ..numpy_files import DAMAGED
from .configuration import TrainingConfiguration

logger = logging.getLogger(__name__)

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz")
METAL_HU = 2200
MOST_METAL_PIXELS = 20  # a slice with more pixels above METAL_HU may hold metal, and is left out
SMALLEST_BODY_SHARE = 0.08  # of the slice above -500 HU; emptier slices teach nothing
HELD_OUT_PATIENTS = (  # SSLMAR is judged on them: the development volumes, the scan with a filling, the one with a femoral nail
    "tcga_ov_09_2043",
    "tcga_09_2043",
    "lidc_idri_0314",
    "tcga_thca_e3_a3e5",
    "tcga_e3_a3e5",
    "naist_sample1",
    "naist_sample2",
    "totalsegmentator_femoral_nail",
)


@dataclass(frozen=True)
class MetalFreeSlices:
    """images_hu: (slices, rows, columns) int16 on the projector's grid; patients: (slices,) names."""

    images_hu: numpy.ndarray
    patients: numpy.ndarray

    def __len__(self) -> int:
        return len(self.images_hu)

    def split(self, validation_share: float, seed: int) -> tuple[MetalFreeSlices, MetalFreeSlices]:
        """(training, validation): whole patients, drawn by the seed; at least one on each side. InputError for one patient."""
        names = numpy.unique(self.patients)
        if len(names) < 2:
            raise InputError(f"The training data has {len(names)} patient: two are needed, one of them to validate.")
        count = min(max(1, round(validation_share * len(names))), len(names) - 1)
        chosen = numpy.isin(self.patients, numpy.random.default_rng(seed).permutation(names)[:count])
        return self._only(~chosen), self._only(chosen)

    def sha256(self) -> str:
        """Of the voxels, to know them again."""
        return hashlib.sha256(numpy.ascontiguousarray(self.images_hu)).hexdigest()

    def _only(self, which) -> MetalFreeSlices:
        return MetalFreeSlices(self.images_hu[which], self.patients[which])


def read_metal_free_slices(folder: str | Path, size: int = 416, leave_out=()) -> MetalFreeSlices:
    """All usable slices of a folder of metal-free scans, each brought to the (size, size) grid.

    Files are volumes that `read_volume` reads, folders of DICOM slices, and .npz with `hu` (slices, rows, columns) and `patient`.
    A volume is one patient. Slices with metal or without a body are left out, and so are the files named in `leave_out`, and
    hidden ones. Raises InputError where nothing is left, and for a name in `leave_out` that is not there, as a slip of the pen
    would train on what must not be trained on. Raises it as well for one of HELD_OUT_PATIENTS, by the name of its file or folder or
    by the `patient` of a slice.
    """
    scans = [(scan.on_grid(size), scan.patients) for scan in metal_free_scans(folder, leave_out)]
    return MetalFreeSlices(*(numpy.concatenate(parts) for parts in zip(*scans, strict=True)))


def read_both_sides(configuration: TrainingConfiguration, size: int) -> tuple[MetalFreeSlices, MetalFreeSlices, dict[str, int]]:
    """(what is learned from, what validates, how much of it there is, for the weights' description), as a configuration says."""
    everything = read_metal_free_slices(configuration.data, size, configuration.leave_out)
    training, validation = everything.split(configuration.validation_share, configuration.seed)
    facts = {
        "training_patients": len(numpy.unique(training.patients)),
        "validation_patients": len(numpy.unique(validation.patients)),
        "training_slices": len(training),
    }
    return training, validation, facts


@dataclass(frozen=True)
class MetalFreeScan:
    """What can be used of one file or folder: voxels_hu (slices, rows, columns), spacing_mm (rows, columns), patients (slices,)."""

    voxels_hu: numpy.ndarray
    spacing_mm: tuple[float, float]
    patients: numpy.ndarray

    def on_grid(self, size: int) -> numpy.ndarray:
        """(slices, size, size) int16, HU from -1000 to 4000."""
        grid = SliceGrid(self.voxels_hu.shape[1:], self.spacing_mm, size)
        # resampled above air, so that what lies beside a slice that is not square becomes air
        above_air = grid.to_grid(to_tensor(self.voxels_hu.clip(-1000, None).astype(numpy.float32) + 1000))
        return numpy.rint(to_array(above_air) - 1000).clip(-1000, 4000).astype(numpy.int16)


def metal_free_scans(folder: str | Path, leave_out=()) -> Iterator[MetalFreeScan]:
    """The usable slices of each file or folder, in the order of their names, as `read_metal_free_slices` chooses and refuses them."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The training data folder {folder} does not exist.")
    items = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    unknown = sorted(set(leave_out) - {item.name for item in items})
    if unknown:
        raise InputError(f"leave_out names {', '.join(unknown)}, which the training data folder {folder} does not have: check the names.")
    found = False
    for source in (item for item in items if item.is_dir() or item.name.lower().endswith(SUFFIXES)):
        if source.name in leave_out:
            continue
        voxels_hu, spacing_mm, names = _read(source)
        _refuse_held_out(source, names)
        usable = (voxels_hu > METAL_HU).sum(axis=(1, 2)) <= MOST_METAL_PIXELS
        usable &= (voxels_hu > BODY_ABOVE_HU).mean(axis=(1, 2)) >= SMALLEST_BODY_SHARE
        if not usable.any():
            logger.warning("%s has no usable slice (metal-free, with a body).", source.name)
            continue
        found = True
        yield MetalFreeScan(voxels_hu[usable], spacing_mm, names[usable])
    if not found:
        raise InputError(f"The training data folder {folder} has no usable scan: give NRRD, NIfTI, MetaImage or DICOM without metal.")


def _refuse_held_out(source: Path, patients: numpy.ndarray) -> None:
    """InputError where a name, whatever its case and separators, holds that of a patient on whom SSLMAR is judged."""
    for name in (source.name, *numpy.unique(patients)):
        for held_out in HELD_OUT_PATIENTS:
            if _letters_and_digits(held_out) in _letters_and_digits(str(name)):
                raise InputError(
                    f"{source} is, or holds, the patient {held_out}, on whom SSLMAR is judged and so must not learn: remove it from the "
                    "training data, or name the file in leave_out."
                )


def _letters_and_digits(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _read(source: Path):
    """(voxels_hu (slices, rows, columns), spacing (rows, columns), patient of each slice)"""
    if source.suffix.lower() != ".npz":
        from ..ct.image_file import known_suffix  # packed slices are read without SimpleITK
        from ..ct.reading_writing import read_volume

        volume = read_volume(source)
        suffix = "" if source.is_dir() else known_suffix(source) or ""  # names have dots of their own, as DICOM's identifiers
        name = source.name[: len(source.name) - len(suffix)]
        return volume.voxels_hu, volume.spacing_mm[1:], numpy.full(volume.shape[0], name, dtype=object).astype(str)
    try:
        with numpy.load(source, allow_pickle=False) as archive:
            voxels_hu, names = (numpy.asarray(archive[name]) for name in ("hu", "patient"))  # damage makes bytes of them
            names = names.astype(str)
    except (*DAMAGED, TypeError) as error:
        raise InputError(
            f"{source} has no `hu` and `patient` that can be read ({short_text(error)}): remove it from the training data."
        ) from error
    fits = voxels_hu.ndim == 3 and names.shape == voxels_hu.shape[:1]
    if not fits or voxels_hu.dtype.kind not in "iuf" or not numpy.isfinite(voxels_hu).all():
        raise InputError(
            f"{source} has `hu` {voxels_hu.shape} {voxels_hu.dtype} and `patient` {names.shape}: give finite HU (slices, rows, columns) "
            "and one patient per slice, or remove it from the training data."
        )
    return voxels_hu, (1.0, 1.0), names
