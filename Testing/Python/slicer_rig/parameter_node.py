"""A stand-in for slicer.parameterNodeWrapper: typed properties on a vtkMRMLScriptedModuleNode, bound to widgets.

As in Slicer: defaults are written at once, nodes are kept as node references, WithinRange refuses values outside, a
widget takes part by its property SlicerParameterName, and one that cannot show its parameter is an error. As in Slicer
too, a wrapper keeps each value that it has read, nodes included, until the MRML node says that it was modified: a
reference that is found only later, as when a scene is loaded, is seen by a new wrapper alone.
"""

from __future__ import annotations

import json
import typing
import weakref
from dataclasses import dataclass

import slicer
import vtk

from .scripted_module import publish_module


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} to {self.maximum}")


class _Parameter:
    """One parameter of the class: reads and writes the MRML node."""

    def __init__(self, name, annotation, default):
        self.name = name
        self.type = typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
        self.validators = getattr(annotation, "__metadata__", ())
        self.is_node = isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)
        assert self.is_node or self.type in (str, int, float, bool, list[str]), f"the stand-in knows no {self.type}"
        self.default = self.type() if default is None and not self.is_node else default

    def is_in(self, node):
        return self.name in node.GetParameterNames()

    def read(self, node):
        if not self.is_in(node):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.type == list[str]:
            return json.loads(text)
        return text == "True" if self.type is bool else self.type(text)

    def write(self, node, value):
        for validator in self.validators:
            validator.check(value)
        if self.is_node:
            if value is not None and not isinstance(value, self.type):
                raise TypeError(f"{self.name} takes a {self.type.__name__}, not {value!r}")
            node.SetParameter(self.name, "")  # says that there is a value, which may be None
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        elif self.type == list[str]:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise TypeError(f"{self.name} takes a list of str, not {value!r}")
            node.SetParameter(self.name, json.dumps(value))
        else:
            if not isinstance(value, self.type):
                raise TypeError(f"{self.name} takes a {self.type.__name__}, not {value!r}")
            node.SetParameter(self.name, str(value))


class _Cache:
    """The value of one parameter as it was when the node was modified last."""

    def __init__(self, parameter, node):
        self.parameter, self.node = parameter, node
        self.value = parameter.read(node)
        itself = weakref.ref(self)  # else the node would keep its wrapper, and call it while both are taken down
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: itself() and itself().refresh())

    def refresh(self):
        self.value = self.parameter.read(self.node)

    def write(self, value):
        """Observers of the node see the new value."""
        was_modified = self.node.StartModify()
        try:
            self.parameter.write(self.node, value)
            self.refresh()
        finally:
            self.node.EndModify(was_modified)


class _Binding:
    """One widget bound to one parameter."""

    def __init__(self, wrapper, parameter, widget):
        self.wrapper, self.parameter, self.widget = wrapper, parameter, widget
        from .widgets import widget_value

        self.read, self.show, self.changed, set_range = widget_value(widget, parameter.type)
        for limits in parameter.validators:
            set_range(limits.minimum, limits.maximum)
        self.changed.connect(self.on_changed)

    def on_changed(self, *_):
        if not self.wrapper._updating:
            setattr(self.wrapper, self.parameter.name, self.read())

    def disconnect(self):
        self.changed.disconnect(self.on_changed)


class _Wrapper:
    """The methods that a wrapped class gets beside its properties."""

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._bindings, self._updating, self._tag = {}, False, 0
        for parameter in self.parameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)
        self._caches = {name: _Cache(parameter, parameterNode) for name, parameter in self.parameters.items()}
        itself = weakref.ref(self)
        parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: itself() and itself()._update_widgets())

    def connectGui(self, ui):
        """Bind each widget with the property SlicerParameterName. As in Slicer, no tag to disconnect by is returned."""
        widgets = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
        self.connectParametersToGui({name: widget for name, widget in widgets.items() if name})

    def connectParametersToGui(self, mapping):
        """Bind parameters, by name, to widgets; returns the tag for disconnectGui."""
        for name in mapping:
            if name not in self.parameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
        self._tag += 1
        bindings = self._bindings[self._tag] = []
        for name, widget in mapping.items():
            bindings.append(_Binding(self, self.parameters[name], widget))
        self._update_widgets()
        return self._tag

    def disconnectGui(self, tag):
        for binding in self._bindings.pop(tag, ()):
            binding.disconnect()

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified):
        return self.parameterNode.EndModify(was_modified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def _update_widgets(self, *_):
        if self._updating:
            return
        self._updating = True
        try:
            for bindings in self._bindings.values():
                for binding in bindings:
                    binding.show(getattr(self, binding.parameter.name))
        finally:
            self._updating = False


def parameterNodeWrapper(described):
    """Turn a class of annotated defaults into a wrapper of a parameter node."""
    parameters = {
        name: _Parameter(name, annotation, getattr(described, name, None))
        for name, annotation in typing.get_type_hints(described, include_extras=True).items()
    }
    content = {"parameters": parameters, "__doc__": described.__doc__, "__module__": described.__module__}
    for name in parameters:
        content[name] = property(
            lambda self, name=name: self._caches[name].value, lambda self, value, name=name: self._caches[name].write(value)
        )
    return type(described.__name__, (_Wrapper,), content)


def publish() -> None:
    publish_module("parameterNodeWrapper", {"parameterNodeWrapper": parameterNodeWrapper, "WithinRange": WithinRange})
