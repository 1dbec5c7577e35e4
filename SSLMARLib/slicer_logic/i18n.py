"""Slicer's translation of the sentences that users read; without Slicer's module for it they stay as they are."""

try:
    from slicer.i18n import tr as _
except ImportError:  # a scene without the application

    def _(text: str) -> str:
        return text


__all__ = ["_"]
