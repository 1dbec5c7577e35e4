"""What the right-click menu of a result has in Slicer's data tree: the panel is set as for that result.

Slicer loads this file by its path and looks for the class of its name, so nothing beside it can be imported.
"""

import qt
import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin
from slicer.i18n import tr as _


class SSLMARSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """Owns no items; adds one action to the menu of volumes that this module made."""

    filePath = __file__

    def __init__(self, scriptedPlugin):
        scriptedPlugin.name = "SSLMAR"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.setPanelAction = qt.QAction(_("Set MAR panel as for this result"), scriptedPlugin)
        self.setPanelAction.triggered.connect(self.onSetPanel)

    def itemContextMenuActions(self):
        return [self.setPanelAction]

    def showContextMenuActionsForItem(self, itemID):
        """Slicer has hidden every action before it asks."""
        if self._resultOf(itemID) is not None:
            self.setPanelAction.visible = True

    def onSetPanel(self, *_ignored):
        result = self._resultOf(slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem())
        if result is not None:
            slicer.util.selectModule("SSLMAR")
            slicer.util.getModuleWidget("SSLMAR").setPanelAsFor(result)

    def _resultOf(self, itemID):
        hierarchy = slicer.qSlicerSubjectHierarchyPluginHandler.instance().subjectHierarchyNode()
        node = hierarchy.GetItemDataNode(itemID) if hierarchy is not None and itemID else None
        isResult = node is not None and node.IsA("vtkMRMLScalarVolumeNode") and node.GetAttribute("SSLMAR.Method") is not None
        return node if isResult else None
