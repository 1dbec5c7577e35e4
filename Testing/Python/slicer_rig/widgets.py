"""Stand-ins for PythonQt: the modules qt and ctk, and the qMRML widgets, on PySide6 and offscreen.

A module under test and its tests write PythonQt's way (widget.enabled = True, widget.text): `use_pythonqt_properties`
switches that on for a module from outside, by PySide6's feature "true_property". This file uses plain Qt methods.
"""

from __future__ import annotations

import os
import sys
import types
import xml.etree.ElementTree as ElementTree

import slicer
import slicer.util

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets  # noqa: E402
from PySide6.QtCore import Property, Qt, Signal  # noqa: E402

PLAIN_METHODS, TRUE_PROPERTY, IGNORED = 0x00, 0x02, -1  # PySide6's selections of features


def _stored(kind, name):
    """A Qt property kept in an attribute."""
    return Property(kind, lambda self: getattr(self, name), lambda self, value: setattr(self, name, value))


class ctkCollapsibleButton(QtWidgets.QGroupBox):
    text = Property(str, QtWidgets.QGroupBox.title, QtWidgets.QGroupBox.setTitle)
    collapsed = Property(bool, lambda self: self._collapsed, lambda self, on: self._collapse(on))

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsed = False

    def _collapse(self, on):
        self._collapsed = on
        for child in self.findChildren(QtWidgets.QWidget, options=Qt.FindDirectChildrenOnly):
            child.setVisible(not on)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a spin box; the spin box holds the value."""

    valueChanged = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider, self._box = QtWidgets.QSlider(Qt.Horizontal, self), QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._slider.valueChanged.connect(lambda step: self._box.setValue(self._box.minimum() + step))
        self._box.valueChanged.connect(self._follow)

    def _follow(self, value):
        self._slider.blockSignals(True)
        self._slider.setRange(0, round(self._box.maximum() - self._box.minimum()))
        self._slider.setValue(round(value - self._box.minimum()))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def get_value(self):
        return self._box.value()

    def set_value(self, value):
        self._box.setValue(value)

    def set_range(self, minimum, maximum):
        self._box.setRange(minimum, maximum)
        self._follow(self._box.value())

    value = Property(float, get_value, set_value)
    minimum = Property(float, lambda self: self._box.minimum(), lambda self, value: self._box.setMinimum(value))
    maximum = Property(float, lambda self: self._box.maximum(), lambda self, value: self._box.setMaximum(value))
    singleStep = Property(float, lambda self: self._box.singleStep(), lambda self, step: self._box.setSingleStep(step))
    decimals = Property(int, lambda self: self._box.decimals(), lambda self, count: self._box.setDecimals(count))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, text: self._box.setSuffix(text))


class qMRMLWidget(QtWidgets.QWidget):
    def setMRMLScene(self, scene):
        for child in self.findChildren(QtWidgets.QWidget):
            if isinstance(child, qMRMLNodeComboBox):
                child.setMRMLScene(scene)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of its types and follows nodes that come and go."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._types, self._scene, self._none, self._none_display, self._subclasses = [], None, False, "None", True
        self._add, self._remove, self._observers = True, True, []
        self.currentIndexChanged.connect(lambda index: self.currentNodeChanged.emit(self.currentNode()))

    nodeTypes = _stored("QStringList", "_types")
    noneEnabled = _stored(bool, "_none")
    noneDisplay = _stored(str, "_none_display")
    showChildNodeTypes = _stored(bool, "_subclasses")
    addEnabled = _stored(bool, "_add")
    removeEnabled = _stored(bool, "_remove")

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

    def _refresh(self, keep=None):
        before = self.currentData()
        keep = before if keep is None else keep
        self.blockSignals(True)
        self.clear()
        if self._none or not keep:
            self.addItem(self._none_display, "")
        for class_name in self._types:
            for node in slicer.util.getNodesByClass(class_name, self._scene):
                if self._subclasses or node.GetClassName() == class_name:
                    self.addItem(node.GetName(), node.GetID())
        self.setCurrentIndex(max(0, self.findData(keep)))
        self.blockSignals(False)
        if (self.currentData() or "") != (before or ""):
            self.currentNodeChanged.emit(self.currentNode())


CUSTOM_WIDGETS = (ctkCollapsibleButton, ctkSliderWidget, qMRMLWidget, qMRMLNodeComboBox)


def load_ui(path):
    """slicer.util.loadUI, without the connections of C++ signals: setMRMLScene does their work here."""
    tree = ElementTree.parse(path).getroot()
    for connections in tree.findall("connections"):
        tree.remove(connections)
    loader = QtUiTools.QUiLoader()
    for custom in CUSTOM_WIDGETS:
        loader.registerCustomWidget(custom)
    buffer = QtCore.QBuffer()
    buffer.setData(ElementTree.tostring(tree))
    buffer.open(QtCore.QBuffer.ReadOnly)
    widget = loader.load(buffer)
    if widget is None:
        raise RuntimeError(f"Could not load UI file: {path}: {loader.errorString()}")
    return widget


def child_widget_variables(widget):
    """slicer.util.childWidgetVariables: every named child as an attribute."""
    ui = types.SimpleNamespace()
    for child in widget.findChildren(QtWidgets.QWidget):
        if child.objectName() and not child.objectName().startswith("qt_"):
            setattr(ui, child.objectName(), child)
    return ui


def make_panel_parent(scene):
    """The widget that Slicer gives to a module's panel."""
    parent = qMRMLWidget()
    parent.setLayout(QtWidgets.QVBoxLayout())
    parent.isEntered = False
    parent.setMRMLScene(scene)
    return parent


def use_pythonqt_properties(module_name: str) -> None:
    """Let the code of that Python module read and write Qt properties as attributes, as PythonQt does.

    PySide6 then looks at the caller of each attribute. It knows only modules that were named to it, and goes on in the
    last one's style for all others: so this file, which uses methods, names itself too.
    """
    from shibokensupport import feature

    for name in list(sys.modules):  # else PySide6 reads the source of each, and stumbles over modules without one
        feature.pyside_feature_dict.setdefault(name, IGNORED)
    feature.set_selection(PLAIN_METHODS, __name__)
    feature.set_selection(TRUE_PROPERTY, module_name)


def publish():
    """Make qt, ctk and the slicer.qMRML* widgets importable; return the QApplication."""
    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for source in (QtCore, QtGui, QtWidgets, QtUiTools):
        qt.__dict__.update({name: getattr(source, name) for name in dir(source) if name.startswith("Q")})
    for custom in CUSTOM_WIDGETS:
        setattr(ctk if custom.__name__.startswith("ctk") else slicer, custom.__name__, custom)
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    slicer.util.loadUI = load_ui
    slicer.util.childWidgetVariables = child_widget_variables
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["SSLMAR tests"])
