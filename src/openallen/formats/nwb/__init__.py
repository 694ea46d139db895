"""NWB files as trees of groups and arrays, and their tables, in HDF5 and Zarr; no schema needed."""

from openallen.formats.nwb.h5 import H5Tree, open_h5
from openallen.formats.nwb.pandas_frames import is_frame, read_frame
from openallen.formats.nwb.tables import column_names, columns, frame, ragged
from openallen.formats.nwb.tree import Tree
from openallen.formats.nwb.zarrtree import ZarrTree, open_zarr

__all__ = [
    "H5Tree",
    "Tree",
    "ZarrTree",
    "column_names",
    "columns",
    "frame",
    "is_frame",
    "open_h5",
    "open_zarr",
    "ragged",
    "read_frame",
]
