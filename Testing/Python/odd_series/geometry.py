"""Odd places, orders, orientations and spacings. Truths: PS3.3 C.7.6.2.1.1 (the image plane: position, orientation, spacing) and C.7.4.1
(frame of reference): the center of the pixel (row r, column c) lies at position + c * column spacing * first triple + r * row spacing *
second triple; numbers of instances, thickness and file names say nothing about places."""

from __future__ import annotations

import copy
import math

import numpy

from .building import AXIAL, DISTANCE_MM, FIRST_MM, ROOT, Series, kind

PLANE = "PS3.3 C.7.6.2.1.1"


@kind(PLANE)
def plain(series: Series) -> None:
    pass


@kind("PS3.3 C.7.6.1: Instance Number orders nothing in space")
def instance_numbers_in_no_order(series: Series) -> None:
    for image, number in zip(series.images, (3, 1, 6, 2, 5, 4), strict=True):
        image.InstanceNumber = number


def _tilt(series: Series, degrees: float, decimals: int) -> None:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    series.set_all(ImageOrientationPatient=[1, 0, 0, 0, round(cosine, decimals), round(-sine, decimals)])
    series.direction = numpy.array([[1, 0, 0], [0, cosine, 0], [0, -sine, 1]])


@kind(f"{PLANE}: the planes lean, the table moves along z", said="tilted gantry, 18.0 degrees")
def gantry_tilt(series: Series) -> None:
    _tilt(series, 18, 12)


@kind(f"{PLANE}: four decimals are as good as a scanner writes", said="tilted gantry, 18.0 degrees")
def gantry_tilt_in_four_decimals(series: Series) -> None:
    _tilt(series, 18, 4)


@kind(f"{PLANE}: columns run to the right, so the normal is to the feet")
def feet_first(series: Series) -> None:
    series.set_all(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])
    series.direction = numpy.diag([-1.0, 1.0, -1.0])
    series.values_hu = series.values_hu[::-1]
    series.origin_mm = tuple(series.positions_mm()[-1])


@kind(PLANE)
def prone(series: Series) -> None:
    series.set_all(ImageOrientationPatient=[-1, 0, 0, 0, -1, 0])
    series.direction = numpy.diag([-1.0, -1.0, 1.0])


@kind(PLANE)
def sagittal(series: Series) -> None:
    series.set_all(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    series.place([(FIRST_MM[0] + DISTANCE_MM * index, FIRST_MM[1], FIRST_MM[2]) for index in range(series.count)])
    series.direction = numpy.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)
    series.values_hu = series.values_hu[::-1]  # the normal is to the right
    series.origin_mm = tuple(series.positions_mm()[-1])


@kind(f"{PLANE}: less than a thousandth of a pixel at any corner")
def orientations_that_differ_in_the_fifth_decimal(series: Series) -> None:
    for index, image in enumerate(series.images):
        image.ImageOrientationPatient = [1, 1e-5 * (index % 2), 0, -1e-5 * (index % 2), 1, 2e-5 * (index % 3)]


@kind(f"{PLANE}: a corner of each half is moved by more than half a pixel", refused="differ in orientation", rows=64, columns=64)
def orientations_that_differ_by_three_degrees(series: Series) -> None:
    lean = math.radians(3)
    for image in series.images[3:]:
        image.ImageOrientationPatient = [1, 0, 0, 0, math.cos(lean), math.sin(lean)]


@kind(f"{PLANE}: the two shall be orthogonal unit vectors", refused="no pair of perpendicular unit vectors")
def skew_orientation(series: Series) -> None:
    series.images[2].ImageOrientationPatient = [1, 0, 0, 0.5, 1, 0]


@kind(f"{PLANE}: unit vectors", refused="no pair of perpendicular unit vectors")
def orientation_of_zeros(series: Series) -> None:
    series.set_all(ImageOrientationPatient=[0, 0, 0, 0, 0, 0])


@kind("PS3.3 C.7.6.2: type 1", refused="without Image Orientation")
def no_orientation(series: Series) -> None:
    del series.images[1].ImageOrientationPatient


@kind("PS3.3 C.7.6.2: type 1", refused="without Image Position")
def no_position(series: Series) -> None:
    series.images[4].ImagePositionPatient = None


@kind("PS3.3 10.7.1.3: two scans of other fields of view are no stack", refused="differ in pixel spacing", rows=64)
def two_pixel_spacings(series: Series) -> None:
    for image in series.images[3:]:
        image.PixelSpacing = [0.5, 0.4]
        image.ImagePositionPatient = [-10, 26, image.ImagePositionPatient[2]]


@kind("PS3.3 10.7.1.3: a hundredth of a pixel over the image", rows=64)
def pixel_spacings_that_differ_in_the_fifth_decimal(series: Series) -> None:
    for index, image in enumerate(series.images):
        image.PixelSpacing = [0.75 + 1e-5 * (index % 2), 0.5]
    series.spacing_mm = (DISTANCE_MM, 0.750005, 0.5)


