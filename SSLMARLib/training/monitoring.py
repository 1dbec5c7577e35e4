"""What can be looked at while a training runs: TensorBoard logs and a picture of a fixed case, both as the configuration asks."""

import logging
from pathlib import Path

import numpy

from ..atomic_files import write_complete
from .configuration import TrainingConfiguration

logger = logging.getLogger(__name__)

WINDOW_HU = (-300.0, 500.0)
SCALARS_EVERY = 20  # steps


class Monitor:
    """Writes beside the checkpoint: `tensorboard/` and `case.png`, and `case_STEP.png` of each validation.

    Where TensorBoard or matplotlib is not installed, that is said once and the training goes on without.
    """

    def __init__(self, configuration: TrainingConfiguration, first_step: int):
        self._folder = Path(configuration.output)
        self._writer = _tensorboard_writer(self._folder / "tensorboard", first_step) if configuration.tensorboard else None
        self._figures = configuration.pictures and _has_matplotlib()

    def step(self, step: int, loss: float, rate: float, task) -> None:
        """After a training step: the loss, its terms where the task has them (`terms`), the learning rate."""
        if self._writer is None or step % SCALARS_EVERY:
            return
        self._writer.add_scalar("training/loss", loss, step)
        self._writer.add_scalar("training/learning_rate", rate, step)
        for name, value in getattr(task, "terms", {}).items():
            self._writer.add_scalar(f"training/{name}", float(value), step)

    def validation(self, step: int, figures: dict[str, float], task) -> None:
        """After a validation: its figures, and the task's picture where it has one (`picture`: title to image in HU)."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(f"validation/{name}", value, step)
        if (self._writer is None and not self._figures) or not hasattr(task, "picture"):
            return
        images = task.picture()
        if self._writer is not None:
            low, high = WINDOW_HU
            strip = numpy.concatenate([(image - low) / (high - low) for image in images.values()], axis=1).clip(0, 1)
            self._writer.add_image("validation/case", strip[None], step)
            self._writer.flush()
        if self._figures:
            for name in (f"case_{step:07d}.png", "case.png"):
                write_complete(self._folder / name, lambda temporary: _draw(images, f"Step {step}", temporary), overwrite=True)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _tensorboard_writer(folder: Path, first_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning("TensorBoard is not installed, so there are no logs for it: install it with `pip install tensorboard`.")
        return None
    return SummaryWriter(str(folder), purge_step=first_step)


def _has_matplotlib() -> bool:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        logger.warning("matplotlib is not installed, so there are no pictures: install it with `pip install matplotlib`.")
        return False
    return True


def _draw(images: dict[str, numpy.ndarray], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(images), 3.4), layout="constrained")
    figure.suptitle(title)
    low, high = WINDOW_HU
    for number, (name, image) in enumerate(images.items(), 1):
        axes = figure.add_subplot(1, len(images), number)
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        axes.set_title(name)
        axes.set_axis_off()
    figure.savefig(path, dpi=100)
