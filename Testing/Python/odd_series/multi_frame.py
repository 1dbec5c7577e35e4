"""Multi-frame CT. Truths: PS3.3 C.7.6.16 (what a frame's functional groups state holds for it, what the shared ones state for all),
C.8.15.3 (enhanced CT), A.71 (legacy converted), A.8.4 (grayscale word secondary capture)."""

from __future__ import annotations

import copy

import numpy
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage, RLELossless

from .building import ROOT, Series, kind
from .values import rle_of

GROUPS = "PS3.3 C.7.6.16"
WORD_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"


def _item(**elements) -> Dataset:
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def enhance(series: Series, order: list[int] | None = None, sop_class: str = EnhancedCTImageStorage) -> Dataset:
    """The series as one file whose frames are in the given order; returns its data set."""
    order = list(range(len(series.images))) if order is None else order
    data = copy.deepcopy(series.images[0])
    shared = _item(
        PixelMeasuresSequence=[_item(PixelSpacing=data.PixelSpacing, SliceThickness=data.SliceThickness)],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=data.ImageOrientationPatient)],
        PixelValueTransformationSequence=[
            _item(RescaleSlope=data.RescaleSlope, RescaleIntercept=data.RescaleIntercept, RescaleType=data.RescaleType)
        ],
        CTImageFrameTypeSequence=[_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
    )
    frames = []
    for number, index in enumerate(order):
        position = _item(ImagePositionPatient=series.images[index].ImagePositionPatient)
        content = _item(FrameAcquisitionNumber=1, StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[1, number + 1])
        frames.append(_item(FrameContentSequence=[content], PlanePositionSequence=[position]))
    for keyword in (
        *("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept"),
        *("RescaleType", "AcquisitionNumber"),
    ):
        delattr(data, keyword)
    data.SOPClassUID, data.NumberOfFrames, data.ImageType = sop_class, len(order), ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    series.pixels = {0: series.stored[order].tobytes()}
    series.images = [data]
    return data


def groups(data: Dataset) -> list[Dataset]:
    return data.PerFrameFunctionalGroupsSequence


@kind(GROUPS)
def enhanced(series: Series) -> None:
    enhance(series)


@kind(f"{GROUPS}: the place is each frame's own")
def enhanced_out_of_order(series: Series) -> None:
    enhance(series, [3, 0, 5, 2, 1, 4])


@kind(f"{GROUPS}: the place is each frame's own")
def enhanced_from_the_head_down(series: Series) -> None:
    enhance(series, [5, 4, 3, 2, 1, 0])


@kind(GROUPS, said="between slices 2 and 3")
def enhanced_with_a_missing_frame(series: Series) -> None:
    series.keep([0, 1, 3, 4, 5])
    enhance(series)


@kind("PS3.3 C.7.6.16.2.9: a rescale of its own", said=())
def enhanced_with_a_rescale_in_one_frame(series: Series) -> None:
    data = enhance(series, [1, 0, 2, 3, 4, 5])
    groups(data)[0].PixelValueTransformationSequence = [_item(RescaleSlope=2, RescaleIntercept=-100, RescaleType="HU")]
    series.values_hu[1] = series.stored[1] * 2.0 - 100


@kind("PS3.3 C.7.6.16.2.2: two times of one place", refused="two images at one position .frame 1 of .* and frame 7 of .*2 by its headers")
def enhanced_with_two_phases(series: Series) -> None:
    data = enhance(series, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5])
    for number, group in enumerate(groups(data)):
        group.FrameContentSequence[0].TemporalPositionIndex = 1 + number // 6


@kind(f"{GROUPS}: only the macro's own sequence states the place")
def enhanced_with_nested_sequences(series: Series) -> None:
    data = enhance(series, [2, 0, 1, 3, 5, 4])
    other = _item(ImagePositionPatient=[9, 9, 9], PixelSpacing=[9, 9], ImageOrientationPatient=[0, 1, 0, 0, 0, 1], RescaleSlope=9)
    for group in groups(data):
        group.DerivationImageSequence = [_item(SourceImageSequence=[_item(PlanePositionSequence=[other], PixelMeasuresSequence=[other])])]
        group.private_block(0x0021, "ODD VENDOR", create=True).add_new(0x01, "SQ", [other])
    data.ReferencedImageSequence = [other]


@kind(f"{GROUPS}: in each frame's groups or in the shared ones, never both")
def enhanced_with_all_in_the_frames(series: Series) -> None:
    data = enhance(series, [4, 0, 1, 2, 3, 5])
    (shared,) = data.SharedFunctionalGroupsSequence
    for group in groups(data):
        for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence"):
            setattr(group, keyword, copy.deepcopy(shared[keyword].value))
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence"):
        delattr(shared, keyword)


@kind(f"{GROUPS}: two stacks are no stack", refused="differ in orientation")
def enhanced_with_two_orientations(series: Series) -> None:
    data = enhance(series)
    for group in groups(data)[3:]:
        group.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])]


