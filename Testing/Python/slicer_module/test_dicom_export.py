"""What Slicer's DICOM export reads from the subject hierarchy item of a result."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest

IN_DATABASE = {
    "0008,103E": "Hip 1.0 B30f",
    "0020,0011": "4",
    "0008,0060": "CT",
    "0008,0070": "ACME",
    "0008,1090": "Scanner One",
    "0020,0052": "1.2.3.9",
    "0020,000D": "1.2.3",
    "0008,0020": "20260102",
    "0008,0030": "101500",
}
OF_THE_SERIES = {
    "SeriesDescription": "Hip 1.0 B30f (MAR: NMAR)",
    "Modality": "CT",
    "Manufacturer": "ACME",
    "ManufacturerModelName": "Scanner One",
    "FrameOfReferenceUID": "1.2.3.9",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20260102",
    "StudyTime": "101500",
}


@pytest.fixture
def hierarchy(rig):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


@pytest.fixture
def database(monkeypatch):
    """Slicer's DICOM database, which knows one instance, '1.2.3.4'; what it is to say can be changed."""
    import slicer

    values = dict(IN_DATABASE)

    def instance_value(uid, tag):
        assert uid == "1.2.3.4"
        return values.get(tag, "")

    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(instanceValue=instance_value), raising=False)
    return values


@pytest.fixture
def attributes_of(hierarchy):
    """attributes_of(node): the attributes "DICOM.*" of a node's item, without that prefix and without the item's UIDs."""

    def attributes(node):
        item = hierarchy.GetItemByDataNode(node)
        names = [name for name in hierarchy.GetItemAttributeNames(item) if name.startswith("DICOM.")]
        return {name.removeprefix("DICOM."): hierarchy.GetItemAttribute(item, name) for name in names}

    return attributes


def test_a_result_has_what_the_database_knows_of_its_input(make_volume, slicer_logic, library, database, attributes_of):
    from SSLMARLib.ct.dicom_writing import SERIES_NUMBER_OFFSET

    volume = make_volume()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3.4 1.2.3.5")
    attributes = attributes_of(slicer_logic.process(volume, method="nmar"))
    assert int(attributes.pop("SeriesNumber")) == 4 + SERIES_NUMBER_OFFSET
    assert attributes == OF_THE_SERIES
    assert attributes_of(volume) == {}


def test_the_items_of_the_input_and_its_study_come_first(make_volume, slicer_logic, library, database, attributes_of, hierarchy):
    """They hold what the user changed, and what is left of a series whose database is elsewhere."""
    volume = make_volume()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3.4")
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    item = hierarchy.GetItemByDataNode(volume)
    hierarchy.SetItemParent(item, study)
    hierarchy.SetItemAttribute(study, "DICOM.StudyID", "77")
    hierarchy.SetItemAttribute(study, "DICOM.StudyInstanceUID", "1.2.77")
    hierarchy.SetItemAttribute(item, "DICOM.Manufacturer", "Another")
    attributes = attributes_of(slicer_logic.process(volume, method="nmar"))
    assert (attributes["StudyID"], attributes["StudyInstanceUID"]) == ("77", "1.2.77")
    assert (attributes["Manufacturer"], attributes["ManufacturerModelName"]) == ("Another", "Scanner One")


def test_a_number_that_is_none_is_left_out(make_volume, slicer_logic, library, database, attributes_of):
    volume = make_volume()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3.4")
    database["0020,0011"] = "A4"
    assert "SeriesNumber" not in attributes_of(slicer_logic.process(volume))


def test_a_result_of_a_volume_without_dicom_is_described_by_its_name(make_volume, slicer_logic, library, attributes_of):
    corrected = slicer_logic.process(make_volume(), method="nmar")
    assert attributes_of(corrected) == {"SeriesDescription": "CT (MAR: NMAR)", "Modality": "CT"}


def test_a_description_is_no_longer_than_dicom_allows(make_volume, slicer_logic, library, database, attributes_of):
    volume = make_volume()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3.4")
    database["0008,103E"] = "Hip " * 20
    description = attributes_of(slicer_logic.process(volume, method="nmar"))["SeriesDescription"]
    assert len(description) <= 64
    assert description.startswith("Hip Hip") and description.endswith("(MAR: NMAR)")


def test_no_item_is_counted_on(rig, make_volume, slicer_logic, library, database, hierarchy, capfd):
    """VTK complains of a missing item on standard error only."""
    rig.subject_hierarchy_plugins.enabled = False
    volume = make_volume()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3.4")
    corrected = slicer_logic.process(volume)
    assert not hierarchy.GetItemByDataNode(corrected)
    assert "SetItemAttribute" not in capfd.readouterr().err


def test_an_item_of_the_result_alone_is_described(rig, make_volume, slicer_logic, library, database, attributes_of):
    rig.subject_hierarchy_plugins.enabled = False
    volume = make_volume()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3.4")
    rig.subject_hierarchy_plugins.enabled = True
    attributes = attributes_of(slicer_logic.process(volume, method="nmar"))
    assert attributes["Manufacturer"] == "ACME"


def test_the_volume_that_shows_a_corrected_sequence_is_described(make_volume, slicer_logic, library, attributes_of):
    import slicer

    volume = make_volume(dtype=numpy.int16)
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    sequence.SetDataNodeAtValue(volume, "0")
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    corrected = slicer_logic.processSequence(sequence, method="nmar")
    assert attributes_of(browser.GetProxyNode(corrected))["SeriesDescription"].endswith("(MAR: NMAR)")
