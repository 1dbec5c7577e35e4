"""The rig itself: starts the scene, publishes the stand-ins, loads scripted modules and opens their panels."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import slicer

from . import parameter_node, scripted_module
from .scene import Module, start_scene


class Rig:
    """One real MRML scene in this process. Qt is started only when a panel is opened."""

    def __init__(self):
        self.scene, self.subject_hierarchy_plugins = start_scene()
        self.packaging = scripted_module.Packaging()
        self._application = None
        self._panel_parents = []
        parameter_node.publish()
        scripted_module.publish(self.packaging)

    def clear(self) -> None:
        """Close all panels, empty the scene, singletons too, and put every switch back."""
        while self._panel_parents:
            parent = self._panel_parents.pop()
            parent.setMRMLScene(None)
            parent.deleteLater()
        self.subject_hierarchy_plugins.enabled = True
        self.packaging.reset()
        slicer.app.settings.clear()
        self.scene.Clear(True)
        slicer.app.applicationLogic().GetColorLogic().AddDefaultColorNodes()

    def load_module(self, path: Path):
        """Run the file of a scripted module, as Slicer does when it starts, and return the Python module."""
        self.start_qt()
        name = path.stem
        setattr(slicer.modules, name.lower(), Module(path=str(path)))
        specification = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        self.use_pythonqt_properties(name)
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        for file in sorted(path.parent.glob("*/*.py")):  # packages of the module's own, beside its file
            self.use_pythonqt_properties(f"{file.parent.name}.{file.stem}")
        specification.loader.exec_module(module)
        return module

    def use_pythonqt_properties(self, module_name: str) -> None:
        """Let a Python module (a test, say) write widget.enabled and widget.text, as in Slicer."""
        self.start_qt()
        self._widgets.use_pythonqt_properties(module_name)

    def open_panel(self, module):
        """Make the widget of a loaded module in a parent of its own, as when a user chooses the module."""
        parent = self._widgets.make_panel_parent(self.scene)
        self._panel_parents.append(parent)
        widget = getattr(module, f"{module.__name__}Widget")(parent)
        widget.setup()
        parent.isEntered = True
        widget.enter()
        parent.resize(420, 480)
        parent.show()
        return widget

    def spin(self, until, seconds: float = 10.0) -> None:
        """Let Qt's event loop run until a condition holds; AssertionError when it does not in that many seconds."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"not so after {seconds} s"
            self._application.processEvents()
            time.sleep(0.002)

    def start_qt(self) -> None:
        if self._application is None:
            from . import widgets

            self._widgets = widgets
            self._application = widgets.publish()
            slicer.app.process_events = self._application.processEvents
