"""Binary folders of SpikeInterface, of mid-2022 (version 0.94) and of today; here or far away."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, NotFoundError, TruncatedError
from openallen.formats.objects import FolderObjects, Objects
from openallen.plans import safe_path
from openallen.sources.recordings.channels import locations_um, one_each
from openallen.sources.recordings.recording import Recording

if TYPE_CHECKING:
    import numpy as np

__all__ = ["open_binary"]


def _json(place: Objects, key: str) -> dict[str, Any]:
    body = place.get(key)
    if body is None:
        return {}
    try:
        told = json.loads(body)
    except ValueError as error:
        where = f"{place.name}/{key}"
        raise CorruptError("this is no JSON", address=where, why=str(error)) from error
    return told if isinstance(told, dict) else {}


def open_binary(place: Objects, name: str) -> Recording:
    """Open a binary folder, by the document that describes it.

    Raises
    ------
    NotFoundError
        If the traces are missing.
    CorruptError
        If its description makes no sense.
    TruncatedError
        If traces are shorter than they should be.
    """
    import numpy as np

    told = _json(place, name)
    given = told.get("kwargs") or {}
    try:
        count = int(given["num_channels"] if "num_channels" in given else given["num_chan"])
        dtype = np.dtype(str(given["dtype"]))
        rate = float(given["sampling_frequency"])
        files = [safe_path(str(file)) for file in given["file_paths"]]
        offset = int(given.get("file_offset") or 0)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            "this description of a recording is not whole",
            address=f"{place.name}/{name}",
            why=str(error),
        ) from error
    if count <= 0 or rate <= 0 or dtype.kind not in "iuf":
        raise CorruptError(
            "a recording that makes no sense", address=place.name, why=f"{count} of {dtype}"
        )
    ids = given.get("channel_ids") or list(range(count))
    time_axis = int(given.get("time_axis") or 0)
    segments = (
        _traces(place, file, dtype, count, offset=offset, time_axis=time_axis) for file in files
    )
    about = {
        **told.get("annotations", {}),
        **_json(place, "si_folder.json").get("annotations", {}),
    }
    probe = _json(place, "probegroup.json") or _json(place, "probe.json")
    return Recording(
        place=place.name,
        form="binary folder",
        segments=tuple(segments),
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, ids)),
        gain_uv=_numbers(place, "gain_to_uV", given, count),
        offset_uv=_numbers(place, "offset_to_uV", given, count),
        locations_um=locations_um(probe, count),
        annotations=about,
    )


def _traces(
    place: Objects, file: str, dtype: np.dtype[Any], count: int, *, offset: int, time_axis: int
) -> Any:
    """Return samples x channels of one file, read as they are sliced."""
    import numpy as np

    where = f"{place.name}/{file}"
    told = place.stat(file)
    if told is None:
        raise NotFoundError("the traces are missing", address=where)
    size = told[0] - offset
    step = dtype.itemsize * count
    if size < 0 or size % step:
        raise TruncatedError(
            "the traces are cut off",
            address=where,
            why=f"{size:,} bytes are no whole number of {step:,}",
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
            "channels lie one after the other in this file: fetch it, to read a part",
            address=where,
        )
    return _FarRows(place, file, told[1], dtype, shape=(samples, count), offset=offset)


class _FarRows:
    """Rows of a file far away: what is sliced comes, and nothing else."""

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
        self._dtype = dtype
        self._offset = offset

    def __getitem__(self, key: Any) -> Any:
        import numpy as np

        first, last, _ = key.indices(self.shape[0])
        if first >= last:
            return np.empty((0, self.shape[1]), self._dtype)
        step = self._dtype.itemsize * self.shape[1]
        start, stop = (self._offset + row * step for row in (first, last))
        body = self._place.get(self._file, start, stop, self._mark)
        if body is None or len(body) != stop - start:
            raise TruncatedError(
                "the traces end too early",
                address=f"{self._place.name}/{self._file}",
                why=f"{len(body or b''):,} of {stop - start:,} bytes came",
            )
        return np.frombuffer(body, self._dtype).reshape(-1, self.shape[1])


def _numbers(
    place: Objects, name: str, given: Mapping[str, Any], count: int
) -> np.ndarray[Any, Any] | None:
    import numpy as np

    key = f"properties/{name}.npy"
    body = place.get(key)
    found: Any = given.get(name)
    if body is not None:
        try:
            found = np.load(io.BytesIO(body), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            where = f"{place.name}/{key}"
            raise CorruptError("a property is damaged", address=where, why=str(error)) from error
    return one_each(found, name, count, place.name)
