"""Binary folders of SpikeInterface, of version 0.94 (mid-2022) and of today; local or remote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, NotFoundError, TruncatedError
from openallen.formats.chunks import decoding
from openallen.formats.npy import read_npy
from openallen.formats.objects import FolderObjects, Objects
from openallen.json_text import load_json
from openallen.plans import safe_path
from openallen.sources.recordings.channels import annotations_of, ids_of, locations_um, one_each
from openallen.sources.recordings.clock import clocks
from openallen.sources.recordings.recording import Recording

if TYPE_CHECKING:
    import numpy as np

__all__ = ["open_binary"]


def _json(place: Objects, key: str) -> dict[str, Any]:
    body = place.get(key)
    if body is None:
        return {}
    try:
        document = load_json(body)
    except ValueError as error:
        where = f"{place.name}/{key}"
        raise CorruptError("not valid JSON", address=where, why=str(error)) from error
    return document if isinstance(document, dict) else {}


def open_binary(place: Objects, name: str) -> Recording:
    """Open a binary folder by its JSON description.

    Raises
    ------
    NotFoundError
        If a traces file is missing.
    CorruptError
        If its description is invalid.
    TruncatedError
        If a traces file is truncated.
    """
    document = _json(place, name)
    given = document.get("kwargs") or {}
    count, dtype, rate = _samples(given, f"{place.name}/{name}")
    try:
        files = [safe_path(str(file)) for file in given["file_paths"]]
        offset = _whole(given.get("file_offset") or 0)
        time_axis = _whole(given.get("time_axis") or 0, most=1)
        ids = ids_of(given.get("channel_ids")) or tuple(map(str, range(count)))
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(f"{place.name}/{name}", error) from error
    segments = tuple(
        _traces(place, file, dtype, count, offset=offset, time_axis=time_axis) for file in files
    )
    counts = [segment.shape[0] for segment in segments]
    starts, vectors = _starts(document, given, f"{place.name}/{name}")
    named = given.get("file_timestamps_paths")

    def vector(n: int) -> Any:
        return vectors[n] if vectors.get(n) is not None else _times(place, named, n)

    about = {
        **annotations_of(document),
        **annotations_of(_json(place, "si_folder.json")),
    }
    probe = _json(place, "probegroup.json") or _json(place, "probe.json")
    return Recording(
        place=place.name,
        form="binary folder",
        segments=segments,
        sampling_frequency_hz=rate,
        channel_ids=ids,
        gain_uv=_numbers(place, "gain_to_uV", given, count),
        offset_uv=_numbers(place, "offset_to_uV", given, count),
        locations_um=locations_um(probe, count),
        annotations=about,
        clocks=clocks(place.name, rate, counts, starts, vector),
    )


def _starts(
    document: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> tuple[Any, dict[int, np.ndarray[Any, Any]]]:
    """Return the starts of segments in seconds, and times of their samples, as described."""
    import numpy as np

    changed = document.get("times_kwargs")
    if not isinstance(changed, list) or not all(isinstance(one, dict) for one in changed):
        return given.get("t_starts"), {}
    vectors = {}
    for n, one in enumerate(changed):
        if isinstance(one.get("time_vector"), list):
            with decoding("times of this recording are no numbers", where):
                vectors[n] = np.asarray(one["time_vector"], float)
    starts = [one.get("t_start") for one in changed]
    told = any(start is not None for start in starts)
    return (starts if told else given.get("t_starts")), vectors


def _times(place: Objects, named: Any, segment: int) -> Any:
    """Return the times of all samples of a segment in seconds, read when sliced; None if none.

    Raises
    ------
    NotFoundError
        If the description names their file, and it is not there.
    """
    import numpy as np

    told = isinstance(named, list) and segment < len(named) and named[segment]
    # Until 2025 the file was not named. Full paths are those of the machine that wrote it.
    name = str(named[segment]).replace("\\", "/").rpartition("/")[2] if told else ""
    name = name or f"times_cached_seg{segment}.raw"
    found = place.stat(name)
    if found is None and told:
        raise NotFoundError("times file missing", address=f"{place.name}/{name}")
    if found is None:
        return _npy(place, f"times_cached_seg{segment}.npy")
    if found[0] % 8:
        raise TruncatedError("times are truncated", address=f"{place.name}/{name}")
    return _Column(_traces(place, name, np.dtype("<f8"), 1, offset=0, time_axis=0))


class _Column:
    """The only column of rows that are read when they are sliced."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.shape = (rows.shape[0],)

    def __getitem__(self, key: Any) -> Any:
        return self._rows[key][:, 0]


