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
    "Sequences": "vtkSlicerSequencesLogic",
}


class Module:
    """What slicer.modules.<name> gives: the logic, and the file of a scripted module."""

    def __init__(self, logic=None, path=None):
        self._logic, self.path = logic, path

    def logic(self):
        return self._logic


class LayoutManager:
    """slicer.app.layoutManager(): real layout, slice and composite nodes of the views Red, Green and Yellow; nothing is drawn.

    Which views a layout shows is read from its real description, as the application's factories do.
    """

    def __init__(self, scene):
        self._scene = scene
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._slice_logics = []
        self.open()

    def layoutLogic(self):
        return self._logic

    def mrmlSliceLogics(self):
        logics = vtk.vtkCollection()
        for logic in self._slice_logics:
            logics.AddItem(logic)
        return logics

    def open(self):
        """The views as they are when the application starts."""
        self._logic.SetMRMLScene(self._scene)
        node = self._logic.GetLayoutNode()
        node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        for slice_node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLScene(self._scene)
            logic.SetSliceNode(slice_node)
            self._slice_logics.append(logic)
        self._observed = node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *arguments: self._map_views())
        self._map_views()

    def close(self):
        """No logic may follow the scene when its singletons go."""
        node, tag = self._observed
        node.RemoveObserver(tag)
        self._observed = None
        while self._slice_logics:
            logic = self._slice_logics.pop()
            logic.SetSliceNode(None)
            logic.SetMRMLScene(None)
        self._logic.SetMRMLScene(None)

    def _map_views(self):
        description = self._logic.GetLayoutNode().GetCurrentLayoutDescription() or ""
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            node.SetMappedInLayout(f'singletontag="{node.GetLayoutName()}"' in description)


class Signal:
    """A signal of slicer.app."""

    def __init__(self):
        self._slots = []

    def connect(self, slot):
        self._slots.append(slot)

    def emit(self):
        for slot in self._slots:
            slot()


class Settings:
    """A QSettings that no file keeps."""

    def __init__(self):
        self._values = {}

    def value(self, key, default=None):
        return self._values.get(key, default)

    def setValue(self, key, value):
        self._values[key] = value

    def clear(self):
        self._values.clear()


class Application:
    """slicer.app, as far as slicer.util and SSLMAR ask it. It says that it is testing, so no pop-up is ever shown."""

    applicationName = "Slicer"
    temporaryPath = tempfile.gettempdir()

    def __init__(self, scene, logic):
        self._scene, self._logic = scene, logic
        self.process_events = lambda: None
        self.startupCompleted = Signal()
        self.settings = Settings()
        self.layout_manager = None  # as without a main window; Rig.open_views() makes one

    def mrmlScene(self):
        return self._scene

    def applicationLogic(self):
        return self._logic

    def testingEnabled(self):
        return True

    def topLevelWidgets(self):
        return []  # no main window

    def processEvents(self):
        self.process_events()

    def userSettings(self):
        return self.settings

    def layoutManager(self):
        return self.layout_manager


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


def open_views() -> LayoutManager:
    """Give the application slice views and a layout, in the current scene, and return the layout manager."""
    slicer.app.layout_manager = LayoutManager(slicer.mrmlScene)
    return slicer.app.layout_manager


def close_views() -> None:
    """Before the scene is cleared."""
    if slicer.app.layout_manager is not None:
        slicer.app.layout_manager.close()
        slicer.app.layout_manager = None
