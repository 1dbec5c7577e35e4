"""What a user should know about a CT volume node before correcting it: size, spacing, HU range, and what is odd."""

import re
from collections import OrderedDict
from dataclasses import dataclass

import numpy
import slicer

from ..ct.scale import HIGHEST_HU
from ..ct.voxel_facts import VoxelFacts, voxel_facts
from ..errors import MARError
from .dicom import dicomValue
from .i18n import _
from .nodes import AID, ATTRIBUTE_PREFIX, arrayFromImage, ijkToRas
from .volumes import checkInputVolume

THICK_SLICES_MM = 5.0
AXIAL_WITHIN_DEGREES = 1.0
LARGEST_GANTRY_TILT_DEGREES = 31.0
RIGHT_ANGLE_WITHIN = 1e-3  # of the cosine between two axes: 0.06 degrees
VENDOR_CORRECTIONS = re.compile(  # MAR and OMAR in capitals only: Mar and Omar are names
    r"(?<![A-Za-z0-9])(?:(?i:iMAR|O-MAR|SEMAR|Smart[ _-]?MAR)|OMAR|MAR)(?![A-Za-z0-9])"
)
MONTHS = re.compile(r"\d[-_./ ]+MAR(?![A-Za-z0-9])|(?<![A-Za-z0-9])MAR[-_./ ]+\d{2,4}(?!\d)")
MOST_REMEMBERED = 8

_facts: OrderedDict[int, VoxelFacts] = OrderedDict()  # by the image's modification time, which VTK gives out only once


@dataclass(frozen=True)
class VolumeDescription:
    """summary: size, spacing and HU range in one line. remarks: full sentences, the most important first; may be empty."""

    summary: str
    remarks: tuple[str, ...]


def describeVolume(volume) -> VolumeDescription:
    """Describe a volume node for the user, and remark on all that a correction depends on. Never raises for an odd volume:
    one that cannot be corrected has an empty summary and the reason as its remark.

    The voxels are looked at once; what was seen is kept until the image is modified.
    """
    try:
        checkInputVolume(volume)
    except MARError as error:
        return VolumeDescription("", (str(error),))
    facts = _factsOf(volume.GetImageData())
    columns, rows, slices = volume.GetImageData().GetDimensions()
    columnMm, rowMm, sliceMm = volume.GetSpacing()
    summary = _("{columns} x {rows} x {slices} voxels of {columnMm:.3g} x {rowMm:.3g} x {sliceMm:.3g} mm, {lowest:.0f} to {highest:.0f} HU")
    summary = summary.format(
        columns=columns,
        rows=rows,
        slices=slices,
        columnMm=columnMm,
        rowMm=rowMm,
        sliceMm=sliceMm,
        lowest=facts.lowest,
        highest=facts.highest,
    )
    remarks = [*_remarksOnOrigin(volume), *_remarksOnValues(volume, facts), *_remarksOnGeometry(volume)]
    return VolumeDescription(summary, tuple(remarks))


def _factsOf(image) -> VoxelFacts:
    time = image.GetMTime()
    if time not in _facts:
        _facts[time] = voxel_facts(arrayFromImage(image))
        while len(_facts) > MOST_REMEMBERED:
            _facts.popitem(last=False)
    return _facts[time]


def _remarksOnOrigin(volume):
    """Corrected already, by the scanner or by this module? Not a CT series?"""
    if volume.GetAttribute(AID) is not None:
        yield _("This volume is no scan but an aid for looking at a result: choose the scan itself.")
    elif volume.GetAttribute(f"{ATTRIBUTE_PREFIX}Method") is not None:
        yield _("This volume is a result of this module: correct its input instead, as a second pass finds few streaks and blurs.")
    else:
        for text in (volume.GetName() or "", dicomValue(volume, "SeriesDescription")):
            found = vendorCorrection(text)
            if found:
                yield _(
                    "The scanner seems to have corrected this series already ('{word}' in '{text}'): choose the uncorrected "
                    "series of the same scan, if there is one."
                ).format(word=found, text=text)
                break
    modality = dicomValue(volume, "Modality")
    if modality and modality != "CT":
        yield _("This is not a CT: the DICOM modality is {modality}. The correction is meaningless there.").format(modality=modality)


def vendorCorrection(text: str) -> str:
    """Return the word in a series description that names a vendor's metal artifact reduction, or "". The month of March is none."""
    found = VENDOR_CORRECTIONS.search(MONTHS.sub(" ", text))
    return found.group() if found else ""


