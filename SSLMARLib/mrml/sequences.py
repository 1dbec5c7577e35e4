"""Corrections of a sequence of volumes (4D), frame by frame."""

from __future__ import annotations


def prepareSequenceCorrection(sequenceNode, metalSegmentation=None, segmentIDs=None, method="nmar", thresholdHu=2000.0, **options):
    """As `prepareCorrection`, for all frames of a sequence node: compute(), then addToScene() gives the new sequence node."""
    raise NotImplementedError


def processSequence(
    sequenceNode,
    metalSegmentation=None,
    segmentIDs=None,
    method="nmar",
    thresholdHu=2000.0,
    *,
    progress=None,
    isCancelled=None,
    **options,
):
    """As `process`, for all frames of a sequence node; returns the new sequence node."""
    raise NotImplementedError
