"""Arrays that are read when they are sliced, as labelled ones; without dask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["lazy_array"]


class _Lazy(BackendArray):
    """Something with a shape that takes basic indices, for xarray."""

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, read: Callable[[tuple[Any, ...]], Any]
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._get
        )

    def _get(self, key: tuple[Any, ...]) -> Any:
        return np.asarray(self._read(key))


def lazy_array(
    read: Callable[[tuple[Any, ...]], Any],
    shape: tuple[int, ...],
    dtype: Any,
    dims: Sequence[str],
    coords: Mapping[Hashable, Any],
    *,
    name: str,
    attrs: Mapping[str, Any],
    chunks: Sequence[int] | None = None,
) -> xr.DataArray:
    """Give a labelled array that reads what it is sliced to, when its values are wanted.

    Parameters
    ----------
    read
        Gives a part, by integers and slices, one for each axis.
    shape, dtype
        Of the whole.
    dims, coords, name, attrs
        As for `xarray.DataArray`.
    chunks
        How it is best cut: what ``.chunk("auto")`` and dask go by.
    """
    lazily = indexing.LazilyIndexedArray(_Lazy(shape, dtype, read))
    variable = xr.Variable(tuple(dims), lazily)
    if chunks is not None:
        variable.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    return xr.DataArray(variable, coords=coords, name=name, attrs=dict(attrs))