@kind(f"{GROUPS}: two fields of view are no stack", refused="differ in pixel spacing")
def enhanced_with_two_spacings(series: Series) -> None:
    data = enhance(series)
    for group in groups(data)[3:]:
        group.PixelMeasuresSequence = [_item(PixelSpacing=[0.9, 0.9], SliceThickness=2)]


@kind("PS3.3 C.7.6.16.2.3: a place for each frame", refused="without Image Position")
def enhanced_without_places(series: Series) -> None:
    data = enhance(series)
    for group in groups(data):
        del group.PlanePositionSequence
    data.ImagePositionPatient = [0, 0, 0]


@kind(f"{GROUPS}: an item for each frame", refused="without Image Position .*frame 5 of .*, frame 6 of")
def enhanced_with_too_few_groups(series: Series) -> None:
    data = enhance(series)
    data.PerFrameFunctionalGroupsSequence = groups(data)[:4]


@kind("PS3.3 C.8.15.3.1: type 1", refused="states no pixel spacing")
def enhanced_without_spacing(series: Series) -> None:
    data = enhance(series)
    del data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


@kind("PS3.3 C.8.15.3.4, C.8.16.1.3: LOCALIZER", said="1 of 7 images are left out .scouts", count=7)
def enhanced_with_a_scout_frame(series: Series) -> None:
    data = enhance(series)
    groups(data)[6].CTImageFrameTypeSequence = [_item(FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"])]
    series.values_hu = series.values_hu[:6]


@kind("PS3.3 C.8.16.1.4: a quantity is no attenuation", refused="map of other values than HU")
def enhanced_map(series: Series) -> None:
    data = enhance(series)
    data.ImageType = ["DERIVED", "PRIMARY", "PERFUSION", "QUANTITY"]
    data.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [_item(FrameType=data.ImageType)]


@kind("PS3.3 C.7.6.2.1.1: planes lean, frames too", said="tilted gantry, 18.0 degrees")
def enhanced_with_gantry_tilt(series: Series) -> None:
    from .geometry import gantry_tilt

    gantry_tilt(series)
    enhance(series, [1, 0, 2, 3, 4, 5])


@kind("PS3.3 C.7.6.16.2.2.4: a concatenation is one object in several files")
def enhanced_in_two_files(series: Series) -> None:
    halves = [copy.deepcopy(series), copy.deepcopy(series)]
    stored, images = series.stored, []
    for number, (half, order) in enumerate(zip(halves, ([0, 2, 4], [5, 3, 1]), strict=True)):
        data = enhance(half, order)
        data.SOPInstanceUID, data.InConcatenationNumber = f"{ROOT}.7.{number}", number + 1
        images.append(data)
        series.pixels[number] = stored[order].tobytes()
    series.images = images


@kind("PS3.3 A.38: an enhanced object may have one frame")
def enhanced_with_one_frame_in_each_file(series: Series) -> None:
    images, pixels = [], {}
    for index in range(series.count):
        single = copy.deepcopy(series)
        single.images[0] = copy.deepcopy(single.images[index])
        images.append(enhance(single, [index]))
        images[-1].SOPInstanceUID = f"{ROOT}.7.{index}"
        images[-1].PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = series.images[
            index
        ].ImagePositionPatient
        pixels[index] = series.bytes_of(index)
    series.images, series.pixels = images, pixels


@kind("PS3.5 A.4: a fragment for each frame", transfer_syntax=RLELossless)
def enhanced_compressed_out_of_order(series: Series) -> None:
    order = [3, 0, 5, 2, 1, 4]
    enhance(series, order)
    series.pixels = {0: encapsulate([rle_of(series.stored[index]) for index in order])}


@kind("PS3.3 A.71: the same functional groups")
def legacy_converted(series: Series) -> None:
    data = enhance(series, [2, 1, 0, 3, 4, 5], LegacyConvertedEnhancedCTImageStorage)
    for number, group in enumerate(groups(data)):
        group.UnassignedPerFrameConvertedAttributesSequence = [_item(ImagePositionPatient=[number, 0, 0], InstanceNumber=number)]


@kind("PS3.3 A.8.4: groups for the place, and rescale in the data set itself")
def grayscale_word(series: Series) -> None:
    data = enhance(series, [5, 1, 2, 3, 4, 0], WORD_CAPTURE)
    del data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"


@kind("PS3.3 A.8.4: without places, it is pictures", refused="screenshot")
def grayscale_word_without_places(series: Series) -> None:
    data = enhance(series, None, WORD_CAPTURE)
    del data.PerFrameFunctionalGroupsSequence


@kind("PS3.5 8.2: as many frames as it says", refused="no DICOM images that can be read")
def enhanced_with_more_frames_than_pixels(series: Series) -> None:
    data = enhance(series)
    data.NumberOfFrames = 9


@kind(f"{GROUPS}: unequal distances of frames", said="missing or unevenly spaced", count=7)
def enhanced_of_unequal_distances(series: Series) -> None:
    series.place([(*series.origin_mm[:2], height_mm) for height_mm in (0, 2, 4, 6, 8, 13, 18)])
    series.origin_mm = (*series.origin_mm[:2], 0)
    enhance(series, list(numpy.random.default_rng(1).permutation(7)))
