"""Recordings of extracellular ephys as SpikeInterface writes them, read without it.

Binary folders (version 0.94 of mid-2022 and today's), Zarr stores with any codec that is installed,
and simulated recordings of MEArec in HDF5. Traces are time x channel, as stored; µV follow from
the gain and offset of each channel. Nothing is read before it is asked for.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.display import card, facts_text, seconds_text
from openallen.errors import (
    CorruptError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    TruncatedError,
    UsageError,
)
from openallen.plans import safe_path

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Recording", "Segment", "Spikes", "open_recording"]

_CODECS: Final = {"flac": "flac-numcodecs", "wavpack": "wavpack-numcodecs"}
"""Packages that bring codecs zarr does not have itself."""
_HINTS: Final = {
    "flac": "pip install flac-numcodecs",
    "wavpack": "apt install libwavpack1 (or brew install wavpack)",
}


class Segment(Protocol):
    """Samples of one segment: something with a shape that gives slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples, channels."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Give a part."""
        ...


@dataclass(frozen=True)
class Spikes:
    """True spikes of a simulated recording.

    Parameters
    ----------
    times_s
        Times of each unit by its name, in seconds from the beginning, ascending.
    """

    times_s: Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Recording:
    """One recording.

    Parameters
    ----------
    place
        Where it lies.
    form
        ``binary folder``, ``zarr`` or ``MEArec``.
    segments
        Samples x channels of each segment, read when sliced.
    sampling_frequency_hz
        Samples a second.
    channel_ids
        Names of the channels, in the order of the columns.
    gain_uv, offset_uv
        µV of a step of each channel, and of its zero; None where they are not known.
    locations_um
        Where the channels are on the probe (channels x 2 or 3), None where that is not known.
    annotations
        What else is written to it.
    spikes
        True spikes, of simulated recordings.
    """

    place: str
    form: str
    segments: tuple[Segment, ...]
    sampling_frequency_hz: float
    channel_ids: tuple[str, ...]
    gain_uv: np.ndarray[Any, Any] | None = None
    offset_uv: np.ndarray[Any, Any] | None = None
    locations_um: np.ndarray[Any, Any] | None = None
    annotations: Mapping[str, Any]
    spikes: Spikes | None = None

    @property
    def durations_s(self) -> tuple[float, ...]:
        """Length of each segment."""
        return tuple(s.shape[0] / self.sampling_frequency_hz for s in self.segments)

    def traces(
        self,
        start_s: float = 0.0,
        end_s: float | None = None,
        *,
        channels: Sequence[str | int] | None = None,
        segment: int = 0,
        scaled: bool = True,
    ) -> xr.DataArray:
        """Give a part of the traces.

        Parameters
        ----------
        start_s, end_s
            From and to, in seconds from the beginning of the segment; to its end where None.
        channels
            Ids of channels; all where None.
        segment
            Which segment.
        scaled
            µV as float32; else the integers as they are stored.

        Returns
        -------
        DataArray
            ``time`` x ``channel``; seconds, channel ids, and where they are known ``x_um`` and
            ``y_um`` of each channel.

        Raises
        ------
        UsageError
            If there is no such part, channel or segment, or no gain to scale by.
        IntegrityError
            If a chunk is damaged or missing.
        MissingExtraError
            If the package of a codec is not installed, with its name.
        """
        import numpy as np

        try:
            import xarray as xr
        except ImportError:
            raise MissingExtraError("ephys", "labelled traces") from None
        if not 0 <= segment < len(self.segments):
            raise UsageError(
                f"there is no segment {segment}", why=f"there are {len(self.segments)}"
            )
        first, last = self._span(segment, start_s, end_s)
        columns = self._columns(channels)
        values = self._read(self.segments[segment], first, last)[:, columns]
        rate = self.sampling_frequency_hz
        about = {"units": "µV" if scaled else "1", "sampling_frequency_hz": rate}
        if scaled:
            values = self._scaled(values, columns)
        coordinates: dict[str, Any] = {
            "time": ("time", np.arange(first, last) / rate, {"units": "s"}),
            "channel": [self.channel_ids[i] for i in columns],
        }
        if self.locations_um is not None:
            for axis, name in enumerate(("x_um", "y_um")):
                coordinates[name] = ("channel", self.locations_um[columns, axis])
        return xr.DataArray(
            values, dims=("time", "channel"), coords=coordinates, name="traces", attrs=about
        )

    def _span(self, segment: int, start_s: float, end_s: float | None) -> tuple[int, int]:
        """Give the samples from and to."""
        count = self.segments[segment].shape[0]
        first = max(0, round(start_s * self.sampling_frequency_hz))
        last = count if end_s is None else min(count, round(end_s * self.sampling_frequency_hz))
        if first >= last:
            raise UsageError(
                "there is nothing in this part",
                address=self.place,
                why=f"{start_s:g} to {end_s} s of {self.durations_s[segment]:g} s",
            )
        return first, last

    def _scaled(self, values: np.ndarray[Any, Any], columns: list[int]) -> np.ndarray[Any, Any]:
        if self.gain_uv is None or self.offset_uv is None:
            raise UsageError("the gain of this recording is not known", hint="scaled=False")
        found: np.ndarray[Any, Any] = values.astype("float32")
        found *= self.gain_uv[columns].astype("float32")
        found += self.offset_uv[columns].astype("float32")
        return found

    def _columns(self, channels: Sequence[str | int] | None) -> list[int]:
        if channels is None:
            return list(range(len(self.channel_ids)))
        known = {name: n for n, name in enumerate(self.channel_ids)}
        missing = [c for c in channels if str(c) not in known]
        if missing:
            raise UsageError(
                f"there is no channel {missing[0]}",
                why=f"there are {len(known)}: {', '.join(self.channel_ids[:6])}, …",
            )
        return [known[str(c)] for c in channels]

    def _read(self, samples: Segment, first: int, last: int) -> np.ndarray[Any, Any]:
        import numpy as np

        try:
            return np.asarray(samples[first:last])
        except IntegrityError:
            raise
        except (RuntimeError, ValueError, OSError) as error:
            raise CorruptError(
                "a chunk of this recording is damaged", address=self.place, why=str(error)[:200]
            ) from error

    def _facts(self) -> dict[str, object]:
        seconds = ", ".join(seconds_text(s) for s in self.durations_s)
        gain = self.gain_uv
        return {
            "form": self.form,
            "channels": len(self.channel_ids),
            "duration": seconds,
            "sampling": f"{self.sampling_frequency_hz:g} Hz",
            "gain": f"{float(gain[0]):g} µV" if gain is not None and len(gain) else "not known",
            "probe": "places of channels known" if self.locations_um is not None else "not known",
            "true spikes": f"{len(self.spikes.times_s)} units" if self.spikes else None,
            "place": self.place,
        }

    def __repr__(self) -> str:
        return facts_text("recording", self._facts())

    def _repr_html_(self) -> str:
        return card("recording", self._facts())

    def to_spikeinterface(self) -> Any:
        """Open the same with SpikeInterface, where that is installed.

        Raises
        ------
        MissingExtraError
            If it is not.
        """
        try:
            import spikeinterface as si
        except ImportError:
            missing = MissingExtraError("spikeinterface", "a recording of SpikeInterface")
            missing.hint = "pip install spikeinterface, in an environment without zarr 3"
            raise missing from None
        return si.load(self.place)


