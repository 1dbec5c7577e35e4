"""MRML nodes in, new nodes out: what of this library knows Slicer (slicer, vtk), one job a file. No Qt."""