@kind(f"{PLANE}: slices beside each other by 3 mm", refused="jump sideways between slices 3 and 4 .3 mm")
def sideways_jump_halfway(series: Series) -> None:
    series.place(series.positions_mm() + [[3 * (index >= 3), 0, 0] for index in range(series.count)])


@kind(f"{PLANE}: one slice is elsewhere", refused="jump sideways between slices 4 and 5 .2 mm., 5 and 6 .2 mm.")
def one_slice_sideways(series: Series) -> None:
    series.place(series.positions_mm() + [[0, 2 * (index == 4), 0] for index in range(series.count)])


@kind(f"{PLANE}: a fifth of a pixel is less than a grid's fault", said="jump sideways between slices 3 and 4 .*each slice is corrected")
def one_slice_sideways_by_a_fifth_of_a_pixel(series: Series) -> None:
    series.place(series.positions_mm() + [[0.1 * (index == 3), 0, 0] for index in range(series.count)])


@kind(f"{PLANE}: the positions are on an arc", refused="lies .* mm beside the straight line|jump sideways", count=30)
def positions_on_an_arc(series: Series) -> None:
    series.place(series.positions_mm() + [[0.01 * index**2, 0, 0] for index in range(series.count)])


@kind(f"{PLANE}: 60 degrees are no gantry's tilt", refused="60 degrees")
def positions_that_run_beside_the_planes(series: Series) -> None:
    positions_mm = series.positions_mm()
    series.place(positions_mm + [[math.tan(math.radians(60)) * DISTANCE_MM * index, 0, 0] for index in range(series.count)])


@kind(f"{PLANE}: rounding of 0.005 mm at most", count=40)
def positions_in_hundredths_of_a_millimeter(series: Series) -> None:
    series.place([(*FIRST_MM[:2], round(FIRST_MM[2] + 0.6254 * index, 2)) for index in range(series.count)])
    series.spacing_mm = ((round(FIRST_MM[2] + 0.6254 * 39, 2) - FIRST_MM[2]) / 39, *series.spacing_mm[1:])


@kind(f"{PLANE}: the place says that one is missing", said="missing or unevenly spaced .2 to 4 mm apart., between slices 2 and 3")
def a_slice_that_is_missing(series: Series) -> None:
    series.keep([0, 1, 3, 4, 5])


@kind(PLANE, said="between slices 2 and 3, 3 and 4", count=9)
def two_slices_that_are_missing(series: Series) -> None:
    series.keep([0, 1, 3, 5, 6, 7, 8])


@kind(PLANE, said="missing or unevenly spaced .2 to 5 mm apart", count=7)
def slices_of_unequal_distances(series: Series) -> None:
    series.place([(*FIRST_MM[:2], height_mm) for height_mm in (0, 2, 4, 6, 8, 13, 18)])
    series.origin_mm = (*FIRST_MM[:2], 0)


@kind("PS3.3 C.7.6.16.2.2.3, 10.7.1.3: distance and thickness are two things")
def thickness_beyond_the_distance(series: Series) -> None:
    series.set_all(SliceThickness=5, SpacingBetweenSlices=5)


@kind("PS3.3 C.8.6.1.2.3: a negative spacing tells a direction, and CT has none")
def negative_spacing_between_slices(series: Series) -> None:
    series.set_all(SpacingBetweenSlices=-DISTANCE_MM)


@kind(f"{PLANE}: places of a second pass lie between those of the first", refused="acquisitions that overlap", count=9)
def overlapping_passes(series: Series) -> None:
    series.place([(*FIRST_MM[:2], height_mm) for height_mm in (0, 2, 4, 4.7, 6, 6.7, 8.7, 10.7, 12.7)])
    for index in (3, 5, 6, 7, 8):
        series.images[index].AcquisitionNumber = 2


@kind(f"{PLANE}: the last of one pass and the first of the next are at one place", refused="two images at one position")
def passes_that_meet_in_one_position(series: Series) -> None:
    series.place([(*FIRST_MM[:2], height_mm) for height_mm in (0, 2, 4, 4, 6, 8)])
    for image in series.images[3:]:
        image.AcquisitionNumber = 2


@kind("PS3.3 C.7.6.1: an acquisition number for each pass")
def passes_one_after_the_other(series: Series) -> None:
    for image in series.images[3:]:
        image.AcquisitionNumber = 2


@kind("PS3.3 C.7.6.1: sequential scans count their steps")
def step_and_shoot(series: Series) -> None:
    for index, image in enumerate(series.images):
        image.AcquisitionNumber = index + 1


def _second(series: Series, index: int, **elements) -> None:
    """A further file at the place of a slice."""
    image = copy.deepcopy(series.images[index])
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    series.images.append(image)
    series.stored = numpy.concatenate([series.stored, series.stored[index : index + 1]])


@kind("PS3.3 C.12.1: one SOP Instance UID is one instance", said="is a copy of")
def a_copy_of_a_slice(series: Series) -> None:
    _second(series, 2)


