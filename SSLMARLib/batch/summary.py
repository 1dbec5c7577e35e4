"""The two files that say what became of each scan of a batch: a table for people, and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

from .._version import __version__
from ..atomic_files import write_text

COLUMNS = (
    *("case", "status", "reason", "input", "output", "modality", "description", "images", "slices", "slices_corrected", "metal_volume_ml"),
    *("mean_absolute_change_hu", "seconds", "peak_memory_gb", "device", "warnings", "study_uid", "series_uid"),
)
FORMULA_STARTS = ("=", "+", "-", "@")


def write_summary(folder: Path, records: list[dict], problems: list[str], settings: dict) -> None:
    """Write summary.csv and summary.json. records: one for each case; problems: sentences on files that could not be read."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(record.get(column, "")) for column in COLUMNS] for record in records)
    write_text(table.getvalue(), folder / "summary.csv", overwrite=True)
    content = {
        "version": __version__,
        "settings": settings,
        "counts": dict(Counter(record["status"] for record in records)),
        "unreadable": problems,
        "cases": records,
    }
    write_text(json.dumps(content, indent=2) + "\n", folder / "summary.json", overwrite=True)


def _cell(value) -> str:
    """Text that a spreadsheet shows and does not compute: descriptions of series come from elsewhere."""
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
