"""CT volumes: Hounsfield units, metal segmentation, resampling of slices, reading and writing."""
