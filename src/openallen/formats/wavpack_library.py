"""The system's own WavPack library, as this machine has it; bound with ctypes.

The binding follows ``wavpack.h`` of version 5.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from typing import Any, Final

__all__ = ["HINT", "Reader", "library"]

_NAMES: Final = ("libwavpack.so.1", "libwavpack.1.dylib", "libwavpackdll.dll", "wavpackdll.dll")
HINT: Final = "apt install libwavpack1, brew install wavpack, or pip install wavpack-numcodecs"
"""How to get the library."""

_id, _i32, _i64, _int = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int
READ = ctypes.CFUNCTYPE(_i32, _id, _id, _i32)
GET = ctypes.CFUNCTYPE(_i64, _id)
SET = ctypes.CFUNCTYPE(_int, _id, _i64)
MOVE = ctypes.CFUNCTYPE(_int, _id, _i64, _int)
PUSH = ctypes.CFUNCTYPE(_int, _id, _int)
ASK = ctypes.CFUNCTYPE(_int, _id)


class Reader(ctypes.Structure):
    """``WavpackStreamReader64``."""

    _fields_ = (
        ("read_bytes", READ),
        ("write_bytes", READ),
        ("get_pos", GET),
        ("set_pos_abs", SET),
        ("set_pos_rel", MOVE),
        ("push_back_byte", PUSH),
        ("get_length", GET),
        ("can_seek", ASK),
        ("truncate_here", ASK),
        ("close", ASK),
    )


@functools.cache
def library() -> Any:
    """Load the library; None where the system has none."""
    found = ctypes.util.find_library("wavpack")
    for name in (*((found,) if found else ()), *_NAMES):
        try:
            loaded = ctypes.CDLL(name)
        except OSError:
            continue
        opened = loaded.WavpackOpenFileInputEx64
        opened.restype = _id
        opened.argtypes = [ctypes.POINTER(Reader), _id, _id, ctypes.c_char_p, _int, _int]
        for asked, kind in (("NumChannels", _int), ("BytesPerSample", _int), ("Mode", _int)):
            function = getattr(loaded, f"WavpackGet{asked}")
            function.restype, function.argtypes = kind, [_id]
        loaded.WavpackGetNumSamples64.restype = _i64
        loaded.WavpackGetNumSamples64.argtypes = [_id]
        loaded.WavpackGetNumErrors.argtypes = [_id]
        loaded.WavpackUnpackSamples.restype = ctypes.c_uint32
        loaded.WavpackUnpackSamples.argtypes = [_id, _id, ctypes.c_uint32]
        loaded.WavpackCloseFile.restype, loaded.WavpackCloseFile.argtypes = _id, [_id]
        return loaded
    return None