def _remarksOnValues(volume, facts: VoxelFacts):
    if facts.not_finite:
        yield _("{count} voxels are NaN or infinite: replace them, for example by -1000, before correcting.").format(count=facts.not_finite)
    if numpy.isnan(facts.highest):
        return
    units = volume.GetVoxelValueUnits()
    code = (units.GetCodeValue() or "") if units is not None else ""
    if code and code not in ("[hnsf'U]", "hnsf'U", "HU"):
        meaning = units.GetCodeMeaning() or code
        yield _("The values are not Hounsfield units but '{units}': choose the CT series in Hounsfield units.").format(units=meaning)
    elif facts.highest > HIGHEST_HU:
        yield _("Values of up to {highest:.4g} are not Hounsfield units: rescale or replace them first.").format(highest=facts.highest)
    elif not facts.has_air:
        hint = ""
        if facts.lowest >= 0 and facts.highest > 1000:
            hint = " " + _("They may be 1024 too high, as stored by the scanner: subtract 1024 then.")
        yield (
            _("The values do not look like Hounsfield units: no voxel is near air (-1000 HU), the lowest is {lowest:.0f}.").format(
                lowest=facts.lowest
            )
            + hint
        )
    if facts.is_clipped:
        yield _(
            "The scan is cut off at {highest:.0f} HU ({count} voxels hold exactly that), so metals look alike: set the metal "
            "threshold below it."
        ).format(highest=facts.highest, count=facts.voxels_at_highest)
    if facts.has_padding:
        yield _("Padding of {lowest:.0f} HU outside the field of view is kept as it is and counts as air.").format(lowest=facts.lowest)
    if facts.was_filled_with_zeros:
        yield _("All corners are exactly 0 HU: the volume seems to be resampled; the original series gives better results.")


def _remarksOnGeometry(volume):
    transform = volume.GetParentTransformNode()
    if transform is not None:
        if transform.IsTransformToWorldLinear():
            yield _(
                "The volume is under the linear transform '{name}': it is corrected in its own slices, and the result is under the "
                "same transform."
            ).format(name=transform.GetName())
        else:
            yield _(
                "The volume is under the nonlinear transform '{name}' (Slicer puts one over scans with a tilted gantry): it is "
                "corrected in the slices as they were acquired, and the result is under the same transform. Do not harden it first."
            ).format(name=transform.GetName())
    columns, rows, slices = volume.GetImageData().GetDimensions()
    if slices == 1:
        yield _("The volume is a single slice: metal is found in that slice alone.")
    directions = slicer.util.arrayFromVTKMatrix(ijkToRas(volume))[:3, :3]
    lengths = numpy.linalg.norm(directions, axis=0)
    if not lengths.all():
        yield _("The volume has a spacing of 0 mm: its geometry is broken, so load it again.")
        return
    directions = directions / lengths
    normal = numpy.cross(directions[:, 0], directions[:, 1])
    tilt = _degrees(normal[2] / numpy.linalg.norm(normal))
    if numpy.abs(directions.T @ directions - numpy.eye(3)).max() > RIGHT_ANGLE_WITHIN:
        yield _("The slices are sheared against each other (a tilted gantry): each is corrected as it was acquired.")
    if tilt > LARGEST_GANTRY_TILT_DEGREES:
        yield _(
            "The slices are not axial (they are turned by {tilt:.0f} degrees): a coronal, sagittal or curved reformat has no slices "
            "as the scanner acquired them, and streaks run across them, so choose the axial series."
        ).format(tilt=tilt)
    elif tilt > AXIAL_WITHIN_DEGREES:
        yield _(
            "The slices are tilted by {tilt:.1f} degrees: right for a tilted gantry; a volume that was resampled or whose transform was "
            "hardened has lost the slices of the scanner."
        ).format(tilt=tilt)
    if volume.GetSpacing()[2] >= THICK_SLICES_MM and slices > 1:
        yield _("The slices are {spacing:.3g} mm apart: small metal parts may lie between them or look too dark to be found.").format(
            spacing=volume.GetSpacing()[2]
        )


def _degrees(cosine: float) -> float:
    """The angle of a line, whichever way it points: 0 to 90 degrees."""
    return float(numpy.degrees(numpy.arccos(min(abs(cosine), 1.0))))
