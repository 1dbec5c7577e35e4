"""What of Slicer the tests need, without the application: real MRML from the wheel slicer-core, stand-ins for the rest.

    rig = slicer_rig.start()            # once in a process
    rig.clear()                         # a fresh scene
    module = rig.load_module(path)      # a scripted module's file, as Slicer loads it
    widget = rig.open_panel(module)     # its panel, offscreen (needs PySide6)

Real: the scene, the nodes, the module logics, slicer.util. Stand-ins, written for these tests and only as wide as they
need: slicer.app and slicer.modules (scene.py), the qt, ctk and qMRML widgets (widgets.py, on PySide6), and the modules
slicer.ScriptedLoadableModule, .parameterNodeWrapper, .i18n, .packaging (scripted_module.py, parameter_node.py).
"""

from __future__ import annotations

from .rig import Rig

_rig: Rig | None = None


def start() -> Rig:
    """Return the one rig of this process. Raises ImportError where slicer-core is not installed."""
    global _rig
    if _rig is None:
        _rig = Rig()
    return _rig
