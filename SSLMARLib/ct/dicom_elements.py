"""Which elements of a source's header a derived series changes or leaves out. Every other element, private ones, sequences and the
character set among them, is the source's own. PS3.3 C.7.3.1 (series), C.7.6.1 (image), C.8.2.1 (CT), C.7.6.16 (multi-frame), C.12.1."""

CHANGED = {
    "ImageType": "DERIVED and SECONDARY (PRIMARY in enhanced objects, which allow no other) in place of its first two values",
    "InstanceCreationDate": "when it was written",
    "InstanceCreationTime": "when it was written",
    "SOPClassUID": "CT Image Storage where it was emptied, else kept",
    "SOPInstanceUID": "new",
    "SeriesDate": "when it was written",
    "SeriesTime": "when it was written",
    "ContentDate": "when it was written",
    "ContentTime": "when it was written",
    "SeriesDescription": "the source's, and (MAR: method)",
    "DerivationDescription": "method, version and weights, then the source's",
    "SourceImageSequence": "the source image; in an enhanced object within each frame's Derivation Image Sequence",
    "SourceImageEvidenceSequence": "of an enhanced object: the source's study, series and instance",
    "DerivationCodeSequence": "the source's, and metal artifact reduction",
    "ContributingEquipmentSequence": "the source's, and SSLMAR with its version and the SHA-256 of the weights",
    "SeriesInstanceUID": "new",
    "SeriesNumber": "the source's and 1000",
    "NumberOfFrames": "the frames that are slices of the volume",
    "HighBit": "the highest bit of the values, where they lay above unused bits",
    "SharedFunctionalGroupsSequence": "Frame Type",
    "PerFrameFunctionalGroupsSequence": "Frame Type and Derivation Image Sequence; frames that are no slices of the volume are left out",
    "PixelData": "the new values, as stored values of the source's rescale and depth, not compressed",
}
"""Keyword -> what it becomes."""

REMOVED = {
    "InstanceCreatorUID": "it names the source's program",
    "SeriesDescriptionCodeSequence": "it is the source's description",
    "ConcatenationUID": "each file is an instance of its own",
    "SOPInstanceUIDOfConcatenationSource": "each file is an instance of its own",
    "InConcatenationNumber": "each file is an instance of its own",
    "InConcatenationTotalNumber": "each file is an instance of its own",
    "ConcatenationFrameOffsetNumber": "each file is an instance of its own",
    "SmallestImagePixelValue": "of the source's values",
    "LargestImagePixelValue": "of the source's values",
    "SmallestPixelValueInSeries": "of the source's values",
    "LargestPixelValueInSeries": "of the source's values",
    "SmallestImagePixelValueInPlane": "of the source's values",
    "LargestImagePixelValueInPlane": "of the source's values",
    "PixelDataProviderURL": "where the source's values are",
    "IconImageSequence": "a picture of the source's values",
    "MACParametersSequence": "of signatures of the source",
    "DigitalSignaturesSequence": "they sign the source",
    "DataSetTrailingPadding": "no content",
}
"""Keyword -> why it is left out."""

REMOVED_GROUPS = {
    "0000 to 0006": "messages, the file's own meta information (which is written anew) and directories",
    "7FE0 but for Pixel Data": "other forms of the source's values",
    "6000 to 60FE without Overlay Data": "overlays that lay in unused bits of the source's pixels",
    "gggg,0000": "lengths of groups, which the standard retired",
}
"""Groups of elements, and why they are left out: what `is_of_removed_group` says in code."""


def is_of_removed_group(group: int, element: int, groups_with_overlay: frozenset[int]) -> bool:
    """Whether an element is one of REMOVED_GROUPS; groups_with_overlay: those that hold Overlay Data (60xx,3000)."""
    if group <= 0x0006 or element == 0 or (group == 0x7FE0 and element != 0x0010):
        return True
    return 0x6000 <= group <= 0x60FE and group % 2 == 0 and group not in groups_with_overlay
