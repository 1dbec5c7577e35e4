"""What describeVolume tells about a volume node, and the count above a threshold."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy
import pytest

from SSLMARLib import InputError, MetalSearch

AXIAL = numpy.diag([-0.8, -0.9, 2.5, 1.0])


@pytest.fixture
def add_ct(rig, random_generator):
    """add_ct(name, matrix, shape, dtype, **values at index 0 1 2 ...) adds a plausible CT: -1000 to 1500 HU, no two corners alike."""
    import slicer

    def add(name="CT", matrix=AXIAL, shape=(6, 20, 24), dtype=numpy.int16):
        voxels = random_generator.integers(-1000, 1500, shape).astype(dtype)
        voxels.flat[0], voxels.flat[-1] = -1000, -999
        return slicer.util.addVolumeFromArray(voxels, numpy.array(matrix, float), name)

    return add


@pytest.fixture
def change(rig):
    """change(volume, **{index or slices: value}) writes voxels and tells the node."""
    import slicer

    def change(volume, where, value):
        slicer.util.arrayFromVolume(volume)[where] = value
        slicer.util.arrayFromVolumeModified(volume)
        volume.GetImageData().Modified()

    return change


def rotated(degrees, axis):
    """AXIAL turned about the first (0), second or third world axis."""
    turn = numpy.eye(4)
    a, b = [other for other in range(3) if other != axis]
    cosine, sine = numpy.cos(numpy.radians(degrees)), numpy.sin(numpy.radians(degrees))
    turn[a, a] = turn[b, b] = cosine
    turn[a, b], turn[b, a] = -sine, sine
    return turn @ AXIAL


def test_an_ordinary_scan_has_a_summary_and_no_remarks(add_ct, slicer_logic, change):
    volume = add_ct()
    change(volume, (0, 0, 1), -1024)
    change(volume, (0, 0, 2), 2100)
    description = slicer_logic.describeVolume(volume)
    assert description.summary == "24 x 20 x 6 voxels of 0.8 x 0.9 x 2.5 mm, -1024 to 2100 HU"
    assert description.remarks == ()


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        ((slice(2), 3), 3071, "cut off at 3071 HU (48 voxels"),
        ((slice(2), 3), 32767, "cut off at 32767 HU"),
        ((slice(2), 3), -3024, "Padding of -3024 HU"),
        ((slice(None, None, 5), slice(None, None, 19), slice(None, None, 23)), 0, "All corners are exactly 0 HU"),
    ],
)
def test_values_are_remarked_on(add_ct, slicer_logic, change, where, value, sentence):
    volume = add_ct()
    change(volume, where, value)
    (remark,) = slicer_logic.describeVolume(volume).remarks
    assert sentence in remark and remark.endswith(".")


def test_a_few_bright_voxels_are_no_cut_off(add_ct, slicer_logic, change):
    volume = add_ct()
    change(volume, (0, 0, slice(9)), 3071)
    assert slicer_logic.describeVolume(volume).remarks == ()


@pytest.mark.parametrize(
    ("lowest", "highest", "sentence"),
    [
        (0, 4095, "They may be 1024 too high"),
        (0, 255, "no voxel is near air (-1000 HU), the lowest is 0."),
        (-1000, 3_000_000, "Values of up to 3e+06 are not Hounsfield units"),
    ],
)
def test_values_that_are_no_hounsfield_units_are_told(rig, slicer_logic, random_generator, lowest, highest, sentence):
    import slicer

    voxels = random_generator.integers(lowest, highest, (6, 20, 24)).astype(numpy.int32)
    voxels[0, 0, :2] = lowest, highest
    volume = slicer.util.addVolumeFromArray(voxels, AXIAL, "MR")
    assert any(sentence in remark for remark in slicer_logic.describeVolume(volume).remarks)


def test_a_scan_without_air_is_not_told_to_be_1024_too_high(rig, slicer_logic, random_generator):
    import slicer

    voxels = random_generator.integers(-300, 2000, (6, 20, 24)).astype(numpy.int16)
    (remark,) = slicer_logic.describeVolume(slicer.util.addVolumeFromArray(voxels, AXIAL, "Bone")).remarks
    assert "no voxel is near air" in remark and "1024" not in remark


def test_units_of_the_node_are_told_where_they_are_others(add_ct, slicer_logic):
    import slicer

    volume = add_ct()
    for code, expected in (("[hnsf'U]", 0), ("g/ml", 1)):
        unit = slicer.vtkCodedEntry()
        unit.SetValueSchemeMeaning(code, "UCUM", "a unit")
        volume.SetVoxelValueUnits(unit)
        remarks = slicer_logic.describeVolume(volume).remarks
        assert sum("not Hounsfield units but 'a unit'" in remark for remark in remarks) == expected


def test_nan_is_told(add_ct, slicer_logic, change):
    volume = add_ct(dtype=numpy.float32)
    change(volume, (0, 0, slice(1, 4)), numpy.nan)
    description = slicer_logic.describeVolume(volume)
    assert description.remarks[0].startswith("3 voxels are NaN")
    assert "nan" not in description.summary
    change(volume, slice(None), numpy.nan)
    assert "NaN" in slicer_logic.describeVolume(volume).remarks[0]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("5: Thorax iMAR 1.0 B30f", "iMAR"),
        ("Pelvis_O-MAR", "O-MAR"),
        ("HEAD OMAR", "OMAR"),
        ("Hip SEMAR 0.5", "SEMAR"),
        ("Smart MAR spine", "Smart MAR"),
        ("CT MAR", "MAR"),
        ("CT_MAR_1", "MAR"),
        ("hip semar", "semar"),
        ("knee o-mar", "o-mar"),
        ("Smart-MAR", "Smart-MAR"),
        ("Omar abdomen", ""),
        ("CT 03-MAR-2019", ""),
        ("12 MAR 2020 abdomen", ""),
        ("MAR 2020", ""),
        ("MARIA", ""),
        ("Mar del Plata", ""),
        ("omaria", ""),
        ("CT", ""),
    ],
)
def test_series_that_the_vendor_corrected_are_told(add_ct, slicer_logic, name, word):
    remarks = slicer_logic.describeVolume(add_ct(name)).remarks
    if word:
        (remark,) = remarks
        assert f"'{word}' in '{name}'" in remark
    else:
        assert remarks == ()


class Database:
    """slicer.dicomDatabase, as far as it is asked."""

    def __init__(self, **values):
        self.values = values

    def instanceValue(self, uid, tag):
        assert uid == "1.2.3"
        return self.values.get({"0008,103E": "description", "0008,0060": "modality"}[tag], "")


def test_the_dicom_database_is_asked(add_ct, slicer_logic, monkeypatch):
    import slicer

    volume = add_ct()
    monkeypatch.setattr(slicer, "dicomDatabase", Database(description="Becken iMAR", modality="CT"), raising=False)
    assert slicer_logic.describeVolume(volume).remarks == ()  # not loaded from DICOM
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    (remark,) = slicer_logic.describeVolume(volume).remarks
    assert "'iMAR' in 'Becken iMAR'" in remark
    monkeypatch.setattr(slicer, "dicomDatabase", Database(modality="MR"))
    (remark,) = slicer_logic.describeVolume(volume).remarks
    assert "the DICOM modality is MR" in remark


def test_a_broken_dicom_database_is_no_obstacle(add_ct, slicer_logic, monkeypatch):
    import slicer

    def fail(*arguments):
        raise RuntimeError("database is closed")

    volume = add_ct()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(instanceValue=fail), raising=False)
    assert slicer_logic.describeVolume(volume).remarks == ()


def test_a_result_of_this_module_is_told_so_and_not_as_the_vendor_s(add_ct, slicer_logic, library):
    corrected = slicer_logic.process(add_ct())
    (remark,) = slicer_logic.describeVolume(corrected).remarks
    assert remark.startswith("This volume is a result of this module")


def test_an_aid_is_told_so(add_ct, slicer_logic, library, change):
    volume = add_ct()
    change(volume, (2, 3, slice(4)), 3000)
    (remark,) = slicer_logic.describeVolume(slicer_logic.process(volume, sliceIndex=2)).remarks[:1]
    assert remark.startswith("This volume is no scan")


def test_transforms_are_told(add_ct, slicer_logic):
    import slicer

    volume = add_ct()
    for kind, sentence in (
        ("vtkMRMLLinearTransformNode", "under the linear transform 'Moved'"),
        ("vtkMRMLGridTransformNode", "under the nonlinear transform 'Moved'"),
    ):
        transform = slicer.mrmlScene.AddNewNodeByClass(kind, "Moved")
        transform.SetName("Moved")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        (remark,) = slicer_logic.describeVolume(volume).remarks
        assert sentence in remark


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (rotated(90, 0), "The slices are not axial (they are turned by 90 degrees)"),
        (rotated(90, 1), "The slices are not axial (they are turned by 90 degrees)"),
        (rotated(45, 0), "The slices are not axial (they are turned by 45 degrees)"),
        (rotated(12, 0), "The slices are tilted by 12.0 degrees"),
        (rotated(0.5, 0), None),
        (rotated(90, 2), None),
        (rotated(180, 0), None),
        (AXIAL * [1, 1, -1, 1], None),
        (numpy.diag([-0.8, -0.9, 5.0, 1.0]), "The slices are 5 mm apart"),
    ],
)
def test_geometry_is_told(add_ct, slicer_logic, matrix, sentence):
    remarks = slicer_logic.describeVolume(add_ct(matrix=matrix)).remarks
    assert len(remarks) == (sentence is not None)
    assert sentence is None or remarks[0].startswith(sentence)


def test_a_sheared_volume_is_told(add_ct, slicer_logic):
    matrix = AXIAL.copy()
    matrix[1, 2] = 0.6
    remarks = slicer_logic.describeVolume(add_ct(matrix=matrix)).remarks
    assert any("sheared against each other" in remark for remark in remarks)


def test_a_single_slice_is_told(add_ct, slicer_logic):
    (remark,) = slicer_logic.describeVolume(add_ct(shape=(1, 20, 24))).remarks
    assert "a single slice" in remark


def test_unfit_nodes_give_a_remark_and_no_error(rig, slicer_logic):
    import slicer

    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    for node, sentence in (
        (None, "No input volume is chosen"),
        ("CT", "must be a volume node"),
        (empty, "'Nothing' holds no voxels"),
        (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Skin"), "'Skin' is a Model node"),
    ):
        description = slicer_logic.describeVolume(node)
        assert description.summary == ""
        assert sentence in description.remarks[0]


def test_a_change_of_the_voxels_is_seen(add_ct, slicer_logic, change):
    volume = add_ct()
    first = slicer_logic.describeVolume(volume)
    assert slicer_logic.describeVolume(volume) == first
    change(volume, (3, 3, 3), 2222)
    assert slicer_logic.describeVolume(volume).summary.endswith("2222 HU")


def test_a_large_volume_is_looked_at_once(rig, slicer_logic):
    """512 x 512 x 300 voxels; generous, as tests share the computer."""
    import slicer

    voxels = numpy.full((300, 512, 512), -1000, numpy.int16)
    voxels[:, 200:300, 200:300] = 40
    volume = slicer.util.addVolumeFromArray(voxels, AXIAL, "Large")
    begin = time.perf_counter()
    slicer_logic.describeVolume(volume)
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    slicer_logic.describeVolume(volume)
    again = time.perf_counter() - begin
    begin = time.perf_counter()
    slicer_logic.countMetal(volume, MetalSearch())
    count = time.perf_counter() - begin
    assert first < 2.0 and again < 0.05 and count < 1.0, (first, again, count)


@pytest.mark.parametrize(("threshold", "expected"), [(2999, 40), (2999.5, 40), (3000, 40), (3000.5, 0), (3001, 0)])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_metal_is_counted(make_volume, slicer_logic, dtype, threshold, expected):
    volume = make_volume(dtype=dtype)  # two slices with 4 x 5 voxels of 3000 HU
    count = slicer_logic.countMetal(volume, MetalSearch(threshold_hu=threshold))
    assert count.voxels == expected
    assert count.slices == (2 if expected else 0)
    assert abs(count.milliliters - expected * 0.8 * 0.9 * 2.5 / 1000) < 1e-9


def test_a_count_needs_a_volume(slicer_logic):
    with pytest.raises(InputError, match="No input volume"):
        slicer_logic.countMetal(None, MetalSearch())
