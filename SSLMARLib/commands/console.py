"""What the verbs show on the terminal while they work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import plain_text


@contextmanager
def progress_bar(arguments, description: str = "") -> Iterator[Callable[[float, str], None]]:
    """A `progress(fraction, message)` that draws a bar with the remaining time on standard error.

    Nothing is drawn with --quiet or where standard error is no terminal.
    """
    if arguments.quiet or not sys.stderr.isatty():
        yield lambda fraction, message: None
        return
    from tqdm import tqdm

    bar_format = "{desc:<44.44} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, desc=description, bar_format=bar_format, leave=False, file=sys.stderr) as bar:

        def show(fraction: float, message: str) -> None:
            bar.set_description_str(plain_text(message), refresh=False)
            bar.update(max(0.0, fraction - bar.n))
            bar.refresh()

        yield show


def say(arguments, text: str) -> None:
    """A line of result on standard output, unless --quiet."""
    if not arguments.quiet:
        sys.stdout.write(plain_text(text) + "\n")
        sys.stdout.flush()
