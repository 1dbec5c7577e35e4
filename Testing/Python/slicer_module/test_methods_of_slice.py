"""One slice by several methods, on real nodes; and a slice as a picture that lies as in Slicer's views."""

from __future__ import annotations

import numpy
import pytest


def gray_of(image):
    """(rows from the bottom, columns) of a vtkImageData of colors."""
    width, height, _ = image.GetDimensions()
    colors = numpy.asarray(image.GetPointData().GetScalars()).reshape(height, width, 3)
    assert (colors == colors[..., :1]).all()
    return colors[..., 0].astype(int)


@pytest.fixture
def marked(rig):
    """marked(ijkToRas) adds a volume of one slice, 6 rows of 4 columns, shown from 0 to 255 HU, with values of their own at the
    corners (0, 0), (3, 0), (0, 5) of columns and rows: 50, 100, 200."""
    import slicer

    def add(matrix):
        voxels = numpy.zeros((1, 6, 4), numpy.int16)
        voxels[0, 0, 0], voxels[0, 0, 3], voxels[0, 5, 0] = 50, 100, 200
        volume = slicer.util.addVolumeFromArray(voxels, numpy.array(matrix, float), "Marked")
        display = volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(255.0, 127.5)
        return volume

    return add


AXIAL = {  # axes i and j of the volume -> where the marks lie: (bottom or top, left or right)
    "LPS": ([[-1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]], {50: "top left", 100: "top right", 200: "bottom left"}),
    "RAS": ([[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]], {50: "bottom right", 100: "bottom left", 200: "top right"}),
    "turned": ([[0, -2, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]], {50: "bottom left", 100: "top left", 200: "bottom right"}),
}


@pytest.mark.parametrize("geometry", AXIAL)
def test_a_slice_lies_as_in_an_axial_view(marked, slicer_logic, geometry):
    """The patient's right at the left, the front at the top; as Slicer's own slice pipeline draws it."""
    import slicer

    matrix, expected = AXIAL[geometry]
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    image = slicer_logic.sliceImage(slicer.util.arrayFromVolume(volume := marked(matrix))[0], volume, view)
    gray = gray_of(image)
    ends = {"bottom left": gray[0, 0], "bottom right": gray[0, -1], "top left": gray[-1, 0], "top right": gray[-1, -1]}
    assert {value: place for place, value in ends.items() if value} == expected
    width, height = (size * spacing for size, spacing in zip(image.GetDimensions()[:2], image.GetSpacing()[:2], strict=True))
    assert (width, height) == ((12.0, 4.0) if geometry == "turned" else (4.0, 12.0))


def test_a_transform_turns_the_slice(marked, slicer_logic):
    import slicer

    volume = marked(AXIAL["LPS"][0])
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    half_turn = numpy.diag([-1.0, -1.0, 1.0, 1.0])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(half_turn))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    gray = gray_of(slicer_logic.sliceImage(slicer.util.arrayFromVolume(volume)[0], volume, view))
    assert (gray[0, -1], gray[0, 0], gray[-1, -1]) == (50, 100, 200)


def test_each_method_makes_what_its_preview_makes(metal_phantom, slicer_logic):
    import slicer

    correction = slicer_logic.prepareCorrection(metal_phantom, device="cpu", sliceIndex=1)
    several = slicer_logic.MethodsOfSlice(correction, ("li", "nmar"))
    done = several.compute()
    assert [one.method for one in done] == ["li", "nmar"]
    for one in done:
        preview = slicer_logic.process(metal_phantom, method=one.method, device="cpu", sliceIndex=1)
        assert numpy.array_equal(one.computed.volume_hu, slicer.util.arrayFromVolume(preview))
    assert not numpy.array_equal(done[0].computed.volume_hu, done[1].computed.volume_hu)
    assert numpy.array_equal(several.uncorrectedHu, slicer.util.arrayFromVolume(metal_phantom)[1])


def test_the_metal_is_looked_for_once(make_volume, slicer_logic, library, monkeypatch):
    from SSLMARLib import learned_metal

    searches, search = [], learned_metal.segment_metal
    monkeypatch.setattr(learned_metal, "segment_metal", lambda *arguments: searches.append(1) or search(*arguments))
    slicer_logic.MethodsOfSlice(slicer_logic.prepareCorrection(make_volume(), sliceIndex=3), ("li", "nmar", "sslmar")).compute()
    assert len(library.calls) == 3 and len(searches) == 1
