"""What a correction did, as a table node with units and as a CSV file."""

import csv
import io
import json

import vtk

from ..atomic_files import write_text
from ..errors import InputError, NoMetalError
from ..methods import is_weights
from .correction import methodTitle
from .i18n import _
from .nodes import ATTRIBUTE_PREFIX, METHOD, newNode, placeBeside
from .strength import currentMeasures, strengthOf

TABLE_ROLE = f"{ATTRIBUTE_PREFIX}ReportTable"


def reportTable(correctedVolume):
    """Return the table node that says what a correction did, made beside the volume or brought up to date; main thread.

    Columns: quantity, value, unit. After a change of strength the measures are made anew, where the result is still in
    memory. The values are those of the slices that were measured; a value that could not be measured says so.

    :raises InputError: the node is not a result of this module.
    """
    rows = reportRows(correctedVolume)
    table = correctedVolume.GetNodeReference(TABLE_ROLE)
    if table is not None:
        _fillTable(table, rows)
        return table
    name = _("{name} report").format(name=correctedVolume.GetName())
    with newNode(correctedVolume.GetScene(), "vtkMRMLTableNode", name) as table:
        _fillTable(table, rows)
        correctedVolume.SetNodeReferenceID(TABLE_ROLE, table.GetID())
        placeBeside(correctedVolume, table)
    return table


def writeReport(correctedVolume, path, overwrite: bool = False) -> None:
    """Write the report of a corrected volume as CSV (UTF-8), complete or not at all.

    :raises InputError: the node is not a result of this module, the file exists and may not be overwritten, or the disk refuses.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columnTitles())
    writer.writerows(reportRows(correctedVolume))
    write_text(text.getvalue(), path, overwrite)


def columnTitles() -> tuple[str, str, str]:
    return _("Quantity"), _("Value"), _("Unit")


def reportRows(correctedVolume) -> list[tuple[str, str, str]]:
    """The rows (quantity, value, unit) of a corrected volume's report.

    :raises InputError: the node is not a result of this module.
    """
    report = reportOf(correctedVolume)
    measures = currentMeasures(correctedVolume)

    def measured(name):
        value = measures.get(name)
        return _("not measured") if value is None else f"{value:.1f}"

    metalHu = correctedVolume.GetAttribute(f"{ATTRIBUTE_PREFIX}MetalHu")
    weights = report.get("parameters", {}).get("weights", "")  # the shipped ones go without a name
    return [
        (_("Input volume"), correctedVolume.GetAttribute(f"{ATTRIBUTE_PREFIX}InputVolume") or "", ""),
        (_("Method"), methodTitle(report["method"]), ""),
        *([(_("Weights"), weights, "")] if is_weights(weights) else []),
        (_("Strength"), f"{100 * strengthOf(correctedVolume):.0f}", "%"),
        (_("Slices"), str(report["slices"]), ""),
        (_("Slices corrected"), str(report["slices_corrected"]), ""),
        (_("Metal volume"), f"{report['metal_volume_ml']:.2f}", "ml"),
        *([(_("Metal shown as"), metalHu, "HU")] if metalHu is not None else []),
        (_("Slices measured"), str(measures.get("slices_measured", 0)), ""),
        (_("Streak amplitude near metal, before"), measured("streak_amplitude_before_hu"), "HU"),
        (_("Streak amplitude near metal, after"), measured("streak_amplitude_after_hu"), "HU"),
        (_("Change 2 to 30 mm from metal"), measured("change_near_hu"), "HU"),
        (_("Change more than 60 mm from metal"), measured("change_far_hu"), "HU"),
        (_("Computing time"), f"{report['seconds']:.1f}", "s"),
        (_("Device"), str(report["device"]), ""),
        (_("SSLMAR version"), str(report["version"]), ""),
        *((_("Note"), str(warning), "") for warning in [*report.get("warnings", ()), *_streakWarnings(measures)]),
    ]


def strongerStreaks(correctedVolume) -> str:
    """Return the sentence that warns of slices whose streaks are stronger than in the input, at the strength that the volume
    shows now, or "". It can only speak of slices that were measured.

    :raises InputError: the node is not a result of this module.
    """
    reportOf(correctedVolume)
    return " ".join(_streakWarnings(currentMeasures(correctedVolume)))


def _streakWarnings(measures: dict) -> list[str]:
    slices = [str(index + 1) for index in measures.get("slices_with_stronger_streaks", ())]
    if not slices:
        return []
    if len(slices) == 1:
        text = _("The streaks are stronger after the correction in slice {slices}; {count} slices were measured.")
    else:
        text = _("The streaks are stronger after the correction in the slices {slices}; {count} slices were measured.")
    text = text.format(slices=", ".join(slices), count=measures["slices_measured"])
    return [text + " " + _("Look there, lower the strength, or try another method or another metal mask.")]


def reportOf(correctedVolume) -> dict:
    """The library's report of a corrected volume (see `CorrectionReport`), as it was stored in the node.

    :raises InputError: the node is not a result of this module.
    """
    text = correctedVolume.GetAttribute(f"{ATTRIBUTE_PREFIX}Report") if correctedVolume is not None else None
    if text is None and correctedVolume is not None and correctedVolume.GetAttribute(METHOD) is not None:
        raise NoMetalError(_("No metal was found in this frame, so it is as it was."))
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise InputError(_("There is no report: choose a volume that this module has corrected.")) from error


def _fillTable(table, rows) -> None:
    """Put the rows into a table node, in place of whatever it held."""
    wasModifying = table.StartModify()
    try:
        table.RemoveAllColumns()
        for column, title in enumerate(columnTitles()):
            values = vtk.vtkStringArray()
            values.SetName(title)
            for row in rows:
                values.InsertNextValue(row[column])
            table.AddColumn(values)
        table.SetUseColumnTitleAsColumnHeader(True)
        table.SetLocked(True)
    finally:
        table.EndModify(wasModifying)
