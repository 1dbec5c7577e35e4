"""`sslmar correct-sinogram`: measured sinograms in, corrected ones and their images out."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy

from ..errors import InputError, short_text
from ..methods import DEFAULT_METHOD, get_method
from .argument_types import positive_number
from .console import progress_bar, say
from .metal_arguments import add_metal_arguments, metal_search

HELP = "Reduce the metal artifacts of sinograms, in their own geometry."
ARRAYS = "sinogram, kind, angles_rad, bins, source_radius_cm, detector_radius_cm, curvature_radius_cm"
KINDS = ("fan", "parallel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "INPUT holds: sinogram (views, bins) or (slices, views, bins), line integrals; kind, fan or parallel; angles_rad (views,); bins "
        "(bins,), centers of the detector cells in cm (on a curved detector in radians around its middle), both increasing and evenly "
        "spaced; for a fan source_radius_cm and detector_radius_cm, and for a curved detector curvature_radius_cm. Directions are those of "
        "ODL's FanBeamGeometry and Parallel2dGeometry. A case of the benchmark (ma_sinogram) needs nothing else."
    )
    parser.add_argument("input", type=Path, metavar="INPUT", help=".npz or .h5 file with a sinogram and its geometry")
    parser.add_argument(
        "output", type=Path, metavar="OUTPUT.npz", help="sinogram, metal_trace, image_hu, metal_mask (axis 0 x, axis 1 y) and pixel_mm"
    )
    parser.add_argument("--method", default=DEFAULT_METHOD, help=f"as of `sslmar correct` (default {DEFAULT_METHOD})")
    parser.add_argument("--mask", type=Path, metavar="MASK.npy", help="metal mask (n, n) or (slices, n, n) of the image, non-zero = metal")
    add_metal_arguments(parser)
    parser.add_argument("--image-side-cm", type=positive_number, metavar="CM", help="side of the image (default: what the detector sees)")
    parser.add_argument("--water-per-cm", type=positive_number, default=0.192, metavar="MU", help="attenuation of water (default 0.192)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")


def run(arguments: argparse.Namespace) -> int:
    from ..atomic_files import refuse_existing, write_complete
    from ..raw_data import correct_sinogram

    if arguments.output.suffix != ".npz":
        raise InputError(f"The output {arguments.output} is no .npz file: name it so.")
    refuse_existing(arguments.output, arguments.overwrite, [one for one in (arguments.input, arguments.mask) if one is not None])
    search = metal_search(arguments)
    if arguments.metal == "learned":
        raise InputError("--metal learned outlines metal in a scanner's slices, not in sinograms: leave it out, or give --mask.")
    title = get_method(arguments.method).title
    arrays = _read(arguments.input)
    sinogram, geometry = _sinogram_and_geometry(arguments.input, arrays)
    with progress_bar(arguments) as progress:
        result = correct_sinogram(
            sinogram, geometry, None if arguments.mask is None else _read_mask(arguments.mask), arguments.method,
            metal_search=search, image_side_cm=arguments.image_side_cm, water_per_cm=arguments.water_per_cm, device=arguments.device,
            progress=progress,
        )  # fmt: skip
    names = ("sinogram", "metal_trace", "image_hu", "metal_mask", "pixel_mm")
    content = {name: getattr(result, name) for name in names}
    write_complete(arguments.output, lambda path: numpy.savez_compressed(path, **content), arguments.overwrite)
    share = 100 * result.metal_trace.mean()
    say(arguments, f"{title} corrected {len(result.sinogram)} sinograms ({share:.1f} % of the rays): {arguments.output}")
    return 0


def _read(path: Path) -> dict[str, numpy.ndarray]:
    from ..ct.file_checks import refuse_unreadable
    from ..numpy_files import DAMAGED
    from ..optional_imports import import_optional

    refuse_unreadable(path)
    try:
        if path.suffix.lower() in (".h5", ".hdf5"):
            with import_optional("h5py").File(path) as file:
                return {name: numpy.asarray(file[name][()]) for name in file}
        with numpy.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except DAMAGED as error:
        raise InputError(f"{path} cannot be read ({short_text(error)}): give an .npz or .h5 file with {ARRAYS}.") from None


def _read_mask(path: Path) -> numpy.ndarray:
    from ..numpy_files import DAMAGED

    try:
        return numpy.load(path, allow_pickle=False)
    except DAMAGED as error:
        raise InputError(f"The mask {path} cannot be read ({short_text(error)}): give an .npy file.") from None


def _sinogram_and_geometry(path: Path, arrays: dict[str, numpy.ndarray]):
    from ..optional_imports import import_optional
    from ..tomography.geometry import FanBeamGeometry

    if "ma_sinogram" in arrays and "kind" not in arrays:
        return arrays["ma_sinogram"], FanBeamGeometry()
    kind = numpy.asarray(arrays.get("kind", "")).item()
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    needed = ("sinogram", "angles_rad", "bins", *(("source_radius_cm", "detector_radius_cm") if kind == "fan" else ()))
    missing = [name for name in needed if name not in arrays]
    if kind not in KINDS or missing:
        problem = f"lacks {', '.join(missing)}" if kind in KINDS else f"has the kind {kind!r}, not {' or '.join(KINDS)}"
        raise InputError(f"{path} {problem}: it needs {ARRAYS} (see `sslmar correct-sinogram --help`).")
    odl, tomo = import_optional("odl"), import_optional("odl.applications.tomo")
    try:
        angles, bins = (numpy.asarray(arrays[name], dtype=float).ravel() for name in ("angles_rad", "bins"))
        half_bin = 0.5 * float(numpy.diff(bins).mean())
        detector = odl.uniform_partition(bins[0] - half_bin, bins[-1] + half_bin, len(bins))
        half_step = 0.5 * float(numpy.diff(angles).mean())
        views = odl.uniform_partition(angles[0] - half_step, angles[-1] + half_step, len(angles))
        is_even = numpy.allclose(numpy.diff(bins), 2 * half_bin, rtol=1e-3) and numpy.allclose(numpy.diff(angles), 2 * half_step, rtol=1e-3)
        if not is_even or half_bin <= 0 or half_step <= 0:
            raise InputError(f"angles_rad and bins of {path} are not increasing and evenly spaced: bring the sinogram to such ones first.")
        if kind == "parallel":
            return arrays["sinogram"], tomo.Parallel2dGeometry(views, detector)
        radii = {"src_radius": float(arrays["source_radius_cm"]), "det_radius": float(arrays["detector_radius_cm"])}
        curvature = float(arrays["curvature_radius_cm"]) if "curvature_radius_cm" in arrays else None
        return arrays["sinogram"], tomo.FanBeamGeometry(views, detector, **radii, det_curvature_radius=curvature)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The geometry in {path} cannot be used ({short_text(error)}): see `sslmar correct-sinogram --help`.") from None
