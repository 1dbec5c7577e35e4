"""Timings: our projector and our pipeline against the same operations on ODL + ASTRA's CPU code, in one run.

Machines differ and are busy with other things, so what is claimed is the ratio of two medians whose runs took turns.
"""

import statistics
import time
from collections.abc import Callable
from functools import cached_property

import numpy
import torch

from ._version import __version__
from .errors import MissingPackageError
from .optional_imports import import_optional
from .tomography.geometry import FanBeamGeometry
from .tomography.projector import FanBeamProjector

BATCHES = (1, 8, 32)
REPEATS = 9
BASELINE_REPEATS = 3


class ODLAstraProjector:
    """`project`, `backproject` and `fbp` of ODL with ASTRA's CPU code, one slice after the other: the baseline.

    Its FBP is ODL's own `fbp_op`, which has no fan-beam weights. Raises MissingPackageError where ASTRA is absent.
    """

    def __init__(self, geometry: FanBeamGeometry):
        odl, tomo = import_optional("odl"), import_optional("odl.applications.tomo")
        if not tomo.ASTRA_AVAILABLE:
            raise MissingPackageError("ASTRA is not installed (`pip install astra-toolbox`), so there is no baseline.")
        import astra

        self.name = f"ODL {odl.__version__} + ASTRA {astra.__version__} CPU"
        self.geometry, self.dtype, self.device = geometry, torch.float32, torch.device("cpu")
        self.transform = tomo.RayTransform(geometry.odl_image_space(), geometry.odl_geometry(), impl="astra_cpu")
        self._tomo = tomo

    @cached_property
    def _fbp_operator(self):
        return self._tomo.fbp_op(self.transform)

    def project(self, image: torch.Tensor) -> torch.Tensor:
        """(..., rows, columns) -> (..., views, bins)"""
        return self._each(self.transform, image)

    def backproject(self, sinogram: torch.Tensor) -> torch.Tensor:
        """(..., views, bins) -> (..., rows, columns), in ODL's scaling."""
        return self._each(self.transform.adjoint, sinogram)

    def fbp(self, sinogram: torch.Tensor) -> torch.Tensor:
        """(..., views, bins) -> (..., rows, columns) in 1/cm"""
        return self._each(self._fbp_operator, sinogram)

    @staticmethod
    def _each(operator, batch):
        flat = batch.reshape(-1, *batch.shape[-2:]).numpy()
        results = [torch.from_numpy(numpy.array(operator(one).asarray())) for one in flat]
        return torch.stack(results).view(*batch.shape[:-2], *results[0].shape)


def time_projector(progress: Callable[[float, str], None] = lambda fraction, message: None) -> dict:
    """Median ms per slice of P, its adjoint and FBP on the CPU for batches of 1, 8 and 32, beside the baseline's.

    Returns what `sslmar bench projector --json` writes; `baseline` is None, with `baseline_absent` saying why, without ASTRA.
    """
    geometry = FanBeamGeometry()
    import_optional("odl")
    progress(0.0, "Building the operators")
    start = time.perf_counter()
    projector = FanBeamProjector(geometry)
    projector.fbp(projector.project(torch.zeros(1, *geometry.image_shape)))
    build_seconds = time.perf_counter() - start
    result = {
        "version": __version__,
        "threads": torch.get_num_threads(),
        "build_seconds": build_seconds,
        "inference_buffer_mb": projector.buffer_bytes() / 1e6,
        "peak_memory_mb": peak_memory_mb(),
    }
    baseline, result["baseline_absent"] = _baseline(geometry)
    result["baseline"] = baseline.name if baseline else None
    torch.manual_seed(0)
    images = torch.rand(max(BATCHES), *geometry.image_shape)
    sinograms = projector.project(images)
    projector.backproject(sinograms[:1])
    operations = [("project", images), ("backproject", sinograms), ("fbp", sinograms)]
    result["operations"] = []
    for number, (name, data) in enumerate(operations):
        ours_runs = {batch: [] for batch in BATCHES}
        baseline_runs = []
        for repeat in range(REPEATS):
            progress((number + repeat / REPEATS) / len(operations), f"Timing {name}")
            for batch in BATCHES:
                ours_runs[batch].append(_milliseconds(getattr(projector, name), data[:batch]) / batch)
            if baseline and repeat <= BASELINE_REPEATS:
                baseline_runs.append(_milliseconds(getattr(baseline, name), data[:1]))
        for batch in BATCHES:
            ours = statistics.median(ours_runs[batch][1:])  # the first run warms up
            theirs = statistics.median(baseline_runs[1:]) if baseline else None
            result["operations"].append(
                {
                    "operation": name,
                    "batch": batch,
                    "ms_per_slice": ours,
                    "baseline_ms_per_slice": theirs,
                    "ratio": theirs / ours if baseline else None,
                }
            )
    return result


