"""Recordings in Zarr, with any installed codec; local or remote."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, NotFoundError, requiring
from openallen.formats.chunks import decoding
from openallen.formats.npy import check_texts
from openallen.formats.objects import Objects
from openallen.sources.recordings.channels import annotations_of, locations_um, one_each
from openallen.sources.recordings.clock import clocks
from openallen.sources.recordings.recording import Recording

if TYPE_CHECKING:
    import numpy as np

__all__ = ["open_zarr"]

_READ_AT_ONCE = ("channel_ids", "properties/gain_to_uV", "properties/offset_to_uV")


class _Chunks:
    """Traces in Zarr, opened when they are first sliced, as a codec may be missing."""

    def __init__(self, hierarchy: Any, path: str) -> None:
        meta = hierarchy.described(path)
        try:
            self.shape = tuple(int(size) for size in meta["shape"])
            chunks = meta.get("chunks") or meta["chunk_grid"]["configuration"]["chunk_shape"]
            lengths = [int(size) for size in chunks]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptError(
                "incomplete metadata of the traces",
                address=f"{hierarchy.name}/{path}",
                why=str(error),
            ) from error
        if len(self.shape) != 2 or len(lengths) != 2 or min(lengths) < 1:
            why = f"{self.shape}, {lengths}"
            raise CorruptError("traces must have two axes", address=hierarchy.name, why=why)
        self._hierarchy = hierarchy
        self._path = path
        self._meta = meta

    @functools.cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample."""
        import numpy as np

        try:
            found: np.dtype[Any] = np.dtype(self._meta.get("dtype") or self._meta.get("data_type"))
        except (TypeError, ValueError, SyntaxError):  # types of version 3, or none at all
            found = np.dtype(self._array.dtype)
        return found

    @functools.cached_property
    def _array(self) -> Any:
        return self._hierarchy.array(self._path)

    def __getitem__(self, key: Any) -> Any:
        return self._array[key]


def open_zarr(place: Objects) -> Recording:
    """Open a recording in Zarr.

    Raises
    ------
    NotFoundError
        If it is not a Zarr group.
    CorruptError
        If it is not a recording.
    MissingExtraError
        Without the extra ``ephys``.
    """
    import numpy as np

    with requiring("a recording in Zarr", "ephys"):
        from openallen.formats.zarrs import Hierarchy
    # A missing chunk would read as zeros: a silence that was never recorded.
    hierarchy = Hierarchy(place, holes="refused")
    meta = hierarchy.attributes
    rate, count = _rate_and_segments(meta, place.name)
    segments = tuple(_Chunks(hierarchy, f"traces_seg{n}") for n in range(count))
    width = segments[0].shape[1]
    hierarchy.ready(_READ_AT_ONCE)
    probe = meta.get("probegroup") or meta.get("probe")

    def read(name: str) -> Any:
        try:
            with decoding("a chunk of this recording is damaged", f"{place.name}/{name}"):
                return check_texts(np.asarray(hierarchy.array(name)[:]), f"{place.name}/{name}")
        except NotFoundError:
            return None

    def vector(n: int) -> Any:
        try:
            return hierarchy.array(f"times_seg{n}")
        except NotFoundError:
            return None

    counts = [segment.shape[0] for segment in segments]
    ids = read("channel_ids")
    gain, offset = (
        one_each(read(f"properties/{name}"), name, width, place.name)
        for name in ("gain_to_uV", "offset_to_uV")
    )
    return Recording(
        place=place.name,
        form="zarr",
        segments=segments,
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, range(width) if ids is None else ids.tolist())),
        gain_uv=gain,
        offset_uv=offset,
        locations_um=locations_um(probe if isinstance(probe, dict) else {}, width),
        annotations=annotations_of(meta),
        clocks=clocks(place.name, rate, counts, read("t_starts"), vector),
    )


def _rate_and_segments(meta: Mapping[str, Any], name: str) -> tuple[float, int]:
    """Return the sampling frequency in Hz and the number of segments."""
    try:
        rate = float(meta["sampling_frequency"])
        count = int(meta.get("num_segments", 1))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptError(
            "not a recording", address=name, why=f"a Zarr store without {error}"
        ) from error
    if count < 1:
        raise CorruptError("invalid recording: no segments", address=name)
    return rate, count
