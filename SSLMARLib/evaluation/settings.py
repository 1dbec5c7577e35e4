"""What an evaluation runs and how."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from ..methods import Method, available_methods, get_method, is_weights

UNCORRECTED = "uncorrected"  # a method that does nothing
FBP_NAMES = ("exact", "benchmark")
TRACE_SOURCES = ("mask", "file")


@dataclass(frozen=True)
class EvaluationSettings:
    """Checked settings; raises InputError for a name that does not exist or stands twice.

    methods: as `SSLMARLib.methods.get_method` takes them, or "uncorrected"; afterwards their labels, under which results stand: the
    name, the path as it was given, or an object's title. chosen: label to what was given. fbps: "exact", "benchmark" or both; the
    first is the primary one. trace_source: the metal trace of a benchmark case is the projected metal mask (eq. 1), or the one
    stored in its file. others: names of results that others made (see `cases.results_of_others`).
    """

    methods: Sequence[str | os.PathLike | Method]
    fbps: Sequence[str] = ("exact",)
    trace_source: str = "mask"
    device: str = "cpu"
    others: Sequence[str] = ()
    chosen: dict[str, str | os.PathLike | Method] = field(init=False)

    def __post_init__(self):
        labels = tuple(_label(method) for method in self.methods)
        object.__setattr__(self, "chosen", dict(zip(labels, self.methods, strict=True)))
        object.__setattr__(self, "methods", labels)
        given = [label for label, method in self.chosen.items() if isinstance(method, Method) or is_weights(method)]
        for label in given:
            get_method(self.chosen[label])  # weights that cannot be used are refused before any work
        for what, names, allowed in (
            ("method", self.methods, (UNCORRECTED, *available_methods(for_research=True), *given, *self.others)),
            ("FBP", self.fbps, FBP_NAMES),
            ("metal trace", (self.trace_source,), TRACE_SOURCES),
        ):
            wrong = [name for name in names if name not in allowed]
            if wrong:
                raise InputError(f"There is no {what} {wrong[0]!r}: choose from {', '.join(allowed)}.")
            if not names or len(set(names)) != len(names):
                raise InputError(f"The {what}s are {' '.join(names) or 'none'}: name one or more, each once.")

    @property
    def computed(self) -> dict[str, str | os.PathLike | Method]:
        """Those of `chosen` that are methods of this project: not "uncorrected", not the results of others."""
        return {label: method for label, method in self.chosen.items() if label != UNCORRECTED and label not in self.others}


def _label(method: str | os.PathLike | Method) -> str:
    if isinstance(method, Method):
        return method.title
    return os.fspath(method) if is_weights(method) else str(method).lower()
