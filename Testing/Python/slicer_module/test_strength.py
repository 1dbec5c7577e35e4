"""The strength of a correction, changed afterwards."""

from __future__ import annotations

import numpy
import pytest

from SSLMARLib import InputError


@pytest.fixture
def voxels_of():
    import slicer

    return lambda node: slicer.util.arrayFromVolume(node)


@pytest.fixture
def far_corrections(library):
    """Let the library's stand-in return voxels as far from the input as their type allows, from slice 2 on."""
    import SSLMARLib.correction

    plain = SSLMARLib.correction.reduce_metal_artifacts

    def far(volume_hu, *arguments, **keywords):
        result = plain(volume_hu, *arguments, **keywords)
        limits = numpy.iinfo if volume_hu.dtype.kind in "iu" else numpy.finfo
        result.volume_hu[:] = volume_hu
        result.volume_hu[2:] = numpy.where(volume_hu[2:] > 0, limits(volume_hu.dtype).min, limits(volume_hu.dtype).max)
        return result

    SSLMARLib.correction.reduce_metal_artifacts = far
    yield
    SSLMARLib.correction.reduce_metal_artifacts = plain


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
def test_half_the_strength_is_halfway_and_the_ends_are_exact(make_volume, slicer_logic, voxels_of, library, dtype):
    volume = make_volume(dtype=dtype)
    corrected = slicer_logic.process(volume)
    before, full = voxels_of(volume).copy(), voxels_of(corrected).copy()
    assert not numpy.array_equal(before, full)
    for strength in (0.5, 0.0, 0.25, 1.0):
        slicer_logic.setStrength(corrected, strength)
        assert slicer_logic.strengthOf(corrected) == strength
        expected = before.astype(float) + strength * (full.astype(float) - before)
        assert voxels_of(corrected).dtype == dtype
        tolerance = 0.5 if numpy.dtype(dtype).kind in "iu" else 1e-3
        assert numpy.abs(voxels_of(corrected) - expected).max() <= tolerance
        if strength in (0.0, 1.0):
            assert numpy.array_equal(voxels_of(corrected), before if strength == 0 else full)
    assert numpy.array_equal(voxels_of(volume), before)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32"])
def test_nothing_wraps_around(make_volume, slicer_logic, voxels_of, far_corrections, dtype):
    volume = make_volume(dtype=dtype)
    corrected = slicer_logic.process(volume)
    before, full = voxels_of(volume).copy(), voxels_of(corrected).copy()
    for strength in (0.999, 0.5, 0.001):
        slicer_logic.setStrength(corrected, strength)
        expected = before.astype(float) + strength * (full.astype(float) - before.astype(float))
        assert numpy.abs(voxels_of(corrected) - expected).max() <= 1.0
        assert numpy.array_equal(voxels_of(corrected)[:2], before[:2])


def test_the_views_are_told(make_volume, slicer_logic, library):
    """As Slicer's arrayFromVolumeModified does: the node's event asks for drawing, the time makes the pipeline work."""
    import vtk

    corrected = slicer_logic.process(make_volume())
    seen, before = [], corrected.GetImageData().GetMTime()
    corrected.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *arguments: seen.append(1))
    slicer_logic.setStrength(corrected, 0.3)
    assert seen and corrected.GetImageData().GetMTime() > before


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), "much", None])
def test_a_strength_that_is_none_is_refused(make_volume, slicer_logic, voxels_of, library, strength):
    corrected = slicer_logic.process(make_volume())
    before = voxels_of(corrected).copy()
    with pytest.raises(InputError, match="from 0 .* to 1 "):
        slicer_logic.setStrength(corrected, strength)
    assert numpy.array_equal(voxels_of(corrected), before)


def test_the_input_is_checked_once_and_not_at_every_step(make_volume, slicer_logic, library, monkeypatch):
    from SSLMARLib.slicer_logic import strength

    corrected = slicer_logic.process(make_volume())
    slicer_logic.setStrength(corrected, 0.5)
    monkeypatch.delattr(strength, "checksumOf")
    slicer_logic.setStrength(corrected, 0.6)
    assert slicer_logic.canChangeStrength(corrected) == ""


def test_each_result_has_a_strength_of_its_own(make_volume, slicer_logic, voxels_of, library):
    volume = make_volume()
    one, other = slicer_logic.process(volume), slicer_logic.process(volume)
    full = voxels_of(other).copy()
    slicer_logic.setStrength(one, 0.0)
    assert (slicer_logic.strengthOf(one), slicer_logic.strengthOf(other)) == (0.0, 1.0)
    assert numpy.array_equal(voxels_of(other), full)


def test_what_is_no_result_has_no_strength(make_volume, slicer_logic, library):
    volume = make_volume()
    assert "is not a result of this module" in slicer_logic.canChangeStrength(volume)
    assert slicer_logic.canChangeStrength(None).startswith("No corrected volume")
    assert slicer_logic.canChangeStrength(slicer_logic.process(volume)) == ""


