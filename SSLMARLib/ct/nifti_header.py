"""The headers of NIfTI-1 and NIfTI-2 (nifti1.h, nifti2.h of the standard), and where they place the voxels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy
from scipy.spatial.transform import Rotation

from .volume import CTVolume

VERSIONS = {
    1: numpy.dtype(
        [("sizeof_hdr", "i4"), ("old_1", "V35"), ("dim_info", "u1"), ("dim", "i2", 8), ("intent_p", "f4", 3), ("intent_code", "i2")]
        + [("datatype", "i2"), ("bitpix", "i2"), ("slice_start", "i2"), ("pixdim", "f4", 8), ("vox_offset", "f4"), ("scl_slope", "f4")]
        + [("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "u1"), ("xyzt_units", "u1"), ("times", "f4", 4), ("old_2", "V8")]
        + [("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i2"), ("sform_code", "i2"), ("quatern", "f4", 3)]
        + [("qoffset", "f4", 3), ("srow", "f4", (3, 4)), ("intent_name", "S16"), ("magic", "V4")]
    ),
    2: numpy.dtype(
        [("sizeof_hdr", "i4"), ("magic", "V8"), ("datatype", "i2"), ("bitpix", "i2"), ("dim", "i8", 8), ("intent_p", "f8", 3)]
        + [("pixdim", "f8", 8), ("vox_offset", "i8"), ("scl_slope", "f8"), ("scl_inter", "f8"), ("times", "f8", 4)]
        + [("slice_start", "i8"), ("slice_end", "i8"), ("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i4")]
        + [("sform_code", "i4"), ("quatern", "f8", 3), ("qoffset", "f8", 3), ("srow", "f8", (3, 4)), ("slice_code", "i4")]
        + [("xyzt_units", "i4"), ("intent_code", "i4"), ("intent_name", "S16"), ("dim_info", "u1"), ("unused", "V15")]
    ),
}
MAGIC = {1: b"n+1\0", 2: b"n+2\0\r\n\032\n"}
LPS_FROM_RAS = numpy.diag([-1.0, -1.0, 1.0])
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
MILLIMETERS_AND_SECONDS = 10
SCANNER, SCANNER_OR_ALIGNED = 1, (1, 2)
TEXTS, CODES, FORMS = ("descrip", "aux_file", "intent_name"), ("qform_code", "sform_code"), ("qform", "sform")
VERSION = "nifti_version"
METADATA_KEYS = (*TEXTS, *CODES, *FORMS, VERSION)
KEPT_WITHIN_MM = 1e-3


@dataclass(frozen=True, eq=False)
class Forms:
    """Both placements of a header, in mm, and their codes; a code of 0 means that there is none.

    qform: the quaternion's b, c, d, the offset's x, y, z in RAS, and the sign of the third axis. sform: (3, 4), to RAS.
    spacing_mm: along columns, rows, slices, which the qform needs.
    """

    qform_code: int
    sform_code: int
    qform: numpy.ndarray
    sform: numpy.ndarray
    spacing_mm: numpy.ndarray

    @property
    def uses_sform(self) -> bool:
        """As ITK, and so Slicer, chooses: the sform if it leads to the scanner's coordinates, or is the only one."""
        return self.sform_code == SCANNER or (self.sform_code > 0 and self.qform_code <= 0)

    def matrix(self, of_sform: bool) -> numpy.ndarray:
        """(3, 4): from column, row, slice index to LPS and mm."""
        if of_sform:
            return LPS_FROM_RAS @ self.sform
        if self.qform_code <= 0:
            return numpy.column_stack([numpy.diag(self.spacing_mm), numpy.zeros(3)])
        quaternion, offset, sign = self.qform[:3], self.qform[3:6], self.qform[6]
        real = math.sqrt(max(0.0, 1.0 - float(quaternion @ quaternion)))
        axes = Rotation.from_quat([*quaternion, real]).as_matrix() * self.spacing_mm * [1, 1, -1 if sign < 0 else 1]
        return LPS_FROM_RAS @ numpy.column_stack([axes, offset])

    def geometry(self) -> dict:
        """Spacing, origin and direction, named as CTVolume's fields."""
        matrix = self.matrix(self.uses_sform)
        spacing_mm = numpy.linalg.norm(matrix[:, :3], axis=0)
        direction = matrix[:, :3] / numpy.where(spacing_mm > 0, spacing_mm, 1)
        return {"spacing_mm": tuple(spacing_mm[::-1]), "origin_mm": tuple(matrix[:, 3]), "direction": direction}

    def disagree_mm(self, last_index: numpy.ndarray) -> float:
        """How far apart the two place a corner of the volume at most; 0 where there is one alone. last_index: of columns, rows, slices."""
        if min(self.qform_code, self.sform_code) <= 0:
            return 0.0
        difference = self.matrix(True) - self.matrix(False)
        corners = numpy.array(numpy.meshgrid(*((0, last) for last in last_index))).reshape(3, -1)
        return float(numpy.linalg.norm(difference[:, :3] @ corners + difference[:, 3:], axis=0).max())

    def metadata(self) -> dict[str, str]:
        """What `forms_for` takes up again; nothing where neither places the voxels."""
        if max(self.qform_code, self.sform_code) <= 0:
            return {}
        numbers = {"qform": self.qform, "sform": self.sform.ravel()}
        texts = {name: " ".join(f"{value:.17g}" for value in values) for name, values in numbers.items()}
        return {"qform_code": str(self.qform_code), "sform_code": str(self.sform_code), **texts}


