"""What the sections of the panel have in common."""

import qt
from slicer.util import VTKObservationMixin

NOTICE_SIGN = "\u26a0"  # before what the user should know about the data


class Section(VTKObservationMixin):
    """One part of the panel: shows the parameter node and writes into it what the user chooses.

    panel: the module's widget, with its ui, logic, parameterNode, isRunning, showStatus and showError.
    """

    def __init__(self, panel):
        super().__init__()
        self.panel, self.ui, self.logic = panel, panel.ui, panel.logic
        self.setup()

    @property
    def parameters(self):
        """The parameter node, or None while no scene is open."""
        return self.panel.parameterNode

    def setup(self):
        """Connect the widgets; called once."""

    def update(self):
        """Show the parameter node, or that there is none. Quick, as it is called whenever that or a node changes."""

    def release(self):
        """The panel is left, or the scene goes away: let go of nodes and views."""
        self.follow()

    def cleanup(self):
        """The module is unloaded or reloaded: nothing may stay behind."""
        self.release()
        self.removeObservers()

    def follow(self, *nodesAndEvents):
        """Update the panel on these (node, event) pairs, and on no others any more; a node may be None."""
        self.followWith(self._onFollowed, *nodesAndEvents)

    def followWith(self, function, *nodesAndEvents):
        """Call a function on these (node, event) pairs, and on no others any more; a node may be None."""
        self.removeObservers(function)
        for node, event in nodesAndEvents:
            if node is not None and not self.hasObserver(node, event, function):
                self.addObserver(node, event, function)

    def _onFollowed(self, caller, event):
        self.panel.updatePanel()


class DelayedCall:
    """Calls a function once, a moment after the last request: for what is too slow for each step of a slider."""

    def __init__(self, function, milliseconds):
        self._function = function
        self._timer = qt.QTimer()
        self._timer.interval = milliseconds
        self._timer.timeout.connect(self._onTimeout)

    @property
    def waiting(self):
        return self._timer.active

    def request(self):
        self._timer.start()

    def cancel(self):
        self._timer.stop()

    def _onTimeout(self):
        self._timer.stop()
        self._function()


class NamedChoices:
    """A combo box whose items have names for the parameter node beside the titles that users read."""

    def __init__(self, comboBox, onChosen):
        """onChosen(name) is called when the user chooses."""
        self._comboBox, self._onChosen, self.names = comboBox, onChosen, []
        comboBox.currentIndexChanged.connect(self._onIndexChanged)

    def add(self, name, title, toolTip=""):
        self.names.append(name)
        self._comboBox.addItem(title)
        self._comboBox.setItemData(len(self.names) - 1, toolTip, qt.Qt.ToolTipRole)

    def clear(self):
        self.names = []
        self._comboBox.clear()

    def setTitle(self, name, title):
        self._comboBox.setItemText(self.names.index(name), title)

    def show(self, name):
        """Show a name as chosen; nothing where it is not among the items."""
        self._comboBox.currentIndex = self.names.index(name) if name in self.names else -1

    def _onIndexChanged(self, *_):
        index = self._comboBox.currentIndex
        if 0 <= index < len(self.names):
            self._onChosen(self.names[index])