def open_recording(place: Path | str) -> Recording:
    """Open a recording: a binary folder, a Zarr store, or an HDF5 file of MEArec.

    Raises
    ------
    NotFoundError
        If there is no recording there.
    CorruptError
        If its description makes no sense.
    TruncatedError
        If traces are shorter than they should be.
    MissingExtraError
        Without the extra ``ephys``, or the package of a codec.
    """
    where = Path(place)
    if where.is_file() and where.suffix in {".h5", ".hdf5"}:
        return _open_mearec(where)
    if (where / ".zgroup").exists() or (where / "zarr.json").exists():
        return _open_zarr(where)
    for name in ("binary.json", "cached.json"):
        if (where / name).exists():
            return _open_binary(where, name)
    raise NotFoundError(
        "there is no recording here",
        address=str(where),
        why="no binary.json, cached.json, .zgroup, and no HDF5 file",
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CorruptError("this is no JSON", address=str(path), why=str(error)) from error
    return told if isinstance(told, dict) else {}


# --- binary folders -----------------------------------------------------------------------------


def _open_binary(where: Path, name: str) -> Recording:
    import numpy as np

    told = _json(where / name)
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
            address=str(where / name),
            why=str(error),
        ) from error
    if count <= 0 or rate <= 0 or dtype.kind not in "iuf":
        raise CorruptError(
            "a recording that makes no sense", address=str(where), why=f"{count} of {dtype}"
        )
    ids = given.get("channel_ids") or list(range(count))
    segments = tuple(
        _mapped(where / file, dtype, count, offset, int(given.get("time_axis") or 0))
        for file in files
    )
    about = {
        **told.get("annotations", {}),
        **_json(where / "si_folder.json").get("annotations", {}),
    }
    return Recording(
        place=str(where),
        form="binary folder",
        segments=segments,
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, ids)),
        gain_uv=_numbers(where, "gain_to_uV", given, count),
        offset_uv=_numbers(where, "offset_to_uV", given, count),
        locations_um=_locations(
            _json(where / "probegroup.json") or _json(where / "probe.json"), count
        ),
        annotations=about,
    )


