"""What DICOM objects that this library writes say of themselves: UIDs, codes, time and the program that made them.

PS3.5 B.2 (UIDs derived from UUIDs), PS3.3 C.12.1 (SOP common), 8.8 (codes), PS3.16 CID 7005 (contributing equipment).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset

from .._version import __version__
from .series_kind import SeriesKind

MANUFACTURER = "SSLMAR contributors"
MODEL = "SSLMAR"
LONGEST_SHORT_TEXT = 1024
"""Characters of VR ST."""


def new_uid(seed: str | None, *parts: str) -> str:
    """A UID that nobody else has; with a seed, always the same one for the same seed and parts."""
    if seed is None:
        return f"2.25.{uuid.uuid4().int}"
    digest = hashlib.sha256("\0".join((seed, *parts)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def item(**elements) -> Dataset:
    """A data set of these elements, by keyword."""
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """The item of a code sequence."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def now_of(data: Dataset) -> tuple[str, str]:
    """(date, time) as DA and TM, in the time zone that the data set states for its own times; without one, the computer's."""
    stated = re.fullmatch(r"([+-])(\d\d)(\d\d)", str(data.get("TimezoneOffsetFromUTC", "") or "").strip())
    zone = None
    if stated is not None and int(stated[2]) <= 14 and int(stated[3]) < 60:
        offset = timedelta(hours=int(stated[2]), minutes=int(stated[3]))
        zone = timezone(-offset if stated[1] == "-" else offset)
    now = datetime.now(zone)
    return now.strftime("%Y%m%d"), now.strftime("%H%M%S")


def derivation_text(kind: SeriesKind) -> str:
    """How it was made, by which version and weights."""
    return f"{kind.derivation}, {MODEL} {__version__}{f' ({kind.details})' if kind.details else ''}"[:LONGEST_SHORT_TEXT]


def equipment(kind: SeriesKind, date_time: str) -> Dataset:
    """This program as the item of a Contributing Equipment Sequence."""
    return item(
        PurposeOfReferenceCodeSequence=[code("109102", "DCM", "Processing Equipment")],
        Manufacturer=MANUFACTURER,
        ManufacturerModelName=MODEL,
        SoftwareVersions=__version__,
        ContributionDateTime=date_time,
        ContributionDescription=derivation_text(kind),
    )


def source_reference(class_uid: str, instance_uid: str, purpose: Dataset, frame: int | None = None) -> Dataset:
    """The item of a Source Image Sequence; frame: its number from 1 on, None for an image of one frame."""
    reference = item(ReferencedSOPClassUID=class_uid, ReferencedSOPInstanceUID=instance_uid)
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    reference.SpatialLocationsPreserved = "YES"
    reference.PurposeOfReferenceCodeSequence = [purpose]
    return reference
