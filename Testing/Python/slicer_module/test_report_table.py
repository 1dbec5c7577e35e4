"""The report of a correction, as a table node and as a CSV file."""

from __future__ import annotations

import csv

import pytest

from SSLMARLib import InputError


def rows_of(table):
    """{quantity: (value, unit)} of a table node."""
    columns = [table.GetTable().GetColumn(index) for index in range(table.GetTable().GetNumberOfColumns())]
    assert [column.GetName() for column in columns] == ["Quantity", "Value", "Unit"]
    cells = [[column.GetValue(row) for column in columns] for row in range(columns[0].GetNumberOfValues())]
    return {quantity: (value, unit) for quantity, value, unit in cells}


@pytest.fixture
def corrected(slicer_logic, metal_phantom):
    return slicer_logic.process(metal_phantom, method="li", device="cpu")


def test_the_table_holds_numbers_with_units(slicer_logic, corrected, metal_phantom):
    import slicer

    import SSLMARLib

    rows = rows_of(slicer_logic.reportTable(corrected))
    assert rows["Input volume"] == ("Phantom", "")
    assert rows["Method"] == ("LI", "")
    assert rows["Strength"] == ("100", "%")
    assert rows["Slices"] == ("3", "") and rows["Slices corrected"] == ("1", "")
    assert rows["SSLMAR version"] == (SSLMARLib.__version__, "")
    value, unit = rows["Metal volume"]
    metal_ml = (slicer.util.arrayFromVolume(metal_phantom) == 3000).sum() * 2.0 * 2.0 * 3.0 / 1000
    assert unit == "ml" and abs(float(value) - metal_ml) < 0.006
    before, after = (float(rows[f"Streak amplitude near metal, {when}"][0]) for when in ("before", "after"))
    assert rows["Streak amplitude near metal, before"][1] == "HU"
    assert 0 < after < before
    assert float(rows["Change 2 to 30 mm from metal"][0]) > 10
    assert rows["Change more than 60 mm from metal"] in {("not measured", "HU"), ("0.0", "HU")} or float(
        rows["Change more than 60 mm from metal"][0]
    ) < float(rows["Change 2 to 30 mm from metal"][0])
    assert float(rows["Computing time"][0]) > 0 and rows["Computing time"][1] == "s"


def test_the_table_follows_the_strength(slicer_logic, corrected):
    full = rows_of(slicer_logic.reportTable(corrected))
    slicer_logic.setStrength(corrected, 0.0)
    none = rows_of(slicer_logic.reportTable(corrected))
    streaks = "Streak amplitude near metal, "
    assert none["Strength"] == ("0", "%")
    assert none[streaks + "after"] == none[streaks + "before"] == full[streaks + "before"]
    assert none["Change 2 to 30 mm from metal"] == ("0.0", "HU")
    slicer_logic.setStrength(corrected, 1.0)
    assert rows_of(slicer_logic.reportTable(corrected)) == full


def test_one_table_a_result_beside_it(slicer_logic, corrected):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(corrected), folder)
    table = slicer_logic.reportTable(corrected)
    assert table.GetName() == "Phantom (MAR: LI) report"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == folder
    assert slicer_logic.reportTable(corrected) is table
    slicer.mrmlScene.RemoveNode(table)
    again = slicer_logic.reportTable(corrected)
    assert again.GetScene() is not None and rows_of(again)


def test_without_memory_the_stored_values_count_at_their_strength_only(slicer_logic, corrected):
    """As after loading a scene again."""
    from SSLMARLib.slicer_logic import strength

    full = rows_of(slicer_logic.reportTable(corrected))
    strength._fullResults.clear()
    assert rows_of(slicer_logic.reportTable(corrected)) == full
    slicer_logic.setStrength(corrected, 0.5)  # possible, as the node shows the full result; measuring it is not
    half = rows_of(slicer_logic.reportTable(corrected))
    assert half["Streak amplitude near metal, after"] == ("not measured", "HU")


def test_a_change_of_strength_is_measured_at_once(slicer_logic, corrected):
    """So that whoever saves the scene right after it saves the measures, too."""
    from SSLMARLib.slicer_logic import strength

    slicer_logic.setStrength(corrected, 0.5)
    strength._fullResults.clear()  # as after the scene is loaded again
    value, unit = rows_of(slicer_logic.reportTable(corrected))["Change 2 to 30 mm from metal"]
    assert float(value) > 5 and unit == "HU"