def _mapped(path: Path, dtype: Any, count: int, offset: int, time_axis: int) -> Any:
    import numpy as np

    if not path.is_file():
        raise NotFoundError("the traces are missing", address=str(path))
    size = path.stat().st_size - offset
    step = dtype.itemsize * count
    if size < 0 or size % step:
        raise TruncatedError(
            "the traces are cut off",
            address=str(path),
            why=f"{size:,} bytes are no whole number of {step:,}",
        )
    samples = size // step
    if not samples:
        return np.zeros((0, count), dtype)
    if time_axis == 1:
        return np.memmap(path, dtype, "r", offset, (count, samples)).T
    return np.memmap(path, dtype, "r", offset, (samples, count))


def _numbers(
    where: Path, name: str, given: Mapping[str, Any], count: int
) -> np.ndarray[Any, Any] | None:
    import numpy as np

    path = where / "properties" / f"{name}.npy"
    found: Any = given.get(name)
    if path.is_file():
        try:
            found = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise CorruptError(
                "a property is damaged", address=str(path), why=str(error)
            ) from error
    if found is None:
        return None
    values = (
        np.broadcast_to(np.asarray(found, float), (count,))
        if np.size(found) == 1
        else np.asarray(found, float)
    )
    if values.shape != (count,):
        raise CorruptError(
            f"{name} does not go with the channels",
            address=str(where),
            why=f"{values.shape}, {count} channels",
        )
    return values


def _locations(told: Mapping[str, Any], count: int) -> np.ndarray[Any, Any] | None:
    """Read places of channels from a probe, in the order of the channels."""
    import numpy as np

    probes = [probe for probe in told.get("probes") or () if isinstance(probe, dict)]
    if not probes:
        return None
    places = np.full((count, 2), np.nan)
    for probe in probes:
        positions = probe.get("contact_positions") or []
        indices = probe.get("device_channel_indices") or range(len(positions))
        for index, position in zip(indices, positions, strict=False):
            if 0 <= int(index) < count:
                places[int(index)] = position[:2]
    return None if np.isnan(places).any() else places


# --- Zarr ---------------------------------------------------------------------------------------


