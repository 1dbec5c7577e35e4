"""The cases of an evaluation: benchmark slices (HDF5), volumes made by `sslmar simulate`, real scans without a truth.

A folder is listed first (paths alone) and read group by group, so that hundreds of cases need the memory of one
group: up to 8 metal masks of one benchmark slice, or one volume.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy

from ..ct.attenuation import attenuation_to_hu
from ..errors import InputError, short_text
from ..numpy_files import DAMAGED
from ..optional_imports import import_optional

BENCHMARK_SHAPE = (416, 416)
BENCHMARK_SINOGRAM_SHAPE = (640, 641)
BENCHMARK_METAL_ABOVE_HU = 2500.0
BENCHMARK_SPACING_MM = (1.0, 1.0)  # the files hold none; a body slice of 416 pixels is about 1 mm a pixel
MASKS_PER_GROUP = 8
GROUND_TRUTH_FILE = "gt.h5"
RESULT_SUFFIX = ".npy"
TRUTH_SUFFIX, MASK_SUFFIX = "_truth", "_mask"


@dataclass(frozen=True)
class BenchmarkCases:
    """One group of benchmark cases in memory: one slice with several metal masks. Axis 0 of an image is x, axis 1 y.

    image (416, 416) and poly_sinogram (640, 641): the metal-free truth, 1/cm and line integrals;
    metal_affected_sinograms and file_traces (cases, 640, 641), float32 and bool; metal_masks (cases, 416, 416) bool.
    """

    image: numpy.ndarray
    poly_sinogram: numpy.ndarray
    metal_affected_sinograms: numpy.ndarray
    file_traces: numpy.ndarray
    metal_masks: numpy.ndarray


@dataclass(frozen=True)
class BenchmarkGroup:
    """Up to 8 files `<k>.h5` of one benchmark slice; mask_names are the k, as text."""

    slice_name: str
    ground_truth_path: Path
    case_paths: tuple[Path, ...]
    masks: numpy.ndarray | None  # (masks, 416, 416) bool, shared by all groups

    @property
    def mask_names(self) -> tuple[str, ...]:
        return tuple(path.stem for path in self.case_paths)

    @property
    def identity(self) -> str:
        """Which cases these are, for the resume file."""
        return f"{self.slice_name}/{','.join(self.mask_names)}"

    def results_of(self, name: str) -> numpy.ndarray:
        """What others made of the cases: (cases, 416, 416) in HU, from `<k>_<name>.npy` in 1/cm. InputError where one is missing."""
        return numpy.stack([_read_result(path.with_name(f"{path.stem}_{name}{RESULT_SUFFIX}")) for path in self.case_paths])

    def first_case(self) -> BenchmarkGroup:
        """The group of its first file alone."""
        return replace(self, case_paths=self.case_paths[:1])

    def load(self) -> BenchmarkCases:
        """Read the files. Raises InputError for a file of other contents, or a mask that does not exist."""
        truth = _read_hdf5(self.ground_truth_path, {"image": BENCHMARK_SHAPE, "poly_sinogram": BENCHMARK_SINOGRAM_SHAPE})
        wanted = {"ma_sinogram": BENCHMARK_SINOGRAM_SHAPE, "metal_trace": BENCHMARK_SINOGRAM_SHAPE, "ma_CT": BENCHMARK_SHAPE}
        files = [_read_hdf5(path, wanted) for path in self.case_paths]
        return BenchmarkCases(
            image=truth["image"],
            poly_sinogram=truth["poly_sinogram"],
            metal_affected_sinograms=numpy.stack([file["ma_sinogram"] for file in files]),
            file_traces=numpy.stack([file["metal_trace"] > 0 for file in files]),
            metal_masks=numpy.stack([self._metal(path, file) for path, file in zip(self.case_paths, files, strict=True)]),
        )

    def _metal(self, path: Path, file: dict) -> numpy.ndarray:
        if self.masks is None:
            metal = attenuation_to_hu(file["ma_CT"]) > BENCHMARK_METAL_ABOVE_HU
            if not metal.any():
                raise InputError(f"{path} has no pixel above {BENCHMARK_METAL_ABOVE_HU:g} HU: give its metal with --masks.")
            return metal
        number = int(path.stem)
        if number >= len(self.masks):
            raise InputError(f"{path} needs mask {number}, but the file of masks holds {len(self.masks)} (from 0): give another.")
        return self.masks[number]


@dataclass(frozen=True)
class VolumeGroup:
    """A metal-affected volume with its mask and, where it was simulated, its metal-free truth."""

    slice_name: str
    volume_path: Path
    truth_path: Path | None
    mask_path: Path | None  # without it: metal by threshold

    @property
    def identity(self) -> str:
        return self.slice_name

    @property
    def mask_name(self) -> str:
        return "threshold" if self.mask_path is None else f"{self.slice_name}{MASK_SUFFIX}"

    def first_case(self) -> VolumeGroup:
        """Itself: a volume is one case."""
        return self

    def load(self):
        """(volume, truth or None, metal mask): CTVolume, CTVolume, bool array (slices, rows, columns)."""
        from ..ct.reading_writing import read_mask, read_volume
        from ..ct.segmentation import segment_metal

        volume = read_volume(self.volume_path)
        truth = read_volume(self.truth_path) if self.truth_path is not None else None
        if truth is not None and not truth.same_geometry(volume):
            raise InputError(f"{self.truth_path} has another size or position than {self.volume_path}: it is not its truth.")
        if self.mask_path is not None:
            return volume, truth, read_mask(self.mask_path, like=volume)
        return volume, truth, segment_metal(volume.voxels_hu, volume.spacing_mm)


def find_groups(folder, masks_path=None, limit: int | None = None) -> list[BenchmarkGroup | VolumeGroup]:
    """The cases of a folder in a fixed order, not yet read: benchmark slices if there are any, else volumes.

    folder: `<slice>/gt.h5` with `<slice>/<k>.h5` (or one such slice), or volumes X with X_truth and X_mask beside them.
    masks_path: .npz with the benchmark's metal masks; limit: at most so many benchmark cases, or volumes.
    Raises InputError where nothing is found.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the folder of the cases to evaluate.")
    if limit is not None and limit < 1:
        raise InputError(f"The limit of cases is {limit}: give 1 or more.")
    truths = sorted(folder.glob(f"*/{GROUND_TRUTH_FILE}"))
    if not truths and (folder / GROUND_TRUTH_FILE).is_file():
        truths = [folder / GROUND_TRUTH_FILE]
    if truths:
        return _benchmark_groups(truths, None if masks_path is None else read_benchmark_masks(masks_path), limit)
    groups = _volume_groups(folder)
    if not groups:
        raise InputError(
            f"{folder} holds neither benchmark slices (<slice>/{GROUND_TRUTH_FILE}) nor volumes (NRRD, NIfTI, MetaImage, folders of "
            "DICOM slices): give another folder."
        )
    if masks_path is not None:
        raise InputError(f"--masks is for benchmark slices, and {folder} holds volumes: put X{MASK_SUFFIX} beside X.")
    return groups[:limit]