def _samples(given: dict[str, Any], where: str) -> tuple[int, np.dtype[Any], float]:
    """Return the number of channels, the type of a sample and the sampling frequency in Hz."""
    import numpy as np

    try:
        count = _whole(given["num_channels"] if "num_channels" in given else given["num_chan"])
        dtype = np.dtype(str(given["dtype"]))
        rate = float(given["sampling_frequency"])
    except (KeyError, TypeError, ValueError, SyntaxError) as error:
        raise _incomplete(where, error) from error
    if count <= 0 or rate <= 0 or dtype.kind not in "iuf":
        raise CorruptError(
            "invalid description of a recording",
            address=where,
            why=f"{count} channels of {dtype} at {rate:g} Hz",
        )
    return count, dtype, rate


def _whole(told: Any, *, most: int = 1 << 62) -> int:
    """Return a whole number, as JSON has it.

    Raises
    ------
    ValueError
        If it is none, or out of bounds: a fraction would be cut, and an offset below zero be a
        place before the file.
    """
    whole = isinstance(told, int) or (isinstance(told, float) and told.is_integer())
    if not whole or not 0 <= told <= most:
        raise ValueError(f"{told!r:.40} is no whole number from 0 to {most:,}")
    return int(told)


def _incomplete(where: str, error: Exception) -> CorruptError:
    return CorruptError("incomplete description of a recording", address=where, why=str(error))


def _traces(
    place: Objects, file: str, dtype: np.dtype[Any], count: int, *, offset: int, time_axis: int
) -> Any:
    """Return the samples of one file, shape (samples, channels), read when sliced."""
    import numpy as np

    where = f"{place.name}/{file}"
    found = place.stat(file)
    if found is None:
        raise NotFoundError("traces file missing", address=where)
    size = found[0] - offset
    step = dtype.itemsize * count
    if size < 0 or size % step:
        raise TruncatedError(
            "traces file truncated",
            address=where,
            why=f"{size:,} bytes are not a multiple of {step:,}, the size of one sample",
        )
    samples = size // step
    if not samples:
        return np.zeros((0, count), dtype)
    if isinstance(place, FolderObjects):
        path = place.folder / file
        if time_axis == 1:
            return np.memmap(path, dtype, "r", offset, (count, samples)).T
        return np.memmap(path, dtype, "r", offset, (samples, count))
    if time_axis == 1:
        raise CorruptError(
            "a remote file with time as its second axis cannot be read in parts",
            address=where,
            hint="openallen fetch recording:NAME (or asset:NAME)",
        )
    return _RemoteRows(place, file, found[1], dtype, shape=(samples, count), offset=offset)


class _RemoteRows:
    """Rows of a remote file; a slice reads the bytes it needs and no others."""

    def __init__(
        self,
        place: Objects,
        file: str,
        mark: str,
        dtype: np.dtype[Any],
        *,
        shape: tuple[int, int],
        offset: int,
    ) -> None:
        self.shape = shape
        self._place = place
        self._file = file
        self._mark = mark
        self.dtype = dtype
        self._offset = offset

    def __getitem__(self, key: Any) -> Any:
        import numpy as np

        first, last, _ = key.indices(self.shape[0])
        if first >= last:
            return np.empty((0, self.shape[1]), self.dtype)
        step = self.dtype.itemsize * self.shape[1]
        start, stop = (self._offset + row * step for row in (first, last))
        body = self._place.get(self._file, start, stop, self._mark)
        if body is None or len(body) != stop - start:
            raise TruncatedError(
                "traces file truncated",
                address=f"{self._place.name}/{self._file}",
                why=f"{len(body or b''):,} of {stop - start:,} bytes received",
            )
        return np.frombuffer(body, self.dtype).reshape(-1, self.shape[1])


def _numbers(
    place: Objects, name: str, given: Mapping[str, Any], count: int
) -> np.ndarray[Any, Any] | None:
    found = _npy(place, f"properties/{name}.npy")
    return one_each(given.get(name) if found is None else found, name, count, place.name)


def _npy(place: Objects, key: str) -> Any:
    """Return an array of numpy; None where there is none."""
    body = place.get(key)
    return None if body is None else read_npy(body, f"{place.name}/{key}")
