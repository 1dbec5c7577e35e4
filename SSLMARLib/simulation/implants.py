"""Implants as a user meets them, drawn at random: first the parameters, then a mask from them, so each can be replayed.

Sizes are in body widths (`shapes.py`): in an axial slice of the pelvis one is some 36 cm, of the head 15 cm. Positions
follow the anatomy where a kind has one (a hip lies beside the middle, a pacemaker in front).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy

from ..errors import InputError
from .shapes import Body, BodyFrame, Rod, Shape, rasterize


@dataclass(frozen=True)
class Implant:
    """One drawn implant: its kind and its shapes. `mask` is deterministic; `to_json` and `from_json` keep it."""

    kind: str
    shapes: tuple[Shape, ...]

    def mask(self, frame: BodyFrame, image_shape: tuple[int, ...], z: float = 0.0) -> numpy.ndarray:
        """Boolean mask of a volume's shape (slices, rows, columns), or of one slice (rows, columns) through `z`."""
        if len(image_shape) == 3:
            return rasterize(self.shapes, frame, tuple(image_shape))
        frame = replace(frame, center=(-z * frame.voxels_per_width[0], *frame.center[1:]))
        return rasterize(self.shapes, frame, (1, *image_shape))[0]

    def moved(self, offset: tuple[float, float, float], scale: float = 1.0, angle: float = 0.0) -> Implant:
        """Scaled about the origin, turned in the plane of the slice by `angle` radians, then moved, in body widths."""
        return replace(self, shapes=tuple(_moved(shape, offset, scale, angle) for shape in self.shapes))

    def to_json(self) -> str:
        shapes = [{"shape": type(shape).__name__, **asdict(shape)} for shape in self.shapes]
        return json.dumps({"kind": self.kind, "shapes": shapes})

    @classmethod
    def from_json(cls, text: str) -> Implant:
        """Raises InputError for what `to_json` did not write."""
        classes = {"Rod": Rod, "Body": Body}
        try:
            content = json.loads(text)
            shapes = []
            for entry in content["shapes"]:
                entry = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
                shapes.append(classes[entry.pop("shape")](**entry))
            return cls(str(content["kind"]), tuple(shapes))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"This is not a stored implant ({error!r}): give what Implant.to_json wrote.") from error


def draw_implant(kind: str, generator: numpy.random.Generator, aspect: float = 0.7) -> Implant:
    """Draw an implant of a kind (one of IMPLANT_KINDS), about the middle of the body in z.

    aspect: the body's height over its width (`BodyFrame.aspect`). Raises InputError for an unknown kind.
    """
    if kind not in _DRAW:
        raise InputError(f"There is no implant {kind!r}: choose one of {', '.join(IMPLANT_KINDS)}.")
    return Implant(kind, tuple(_DRAW[kind](generator, float(aspect)))).moved((0.0, 0.0, 0.0))


def _hip(generator, aspect) -> list[Shape]:
    """Head, neck, stem and cup, on one side or both: mostly a total endoprosthesis, sometimes without the cup."""
    shapes: list[Shape] = []
    both = generator.random() < 0.3
    for side in (-1, 1) if both else (generator.choice((-1, 1)),):
        uniform = generator.uniform
        x, y, z = side * uniform(0.205, 0.25), uniform(-0.06, 0.04) * aspect, uniform(-0.02, 0.02)
        head = uniform(0.036, 0.048)
        shapes.append(Body((z, y, x), (head, head, head)))
        if generator.random() < 0.8:
            outer = head + uniform(0.014, 0.024)
            shapes.append(Body((z, y, x), (outer,) * 3, wall=uniform(0.008, 0.014), opening=(-0.6, -0.1, 0.75 * side)))
            if generator.random() < 0.3:  # a screw of the cup into the ilium
                tip = (z + outer + uniform(0.05, 0.09), y + uniform(-0.01, 0.04), x - side * uniform(0.02, 0.05))
                shapes.append(Rod((z + 0.7 * outer, y, x - 0.5 * side * outer), tip, 0.009, 0.008))
        shoulder = (z - uniform(0.05, 0.08), y + uniform(0.0, 0.03), x + side * uniform(0.08, 0.11))
        shapes.append(Rod((z, y, x), shoulder, uniform(0.018, 0.024), uniform(0.024, 0.032)))
        tip = (z - uniform(0.35, 0.48), shoulder[1] + uniform(-0.02, 0.02), shoulder[2] + side * uniform(-0.03, 0.01))
        shapes.append(Rod(shoulder, tip, uniform(0.026, 0.036), uniform(0.012, 0.018)))
    return shapes


