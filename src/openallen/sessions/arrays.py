"""Traces as labelled arrays, and pictures small enough for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError, requiring

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.formats.nwb import Tree
    from openallen.sessions.signals import Imaged

__all__ = ["KINDS", "lazy_variable", "thumbnail", "trace_array", "xarray"]

KINDS: Final = {
    "dff": ("dff_traces", "dff", "ΔF/F"),
    "corrected_fluorescence": (
        "corrected_fluorescence_traces",
        "corrected_fluorescence",
        "fluorescence",
    ),
    "demixed": ("demixed_traces", "demixed_trace", "fluorescence"),
    "neuropil": ("neuropil_traces", "neuropil_trace", "fluorescence"),
    "events": ("events", "events", "ΔF/F"),
    "filtered_events": ("events", "filtered_events", "ΔF/F"),
}
_SIDE_PX: Final = 160


def xarray() -> Any:
    """Return the xarray module.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    with requiring("labelled arrays", "nwb"):
        import xarray as xr
    return xr


def trace_array(experiment: Imaged, kind: str) -> xr.DataArray:
    """Return the traces of an experiment as ``cell_specimen_id`` x ``time`` (s).

    Raises
    ------
    UsageError
        If there is no such kind of trace.
    NotFoundError
        If the file has none of that kind.
    CorruptError
        If traces and times differ in length.
    """
    import numpy as np

    from openallen.sessions.lengths import same_length

    if kind not in KINDS:
        raise UsageError(f"no traces '{kind}'", hint=", ".join(KINDS))
    attribute, column, unit = KINDS[kind]
    table = getattr(experiment, attribute)
    if table is None:
        raise NotFoundError(f"this file has no {kind} traces", address=experiment.name)
    times = experiment.ophys_timestamps
    rows = list(table[column])
    if rows:
        same_length(experiment.tree, kind, {"times": times, "samples": rows[0]})
    data = np.vstack(rows) if rows else np.empty((0, len(times)))
    made: xr.DataArray = xarray().DataArray(
        data,
        dims=("cell_specimen_id", "time"),
        coords={
            "cell_specimen_id": np.asarray(table.index),
            "time": ("time", times, {"units": "s"}),
            "cell_roi_id": ("cell_specimen_id", table["cell_roi_id"].to_numpy()),
        },
        name=kind,
        attrs={"units": unit},
    )
    return made


def lazy_variable(
    dims: tuple[str, ...],
    tree: Tree,
    path: str,
    scale: float = 1.0,
    blank: np.ndarray[Any, Any] | None = None,
) -> Any:
    """Return a variable of xarray whose values are read as they are sliced.

    Parameters
    ----------
    dims
        Names of the dimensions.
    tree
        The file.
    path
        Where the array is in it.
    scale
        What values are multiplied by.
    blank
        Where along the first dimension values are not numbers; nowhere where None.

    Raises
    ------
    CorruptError
        When values are read that are damaged.
    UsageError
        When values are read after the file was closed.
    """
    import numpy as np

    xr = xarray()
    from xarray.backends import BackendArray
    from xarray.core import indexing

    stored = np.dtype(tree.lazy(path).dtype)
    plain = scale == 1.0 and (blank is None or stored.kind == "f")

    class Lazy(BackendArray):  # type: ignore[misc, unused-ignore]
        shape = tree.shape(path)
        dtype = stored if plain else np.result_type(stored, np.float32)

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.OUTER_1VECTOR
            return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

        def _read(self, key: Any) -> Any:
            found = tree.part(path, key)
            found = found if plain else (found * scale).astype(self.dtype)
            return found if blank is None else _blanked(found, blank[key[0]])

    return xr.Variable(dims, indexing.LazilyIndexedArray(Lazy()))


def _blanked(found: np.ndarray[Any, Any], gone: Any) -> np.ndarray[Any, Any]:
    """Return values with those of some rows, or of the only one, not numbers."""
    import numpy as np

    made: np.ndarray[Any, Any] = np.where(
        np.reshape(gone, np.shape(gone) + (1,) * (np.ndim(found) - np.ndim(gone))),
        found.dtype.type(np.nan),
        found,
    )
    return made


def thumbnail(image: np.ndarray[Any, Any]) -> str:
    """Return a small gray picture of an image as a ``data:`` URI, its brightest percent cut off."""
    from openallen.formats.thumbnails import gray_thumbnail

    return gray_thumbnail(image, _SIDE_PX)
