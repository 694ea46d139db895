"""Arrays that are read when they are sliced, as labelled ones; without dask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from openallen.errors import UsageError, requiring

__all__ = ["in_chunks", "lazy_array"]


class _Lazy(BackendArray):
    """Something with a shape that is read in parts, for xarray."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        read: Callable[[tuple[Any, ...]], Any],
        *,
        outer: bool,
    ) -> None:
        self.shape = shape
        self._support = indexing.IndexingSupport.OUTER if outer else indexing.IndexingSupport.BASIC
        self.dtype = np.dtype(dtype)
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, self._support, self._get)

    def _get(self, key: tuple[Any, ...]) -> Any:
        return np.asarray(self._read(key))


def lazy_array(
    read: Callable[[tuple[Any, ...]], Any],
    shape: tuple[int, ...],
    dtype: Any,
    dims: Sequence[str],
    coords: Mapping[Any, Any],
    *,
    name: str,
    attrs: Mapping[str, Any],
    chunks: Sequence[int] | None = None,
    outer: bool = False,
) -> xr.DataArray:
    """Return a labelled array that reads only the slice whose values are used.

    Parameters
    ----------
    read
        Gives a part, by an integer or a slice for each axis; with `outer` also by lists of
        integers. Tasks of dask arrays carry it: so it is small when it is pickled.
    shape, dtype
        Of the whole.
    dims, coords, name, attrs
        As for `xarray.DataArray`.
    chunks
        How it is best cut: what `in_chunks` goes by.
    outer
        Whether `read` takes lists, too.
    """
    lazily = indexing.LazilyIndexedArray(_Lazy(shape, dtype, read, outer=outer))
    variable = xr.Variable(tuple(dims), lazily)
    found = xr.DataArray(variable, coords=coords, name=name, attrs=dict(attrs))
    if chunks is not None:
        found.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    return found


def in_chunks(found: xr.DataArray, chunks: Any, axis: str, of_what: str) -> xr.DataArray:
    """Return a lazy array as a dask array.

    Parameters
    ----------
    found
        The array.
    chunks
        Items along `axis` in a chunk, ``auto``, or a mapping by axis; axes that it leaves out are
        cut as they are stored.
    axis
        The axis that a number is along.
    of_what
        What lies along it, in words: ``data sets``.

    Raises
    ------
    UsageError
        If they do not fit.
    MissingExtraError
        Without the extra ``dask``.
    """
    with requiring("chunks", "dask"):
        import dask.array  # noqa: F401
    try:
        if not isinstance(chunks, (int, str, Mapping)) or isinstance(chunks, bool):
            raise TypeError(f"a number of {of_what}, 'auto' or a mapping by axis is needed")
        if not isinstance(chunks, str):
            stored = found.variable.encoding.get("preferred_chunks", {})
            chunks = {**stored, **({axis: chunks} if isinstance(chunks, int) else chunks)}
        return found.chunk(chunks)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        why = str(error).partition("\n")[0]
        raise UsageError("chunks do not fit", address=f"chunks={chunks!r}", why=why) from error