def _spine(generator, aspect) -> list[Shape]:
    """Pedicle screws on both sides at some levels, held by two rods."""
    uniform = generator.uniform
    shapes: list[Shape] = []
    levels = int(generator.integers(2, 5))
    spacing, y = uniform(0.08, 0.11), uniform(0.12, 0.22) * aspect
    entry_x, tip_x, length = uniform(0.055, 0.075), uniform(0.02, 0.04), uniform(0.11, 0.15)
    radius, rod_radius = uniform(0.007, 0.010), uniform(0.007, 0.009)
    heads = (numpy.arange(levels) - generator.integers(0, levels)) * spacing
    for side in (-1, 1):
        back = [(z, y + length / 2 + uniform(-0.01, 0.01), side * (entry_x + uniform(-0.006, 0.006))) for z in heads]
        for z, head_y, head_x in back:
            tip = (z + uniform(-0.01, 0.01), head_y - length, side * (tip_x + uniform(-0.008, 0.008)))
            shapes.append(Rod((z, head_y, head_x), tip, radius, 0.8 * radius))
            shapes.append(Rod((z, head_y + 0.03, head_x), (z, head_y, head_x), 2 * radius, 1.6 * radius))
        for (z0, y0, x0), (z1, y1, x1) in zip(back[:-1], back[1:], strict=True):
            shapes.append(Rod((z0, y0 + 0.025, x0), (z1, y1 + 0.025, x1), rod_radius, rod_radius))
    if generator.random() < 0.3:  # a link across the rods
        z = float(heads[0]) + spacing / 2
        shapes.append(Rod((z, y + length / 2 + 0.03, -entry_x), (z, y + length / 2 + 0.03, entry_x), 0.006, 0.006))
    return shapes


def _dental(generator, aspect) -> list[Shape]:
    """Fillings, crowns, bridges and screwed implants on an arch of teeth at the front of the head."""
    uniform = generator.uniform
    shapes: list[Shape] = []
    half_width, depth = uniform(0.15, 0.19), uniform(0.26, 0.32)
    front = -0.5 * aspect + uniform(0.07, 0.11)
    places = list(generator.permutation(numpy.arange(14)))
    for _ in range(int(generator.integers(1, 7))):
        place = places.pop()
        crown = generator.random() < 0.35
        bridge = 1 + int(crown and generator.random() < 0.3) * 2
        for tooth in range(place, min(place + bridge, 14)):
            angle = math.radians((tooth - 6.5) * 13.0)
            center = (uniform(-0.01, 0.01), front + depth * (1 - math.cos(angle)), half_width * math.sin(angle))
            size = 0.026 + 0.008 * abs(tooth - 6.5) / 6.5
            if crown:
                axes = (uniform(0.025, 0.04), size * uniform(0.9, 1.1), size * uniform(0.8, 1.0))
                wall = 0.0 if generator.random() < 0.5 else uniform(0.006, 0.010)
                shapes.append(Body(center, axes, angle, power=3.0, wall=wall))
            elif generator.random() < 0.15:  # a screw in the jaw carries the tooth
                top = (center[0] - uniform(0.06, 0.09), *center[1:])
                shapes.append(Rod(center, top, uniform(0.011, 0.014), 0.010))
            else:
                axes = (uniform(0.008, 0.02), size * uniform(0.3, 0.75), size * uniform(0.3, 0.65))
                offset = size * uniform(-0.3, 0.3, size=2)
                shapes.append(Body((center[0], center[1] + offset[0], center[2] + offset[1]), axes, uniform(0, math.pi), 2.5))
    return shapes