def test_a_metal_value_and_notes_are_told(slicer_logic, make_volume, library):
    import json

    corrected = slicer_logic.process(make_volume(), metalHu=4000)
    report = json.loads(corrected.GetAttribute("SSLMAR.Report"))
    corrected.SetAttribute("SSLMAR.Report", json.dumps({**report, "warnings": ["The GPU had too little memory."]}))
    rows = rows_of(slicer_logic.reportTable(corrected))
    assert rows["Metal shown as"] == ("4000", "HU")
    assert rows["Note"] == ("The GPU had too little memory.", "")


def test_stronger_streaks_are_told_at_the_strength_that_has_them(slicer_logic, metal_phantom, monkeypatch):
    """A method that makes stripes in place of the dark band; at a strength of 10 % they are weaker than it was."""
    import SSLMARLib.correction

    reduce_metal_artifacts = SSLMARLib.correction.reduce_metal_artifacts

    def make_stripes(*arguments, **keywords):
        result = reduce_metal_artifacts(*arguments, **keywords)
        stripes = result.volume_hu[1, 20:76:4, 20:76]
        stripes[stripes < 1000] += 250
        return result

    monkeypatch.setattr(SSLMARLib.correction, "reduce_metal_artifacts", make_stripes)
    corrected = slicer_logic.process(metal_phantom, method="li", device="cpu")
    sentence = slicer_logic.strongerStreaks(corrected)
    assert sentence.startswith("The streaks are stronger after the correction in slice 2; 1 slices were measured. Look there")
    assert rows_of(slicer_logic.reportTable(corrected))["Note"] == (sentence, "")
    slicer_logic.setStrength(corrected, 0.1)
    assert slicer_logic.strongerStreaks(corrected) == ""
    assert "Note" not in rows_of(slicer_logic.reportTable(corrected))
    with pytest.raises(InputError, match="There is no report"):
        slicer_logic.strongerStreaks(metal_phantom)


def test_the_csv_file_holds_the_same(slicer_logic, corrected, tmp_path):
    path = tmp_path / "report.csv"
    slicer_logic.writeReport(corrected, path)
    with path.open(newline="", encoding="utf-8") as file:
        title, *lines = csv.reader(file)
    assert title == ["Quantity", "Value", "Unit"]
    assert {quantity: (value, unit) for quantity, value, unit in lines} == rows_of(slicer_logic.reportTable(corrected))
    with pytest.raises(InputError, match="exists"):
        slicer_logic.writeReport(corrected, path)
    path.write_text("old")
    slicer_logic.writeReport(corrected, path, overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("Quantity")
    assert [item.name for item in tmp_path.iterdir()] == ["report.csv"]


def test_a_file_that_cannot_be_written_is_told(slicer_logic, corrected, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        slicer_logic.writeReport(corrected, tmp_path / "nowhere" / "report.csv")


def test_what_is_no_result_has_no_report(slicer_logic, make_volume, tmp_path):
    volume = make_volume()
    for node in (volume, None):
        with pytest.raises(InputError, match="There is no report"):
            slicer_logic.reportTable(node)
        with pytest.raises(InputError, match="There is no report"):
            slicer_logic.writeReport(node, tmp_path / "report.csv")
    assert not list(tmp_path.iterdir())


def test_a_result_whose_metal_is_not_known_has_a_table_too(slicer_logic, make_volume, library):
    rows = rows_of(slicer_logic.reportTable(slicer_logic.process(make_volume())))
    assert rows["Slices measured"] == ("0", "")
    assert rows["Streak amplitude near metal, before"] == ("not measured", "HU")


def test_the_table_is_saved_with_the_scene(slicer_logic, make_volume, library, tmp_path):
    import slicer

    corrected = slicer_logic.process(make_volume())
    table = slicer_logic.reportTable(corrected)
    table.AddDefaultStorageNode()
    table.GetStorageNode().SetFileName(str(tmp_path / "report.tsv"))
    assert table.GetStorageNode().WriteData(table)
    before = rows_of(table)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(True)
    assert slicer.mrmlScene.Import()
    loaded = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    assert rows_of(loaded) == before