class _Chunks:
    """An array of a Zarr store, opened when it is first sliced: a codec may be missing."""

    def __init__(
        self,
        place: Path,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        codecs: tuple[str, ...],
        separator: str = ".",
    ) -> None:
        self.shape = shape
        self._place = place
        self._chunks = chunks
        self._codecs = codecs
        self._separator = separator

    @functools.cached_property
    def _array(self) -> Any:
        import importlib

        import zarr

        from openallen.formats import wavpack

        for codec in self._codecs:
            package = _CODECS.get(codec)
            if package is None or (codec == "wavpack" and wavpack.register()):
                continue
            try:
                importlib.import_module(package.replace("-", "_"))
            except ImportError as error:
                missing = MissingExtraError(package, f"this recording is packed with {codec} and")
                missing.hint = _HINTS[codec]
                missing.why = str(error)
                raise missing from None
        self._known_codecs()
        return zarr.open_array(str(self._place), mode="r")

    def _known_codecs(self) -> None:
        """See that every codec has something that decodes it."""
        from numcodecs.registry import get_codec

        for codec in self._codecs:
            try:
                get_codec({"id": codec})
            except TypeError:
                continue  # known, and wants to be told more
            except ValueError:
                missing = MissingExtraError(codec, f"this recording is packed with '{codec}' and")
                missing.why = "no package that is installed decodes it"
                missing.hint = f"install the package that registers '{codec}' with numcodecs"
                raise missing from None

    def __getitem__(self, key: Any) -> Any:
        first, last, _ = key.indices(self.shape[0])
        # Zarr gives the fill value for a chunk that is not there: silence that was never recorded.
        for row in range(first // self._chunks[0], -(-last // self._chunks[0])):
            for column in range(-(-self.shape[1] // self._chunks[1])):
                name = f"{row}{self._separator}{column}"
                if not (self._place / name).is_file():
                    raise TruncatedError(
                        "a chunk of this recording is missing", address=str(self._place), why=name
                    )
        return self._array[key]


def _open_zarr(where: Path) -> Recording:
    import numpy as np

    try:
        import zarr
    except ImportError:
        raise MissingExtraError("ephys", "a recording in Zarr") from None
    told = _json(where / ".zattrs") or _json(where / "zarr.json").get("attributes", {})
    try:
        rate = float(told["sampling_frequency"])
        count = int(told.get("num_segments", 1))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            "this Zarr store is no recording", address=str(where), why=f"no {error}"
        ) from error
    segments = tuple(_chunks(where / f"traces_seg{n}") for n in range(count))
    width = segments[0].shape[1]

    def read(name: str) -> Any:
        path = where / name
        if not path.is_dir():
            return None
        return np.asarray(zarr.open_array(str(path), mode="r")[:])

    ids = read("channel_ids")
    given = {n: read(f"properties/{n}") for n in ("gain_to_uV", "offset_to_uV")}
    return Recording(
        place=str(where),
        form="zarr",
        segments=segments,
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, range(width) if ids is None else ids.tolist())),
        gain_uv=_numbers(where, "gain_to_uV", given, width),
        offset_uv=_numbers(where, "offset_to_uV", given, width),
        locations_um=_locations(told.get("probegroup") or told.get("probe") or {}, width),
        annotations=told.get("annotations") or {},
    )


def _chunks(place: Path) -> _Chunks:
    told = _json(place / ".zarray")
    try:
        shape = tuple(int(size) for size in told["shape"])
        chunks = tuple(int(size) for size in told["chunks"])
        names = [told.get("compressor"), *(told.get("filters") or [])]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            "the traces of this recording are not described", address=str(place), why=str(error)
        ) from error
    if len(shape) != 2 or len(chunks) != 2 or min(chunks) < 1:
        raise CorruptError("traces have two axes", address=str(place), why=f"{shape}, {chunks}")
    codecs = tuple(str(codec.get("id")) for codec in names if isinstance(codec, dict))
    return _Chunks(place, shape, chunks, codecs, str(told.get("dimension_separator") or "."))


# --- MEArec -------------------------------------------------------------------------------------


def _open_mearec(where: Path) -> Recording:
    import numpy as np

    try:
        import h5py
    except ImportError:
        raise MissingExtraError("ephys", "a recording of MEArec") from None
    try:
        file = h5py.File(where, "r")
        traces = file["recordings"]
        info = file["info"]
    except (OSError, KeyError) as error:
        raise CorruptError(
            "this is no file of MEArec", address=str(where), why=str(error)
        ) from error
    rate = float(np.asarray(info["recordings"]["fs"])) if "recordings" in info else None
    if rate is None:
        times = np.asarray(file["timestamps"][:2], float)
        rate = float(1 / (times[1] - times[0]))
    gain = traces.attrs.get("gain_to_uV", info.get("gain_to_uV", None))
    width = traces.shape[1]
    places = np.asarray(file["channel_positions"]) if "channel_positions" in file else None
    trains = file.get("spiketrains", {})
    spikes = {str(n): np.asarray(trains[n]["times"], float) for n in sorted(trains, key=int)}
    return Recording(
        place=str(where),
        form="MEArec",
        segments=(traces,),
        sampling_frequency_hz=rate,
        channel_ids=tuple(map(str, range(width))),
        gain_uv=np.full(width, float(np.asarray(gain))) if gain is not None else None,
        offset_uv=np.zeros(width),
        locations_um=places[:, -2:] if places is not None else None,
        annotations={},
        spikes=Spikes(spikes),
    )