@kind("PS3.3 C.12.1: other pixels are no copy, whatever the UID", refused="two images at one position")
def one_uid_and_other_pixels(series: Series) -> None:
    _second(series, 2)
    series.stored[-1] += 1


@kind("PS3.3 C.7.6.1: two times of one place", refused="several phases does .2 by its headers")
def two_phases(series: Series) -> None:
    series.set_all(TemporalPositionIdentifier=1)
    for index in range(6):
        _second(series, index, TemporalPositionIdentifier=2, SOPInstanceUID=f"{ROOT}.5.{index}")
    series.stored[6:] += 1


@kind("PS3.15 E: emptied UIDs tell nothing apart; the pixels do", refused="two images at one position")
def two_phases_with_emptied_uids(series: Series) -> None:
    for index in range(6):
        _second(series, index)
    series.stored[6:] += 1
    series.set_all(SOPInstanceUID="")


@kind("PS3.15 E: emptied UIDs harm no single phase")
def emptied_uids(series: Series) -> None:
    series.set_all(SOPInstanceUID="", SeriesInstanceUID="", StudyInstanceUID="", FrameOfReferenceUID="")


@kind(f"{PLANE}: a hundredth of a millimeter is no distance of slices", refused="two images at one position")
def phases_that_differ_by_a_hundredth_of_a_millimeter(series: Series) -> None:
    for index in range(6):
        height_mm = FIRST_MM[2] + DISTANCE_MM * index + 0.01
        _second(series, index, SOPInstanceUID=f"{ROOT}.5.{index}", ImagePositionPatient=[*FIRST_MM[:2], height_mm])


@kind(PLANE, refused="two images at one position")
def all_at_one_position(series: Series) -> None:
    series.set_all(ImagePositionPatient=list(FIRST_MM))


@kind("PS3.3 C.7.4.1: positions of two frames of reference are in no relation", refused="differ in frame of reference")
def two_frames_of_reference(series: Series) -> None:
    for image in series.images[3:]:
        image.FrameOfReferenceUID = f"{ROOT}.6"


@kind("PS3.3 C.7.6.3: rows and columns are the image's", refused="differ in size")
def mixed_sizes(series: Series) -> None:
    for image in series.images[3:]:
        image.Rows, image.Columns = 8, 10


@kind(f"{PLANE}: a single reformat lies across", said="1 of 9 images differ in orientation .* left out", count=9)
def one_reformat(series: Series) -> None:
    series.images[8].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    series.values_hu = series.values_hu[:8]


@kind("PS3.3 C.8.2.1.1.1: LOCALIZER", said="1 of 7 images are left out .it is a scout", count=7)
def a_scout_in_the_series(series: Series) -> None:
    series.images[6].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    series.images[6].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    series.values_hu = series.values_hu[:6]


@kind("PS3.3 A.8: a secondary capture has no place", said="1 of 7 images are left out .it is a screenshot", count=7)
def a_screenshot_in_the_series(series: Series) -> None:
    series.images[6].SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    series.values_hu = series.values_hu[:6]


@kind("PS3.3 C.7.6.2: the thickness of a single slice", count=1)
def one_slice(series: Series) -> None:
    pass


@kind("PS3.3 C.7.6.2: slice thickness is type 2", said="no slice thickness: 1 mm is assumed", count=1)
def one_slice_of_no_thickness(series: Series) -> None:
    series.images[0].SliceThickness = None
    series.spacing_mm = (1.0, *series.spacing_mm[1:])


@kind(
    "PS3.3 10.7.1.3: what the scanner meant, where nothing better is said",
    said="no Pixel Spacing: its NominalScannedPixelSpacing, 0.75 x 0.5 mm",
)
def only_nominal_scanned_pixel_spacing(series: Series) -> None:
    series.delete_all("PixelSpacing")
    series.set_all(NominalScannedPixelSpacing=[0.75, 0.5])


@kind("PS3.3 10.7.1.3: spacing at the detector's front", said="no Pixel Spacing: its ImagerPixelSpacing, 0.75 x 0.5 mm")
def only_imager_pixel_spacing(series: Series) -> None:
    series.delete_all("PixelSpacing")
    series.set_all(ImagerPixelSpacing=[0.75, 0.5])


@kind("PS3.3 C.7.6.2: type 1", refused="states no pixel spacing")
def no_pixel_spacing(series: Series) -> None:
    series.delete_all("PixelSpacing")


@kind("PS3.3 10.7.1.3: positive", refused="states no pixel spacing")
def pixel_spacing_of_zero(series: Series) -> None:
    series.set_all(PixelSpacing=[0, 0])


@kind("PS3.3 C.7.6.2.1.1: the orientation of each slice is stated in itself", count=12)
def noise_in_every_number(series: Series) -> None:
    random = numpy.random.default_rng(3)
    for image in series.images:
        image.ImageOrientationPatient = [float(round(value, 7)) for value in numpy.array(AXIAL) + random.normal(0, 1e-6, 6)]
    series.place(series.positions_mm() + random.normal(0, 1e-5, (12, 3)))
    series.origin_mm = tuple(series.positions_mm()[0])