def _coil(generator, aspect) -> list[Shape]:
    """A packed ball of platinum coils, or a few of them, as after an aneurysm's embolization."""
    uniform = generator.uniform
    shapes: list[Shape] = []
    for _ in range(int(generator.integers(1, 3))):
        center = numpy.array([0.0, uniform(-0.15, 0.15) * aspect, uniform(-0.2, 0.2)])
        radius = uniform(0.015, 0.04)
        for _ in range(int(generator.integers(3, 8))):
            point = center + generator.normal(0, 0.35 * radius, 3)
            axes = radius * uniform(0.45, 0.9, 3)
            shapes.append(Body(_point(point), _point(axes), uniform(0, math.pi)))
        tail = center + generator.normal(0, 1.2 * radius, 3)
        shapes.append(Rod(_point(center), _point(tail), 0.003, 0.003))
    return shapes


def _clip(generator, aspect) -> list[Shape]:
    """Surgical clips: two short legs that meet, several near each other."""
    uniform = generator.uniform
    shapes: list[Shape] = []
    region = numpy.array([0.0, uniform(-0.25, 0.25) * aspect, uniform(-0.28, 0.28)])
    for _ in range(int(generator.integers(1, 7))):
        tip = region + generator.normal(0, (0.02, 0.05, 0.05))
        direction, opening, length = uniform(0, 2 * math.pi), uniform(0.1, 0.5), uniform(0.015, 0.045)
        for sign in (-1, 1):
            angle = direction + sign * opening / 2
            end = tip + length * numpy.array([uniform(-0.3, 0.3), math.sin(angle), math.cos(angle)])
            shapes.append(Rod(_point(tip), _point(end), uniform(0.003, 0.006), 0.004))
    return shapes


def _wire(generator, aspect) -> list[Shape]:
    """Sternal wires at the front, or longer wires and electrodes inside the body."""
    uniform = generator.uniform
    shapes: list[Shape] = []
    radius = uniform(0.0025, 0.005)
    if generator.random() < 0.5:
        x, y = uniform(-0.04, 0.04), -0.5 * aspect + uniform(0.06, 0.12)
        for level in range(int(generator.integers(1, 5))):
            ring, tilt = uniform(0.018, 0.035), uniform(-0.02, 0.02)
            angles = numpy.linspace(0, 2 * math.pi, 9)
            points = [((level - 1) * 0.08 + tilt * math.cos(a), y + 0.6 * ring * math.sin(a), x + ring * math.cos(a)) for a in angles]
            shapes += [Rod(a, b, radius, radius) for a, b in zip(points[:-1], points[1:], strict=True)]
            knot = (points[2][0], points[2][1] - 0.015, points[2][2] + 0.006)
            shapes.append(Rod(points[2], knot, 1.6 * radius, 1.6 * radius))
        return shapes
    for _ in range(int(generator.integers(1, 4))):
        point = numpy.array([uniform(-0.05, 0.05), uniform(-0.25, 0.25) * aspect, uniform(-0.3, 0.3)])
        direction = uniform(0, 2 * math.pi)
        for _ in range(int(generator.integers(3, 8))):
            direction += generator.normal(0, 0.5)
            step = 0.03 * numpy.array([generator.normal(0, 0.5), math.sin(direction), math.cos(direction)])
            shapes.append(Rod(_point(point), _point(point + step), radius, radius))
            point = point + step
    return shapes


