"""Image stacks as OME-Zarr 0.5: Zarr 3, sharded, a pyramid by halves, scales in micrometres."""

from openallen.formats.omezarr.geometry import Geometry
from openallen.formats.omezarr.reader import OmeZarr
from openallen.formats.omezarr.writer import Converted, write_stack

__all__ = ["Converted", "Geometry", "OmeZarr", "write_stack"]
