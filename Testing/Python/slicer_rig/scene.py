"""A real MRML scene, the real logics of the modules that SSLMAR touches, and the little that stands for slicer.app."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace

import slicer
import slicer.util
import vtk

MODULE_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


class Module:
    """What slicer.modules.<name> gives: the logic, and the file of a scripted module."""

    def __init__(self, logic=None, path=None):
        self._logic, self.path = logic, path

    def logic(self):
        return self._logic


class Application:
    """slicer.app, as far as slicer.util and SSLMAR ask it. It says that it is testing, so no pop-up is ever shown."""

    applicationName = "Slicer"
    temporaryPath = tempfile.gettempdir()

    def __init__(self, scene, logic):
        self._scene, self._logic = scene, logic
        self.process_events = lambda: None

    def mrmlScene(self):
        return self._scene

    def applicationLogic(self):
        return self._logic

    def testingEnabled(self):
        return True

    def processEvents(self):
        self.process_events()

    def layoutManager(self):
        return None


class SubjectHierarchyPlugins:
    """In the application Qt plugins put each displayable node under subject hierarchy; here this does, when enabled."""

    def __init__(self, scene):
        self.enabled = True
        self._scene = scene

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_node_added(caller, event, node):
            if self.enabled and node.IsA("vtkMRMLDisplayableNode") and not node.GetHideFromEditors():
                hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
                if not hierarchy.GetItemByDataNode(node):
                    hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_node_added)


def start_scene():
    """Publish slicer.mrmlScene, slicer.app and slicer.modules; return (scene, subject hierarchy plugins)."""
    scene = slicer.vtkMRMLScene()
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    application_logic.GetColorLogic().SetMRMLScene(scene)
    application_logic.GetColorLogic().AddDefaultColorNodes()
    application_logic.SetModuleLogic("Colors", application_logic.GetColorLogic())
    slicer.mrmlScene = scene
    slicer.app = Application(scene, application_logic)
    slicer.modules = SimpleNamespace()
    for name, class_name in MODULE_LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        setattr(slicer.modules, name.lower(), Module(logic))
    return scene, SubjectHierarchyPlugins(scene)
