"""Open recordings of extracellular electrophysiology written by SpikeInterface, without it.

Binary folders (of version 0.94, mid-2022, and of today), Zarr stores with any installed codec, and
simulated recordings of MEArec in HDF5. Axes of traces are (time, channel); µV are computed from
gain and offset of each channel. Everything is read lazily.
"""

from __future__ import annotations

from pathlib import Path

from openallen.errors import NotFoundError, requiring
from openallen.formats.objects import FolderObjects, Objects
from openallen.sources.recordings.binary import open_binary
from openallen.sources.recordings.mearec import open_mearec
from openallen.sources.recordings.recording import Recording, Segment, Spikes
from openallen.sources.recordings.zarrs import open_zarr

__all__ = ["Recording", "Segment", "Spikes", "open_recording"]


@requiring("reading recordings", "ephys")
def open_recording(place: Path | str | Objects) -> Recording:
    """Open a recording: a binary folder, a Zarr store, or an HDF5 file of MEArec.

    Parameters
    ----------
    place
        A path, or remote objects.

    Raises
    ------
    NotFoundError
        If there is no recording.
    CorruptError
        If its description is invalid.
    TruncatedError
        If a traces file is truncated.
    MissingExtraError
        Without the extra ``ephys``, or the package of a codec.
    """
    if isinstance(place, (str, Path)):
        where = Path(place)
        is_file = where.is_file() and where.suffix in {".h5", ".hdf5"}
        opened = open_mearec(where, str(where)) if is_file else _in(FolderObjects(where))
        opened.opened_by(open_recording, where.absolute())
        return opened
    return _in(place)


def _in(place: Objects) -> Recording:
    place.ready((*_BINARY, *_ZARR))
    for name in _BINARY:
        if place.get(name) is not None:
            return open_binary(place, name)
    if any(place.get(name) is not None for name in _ZARR):
        return open_zarr(place)
    raise NotFoundError(
        "not a recording",
        address=place.name,
        why="no binary.json, cached.json, .zgroup, and no HDF5 file",
    )


_BINARY = ("binary.json", "cached.json")
_ZARR = (".zgroup", "zarr.json")
