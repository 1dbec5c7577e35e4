"""How metal is found, said once: for the library, the command line, the presets, the panel and the report."""

import math
import numbers
from dataclasses import asdict, dataclass

from ..errors import InputError


@dataclass(frozen=True)
class MetalSearch:
    """How metal is found in a scan. Raises InputError for values that are no numbers, or below 0.

    threshold_hu: a voxel at or above it is metal. Below about 1500 HU dense bone and enamel count as metal, above 3071
        HU 12-bit scanners show nothing.
    smallest_component_mm3: smaller components (26 neighbors, 3D) are dropped, single voxels with them; 0 keeps all. The smallest metal
        parts that matter are surgical clips (about 0.5 x 1 x 4 mm) and wires of 0.4 mm and more: 2 mm3 and above, and larger in the
        image, which blurs them. Noise and dense bone exceed the threshold in single voxels (0.1 to 0.5 mm3 in thin slices); a single
        voxel is dropped whatever its size, since in thick slices it alone exceeds any such volume.
    peak_hu: a component that nowhere reaches it is no metal but enamel, dense bone or contrast medium, nor is one of which less than
        5 % reaches it, unless it is as bright as the scan can show (see CERTAIN_METAL_HU); where nothing in the scan reaches it, there
        is no metal. 0 switches this off: the threshold alone decides. In the real scans that this was chosen on, sound teeth peaked at
        2540 to 2710 HU, sternal wires, fillings and ports at 2755 HU and more.
    dilation_mm: the mask grows to every voxel whose center lies within this distance (Euclidean, in mm, so that it
        reaches fewer slices than columns where slices are thick; none at all if it is less than the slice distance).
        It does not grow into padding below -1024 HU.
    learned_outline: whether a network outlines what the threshold finds, see `learned_metal.find_metal`; `ct.segmentation.segment_metal`,
        the threshold's search alone, does not look at it.
    """

    threshold_hu: float = 2000.0
    smallest_component_mm3: float = 1.0
    peak_hu: float = 2750.0
    dilation_mm: float = 0.0
    learned_outline: bool = False

    def __post_init__(self):
        for name, title, unit, advice in (
            ("threshold_hu", "metal threshold", "HU", "give a number above 0, such as 2000 to 3000"),
            ("smallest_component_mm3", "smallest component", "mm3", "give a number of 0 or more"),
            ("peak_hu", "metal peak", "HU", "give a number of 0 or more; 0 lets the threshold alone decide"),
            ("dilation_mm", "dilation", "mm", "give a number of 0 or more"),
        ):
            value = getattr(self, name)
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or value < 0 or (name == "threshold_hu" and value == 0):
                raise InputError(f"The {title} ({name}) is {value} {unit}: {advice}.")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.learned_outline, bool):
            raise InputError(f"learned_outline is {self.learned_outline!r}: give True or False.")

    def to_dict(self) -> dict[str, float | bool]:
        return asdict(self)
