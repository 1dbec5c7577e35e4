"""What a written DICOM series says of itself: how it is called, how it was made, with which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SERIES_NUMBER_OFFSET = 1000
"""The number of a derived series is that of its source and this."""

LONGEST_DESCRIPTION = 64
"""Characters of a Series Description (VR LO)."""


@dataclass(frozen=True)
class SeriesKind:
    """description: of the series, with {} for the source's; derivation: the phrase that says how it was made; code: its value in the coding
    scheme 99SSLMAR, and code_meaning; details: what else the contributing equipment says, such as the weights; mark: a further value of
    the image type, or "" for none."""

    description: str
    derivation: str
    code: str
    code_meaning: str
    details: str = ""
    mark: str = ""

    def describe(self, source: str) -> str:
        """The Series Description for a source of this description, which is shortened where there is no room for it."""
        room = LONGEST_DESCRIPTION - len(self.description.format(""))
        return self.description.format(source[: max(0, room)])[:LONGEST_DESCRIPTION].strip(" :")


CORRECTED = SeriesKind("{} (MAR)", "Metal artifact reduction", "MAR", "Metal artifact reduction")
SIMULATED_METAL = SeriesKind(
    "SIMULATED metal: {}",
    "SIMULATED metal, which this patient does not have, added to a scan",
    "SIM",
    "Simulated metal added",
    mark="SIMULATED",
)
SIMULATION_TRUTH = SeriesKind(
    "SIMULATED case, truth: {}",
    "Unchanged copy of a scan, the truth of a SIMULATED case",
    "SIMTRUTH",
    "Truth of a simulated case",
    mark="SIMULATED",
)


def corrected_by(title: str, facts: Mapping[str, object] | None = None) -> SeriesKind:
    """A corrected series. title: of the method, as users read it. facts: `Method.facts()` or a report's parameters, of which the weights
    and their SHA-256 are named in the header."""
    facts = facts or {}
    weights = f"Weights {facts['weights']}, SHA-256 {facts['weights_sha256']}" if facts.get("weights_sha256") else ""
    name = title.replace("{", "(").replace("}", ")")
    return SeriesKind(f"{{}} (MAR: {name})", f"{CORRECTED.derivation}: {title}", CORRECTED.code, CORRECTED.code_meaning, weights)