def results_of_others(groups) -> tuple[str, ...]:
    """The names of what others made of benchmark cases: of the files `<k>_<name>.npy` beside the cases `<k>.h5`."""
    names = set()
    for group in groups:
        for path in group.case_paths if isinstance(group, BenchmarkGroup) else ():
            names |= {found.stem.partition("_")[2] for found in path.parent.glob(f"{path.stem}_*{RESULT_SUFFIX}")}
    return tuple(sorted(names))


def read_benchmark_masks(path) -> numpy.ndarray:
    """The benchmark's metal masks, (masks, 416, 416) bool, from an .npz of 0 and 1, (masks, rows, columns).

    They are resized as the benchmark was made: Pillow's bilinear filter on the uint8 array, then rounded. Their axes
    are those of the benchmark's images.
    """
    Image = import_optional("PIL.Image")
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            stored = next((one for name in archive.files if (one := numpy.asarray(archive[name])).ndim == 3), None)
    except DAMAGED as error:
        raise InputError(f"The metal masks {path} could not be read ({short_text(error)}): give an .npz file.") from error
    if stored is None:
        raise InputError(f"{path} holds no array (masks, rows, columns): give the file of the benchmark's metal masks.")
    images = [Image.fromarray((mask > 0).astype(numpy.uint8)) for mask in stored]
    size = BENCHMARK_SHAPE[::-1]  # Pillow's order is (columns, rows)
    return numpy.stack([numpy.rint(numpy.asarray(image.resize(size, Image.Resampling.BILINEAR))) for image in images]) > 0


def _benchmark_groups(truths: list[Path], masks, limit: int | None) -> list[BenchmarkGroup]:
    groups, left = [], limit
    for truth in truths:
        paths = sorted((path for path in truth.parent.glob("*.h5") if path.stem.isdigit()), key=lambda path: int(path.stem))
        paths = paths[:left]
        if left is not None:
            left -= len(paths)
        for start in range(0, len(paths), MASKS_PER_GROUP):
            groups.append(BenchmarkGroup(truth.parent.name, truth, tuple(paths[start : start + MASKS_PER_GROUP]), masks))
    if not groups:
        raise InputError(f"{truths[0].parent} holds no metal-affected case <number>.h5 beside {GROUND_TRUTH_FILE}.")
    return groups


def _volume_groups(folder: Path) -> list[VolumeGroup]:
    from ..ct.dicom_header import is_dicom_file
    from ..ct.image_file import known_suffix

    by_stem = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(is_dicom_file(item) for item in path.iterdir()):
            by_stem.setdefault(path.name, path)
        elif path.is_file() and (suffix := known_suffix(path)) is not None:
            by_stem.setdefault(path.name[: -len(suffix)], path)
    companion = re.compile(rf"({TRUTH_SUFFIX}|{MASK_SUFFIX})$")
    return [
        VolumeGroup(stem, path, by_stem.get(stem + TRUTH_SUFFIX), by_stem.get(stem + MASK_SUFFIX))
        for stem, path in by_stem.items()
        if not (companion.search(stem) and companion.sub("", stem) in by_stem)
    ]


def _read_result(path: Path) -> numpy.ndarray:
    try:
        image = numpy.load(path, allow_pickle=False)
    except DAMAGED as error:
        raise InputError(f"The result {path} is missing or damaged ({short_text(error)}): give a NumPy array for each case.") from error
    if image.shape != BENCHMARK_SHAPE or not numpy.issubdtype(image.dtype, numpy.floating) or not numpy.isfinite(image).all():
        raise InputError(f"The result {path} is {image.dtype} {image.shape}: give {BENCHMARK_SHAPE} finite numbers in 1/cm, axis 0 x.")
    return attenuation_to_hu(image.astype(numpy.float64))


def _read_hdf5(path: Path, shapes: dict[str, tuple[int, int]]) -> dict[str, numpy.ndarray]:
    h5py = import_optional("h5py")
    try:
        with h5py.File(path) as file:
            arrays = {name: numpy.asarray(file[name], dtype=numpy.float32) for name in shapes if name in file}
    except OSError as error:
        raise InputError(f"{path} could not be read as HDF5 ({error}).") from error
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            found = f"is {arrays[name].shape}" if name in arrays else "is missing"
            raise InputError(f"{path}: the data set {name!r} {found}, where the benchmark has {shape}.")
    return arrays
