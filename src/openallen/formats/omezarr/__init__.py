"""Image stacks as OME-Zarr 0.5: sharded Zarr 3 multiscale pyramids, scales in micrometres."""

from openallen.formats.omezarr.geometry import Geometry
from openallen.formats.omezarr.reader import OmeZarr
from openallen.formats.omezarr.writer import Converted, write_stack

__all__ = ["Converted", "Geometry", "OmeZarr", "write_stack"]
