"""Slicer's Segment Editor inside the panel, with a parameter node of its own."""

import slicer

from .section import Section

SINGLETON_TAG = "SSLMAR"
UNDO_STATES = 10


class EditorSection(Section):
    """The editor is made when it is opened for the first time: making it with the panel would slow the module's start.

    It reacts to the slice views only while it is open: not when the panel is left, a correction runs, no segmentation
    is chosen or the scene closes.
    """

    def setup(self):
        self.editor = None
        self._active = False
        self._layers = []
        self.ui.editorCollapsibleButton.contentsCollapsed.connect(self._onCollapsed)

    def update(self):
        parameters = self.parameters
        segmentation = parameters.metalSegmentation if parameters is not None else None
        usable = segmentation is not None and not self.panel.isRunning
        self.ui.editorCollapsibleButton.enabled = usable
        self.ui.editorCollapsibleButton.visible = segmentation is not None
        if not usable or self.ui.editorCollapsibleButton.collapsed:
            self._deactivate()
        else:
            self._activate(segmentation, parameters.inputVolume)

    def release(self):
        super().release()
        self._deactivate()
        if self.editor is not None:
            self.editor.setSegmentationNode(None)

    def saveUndoState(self):
        """Let the editor's Undo bring back the segmentation as it is now; nothing where the editor was never opened."""
        if self.editor is not None and self.editor.segmentationNode() is not None:
            self.editor.saveStateForUndo()

    def _onCollapsed(self, collapsed):
        self.update()

    def _activate(self, segmentation, volume):
        if self.editor is None:
            self._makeEditor()
        from SSLMARLib.slicer_logic.views import Layers, compositeNodes

        node = _editorNode()
        if self.editor.mrmlSegmentEditorNode() is not node:
            self.editor.setMRMLSegmentEditorNode(node)
        if self.editor.segmentationNode() is not segmentation:
            self.editor.setSegmentationNode(segmentation)
        if not self._active:
            self._layers = [Layers.of(composite) for composite in compositeNodes(slicer.mrmlScene)]
        if volume is not None and self.editor.sourceVolumeNode() is not volume:
            self.editor.setSourceVolumeNode(volume)  # which the application then shows in all views
        if not self._active:
            self._active = True
            self.editor.setupViewObservations()
            self.editor.installKeyboardShortcuts()

    def _deactivate(self):
        if self._active:
            self._active = False
            self.editor.setActiveEffect(None)
            self.editor.uninstallKeyboardShortcuts()
            self.editor.removeViewObservations()
            self._giveViewsBack()

    def _giveViewsBack(self):
        """Let the views that still show the editor's volume show what they did before it was opened."""
        layers, self._layers = self._layers, []
        volume = self.editor.sourceVolumeNode()
        for before in layers:
            composite = slicer.mrmlScene.GetNodeByID(before.compositeId)
            if composite is not None and volume is not None and composite.GetBackgroundVolumeID() == volume.GetID():
                before.giveBack(slicer.mrmlScene, volume)

    def _makeEditor(self):
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMaximumNumberOfUndoStates(UNDO_STATES)
        editor.setSegmentationNodeSelectorVisible(False)
        editor.setSourceVolumeNodeSelectorVisible(False)
        editor.setSwitchToSegmentationsButtonVisible(False)
        # The node comes before the scene, so that the choices that the editor makes by itself go into it.
        editor.setMRMLSegmentEditorNode(_editorNode())
        editor.setMRMLScene(slicer.mrmlScene)
        self.ui.editorCollapsibleButton.layout().addWidget(editor)
        self.editor = editor


def _editorNode():
    """Return the module's own parameter node of the editor: that of the Segment Editor module stays as it is."""
    node = slicer.mrmlScene.GetSingletonNode(SINGLETON_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(SINGLETON_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
