"""Two simulated scans to try things on: a pelvis with a hip prosthesis, a jaw with crowns.

No patient's data, no download. What Slicer's Sample Data module offers and the module's self-test runs on. The same call
gives the same voxels on every run of one computer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy

from .ct.volume import CTVolume
from .errors import InputError

MATERIALS = {"hip": "titanium", "dental": "zirconia"}
SLICES = {"hip": 24, "dental": 20}
_PHANTOMS = {"hip": "pelvis", "dental": "jaw"}
SAMPLE_KINDS = tuple(SLICES)

Progress = Callable[[float, str], None]
IsCancelled = Callable[[], bool]


@dataclass(frozen=True)
class SimulatedScan:
    """A scan with metal, and what is known because it is simulated.

    volume: with metal and its artifacts, 12 bits as scanners store. truth: the same without metal. metal_mask: boolean
    (slices, rows, columns), where the metal is.
    """

    volume: CTVolume
    truth: CTVolume
    metal_mask: numpy.ndarray


def simulate_scan_of(
    kind: str, slices: int | None = None, *, device: str = "auto", progress: Progress | None = None, is_cancelled: IsCancelled | None = None
) -> SimulatedScan:
    """Simulate one of the SAMPLE_KINDS with `slices` slices (by default enough for three views), 400 x 400 voxels in HU: "hip", a pelvis
    with a titanium prosthesis (1 mm, slices of 4 mm), or "dental", a jaw with zirconia crowns (0.5 mm, slices of 2 mm).

    progress: called as progress(fraction from 0 to 1, message). is_cancelled: asked between batches. Raises InputError
    for an unknown kind or no slices, MissingPackageError without PyTorch, Cancelled.
    """
    from .simulation.phantom import body_phantom
    from .simulation.volume import simulate_metal

    if kind not in SAMPLE_KINDS:
        raise InputError(f"There is no sample {kind!r}: choose one of {', '.join(SAMPLE_KINDS)}.")
    progress = progress or (lambda fraction, message: None)
    phantom = _PHANTOMS[kind]
    progress(0.0, f"Making a {phantom} phantom")
    truth = body_phantom(phantom, slices=SLICES[kind] if slices is None else slices)
    metal_mask = phantom_metal(phantom, truth)
    voxels_hu = simulate_metal(
        truth.voxels_hu,
        truth.spacing_mm,
        metal_mask,
        MATERIALS[kind],
        device=device,
        progress=lambda fraction, message: progress(0.1 + 0.9 * fraction, message),
        is_cancelled=is_cancelled,
    )
    return SimulatedScan(truth.with_voxels(voxels_hu), truth, metal_mask)


def phantom_metal(phantom: str, truth: CTVolume) -> numpy.ndarray:
    """The mask of the implant that belongs to a phantom ("pelvis" or "jaw"), boolean (slices, rows, columns)."""
    from .simulation.metal_masks import body_mask
    from .simulation.phantom import phantom_implant
    from .simulation.shapes import BodyFrame

    body = body_mask(truth.voxels_hu)
    return phantom_implant(phantom).mask(BodyFrame.of_body(body, truth.spacing_mm), truth.shape) & body
