"""Stand-ins for PythonQt: the modules qt and ctk on PySide6 and offscreen, and how a .ui file and a module meet them.

A module under test and its tests write PythonQt's way (widget.enabled = True, widget.text): `use_pythonqt_properties`
switches that on for a module from outside, by PySide6's feature "true_property". This file uses plain Qt methods.
"""

from __future__ import annotations

import ctypes
import os
import sys
import types
import xml.etree.ElementTree as ElementTree

import slicer
import slicer.util

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets  # noqa: E402
from PySide6.QtCore import Property, Qt, Signal  # noqa: E402

from .mrml_widgets import MRML_WIDGETS, qMRMLUtils, qMRMLWidget  # noqa: E402

PLAIN_METHODS, TRUE_PROPERTY, IGNORED = 0x00, 0x02, -1  # PySide6's selections of features


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A header with a title; a click on it hides or shows what is below."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._text, self._collapsed, self._hidden = "", False, []
        self.setContentsMargins(0, self._header_height(), 0, 0)
        self.setMinimumHeight(self._header_height())

    def _header_height(self):
        return self.fontMetrics().height() + 8

    def get_text(self):
        return self._text

    def set_text(self, text):
        self._text = text
        self.update()

    def get_collapsed(self):
        return self._collapsed

    def set_collapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            children = self.findChildren(QtWidgets.QWidget, options=Qt.FindDirectChildrenOnly)
            self._hidden = [child for child in children if not child.isHidden()]
        for child in self._hidden:
            child.setVisible(not collapsed)
        self.setMaximumHeight(self._header_height() if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    text = Property(str, get_text, set_text)
    collapsed = Property(bool, get_collapsed, set_collapsed)

    def childEvent(self, event):
        """As ctk's: what comes into a closed one is hidden, too."""
        super().childEvent(event)
        if self._collapsed and event.polished() and isinstance(event.child(), QtWidgets.QWidget) and not event.child().isHidden():
            self._hidden.append(event.child())
            event.child().setVisible(False)

    def mousePressEvent(self, event):
        if event.position().y() < self._header_height():
            self.set_collapsed(not self._collapsed)

    def paintEvent(self, event):
        header = QtCore.QRect(0, 0, self.width(), self._header_height() - 2)
        painter = QtGui.QPainter(self)
        painter.fillRect(header, self.palette().button().color().darker(108))
        font = self.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(self.palette().buttonText().color())
        mark = "\u25b8" if self._collapsed else "\u25be"
        painter.drawText(header.adjusted(6, 0, 0, 0), Qt.AlignVCenter, f"{mark}  {self._text}")


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
    pageStep = Property(float, lambda self: self._slider.pageStep(), lambda self, step: self._slider.setPageStep(round(step)))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, text: self._box.setSuffix(text))


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line with a path, and a button that would open a dialog."""

    currentPathChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._line, self._filters = QtWidgets.QLineEdit(self), []
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line, 1)
        layout.addWidget(QtWidgets.QToolButton(self))
        self._line.textChanged.connect(self.currentPathChanged)

    def _set_filters(self, filters):
        self._filters = filters

    currentPath = Property(str, lambda self: self._line.text(), lambda self, path: self._line.setText(path))
    nameFilters = Property("QStringList", lambda self: self._filters, _set_filters)


CUSTOM_WIDGETS = (ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget, *MRML_WIDGETS)


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
    last one's style for all others: so the rig's own files, which use methods, are named too.
    """
    from shibokensupport import feature

    for name in list(sys.modules):  # else PySide6 reads the source of each, and stumbles over modules without one
        feature.pyside_feature_dict.setdefault(name, IGNORED)
    for name in (__name__, qMRMLWidget.__module__):
        feature.set_selection(PLAIN_METHODS, name)
    feature.set_selection(TRUE_PROPERTY, module_name)


def keep_constants_alive() -> None:
    """Before Python 3.12: keep None, True, False and NotImplemented from being freed.

    Newer PySide6 (6.12) returns them as if they were immortal, which they are only from Python 3.12 on: their counts of
    references fall with each call, and at 0 the interpreter ends. So they get more than any run can use up.
    """
    if sys.implementation.name == "cpython" and sys.version_info < (3, 12):
        for constant in (None, True, False, NotImplemented):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 30  # the count is an object's first field


def publish():
    """Make qt, ctk and the slicer.qMRML* widgets importable; return the QApplication."""
    keep_constants_alive()
    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for source in (QtCore, QtGui, QtWidgets, QtUiTools):
        qt.__dict__.update({name: getattr(source, name) for name in dir(source) if name.startswith("Q")})
    for custom in CUSTOM_WIDGETS:
        setattr(ctk if custom.__name__.startswith("ctk") else slicer, custom.__name__, custom)
    slicer.qMRMLUtils = qMRMLUtils
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    slicer.util.loadUI = load_ui
    slicer.util.childWidgetVariables = child_widget_variables
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["SSLMAR tests"])


def widget_value(widget, kind):
    """How slicer.parameterNodeWrapper binds a widget to a parameter of a type: (read, show, signal, set the limits).

    Raises RuntimeError for a pair that it cannot bind, as there.
    """
    if kind is bool and type(widget) is QtWidgets.QCheckBox:
        return widget.isChecked, widget.setChecked, widget.stateChanged, None
    if kind is float and type(widget) is QtWidgets.QDoubleSpinBox:
        return widget.value, widget.setValue, widget.valueChanged, widget.setRange
    if kind is float and type(widget) is ctkSliderWidget:
        return widget.get_value, widget.set_value, widget.valueChanged, widget.set_range
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode) and type(widget).__name__ == "qMRMLNodeComboBox":
        return widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged, None
    raise RuntimeError(f"Unable to create GUI connector from datatype '{kind}' to widget type '{type(widget)}'")
