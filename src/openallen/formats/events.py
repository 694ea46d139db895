"""Detected events of the cells of a Visual Coding session, as they are published: ``.npz``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import requiring

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["EVENTS", "labelled"]

EVENTS: Final = "ev"
"""What the array is called in the files."""


def labelled(
    arrays: dict[str, np.ndarray[Any, Any]],
) -> xr.DataArray | dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a ``.npz``; those of events as one, with its axes named.

    Parameters
    ----------
    arrays
        By name.

    Returns
    -------
    DataArray or dict
        ``cell`` x ``sample`` for events, both by position: the file names neither cells nor times.
        The arrays as they are for any other file.
    """
    found = arrays.get(EVENTS)
    if len(arrays) != 1 or found is None or found.ndim != 2 or found.dtype.kind not in "iuf":
        return arrays
    with requiring("labelled arrays", "nwb"):
        import xarray as xr
    about = {"units": "ΔF/F", "notes": "cells by position: .events of their session names them"}
    return xr.DataArray(found, dims=("cell", "sample"), name="events", attrs=about)
