"""A stand-in for slicer.parameterNodeWrapper: typed properties on a vtkMRMLScriptedModuleNode, bound to widgets.

As in Slicer: defaults are written at once, nodes are kept as node references, WithinRange refuses values outside, a
widget takes part by its property SlicerParameterName, and one that cannot show its parameter is an error.
"""

from __future__ import annotations

import typing
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
        self.name, self.default = name, default
        self.type = typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
        self.validators = getattr(annotation, "__metadata__", ())
        self.is_node = issubclass(self.type, slicer.vtkMRMLNode)
        assert self.is_node or self.type in (str, int, float, bool), f"the stand-in knows no {self.type}"

    def is_in(self, node):
        return self.is_node or self.name in node.GetParameterNames()

    def read(self, node):
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return text == "True" if self.type is bool else self.type(text)

    def write(self, node, value):
        for validator in self.validators:
            validator.check(value)
        if self.is_node:
            if value is not None and not isinstance(value, self.type):
                raise TypeError(f"{self.name} takes a {self.type.__name__}, not {value!r}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            node.Modified()
        else:
            if not isinstance(value, self.type):
                raise TypeError(f"{self.name} takes a {self.type.__name__}, not {value!r}")
            node.SetParameter(self.name, str(value))


class _Binding:
    """One widget bound to one parameter."""

    def __init__(self, wrapper, parameter, widget):
        self.wrapper, self.parameter, self.widget = wrapper, parameter, widget
        kind = type(widget).__name__
        if kind == "qMRMLNodeComboBox" and parameter.is_node:
            self.read, self.show, self.changed = widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged
        elif kind == "ctkSliderWidget" and parameter.type is float:
            self.read, self.show, self.changed = widget.get_value, widget.set_value, widget.valueChanged
            for limits in parameter.validators:
                widget.set_range(limits.minimum, limits.maximum)
        else:
            raise RuntimeError(f"No connector from {parameter.type} ({parameter.name}) to a {kind}")
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
        parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._update_widgets)

    def connectGui(self, ui):
        self._tag += 1
        bindings = self._bindings[self._tag] = []
        for widget in vars(ui).values():
            name = widget.property("SlicerParameterName")
            if name:
                if name not in self.parameters:
                    raise ValueError(f"Cannot find a param with the given name: {name}")
                bindings.append(_Binding(self, self.parameters[name], widget))
        self._update_widgets()
        return self._tag

    def disconnectGui(self, tag):
        for binding in self._bindings.pop(tag, ()):
            binding.disconnect()

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
    for name, parameter in parameters.items():
        content[name] = property(
            lambda self, parameter=parameter: parameter.read(self.parameterNode),
            lambda self, value, parameter=parameter: parameter.write(self.parameterNode, value),
        )
    return type(described.__name__, (_Wrapper,), content)


def publish() -> None:
    publish_module(
        "parameterNodeWrapper", {"parameterNodeWrapper": parameterNodeWrapper, "WithinRange": WithinRange}
    )