def volume_to_time(slices: int) -> tuple[numpy.ndarray, tuple[float, float, float], numpy.ndarray]:
    """(volume in HU, spacing in mm, metal mask), (slices, 512, 512) with metal in every slice; its content does not matter for the time."""
    y, x = numpy.mgrid[-1:1:512j, -1:1:512j]
    body = numpy.where((x / 0.9) ** 2 + (y / 0.65) ** 2 < 1, 40.0, -1000.0)
    body[(x - 0.4) ** 2 + y**2 < 0.02] = 800.0
    metal = (x + 0.4) ** 2 + y**2 < 0.008
    volume_hu = numpy.repeat(numpy.where(metal, 3000.0, body)[None], slices, axis=0).astype(numpy.int16)
    return volume_hu, (2.0, 0.8, 0.8), numpy.repeat(metal[None], slices, axis=0)


def time_pipeline(
    volume_hu: numpy.ndarray,
    spacing_mm,
    metal_mask: numpy.ndarray,
    methods=("li", "nmar"),
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> dict:
    """Seconds per slice of `reduce_metal_artifacts` on the CPU, and of the same steps with the baseline's projector.

    volume_hu, metal_mask: (slices, rows, columns), metal in every slice; the projector is built before the clock starts. Returns what
    `sslmar bench pipeline --json` writes.
    """
    from .correction import reduce_metal_artifacts
    from .tomography.projector import get_projector

    projector = get_projector("cpu")
    baseline, absent = _baseline(projector.geometry)
    result = {
        "version": __version__,
        "threads": torch.get_num_threads(),
        "baseline": baseline.name if baseline else None,
        "baseline_absent": absent,
        "slices": len(volume_hu),
        "matrix": list(volume_hu.shape[1:]),
        "operations": [],
    }
    for number, method in enumerate(methods):

        def run(slices, engine, method=method):
            part = slice(0, slices)
            return reduce_metal_artifacts(volume_hu[part], spacing_mm, metal_mask[part], method, "cpu", projector=engine)

        run(1, projector)
        ours, theirs = [], []
        for repeat in range(BASELINE_REPEATS):
            progress((number + repeat / BASELINE_REPEATS) / len(methods), f"Timing {method}")
            ours.append(_milliseconds(run, len(volume_hu), projector) / len(volume_hu))
            if baseline:
                theirs.append(_milliseconds(run, 1, baseline))
        mine, other = statistics.median(ours), statistics.median(theirs) if baseline else None
        result["operations"].append(
            {
                "operation": method,
                "batch": len(volume_hu),
                "ms_per_slice": mine,
                "baseline_ms_per_slice": other,
                "ratio": other / mine if baseline else None,
            }
        )
    result["peak_memory_mb"] = peak_memory_mb()
    return result


def time_simulation(progress: Callable[[float, str], None] = lambda fraction, message: None) -> dict:
    """Seconds of one simulated slice with metal (416 x 416, all energies), and of the same model on the baseline's projector."""
    from .simulation.scan import ScanProtocol, simulate_scan
    from .tomography.projector import get_projector

    projector, protocol = get_projector("cpu"), ScanProtocol()
    baseline, absent = _baseline(projector.geometry)
    rows, columns = projector.geometry.image_shape
    x, y = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    image = 0.2 * ((x / 0.7) ** 2 + (y / 0.9) ** 2 < 1)
    metal = (x - 0.2) ** 2 + (y + 0.3) ** 2 < 0.01
    ours, theirs = [], []
    for repeat in range(REPEATS):
        progress(repeat / REPEATS, "Timing the simulation")
        ours.append(_milliseconds(simulate_scan, image, metal, projector, protocol))
        if baseline:
            theirs.append(_milliseconds(simulate_scan, image, metal, baseline, protocol))
    mine, other = statistics.median(ours[1:]), statistics.median(theirs[1:]) if baseline else None
    operation = {"operation": "simulate", "batch": 1, "ms_per_slice": mine, "baseline_ms_per_slice": other}
    return {
        "version": __version__,
        "threads": torch.get_num_threads(),
        "baseline": baseline.name if baseline else None,
        "baseline_absent": absent,
        "energies": len(protocol.physics.energies_kev),
        "operations": [operation | {"ratio": other / mine if baseline else None}],
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float | None:
    """The largest memory that this process ever held, in MB; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _baseline(geometry) -> tuple[ODLAstraProjector | None, str | None]:
    try:
        return ODLAstraProjector(geometry), None
    except MissingPackageError as error:
        return None, str(error)


def _milliseconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - start) * 1000
