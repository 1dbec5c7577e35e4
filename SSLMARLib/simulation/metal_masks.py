"""Metal masks of slices: random implants on the body, shapes from files, and where the body is."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy

from ..ct.scale import BODY_ABOVE_HU
from ..ct.volume import CTVolume
from ..errors import InputError, short_text
from ..numpy_files import DAMAGED
from .implants import IMPLANT_KINDS, Implant, draw_implant
from .shapes import BodyFrame

SMALLEST_METAL_PIXELS = 16
LARGEST_METAL_PIXELS = 5000
IMPLANT_WEIGHTS = {"hip": 3, "spine": 3, "dental": 3, "coil": 2, "clip": 2, "wire": 1, "plate": 2, "pacemaker": 1}
ATTEMPTS = 12


def body_mask(image_hu: numpy.ndarray) -> numpy.ndarray:
    """The body of a slice (rows, columns) or volume (slices, rows, columns) in HU, boolean: the largest region above -500 HU
    of each slice, with what it encloses (lung, bowel gas). Nothing where a slice has no such region.

    Thin parts that touch the body (the table, wires) are cut off by an opening of one pixel.
    """
    from scipy import ndimage

    image_hu = numpy.asarray(image_hu)
    if image_hu.ndim == 3:
        return numpy.stack([body_mask(one_slice) for one_slice in image_hu])
    dense = ndimage.binary_opening(image_hu > BODY_ABOVE_HU)
    regions, count = ndimage.label(dense)
    if count == 0:
        return numpy.zeros(image_hu.shape, dtype=bool)
    sizes = numpy.bincount(regions.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(regions == sizes.argmax())


def random_metal_mask(
    body: numpy.ndarray,
    generator: numpy.random.Generator,
    kind: str | None = None,
    *,
    smallest_pixels: int = SMALLEST_METAL_PIXELS,
    largest_pixels: int = LARGEST_METAL_PIXELS,
    shapes: Sequence[numpy.ndarray] = (),
) -> numpy.ndarray:
    """A random implant in one slice, on the body only: boolean (rows, columns), of `smallest_pixels` to `largest_pixels`.

    body: boolean (rows, columns), see `body_mask`; rows go from anterior to posterior. kind: one of IMPLANT_KINDS, or
    None for any. Half of the implants lie where the anatomy has them, the others anywhere, turned and scaled. shapes: of
    `read_metal_shapes`; one of them is placed, as `place_shape` does it, in place of an implant. Raises InputError if the
    body has fewer pixels than the smallest mask.
    """
    if shapes:
        shape = shapes[generator.integers(len(shapes))]
        return place_shape(shape, body, generator, smallest_pixels=smallest_pixels, largest_pixels=largest_pixels)
    implant, z, frame = random_implant(body, generator, kind, smallest_pixels=smallest_pixels, largest_pixels=largest_pixels)
    return implant.mask(frame, body.shape, z) & body


def random_implant(
    body: numpy.ndarray,
    generator: numpy.random.Generator,
    kind: str | None = None,
    *,
    smallest_pixels: int = SMALLEST_METAL_PIXELS,
    largest_pixels: int = LARGEST_METAL_PIXELS,
) -> tuple[Implant, float, BodyFrame]:
    """The parameters behind `random_metal_mask`: (implant, z, frame); `implant.mask(frame, body.shape, z) & body` is the mask."""
    body = numpy.asarray(body) != 0
    if body.ndim != 2 or body.sum() < max(smallest_pixels, 1):
        raise InputError(f"The body has {int(body.sum())} pixels in shape {body.shape}: no metal of {smallest_pixels} fits.")
    if kind is not None and kind not in IMPLANT_KINDS:
        raise InputError(f"There is no implant {kind!r}: choose one of {', '.join(IMPLANT_KINDS)}.")
    frame = BodyFrame.of_body(body)
    weights = numpy.array([IMPLANT_WEIGHTS[name] for name in IMPLANT_KINDS], dtype=float)
    for _ in range(ATTEMPTS):
        name = kind or str(generator.choice(IMPLANT_KINDS, p=weights / weights.sum()))
        implant = draw_implant(name, generator, frame.aspect)
        if generator.random() < 0.5:
            implant = _anywhere(implant, body, frame, generator)
        z = _crossing_slice(implant, generator)
        pixels = int((implant.mask(frame, body.shape, z) & body).sum())
        if smallest_pixels <= pixels <= largest_pixels:
            return implant, z, frame
    return _fallback(body, frame, smallest_pixels, largest_pixels), 0.0, frame


def place_shape(
    shape: numpy.ndarray,
    body: numpy.ndarray,
    generator: numpy.random.Generator,
    *,
    smallest_pixels: int = SMALLEST_METAL_PIXELS,
    largest_pixels: int = LARGEST_METAL_PIXELS,
) -> numpy.ndarray:
    """A shape from a file, (rows, columns), somewhere on the body at a random size and angle: boolean, the body's shape.

    The size is drawn evenly in the logarithm between the two limits. Raises InputError for an empty shape, or where
    the body has no room for the smallest mask.
    """
    from scipy import ndimage

    shape, body = numpy.asarray(shape) != 0, numpy.asarray(body) != 0
    if not shape.any() or body.sum() < smallest_pixels:
        raise InputError("The metal shape is empty, or the body is smaller than the smallest metal mask: give another one.")
    rows, columns = numpy.nonzero(shape)
    middle = numpy.array([rows.mean(), columns.mean()])
    places = numpy.argwhere(body)
    for _ in range(ATTEMPTS):
        pixels = math.exp(generator.uniform(math.log(smallest_pixels), math.log(largest_pixels)))
        scale, angle = math.sqrt(shape.sum() / pixels), generator.uniform(0, 2 * math.pi)
        matrix = scale * numpy.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        place = places[generator.integers(len(places))]
        blur = ndimage.gaussian_filter(shape.astype(numpy.float32), 0.4 * max(scale - 1, 0))
        placed = ndimage.affine_transform(blur, matrix, middle - matrix @ place, output_shape=body.shape, order=1)
        mask = (placed > 0.5) & body
        if smallest_pixels <= mask.sum() <= largest_pixels:
            return mask
    frame = BodyFrame.of_body(body)
    return _fallback(body, frame, smallest_pixels, largest_pixels).mask(frame, body.shape) & body


def read_metal_shapes(path: str | os.PathLike) -> list[numpy.ndarray]:
    """Metal shapes of a file: boolean arrays (rows, columns), those that are empty left out.

    NumPy's .npy and .npz, MATLAB's .mat; of a 3D array the first axis counts the shapes. Nothing is unpickled. Raises
    InputError for a file that is missing, of another kind, or without shapes.
    """
    path = Path(path)
    stacks: Sequence[numpy.ndarray]
    try:
        if path.suffix == ".mat":
            from scipy.io import loadmat

            stacks = _arrays(loadmat(path).values())
        elif path.suffix == ".npz":
            with numpy.load(path, allow_pickle=False) as archive:
                stacks = _arrays([archive[name] for name in archive.files])
        elif path.suffix == ".npy":
            stacks = _arrays([numpy.load(path, allow_pickle=False)])
        else:
            raise InputError(f"{path} is of no known type of metal shapes: give .npz, .npy or .mat.")
    except DAMAGED as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The metal shapes {path} are missing or damaged ({short_text(error)}): give .npz, .npy or .mat.") from error
    shapes = [one != 0 for stack in stacks for one in (stack if stack.ndim == 3 else stack[None])]
    shapes = [shape for shape in shapes if shape.any()]
    if not shapes:
        raise InputError(f"There are no metal shapes in {path}: arrays ([shapes,] rows, columns) with non-zero metal are needed.")
    return shapes


def _arrays(values) -> list[numpy.ndarray]:
    return [
        value for value in values
        if isinstance(value, numpy.ndarray) and value.ndim in (2, 3) and value.dtype.kind in "buif" and
        min(value.shape) > 0
    ]  # fmt: skip


def _anywhere(implant: Implant, body, frame: BodyFrame, generator) -> Implant:
    """The implant's middle at a random pixel of the body, at a random angle and scale."""
    bounds = [shape.bounds() for shape in implant.shapes]
    middle = (numpy.min([low for low, _ in bounds], axis=0) + numpy.max([high for _, high in bounds], axis=0)) / 2
    places = numpy.argwhere(body)
    row, column = places[generator.integers(len(places))]
    y = (row - frame.center[1]) / frame.voxels_per_width[1]
    x = (column - frame.center[2]) / frame.voxels_per_width[2]
    centered = implant.moved(tuple(-middle))
    return centered.moved((0.0, y, x), math.exp(generator.uniform(-0.5, 0.4)), generator.uniform(0, 2 * math.pi))


