"""What is known of the DICOM series that a volume was loaded from, and what Slicer's DICOM export is told of a result."""

import logging

import slicer

from .nodes import ATTRIBUTE_PREFIX

INSTANCES = "DICOM.instanceUIDs"  # the attribute of volumes that Slicer loaded from its DICOM database
SOURCE_INSTANCES = f"{ATTRIBUTE_PREFIX}SourceInstances"  # that of results: the instances that the input was loaded from
SERIES_TAGS = {
    "SeriesDescription": "0008,103E",
    "SeriesNumber": "0020,0011",
    "Modality": "0008,0060",
    "Manufacturer": "0008,0070",
    "ManufacturerModelName": "0008,1090",
    "FrameOfReferenceUID": "0020,0052",
}
STUDY_TAGS = {
    "StudyInstanceUID": "0020,000D",
    "StudyID": "0020,0010",
    "StudyDescription": "0008,1030",
    "StudyDate": "0008,0020",
    "StudyTime": "0008,0030",
}

logger = logging.getLogger(__name__)


def dicomValue(volume, name: str) -> str:
    """A DICOM value, by its name in the tables above, of the series that a volume was loaded from; "" where Slicer does not
    know it."""
    instances = (volume.GetAttribute(INSTANCES) or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not instances or database is None:
        return ""
    tag = (SERIES_TAGS | STUDY_TAGS)[name]
    try:
        return str(database.instanceValue(instances[0], tag) or "").strip()
    except Exception as error:  # a database that is closed or damaged must not stop anybody
        logger.debug("The DICOM database gave no %s: %s", tag, error)
        return ""


def describeForExport(inputVolume, corrected, methodTitle: str) -> None:
    """Give the subject hierarchy item of a result the attributes "DICOM.*" that Slicer's DICOM export reads.

    They are those of the input: of its item, of the study's, or else of the DICOM database. The description says in addition that
    and how metal artifacts were reduced, and the series has a number of its own. What is not known is left out; nothing happens
    where the result has no item.
    """
    from ..ct.series_kind import SERIES_NUMBER_OFFSET, corrected_by

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(corrected.GetScene())
    item = hierarchy.GetItemByDataNode(corrected) if hierarchy is not None else 0
    if not item:
        return
    inputItem = hierarchy.GetItemByDataNode(inputVolume)
    items = [inputItem, hierarchy.GetItemParent(inputItem)] if inputItem else []

    def known(name):
        values = (hierarchy.GetItemAttribute(oneItem, f"DICOM.{name}") for oneItem in items)
        return next(filter(None, values), "") or dicomValue(inputVolume, name)

    values = {name: known(name) for name in (*SERIES_TAGS, *STUDY_TAGS)}
    values["SeriesDescription"] = corrected_by(methodTitle).describe(values["SeriesDescription"] or inputVolume.GetName() or "")
    values["Modality"] = values["Modality"] or "CT"
    number = values["SeriesNumber"]
    values["SeriesNumber"] = str(int(number) + SERIES_NUMBER_OFFSET) if number.isdecimal() else ""
    for name, value in values.items():
        if value:
            hierarchy.SetItemAttribute(item, f"DICOM.{name}", value)
