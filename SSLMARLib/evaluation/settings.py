"""What an evaluation runs and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..methods import available_methods

UNCORRECTED = "uncorrected"  # a method that does nothing
FBP_NAMES = ("exact", "benchmark")
TRACE_SOURCES = ("mask", "file")


@dataclass(frozen=True)
class EvaluationSettings:
    """Checked settings; raises InputError for a name that does not exist or stands twice.

    methods: names of `SSLMARLib.methods`, or "uncorrected". fbps: "exact", "benchmark" or both; the first is the
    primary one. trace_source: the metal trace of a benchmark case is the projected metal mask (eq. 1), or the one
    stored in its file.
    """

    methods: Sequence[str]
    fbps: Sequence[str] = ("exact",)
    trace_source: str = "mask"
    device: str = "cpu"

    def __post_init__(self):
        for what, names, allowed in (
            ("method", self.methods, (UNCORRECTED, *available_methods())),
            ("FBP", self.fbps, FBP_NAMES),
            ("metal trace", (self.trace_source,), TRACE_SOURCES),
        ):
            wrong = [name for name in names if name not in allowed]
            if wrong:
                raise InputError(f"There is no {what} {wrong[0]!r}: choose from {', '.join(allowed)}.")
            if not names or len(set(names)) != len(names):
                raise InputError(f"The {what}s are {' '.join(names) or 'none'}: name one or more, each once.")