def _crossing_slice(implant: Implant, generator) -> float:
    """A z at which the implant's larger parts lie: through the middle of one of its shapes, or near it."""
    shape = implant.shapes[generator.integers(len(implant.shapes))]
    low, high = shape.bounds()
    return float(low[0] + (high[0] - low[0]) * generator.uniform(0.15, 0.85))


def _fallback(body, frame: BodyFrame, smallest_pixels: int, largest_pixels: int) -> Implant:
    """A disk where the body is thickest, for bodies in which no drawn implant found room."""
    from scipy import ndimage

    from .shapes import Body

    depth = ndimage.distance_transform_edt(body)
    row, column = numpy.unravel_index(depth.argmax(), depth.shape)
    pixels = math.sqrt(smallest_pixels * min(largest_pixels, max(smallest_pixels, 0.05 * body.sum())))
    radius = 1.05 * math.sqrt(max(pixels, 1.3 * smallest_pixels) / math.pi) / frame.voxels_per_width[1]
    y = float((row - frame.center[1]) / frame.voxels_per_width[1])
    x = float((column - frame.center[2]) / frame.voxels_per_width[2])
    return Implant("disk", (Body((0.0, y, x), (radius, radius, radius)),))


def implant_in_volume(volume: CTVolume, kind: str, seed: int = 0, center_slice: int | None = None) -> tuple[numpy.ndarray, Implant]:
    """A random implant in a volume, on the body only: (boolean mask (slices, rows, columns), the implant).

    kind: one of IMPLANT_KINDS. center_slice: where the implant's middle lies, by default in the middle of the volume.
    The anatomy follows the volume's direction (superior, posterior). Raises InputError where no such implant fits on
    the body.
    """
    slices = volume.shape[0]
    center_slice = (slices - 1) / 2 if center_slice is None else center_slice
    if not 0 <= center_slice <= slices - 1:
        raise InputError(f"Slice {center_slice} does not exist: the volume has the slices 0 to {slices - 1}.")
    flipped = tuple(axis for axis, patient_axis in ((0, 2), (1, 1)) if volume.direction[patient_axis, patient_axis] < 0)
    if 0 in flipped:
        center_slice = slices - 1 - center_slice
    body = numpy.flip(body_mask(volume.voxels_hu), flipped)
    frame = BodyFrame.of_body(body, volume.spacing_mm, center_slice)
    generator = numpy.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        implant = draw_implant(kind, generator, frame.aspect)
        mask = implant.mask(frame, body.shape) & body
        if mask.sum() >= SMALLEST_METAL_PIXELS:
            return numpy.ascontiguousarray(numpy.flip(mask, flipped)), implant
    raise InputError(f"No implant {kind!r} fits into the body of this volume: choose another kind, slice or seed, or give a mask.")
