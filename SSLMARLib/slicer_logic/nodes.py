"""Small jobs on MRML nodes: voxels, geometry, names, display, place in subject hierarchy, nodes that vanish on failure."""

import contextlib

import numpy
import slicer
import vtk
from vtk.util import numpy_support

ATTRIBUTE_PREFIX = "SSLMAR."
INPUT_ROLE = f"{ATTRIBUTE_PREFIX}InputVolume"  # the node reference from a result, and from a swipe, to its input
PREVIEW_ROLE = f"{ATTRIBUTE_PREFIX}PreviewOf"  # that from a preview
VERSION = f"{ATTRIBUTE_PREFIX}Version"  # the attribute of results: which version of this module made them
METHOD = f"{ATTRIBUTE_PREFIX}Method"  # the attribute of results and of the frames of one
AID = f"{ATTRIBUTE_PREFIX}Aid"  # the attribute of volumes that help to look: "preview", "difference", "swipe"


def isMadeHere(volume) -> bool:
    """Whether a volume node is a result of this module, of a frame too, or an aid such as a preview: no scan to correct."""
    return any(volume.GetAttribute(name) is not None for name in (VERSION, METHOD, AID))


@contextlib.contextmanager
def newNode(scene, className: str, name: str):
    """Add a node with a free name to a scene; whatever goes wrong inside the block, it and its display are removed again."""
    node = scene.AddNewNodeByClass(className, uniqueName(scene, name))
    try:
        yield node
    except BaseException:
        removeWithDisplay(node)
        raise


@contextlib.contextmanager
def allNodesOrNone(scene):
    """Whatever goes wrong inside the block, every node that it added to the scene is removed again."""
    before = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    try:
        yield
    except BaseException:
        nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
        for node in nodes:  # the oldest first: a browser goes before the nodes that it would make again
            if node.GetID() not in before and node.GetScene() is scene:
                scene.RemoveNode(node)
        raise


def nodesOfClass(scene, className: str) -> list:
    """Return the nodes of a class, and of those derived from it, in a scene."""
    return [scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className))]


def arrayFromImage(image) -> numpy.ndarray:
    """Return the voxels of a vtkImageData as an array (slices, rows, columns) on the same memory."""
    shape = tuple(reversed(image.GetDimensions()))
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)


def imageFromArray(voxels: numpy.ndarray, scalarType: int):
    """Return a new vtkImageData of a VTK scalar type with the voxels (slices, rows, columns) of an array."""
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.AllocateScalars(scalarType, 1)
    arrayFromImage(image)[:] = voxels
    return image


def ijkToRas(volume):
    """Return the matrix from the indices (i, j, k) of a volume's array, which begin at 0, to RAS (mm), as a vtkMatrix4x4 of its own.

    That is the volume's IJK-to-RAS matrix, moved to the first voxel where the extent of the image does not begin at 0.
    """
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image = volume.GetImageData()
    if image is not None:
        moveOrigin(matrix, image.GetExtent()[::2])
    return matrix


def moveOrigin(matrix, ijk) -> None:
    """Let an IJK-to-RAS matrix begin to count at the voxel (i, j, k)."""
    origin = matrix.MultiplyPoint((*map(float, ijk), 1.0))
    for axis in range(3):
        matrix.SetElement(axis, 3, origin[axis])


def browserOf(sequenceNode):
    """Return the first sequence browser that shows a sequence node, or None."""
    for browser in nodesOfClass(sequenceNode.GetScene(), "vtkMRMLSequenceBrowserNode"):
        if browser.IsSynchronizedSequenceNodeID(sequenceNode.GetID(), True):
            return browser
    return None


def sequenceOf(volume):
    """Return the sequence node of which a volume node shows the current frame, or None."""
    if volume is None or volume.GetScene() is None:
        return None
    for browser in nodesOfClass(volume.GetScene(), "vtkMRMLSequenceBrowserNode"):
        sequence = browser.GetSequenceNode(volume)
        if sequence is not None:
            return sequence
    return None


def metalBox(mask: numpy.ndarray) -> tuple[slice, slice, slice]:
    """Return the bounding box (slices, rows, columns) of what is True in a mask; of an empty one its first voxel."""
    box = []
    for axis in range(3):
        occupied = numpy.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 1))
    return tuple(box)


def setHiddenColors(node, colors) -> None:
    """Let a color table node hold these (red, green, blue, opacity); no list shows it, and it is not saved with the scene."""
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetTypeToUser()
    node.SetNumberOfColors(len(colors))
    for index, color in enumerate(colors):
        node.SetColor(index, f"{index}", *color)


def transformBetween(node, otherNode):
    """Return the vtkGeneralTransform from one node's own coordinates to another's; None where both have one parent transform."""
    source, target = node.GetParentTransformNode(), otherNode.GetParentTransformNode()
    if source is target:
        return None
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return transform


def uniqueName(scene, name: str) -> str:
    """Return the name, or where a node has it already, the name with the first free number."""
    taken = {scene.GetNthNode(index).GetName() for index in range(scene.GetNumberOfNodes())}
    unique, number = name, 1
    while unique in taken:
        unique, number = f"{name} {number + 1}", number + 1
    return unique


def copyDisplay(inputVolume, corrected) -> None:
    """Show the new volume as the input is shown: same window, level, color and display threshold."""
    corrected.CreateDefaultDisplayNodes()
    source, display = inputVolume.GetDisplayNode(), corrected.GetDisplayNode()
    if source is None or display is None or not source.IsA("vtkMRMLScalarVolumeDisplayNode"):
        return
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(source.GetWindow(), source.GetLevel())
    if source.GetColorNodeID():
        display.SetAndObserveColorNodeID(source.GetColorNodeID())
    display.SetInterpolate(source.GetInterpolate())
    display.SetAutoThreshold(False)
    display.SetThreshold(source.GetLowerThreshold(), source.GetUpperThreshold())
    display.SetApplyThreshold(source.GetApplyThreshold())


def placeBeside(inputVolume, node) -> None:
    """Make the node a sibling of the input in subject hierarchy, in the same study, where the input has an item."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(inputVolume.GetScene())
    if hierarchy is None:
        return
    inputItem = hierarchy.GetItemByDataNode(inputVolume)
    if not inputItem:
        return
    parentItem = hierarchy.GetItemParent(inputItem)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parentItem)
    else:
        hierarchy.CreateItem(parentItem, node)


def removeWithDisplay(node) -> None:
    """Remove a node, its display nodes and its storage node from its scene; nothing where it has left that already."""
    scene = node.GetScene()
    if scene is None:
        return
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for helper in helpers:
        if helper is not None and helper.GetScene() is scene:
            scene.RemoveNode(helper)
