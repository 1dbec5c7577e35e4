"""The scale of CT: what its values can be, and what they are taken for. In Hounsfield units (HU) but for the first."""

WATER_ATTENUATION_PER_CM = 0.192  # of water near 70 keV, the benchmark's reference energy
AIR_HU = -1000.0
BODY_ABOVE_HU = -500.0  # below it are air and lung
LOWEST_12_BIT_HU = -1024.0  # the darkest value of a 12-bit scanner; what lies below is padding
HIGHEST_12_BIT_HU = 3071.0
HIGHEST_HU = 1e6  # a hundred times the brightest metal on an extended scale: beyond it are no Hounsfield units
HUNDRED_HU_PER_CM = 100 / 1000 * WATER_ATTENUATION_PER_CM  # what an output of 1 of the networks means, in 1/cm
