"""What networks learn from, made beforehand: a memory-mapped file of image pairs, and random patches of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy
import torch

from ..atomic_files import write_text
from ..errors import Cancelled

WIDER_TRACE_SHARE = 0.5  # of the pairs have a trace one bin wider on both sides, as `correct` uses it
RECIPE = 3  # to be raised where what is drawn for a pair, or computed from it, changes: pairs of another recipe are made again


def make_pairs(
    path: Path,
    shape: tuple[int, ...],
    made_from: dict,
    make_pair: Callable[[int], numpy.ndarray],
    message: str,
    progress: Callable[[float, str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    kind: type = numpy.float16,
) -> numpy.ndarray:
    """Make the pairs 0, 1, ... of a file; those that it has already, from a run that was stopped, are kept.

    shape: (pairs, channels, rows, columns), memory-mapped, of this `kind`. make_pair(n) gives (channels, rows, columns).
    made_from: all that the pairs depend on beside RECIPE, of JSON's types. It is kept beside the file in `.done`, with the number of
    pairs that are done; pairs of anything else are made anew. Raises Cancelled between two pairs.
    """
    done_path = path.with_suffix(".done")
    made_from = {**made_from, "shape": list(shape), "recipe": RECIPE}
    first = _pairs_done(path, done_path, made_from, kind)
    if first == 0:
        done_path.unlink(missing_ok=True)  # before the pairs go, so that it never speaks for others
        numpy.lib.format.open_memmap(path, "w+", kind, shape).flush()
    images = numpy.lib.format.open_memmap(path, "r+")
    for number in range(first, len(images)):
        if is_cancelled is not None and is_cancelled():
            raise Cancelled("Stopped while making pairs; the ones that are made are kept.")
        if progress:
            progress(0.0, f"{message} {number + 1} of {len(images)}")
        images[number] = make_pair(number)
        write_text(json.dumps({"pairs": number + 1, "made_from": made_from}) + "\n", done_path, overwrite=True)
    return images


def of_both_sides(configuration, training, validation, make: Callable) -> tuple[numpy.ndarray, numpy.ndarray]:
    """What make(slices, count, seed, "training" or "validation") returns for each side, with the configuration's numbers of pairs and
    a seed of its own. The output folder is made first."""
    Path(configuration.output).mkdir(parents=True, exist_ok=True)
    sides = (training, configuration.pairs, "training"), (validation, configuration.validation_pairs, "validation")
    return tuple(make(slices, count, 2 * configuration.seed + side, what) for side, (slices, count, what) in enumerate(sides))


def draw_patches(pairs: numpy.ndarray, count: int, size: int, generator: numpy.random.Generator, metal_channel: int) -> torch.Tensor:
    """Random patches, turned and flipped: (count, channels, size, size) float32. Half of them lie at metal, the others anywhere.

    pairs: (pairs, channels, rows, columns). A size above that of the images gives whole images.
    """
    return torch.from_numpy(numpy.stack([_patch(pairs, size, generator, metal_channel) for _ in range(count)]).astype(numpy.float32))


def _patch(pairs, size, generator, metal_channel) -> numpy.ndarray:
    pair = pairs[generator.integers(len(pairs))]
    size = min(size, pair.shape[-1])
    last = numpy.array(pair.shape[-2:]) - size
    corner = generator.integers(0, last + 1)
    metal = numpy.argwhere(pair[metal_channel])
    if len(metal) and generator.random() < 0.5:
        center = metal[generator.integers(len(metal))] + generator.integers(-size // 2, size // 2, 2)
        corner = numpy.clip(center - size // 2, 0, last)
    patch = pair[:, corner[0] : corner[0] + size, corner[1] : corner[1] + size]
    patch = numpy.rot90(patch, generator.integers(4), axes=(1, 2))
    return patch[:, ::-1] if generator.random() < 0.5 else patch


def _pairs_done(path: Path, done_path: Path, made_from: dict, kind: type) -> int:
    """How many pairs of the file can be kept: none where it is missing, damaged or made from something else."""
    try:
        done = json.loads(done_path.read_text(encoding="utf-8"))
        images = numpy.lib.format.open_memmap(path, "r")
        fits = done["made_from"] == made_from and list(images.shape) == made_from["shape"] and images.dtype == kind
        return int(done["pairs"]) if fits else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
