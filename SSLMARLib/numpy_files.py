"""What NumPy raises for a damaged .npy or .npz file."""

import struct
import tokenize
import zipfile
import zlib

DAMAGED = (
    *(OSError, ValueError, EOFError, KeyError, SyntaxError, MemoryError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