def test_an_input_that_is_gone_or_changed_is_told(make_volume, slicer_logic, voxels_of, library):
    import slicer

    volume = make_volume()
    corrected = slicer_logic.process(volume)
    original = voxels_of(volume)[0, 0, 0]
    voxels_of(volume)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(volume)
    assert "have changed since the correction" in slicer_logic.canChangeStrength(corrected)
    with pytest.raises(InputError, match="have changed"):
        slicer_logic.setStrength(corrected, 0.5)
    voxels_of(volume)[0, 0, 0] = original
    slicer.util.arrayFromVolumeModified(volume)
    assert slicer_logic.canChangeStrength(corrected) == ""
    slicer.mrmlScene.RemoveNode(volume)
    assert "is no longer in the scene" in slicer_logic.canChangeStrength(corrected)


def test_a_result_that_a_user_changed_is_not_overwritten(make_volume, slicer_logic, voxels_of, library):
    import slicer

    corrected = slicer_logic.process(make_volume())
    slicer_logic.setStrength(corrected, 0.5)
    slicer.util.arrayFromVolumeModified(corrected)  # touched, not changed
    assert slicer_logic.canChangeStrength(corrected) == ""
    voxels_of(corrected)[2] = 0
    slicer.util.arrayFromVolumeModified(corrected)
    assert "have changed since the correction" in slicer_logic.canChangeStrength(corrected)


def test_an_input_that_changed_during_the_run_is_told(make_volume, slicer_logic, voxels_of, library):
    import slicer

    volume = make_volume()
    correction = slicer_logic.prepareCorrection(volume)
    voxels_of(volume)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(volume)
    corrected = correction.addToScene(correction.compute())
    assert "have changed since the correction" in slicer_logic.canChangeStrength(corrected)


@pytest.mark.parametrize("change", ["dimensions", "type", "empty"])
def test_other_images_in_the_nodes_are_told(make_volume, slicer_logic, library, change):
    import slicer

    corrected = slicer_logic.process(make_volume())
    if change == "empty":
        corrected.SetAndObserveImageData(None)
    else:
        shape, dtype = ((2, 3, 4), numpy.int16) if change == "dimensions" else ((6, 20, 24), numpy.float32)
        slicer.util.updateVolumeFromArray(corrected, numpy.zeros(shape, dtype))
    assert "have changed since the correction" in slicer_logic.canChangeStrength(corrected)


def load_again(folder):
    """Save the scene, close it and load it."""
    import slicer

    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(folder / f"{node.GetID()}.nrrd"))
        assert node.GetStorageNode().WriteData(node)
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(True)
    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    return next(node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetName().startswith("CT (MAR: LI"))


@pytest.mark.parametrize("metal_hu", [None, 4000.0])
def test_a_scene_saved_at_full_strength_can_be_blended_again(make_volume, slicer_logic, voxels_of, library, tmp_path, metal_hu):
    volume = make_volume()
    corrected = slicer_logic.process(volume, method="li", metalHu=metal_hu)
    slicer_logic.setStrength(corrected, 0.25)
    quarter = voxels_of(corrected).copy()
    slicer_logic.setStrength(corrected, 1.0)
    loaded = load_again(tmp_path)
    assert slicer_logic.canChangeStrength(loaded) == ""
    slicer_logic.setStrength(loaded, 0.25)
    assert numpy.array_equal(voxels_of(loaded), quarter)


def test_a_scene_saved_at_another_strength_says_why_not(make_volume, slicer_logic, library, tmp_path):
    slicer_logic.setStrength(slicer_logic.process(make_volume(), method="li"), 0.25)
    loaded = load_again(tmp_path)
    assert slicer_logic.strengthOf(loaded) == 0.25
    assert "loaded again at a strength of 25 %" in slicer_logic.canChangeStrength(loaded)


def test_memory_is_given_back_when_the_node_goes(make_volume, slicer_logic, library):
    import slicer

    from SSLMARLib.slicer_logic import strength

    volume = make_volume()
    before = len(strength._fullResults)
    corrected = slicer_logic.process(volume)
    slicer_logic.setStrength(corrected, 0.5)
    assert len(strength._fullResults) == before + 1
    slicer.mrmlScene.RemoveNode(corrected)
    assert len(strength._fullResults) == before
    slicer_logic.process(volume)
    slicer.mrmlScene.Clear(False)
    assert not strength._fullResults


def test_metal_of_a_material_keeps_its_value_at_every_strength_but_0(make_volume, slicer_logic, voxels_of, metal_phantom):
    before = voxels_of(metal_phantom).copy()
    corrected = slicer_logic.process(metal_phantom, method="li", metalHu=11570.4)
    metal = before == 3000
    assert (voxels_of(corrected)[metal] == 11570).all()
    slicer_logic.setStrength(corrected, 0.5)
    assert (voxels_of(corrected)[metal] == 11570).all()
    slicer_logic.setStrength(corrected, 0.0)
    assert numpy.array_equal(voxels_of(corrected), before)