def forms_of(fields: numpy.ndarray) -> Forms:
    """Of a header."""
    scale = MM_PER_UNIT.get(int(fields["xyzt_units"]) & 7, 1.0)
    spacing_mm = numpy.abs(fields["pixdim"][1:4].astype(float)) * scale
    spacing_mm[int(fields["dim"][0]) :] = 1.0  # of axes that are not there
    qform = numpy.array([*fields["quatern"], *(fields["qoffset"].astype(float) * scale), fields["pixdim"][0]], dtype=float)
    sform = fields["srow"].astype(float) * scale
    return Forms(int(fields["qform_code"]), int(fields["sform_code"]), qform, sform, spacing_mm)


def forms_for(volume: CTVolume) -> Forms:
    """Those that came with the volume where they still place it as it lies; else both as it lies, with the codes that came with it."""
    spacing_mm = numpy.array(volume.spacing_mm[::-1])
    kept = _kept_forms(volume.metadata, spacing_mm)
    if kept is not None and volume.same_geometry(CTVolume(volume.voxels_hu, **kept.geometry()), KEPT_WITHIN_MM):
        return kept
    qform_code, sform_code = (_code(volume.metadata.get(name)) for name in CODES)
    if max(qform_code, sform_code) <= 0:
        qform_code = sform_code = SCANNER
    sform = LPS_FROM_RAS @ volume.index_to_position_mm()[:3]
    if volume.is_sheared:  # a qform is a rotation: it cannot say this
        sform_code = sform_code if sform_code in SCANNER_OR_ALIGNED else SCANNER
        return Forms(0, sform_code, numpy.zeros(7), sform, spacing_mm)
    axes = sform[:, :3] / spacing_mm
    sign = -1.0 if numpy.linalg.det(axes) < 0 else 1.0
    quaternion = Rotation.from_matrix(axes * [1, 1, sign]).as_quat(canonical=True)
    return Forms(qform_code, sform_code, numpy.array([*quaternion[:3], *sform[:, 3], sign]), sform, spacing_mm)


def _kept_forms(metadata: Mapping[str, str], spacing_mm: numpy.ndarray) -> Forms | None:
    if not all(name in metadata for name in (*CODES, *FORMS)):
        return None
    try:
        qform, sform = (numpy.array(metadata[name].split(), dtype=float) for name in FORMS)
        forms = Forms(*(_code(metadata[name]) for name in CODES), qform, sform.reshape(3, 4), spacing_mm)
        return forms if len(qform) == 7 else None
    except ValueError:
        return None


def _code(text: str | None) -> int:
    return int(text) if text and text.lstrip("-").isdigit() else 0
