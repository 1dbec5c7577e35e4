"""Figures as the paper's 2 to 5: reference, uncorrected, each method, differences; one fixed window, metal in color.

Drawn with matplotlib's Figure objects (Agg), so no display and no global state are needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from ..atomic_files import write_complete
from ..errors import InputError
from ..optional_imports import import_optional

DEFAULT_WINDOW_HU = (-200.0, 200.0)  # the paper's figure 3
DIFFERENCE_WINDOW_HU = (-200.0, 200.0)
METAL_COLOR = (0.90, 0.15, 0.10)
PANEL_INCHES = 2.3
DOTS_PER_INCH = 130


@dataclass(frozen=True)
class FigureRow:
    """One case of a figure. Images (rows, columns) in HU.

    images: title -> image, left to right; the first one is the reference (or what stands for it) of the differences
    below the others. captions: title -> text under the title, such as RMSE and SSIM. direction: as in `displayed`.
    """

    label: str
    images: Mapping[str, numpy.ndarray]
    metal_mask: numpy.ndarray
    captions: Mapping[str, str]
    direction: numpy.ndarray | None = None


def displayed(image, direction=None) -> numpy.ndarray:
    """An axial image (rows, columns) as radiologists see it: the patient's right at the left, the front at the top.

    direction: (3, 3) LPS direction cosines of the index axes columns, rows, slices, as `CTVolume` has it; None leaves
    the image as it is.
    """
    image = numpy.asarray(image)
    if direction is None:
        return image
    return image[:: -1 if direction[1][1] < 0 else 1, :: -1 if direction[0][0] < 0 else 1]


def most_changed_slice(before_hu, after_hu, of=None) -> int:
    """The index of the slice with the largest sum of absolute changes; both (slices, rows, columns) in HU. of: indexes to choose from,
    None for all. One slice at a time, as whole volumes as floats may not fit into memory."""
    numbers = range(len(before_hu)) if of is None else of
    return int(max(numbers, key=lambda number: numpy.abs(numpy.subtract(after_hu[number], before_hu[number], dtype=float)).sum()))


def _new_figure(columns: int, rows: int):
    backend, figures = (import_optional(module) for module in ("matplotlib.backends.backend_agg", "matplotlib.figure"))
    figure = figures.Figure(
        figsize=(PANEL_INCHES * columns + 0.4, PANEL_INCHES * 1.12 * rows + 0.5), dpi=DOTS_PER_INCH, layout="constrained"
    )
    backend.FigureCanvasAgg(figure)
    return figure


def _draw(axes, image_hu, metal_mask, window_hu, title: str, aspect: float = 1.0):
    low, high = window_hu
    gray = numpy.clip((numpy.asarray(image_hu, dtype=float) - low) / (high - low), 0, 1)
    colored = numpy.repeat(gray[..., None], 3, axis=-1)
    if metal_mask is not None:
        colored[numpy.asarray(metal_mask, dtype=bool)] = METAL_COLOR
    axes.imshow(colored, interpolation="nearest", aspect=aspect)
    axes.set_title(title, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _window_text(window_hu) -> str:
    return f"[{window_hu[0]:g}, {window_hu[1]:g}] HU"


def check_figures_possible(path=None) -> None:
    """Say before any work whether a figure could be drawn under this name. Raises MissingPackageError, InputError."""
    import_optional("matplotlib")
    if path is not None and Path(path).suffix.lower() != ".png":
        raise InputError(f"The figure {path} has no name that ends in .png: give it one.")


def _save(figure, path, overwrite: bool):
    if path is not None:
        check_figures_possible(path)
        # without the version of matplotlib in it, the same figure is the same file
        write_complete(path, lambda temporary: figure.savefig(temporary, metadata={"Software": None}), overwrite)
    return figure


def figure_comparison(
    rows: Sequence[FigureRow], path=None, window_hu=DEFAULT_WINDOW_HU, difference_window_hu=DIFFERENCE_WINDOW_HU, overwrite: bool = False
):
    """Two lines of panels per case: the images, and below each its difference to the reference. Returns the Figure.

    path: where it is saved (PNG), if given. Metal is red in the images and in the differences. Raises InputError for
    no rows, MissingPackageError without matplotlib.
    """
    if not rows:
        raise InputError("There is no case to draw: give one or more.")
    columns = max(len(row.images) for row in rows)
    figure = _new_figure(columns, 2 * len(rows))
    grid = figure.subplots(2 * len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, row in enumerate(rows):
        titles = list(row.images)
        reference = numpy.asarray(row.images[titles[0]], dtype=float)
        for column, title in enumerate(titles):
            upper, lower = grid[2 * number, column], grid[2 * number + 1, column]
            caption = row.captions.get(title)
            upper.set_axis_on()
            metal = displayed(row.metal_mask, row.direction)
            image = displayed(row.images[title], row.direction)
            _draw(upper, image, metal, window_hu, f"{title}\n{caption}" if caption else title)
            if column == 0:
                upper.set_ylabel(row.label, fontsize=8)
                continue
            lower.set_axis_on()
            difference = displayed(numpy.asarray(row.images[title], dtype=float) - reference, row.direction)
            _draw(lower, difference, metal, difference_window_hu, f"{title} - {titles[0]}")
    figure.suptitle(
        f"Images {_window_text(window_hu)}, differences {_window_text(difference_window_hu)}, metal red; RMSE / SSIM", fontsize=9
    )
    return _save(figure, path, overwrite)


def figure_before_after(
    before_hu,
    after_hu,
    metal_mask=None,
    path=None,
    *,
    title: str = "",
    method_title: str = "corrected",
    spacing_mm=(1.0, 1.0),
    direction=None,
    window_hu=DEFAULT_WINDOW_HU,
    difference_window_hu=DIFFERENCE_WINDOW_HU,
    captions: tuple[str, str] = ("", ""),
    overwrite: bool = False,
):
    """Three panels of one slice: before, after, after - before. Returns matplotlib's Figure.

    before_hu, after_hu, metal_mask: (rows, columns), turned as `displayed` does with `direction`; spacing_mm: (rows,
    columns), for the proportions; captions: text under the titles of before and after; path: where it is saved (PNG),
    if given, and `overwrite` whether in place of a file that exists. Raises InputError, MissingPackageError.
    """
    before, after = (numpy.asarray(image, dtype=float) for image in (before_hu, after_hu))
    if before.ndim != 2 or before.shape != after.shape or (metal_mask is not None and numpy.shape(metal_mask) != before.shape):
        raise InputError(f"Before {before.shape}, after {after.shape} and the metal mask must have one shape (rows, columns).")
    figure = _new_figure(3, 1)
    figure.set_size_inches(3 * 3.4 + 0.2, 3.4 * before.shape[0] * spacing_mm[0] / (before.shape[1] * spacing_mm[1]) + 0.9)
    aspect = spacing_mm[0] / spacing_mm[1]
    panels = (
        (before, window_hu, "before", captions[0]),
        (after, window_hu, f"after: {method_title}", captions[1]),
        (after - before, difference_window_hu, "after - before", ""),
    )
    metal_mask = None if metal_mask is None else displayed(metal_mask, direction)
    for axes, (image, window, name, caption) in zip(figure.subplots(1, 3), panels, strict=True):
        heading = f"{name}  {_window_text(window)}"
        _draw(axes, displayed(image, direction), metal_mask, window, f"{heading}\n{caption}" if caption else heading, aspect)
    if title:
        figure.suptitle(title, fontsize=10)
    return _save(figure, path, overwrite)


def figure_of_most_changed_slice(volume, result, method_title: str, path, overwrite: bool = False):
    """`figure_before_after` of the slice that a correction changed most. volume: the CTVolume before; result: its CorrectionResult."""
    worst = most_changed_slice(volume.voxels_hu, result.volume_hu)
    return figure_before_after(
        volume.voxels_hu[worst],
        result.volume_hu[worst],
        result.metal_mask[worst],
        path,
        title=f"slice {worst + 1}",
        method_title=method_title,
        spacing_mm=volume.spacing_mm[1:],
        direction=volume.direction,
        overwrite=overwrite,
    )