def _plate(generator, aspect) -> list[Shape]:
    """A plate on a bone with a row of screws through it."""
    uniform = generator.uniform
    y, x, angle = uniform(-0.2, 0.2) * aspect, generator.choice((-1, 1)) * uniform(0.12, 0.32), uniform(0, 2 * math.pi)
    half_length, half_width, half_thickness = uniform(0.10, 0.22), uniform(0.018, 0.032), uniform(0.006, 0.011)
    shapes: list[Shape] = [Body((0.0, y, x), (half_length, half_thickness, half_width), angle, power=6.0)]
    # Body turns by (y, x) -> (cos y - sin x, sin y + cos x): its first in-plane axis points along (cos, -sin) in (y, x)
    normal = numpy.array([0.0, math.cos(angle), -math.sin(angle)])
    if normal[1:] @ (y, x) > 0:  # the screws go toward the middle of the body
        normal = -normal
    normal = -normal if generator.random() < 0.2 else normal
    for z in numpy.arange(-half_length + 0.03, half_length - 0.02, uniform(0.045, 0.07)):
        head = numpy.array([z, y, x])
        tip = head + normal * uniform(0.07, 0.14) + [uniform(-0.01, 0.01), 0, 0]
        shapes.append(Rod(_point(head), _point(tip), uniform(0.006, 0.009), 0.005))
        shapes.append(Rod(_point(head - 0.012 * normal), _point(head), 0.011, 0.010))
    return shapes


def _pacemaker(generator, aspect) -> list[Shape]:
    """The can under the skin of the chest and one or two leads to the heart."""
    uniform = generator.uniform
    side = generator.choice((-1, 1), p=(0.2, 0.8))
    center = (uniform(0.0, 0.08), -0.5 * aspect + uniform(0.07, 0.13), side * uniform(0.2, 0.29))
    can = Body(center, (uniform(0.05, 0.07), uniform(0.010, 0.017), uniform(0.045, 0.065)), side * uniform(-0.6, 0.1), power=4.0)
    shapes: list[Shape] = [can]
    for _ in range(int(generator.integers(1, 3))):
        heart = (center[0] - uniform(0.2, 0.35), uniform(-0.2, 0.05) * aspect, uniform(0.0, 0.14))
        vein = (center[0] + uniform(0.04, 0.08), center[1] + uniform(0.06, 0.12), 0.35 * center[2])
        cava = (center[0] - 0.05, uniform(-0.12, 0.0) * aspect, uniform(-0.07, -0.03))
        radius = uniform(0.003, 0.005)
        for start, end in ((center, vein), (vein, cava), (cava, heart)):
            shapes.append(Rod(start, end, radius, radius))
        shapes.append(Rod((heart[0] + 0.02, *heart[1:]), heart, 1.6 * radius, 1.6 * radius))
    return shapes


_DRAW: dict[str, Callable[[numpy.random.Generator, float], list[Shape]]] = {
    "hip": _hip,
    "spine": _spine,
    "dental": _dental,
    "coil": _coil,
    "clip": _clip,
    "wire": _wire,
    "plate": _plate,
    "pacemaker": _pacemaker,
}
IMPLANT_KINDS = tuple(_DRAW)


def _point(values) -> tuple[float, float, float]:
    return tuple(float(value) for value in values)


def _moved(shape: Shape, offset, scale: float, angle: float) -> Shape:
    cosine, sine = math.cos(angle), math.sin(angle)

    def turn(point):
        z, y, x = point
        return z, cosine * y - sine * x, sine * y + cosine * x

    def place(point):
        return _point(scale * value + move for value, move in zip(turn(point), offset, strict=True))

    if isinstance(shape, Rod):
        return Rod(place(shape.start), place(shape.end), scale * shape.start_radius, scale * shape.end_radius)
    return replace(
        shape,
        center=place(shape.center),
        half_axes=_point(scale * half for half in shape.half_axes),
        angle=shape.angle - angle,
        wall=scale * shape.wall,
        opening=None if shape.opening is None else _point(turn(shape.opening)),
    )
