"""Stand-ins for slicer.ScriptedLoadableModule, slicer.i18n and slicer.packaging."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import types
import unittest
from pathlib import Path

import slicer
import slicer.util


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def setup(self):
        pass

    def resourcePath(self, filename):
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def onReload(self):
        """Run the module's file again, then clean this widget up; in Slicer a new widget takes its place."""
        path = slicer.util.modulePath(self.moduleName)
        specification = importlib.util.spec_from_file_location(self.moduleName, path)
        sys.modules[self.moduleName] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[self.moduleName])
        self.cleanup()


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node = scene.AddNode(node)
        node.SetModuleName(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message, msec=0):
        pass


class Packaging:
    """slicer.packaging whose installs are recorded, not done: what is installed no longer counts as missing.

    missing: names of packages that count as not installed. declined: the user says no. failure: raised by an install.
    installed: what was asked for. constraints: the lines of the constraints file meanwhile. busy: another install runs.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        self.missing: set[str] = set()
        self.declined = False
        self.failure: Exception | None = None
        self.installed: list[str] = []
        self.constraints: list[str] = []
        self.busy = False

    def load_requirements(self, path):
        from packaging.requirements import Requirement

        lines = (line.strip() for line in Path(path).read_text().splitlines())
        return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]

    def pip_check(self, requirement):
        from packaging.requirements import Requirement

        requirement = Requirement(requirement) if isinstance(requirement, str) else requirement
        if requirement.name in self.missing:
            return False
        try:
            return requirement.specifier.contains(importlib.metadata.version(requirement.name))
        except importlib.metadata.PackageNotFoundError:
            return False

    def pip_ensure(self, requirements, constraints=None, prompt_install=True, requester=None, skip_in_testing=True):
        from packaging.requirements import Requirement

        for requirement in requirements:
            if not self.pip_check(requirement):
                if self.declined and prompt_install:
                    raise RuntimeError("User declined package installation")
                if self.failure is not None:
                    raise self.failure
                self.constraints = Path(constraints).read_text().split() if constraints is not None else []
                self.installed.append(str(requirement))
                self.missing.discard(Requirement(str(requirement)).name)

    def isPipInstallInProgress(self):
        return self.busy


def publish(packaging: Packaging) -> None:
    """Make the stand-ins importable as slicer.<name>."""
    translation = {"tr": lambda text, *context: text, "translate": lambda context, text: text}
    classes = (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest)
    publish_module("i18n", translation)
    publish_module("ScriptedLoadableModule", {base.__name__: base for base in classes})
    names = ("load_requirements", "pip_check", "pip_ensure", "isPipInstallInProgress")
    publish_module("packaging", {name: getattr(packaging, name) for name in names})


def publish_module(name: str, content: dict) -> None:
    module = types.ModuleType(f"slicer.{name}")
    module.__dict__.update(content)
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)
