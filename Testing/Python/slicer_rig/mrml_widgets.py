"""Stand-ins for the qMRML widgets, on PySide6: they show the real nodes of the scene, with Slicer's names."""

from __future__ import annotations

import slicer
import slicer.util
import vtk
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Signal
from vtk.util import numpy_support


def _stored(kind, name):
    """A Qt property kept in an attribute."""
    return Property(kind, lambda self: getattr(self, name), lambda self, value: setattr(self, name, value))


class qMRMLWidget(QtWidgets.QWidget):
    def setMRMLScene(self, scene):
        for child in self.findChildren(QtWidgets.QWidget):
            if isinstance(child, qMRMLNodeComboBox):
                child.setMRMLScene(scene)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of its types, those hidden from editors aside, and follows nodes that come and go."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._types, self._scene, self._none, self._none_display, self._subclasses = [], None, False, "None", True
        self._add, self._remove, self._observers, self._attributes = True, True, [], []
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(lambda index: self.currentNodeChanged.emit(self.currentNode()))

    nodeTypes = _stored("QStringList", "_types")
    noneEnabled = _stored(bool, "_none")
    noneDisplay = _stored(str, "_none_display")
    showChildNodeTypes = _stored(bool, "_subclasses")
    addEnabled = _stored(bool, "_add")
    removeEnabled = _stored(bool, "_remove")

    def addAttribute(self, nodeType, attributeName, attributeValue=None):
        """List only nodes of that type that have the attribute (with that value, where one is given)."""
        self._attributes.append((nodeType, attributeName, attributeValue))
        self._refresh()

    def setMRMLScene(self, scene):
        """Follow a scene, or None."""
        if scene is not self._scene:
            for tag in self._observers:
                self._scene.RemoveObserver(tag)
            self._scene, self._observers = scene, []
            if scene is not None:
                events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
                self._observers = [scene.AddObserver(event, lambda *_: self._refresh()) for event in events]
                self._refresh()

    def currentNode(self):
        return self._scene.GetNodeByID(self.currentData()) if self._scene is not None and self.currentData() else None

    def setCurrentNode(self, node):
        self._refresh(keep=node.GetID() if node is not None else "")

    def showPopup(self):
        self._refresh()
        super().showPopup()

    def _lists(self, node):
        for node_type, name, value in self._attributes:
            if node.IsA(node_type) and (not node.GetAttribute(name) or value not in (None, node.GetAttribute(name))):
                return False
        return not node.GetHideFromEditors()

    def _refresh(self, keep=None):
        before = self.currentData()
        keep = before if keep is None else keep
        self.blockSignals(True)
        self.clear()
        if self._none or not keep:
            self.addItem(self._none_display, "")
        for class_name in self._types if self._scene is not None else ():
            for node in slicer.util.getNodesByClass(class_name, self._scene):
                if (self._subclasses or node.GetClassName() == class_name) and self._lists(node):
                    self.addItem(node.GetName(), node.GetID())
        self.setCurrentIndex(max(0, self.findData(keep)))
        self.blockSignals(False)
        if (self.currentData() or "") != (before or ""):
            self.currentNodeChanged.emit(self.currentNode())


class qMRMLTableView(QtWidgets.QTableView):
    """Shows a table node and follows it."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node = self._observer = None
        self.setModel(QtGui.QStandardItemModel(self))

    def mrmlTableNode(self):
        return self._node

    def setMRMLTableNode(self, node):
        if self._node is not None:
            self._node.RemoveObserver(self._observer)
        self._node = node
        if node is not None:
            self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._refresh())
        self._refresh()

    def _refresh(self):
        table, model = self._node.GetTable() if self._node is not None else vtk.vtkTable(), self.model()
        model.clear()
        model.setHorizontalHeaderLabels([table.GetColumnName(column) for column in range(table.GetNumberOfColumns())])
        for row in range(table.GetNumberOfRows()):
            values = [table.GetValue(row, column).ToString() for column in range(table.GetNumberOfColumns())]
            model.appendRow([QtGui.QStandardItem(value) for value in values])


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Keeps its choices in the real vtkMRMLSegmentEditorNode. For tests: observes_views, has_shortcuts, selectors."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node, self._history = None, slicer.vtkSegmentationHistory()
        self.observes_views, self.has_shortcuts = False, False
        self.selectors = {"segmentation": True, "source volume": True, "Segmentations module": True}
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for name in ("Threshold", "Paint", "Erase", "Grow", "Margin", "Islands"):
            tool = QtWidgets.QToolButton(self)
            tool.setText(name)
            layout.addWidget(tool)

    def setMRMLScene(self, scene):
        pass

    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node):
        self._node = node

    def segmentationNode(self):
        return self._node.GetSegmentationNode() if self._node is not None else None

    def setSegmentationNode(self, node):
        if self._node is not None:
            self._node.SetAndObserveSegmentationNode(node)
        self._history.SetSegmentation(node.GetSegmentation() if node is not None else None)

    def sourceVolumeNode(self):
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def setSourceVolumeNode(self, node):
        """As in the application, all slice views show it then."""
        if self._node is not None:
            self._node.SetAndObserveSourceVolumeNode(node)
            slicer.util.setSliceViewerLayers(background=node)

    def setActiveEffectByName(self, effectName):
        self._node.SetActiveEffectName(effectName)

    def setActiveEffect(self, effect):
        assert effect is None, "the stand-in has no effects of its own"
        if self._node is not None:
            self._node.SetActiveEffectName("")

    def updateWidgetFromMRML(self):
        pass

    def setupViewObservations(self):
        self.observes_views = True

    def removeViewObservations(self):
        self.observes_views = False

    def installKeyboardShortcuts(self, parent=None):
        self.has_shortcuts = True

    def uninstallKeyboardShortcuts(self):
        self.has_shortcuts = False

    def setMaximumNumberOfUndoStates(self, states):
        self._history.SetMaximumNumberOfStates(states)

    def saveStateForUndo(self):
        self._history.SaveState()

    def undo(self):
        self._history.RestorePreviousState()

    def setSegmentationNodeSelectorVisible(self, visible):
        self.selectors["segmentation"] = visible

    def setSourceVolumeNodeSelectorVisible(self, visible):
        self.selectors["source volume"] = visible

    def setSwitchToSegmentationsButtonVisible(self, visible):
        self.selectors["Segmentations module"] = visible


class qMRMLUtils:
    """As the application's: rows of a vtkImageData of colors begin at the bottom, those of a QImage at the top."""

    def vtkImageDataToQImage(self, image, picture):
        width, height, _ = image.GetDimensions()
        colors = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        if colors.dtype != "uint8" or colors.shape[1:] != (3,):
            return False
        rows = colors.reshape(height, width, 3)[::-1].tobytes()
        picture.swap(QtGui.QImage(rows, width, height, 3 * width, QtGui.QImage.Format_RGB888).copy())
        return True


MRML_WIDGETS = (qMRMLWidget, qMRMLNodeComboBox, qMRMLTableView, qMRMLSegmentEditorWidget)
