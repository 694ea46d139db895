"""A recording: traces read lazily, as stored or in µV, and the locations of the channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from openallen.again import Again, Handle
from openallen.display import bytes_text, card, count_text, facts_text, seconds_text
from openallen.errors import CorruptError, MissingExtraError, UsageError, requiring
from openallen.formats.chunks import decoding
from openallen.sources.facts import Field
from openallen.sources.recordings.clock import Clock

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.visuals import Visual

__all__ = ["Recording", "Segment", "Spikes"]


class Segment(Protocol):
    """Samples of one segment: an array that is read when it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples, channels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Return a part."""
        ...


@dataclass(frozen=True, repr=False)
class Spikes:
    """Ground-truth spikes of a simulated recording.

    Parameters
    ----------
    times_s
        Spike times by unit, in seconds from the beginning, ascending.
    """

    times_s: Mapping[str, np.ndarray[Any, Any]]

    def __repr__(self) -> str:
        count = sum(len(times) for times in self.times_s.values())
        return f"{count_text(len(self.times_s), 'unit')}, {count_text(count, 'spike')}"


@dataclass(frozen=True)
class _SegmentReader:
    """Reads parts of a segment; in another process by the address of the recording."""

    recording: Handle[Recording]
    segment: int
    scaled: bool

    def __call__(self, key: tuple[Any, ...]) -> Any:
        return self.recording.get().read_part(key, self.segment, scaled=self.scaled)


@dataclass(frozen=True, kw_only=True, repr=False)
class Recording(Again):
    """One recording.

    Parameters
    ----------
    place
        Path or URL.
    form
        ``binary folder``, ``zarr`` or ``MEArec``.
    segments
        For each segment an array (samples, channels) that is read when it is sliced.
    sampling_frequency_hz
        Sampling frequency in Hz.
    channel_ids
        Ids of the channels, in the order of the columns.
    gain_uv, offset_uv
        Gain of each channel in µV per bit, and offset in µV; None where unknown.
    locations_um
        Locations of the channels on the probe in µm, shape (channels, 2) or (channels, 3); None
        where unknown.
    annotations
        Annotations stored with it.
    spikes
        Ground-truth spikes of a simulated recording; None otherwise.
    clocks
        The clock of each segment; None where all begin at zero.
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
    clocks: tuple[Clock, ...] | None = None

    def __post_init__(self) -> None:
        width = len(self.channel_ids)
        wrong = None
        if not (math.isfinite(self.sampling_frequency_hz) and self.sampling_frequency_hz > 0):
            wrong = f"a sampling frequency of {self.sampling_frequency_hz} Hz"
        elif not self.segments:
            wrong = "no segments"
        elif any(len(s.shape) != 2 or min(s.shape) < 0 for s in self.segments):
            wrong = "segments that are not samples x channels"
        elif any(s.shape[1] != width for s in self.segments):
            wrong = f"{width:,} ids for {self.segments[0].shape[1]:,} channels"
        elif self.locations_um is not None and (
            self.locations_um.ndim != 2
            or len(self.locations_um) != width
            or self.locations_um.shape[1] < 2
        ):
            wrong = f"locations of shape {self.locations_um.shape} for {width:,} channels"
        if wrong is not None:
            raise CorruptError("invalid recording", address=self.place, why=wrong)

    def _clock(self, segment: int, kind: str = "recording") -> Clock:
        if kind not in {"recording", "segment"}:
            raise UsageError(f"no clock '{kind}'", why="recording or segment")
        if self.clocks is not None and kind == "recording":
            return self.clocks[segment]
        count = self._segment(segment).shape[0]
        return Clock(place=self.place, rate_hz=self.sampling_frequency_hz, count=count)

    def times_s(
        self, segment: int = 0, first: int = 0, last: int | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the times of samples on the recording's clock, in seconds.

        Parameters
        ----------
        segment
            Index of the segment.
        first, last
            The first sample, and the one after the last; by default all.

        Raises
        ------
        UsageError
            If the segment does not exist.
        CorruptError
            If stored times are damaged, or do not ascend.
        """
        count = self._segment(segment).shape[0]
        first, last, _ = slice(first, last).indices(count)
        return self._clock(segment).times_s(first, max(first, last))

    def times_of(self, samples: np.ndarray[Any, Any], segment: int = 0) -> np.ndarray[Any, Any]:
        """Return the times of ascending samples on the recording's clock, in seconds.

        Raises
        ------
        UsageError
            If the segment does not exist.
        CorruptError
            If there are no such samples, or stored times are damaged.
        """
        self._segment(segment)
        return self._clock(segment).at(samples)

    @property
    def durations_s(self) -> tuple[float, ...]:
        """Duration of each segment in seconds."""
        return tuple(s.shape[0] / self.sampling_frequency_hz for s in self.segments)

    def traces(
        self,
        start_s: float | None = None,
        end_s: float | None = None,
        *,
        channels: Sequence[str | int] | None = None,
        segment: int = 0,
        scaled: bool = True,
        clock: str = "recording",
    ) -> xr.DataArray:
        """Read a part of the traces.

        Parameters
        ----------
        start_s, end_s
            Start and end in seconds; by default, and if beyond them, those of the segment.
        channels
            Ids of channels; all if None.
        segment
            Index of the segment.
        scaled
            float32 in µV; else the values as stored.
        clock
            ``recording``: times are those stored with the recording, as spikes and stimuli have
            them, where there are any; ``segment``: seconds from the beginning of the segment.

        Returns
        -------
        DataArray
            Axes ``time`` (s) and ``channel`` (ids); coordinates ``x_um`` and ``y_um`` where channel
            locations are known.

        Raises
        ------
        UsageError
            If the part, channel or segment does not exist, or the gain is unknown.
        IntegrityError
            If a chunk is damaged or missing.
        MissingExtraError
            If the package of a codec is not installed.
        """
        with requiring("labelled traces", "ephys"):
            import xarray as xr
        samples = self._segment(segment)
        watch = self._clock(segment, clock)
        first, last = self._span(watch, start_s, end_s)
        columns = self._columns(channels)
        values = self._read(samples, first, last)[:, columns]
        if scaled:
            values = self._scaled(values, columns)
        times = watch.times_s(first, last)
        return xr.DataArray(
            values,
            dims=("time", "channel"),
            coords={"time": ("time", times, {"units": "s"}), **self._labels(columns)},
            name="traces",
            attrs=self._about(scaled=scaled),
        )

    def _labels(self, columns: list[int]) -> dict[str, Any]:
        """Return ids and locations of channels as coordinates."""
        found: dict[str, Any] = {"channel": [self.channel_ids[i] for i in columns]}
        if self.locations_um is not None:
            for axis, name in enumerate(("x_um", "y_um")):
                found[name] = ("channel", self.locations_um[columns, axis])
        return found

    def _about(self, *, scaled: bool) -> dict[str, Any]:
        rate = self.sampling_frequency_hz
        return {"units": "µV" if scaled else "1", "sampling_frequency_hz": rate}

    def lazy(self, segment: int = 0, *, scaled: bool = True, chunks: Any = None) -> xr.DataArray:
        """Return all traces of a segment as one lazy array, read when it is sliced.

        Parameters
        ----------
        segment
            Index of the segment.
        scaled
            float32 in µV; else the values as stored.
        chunks
            For a dask array (needs the extra ``dask``): samples in a chunk, ``auto``, or a mapping
            by axis; ``{}`` for one second of all channels. Its tasks carry where the recording
            is, not traces: each process opens it for itself.

        Returns
        -------
        DataArray
            Axes ``sample`` and ``channel``. Samples have no time coordinate, as that of hours would
            fill the memory: `times_s` returns the times of some. Channels have the coordinates of
            `traces`.

        Raises
        ------
        As `traces` does, some of it only when values are read.
        """
        with requiring("labelled traces", "ephys"):
            from openallen.formats.lazy import in_chunks, lazy_array
        samples = self._segment(segment)
        if scaled and self.gain_uv is None:
            raise UsageError("the gain of this recording is unknown", hint="scaled=False")

        kind = "float32" if scaled else samples.dtype
        found = lazy_array(
            _SegmentReader(Handle(self), segment, scaled),
            samples.shape,
            kind,
            ("sample", "channel"),
            self._labels(list(range(len(self.channel_ids)))),
            name="traces",
            attrs=self._about(scaled=scaled),
            chunks=(round(self.sampling_frequency_hz), len(self.channel_ids)),
        )
        return found if chunks is None else in_chunks(found, chunks, "sample", "samples")

    def read_part(self, key: tuple[Any, ...], segment: int, *, scaled: bool) -> Any:
        """Read a part of a segment as plain values.

        Parameters
        ----------
        key
            An integer or a slice of samples, and of channels.
        segment
            Index of the segment.
        scaled
            float32 in µV; else the values as stored.
        """
        import numpy as np

        rows, columns = key
        samples = self._segment(segment)
        first, last, step = (
            rows.indices(samples.shape[0]) if isinstance(rows, slice) else (rows, rows + 1, 1)
        )
        part = self._read(samples, first, max(first, last))[::step]
        chosen = np.atleast_1d(np.arange(len(self.channel_ids))[columns])
        values = part[:, chosen]
        values = self._scaled(values, chosen.tolist()) if scaled else values
        values = values if isinstance(columns, slice) else values[:, 0]
        return values if isinstance(rows, slice) else values[0]

    def _segment(self, number: int) -> Segment:
        if not 0 <= number < len(self.segments):
            raise UsageError(
                f"no segment {number}",
                address=self.place,
                why=f"it has {count_text(len(self.segments), 'segment')}, counted from 0",
            )
        return self.segments[number]

    def _span(self, clock: Clock, start_s: float | None, end_s: float | None) -> tuple[int, int]:
        """Return the index of the first sample, and of the one after the last."""
        first = 0 if start_s is None else clock.sample(start_s)
        last = clock.count if end_s is None else clock.sample(end_s)
        if first >= last:
            asked = [f"{'start' if start_s is None else f'{start_s:g}'}"]
            asked.append("end" if end_s is None else f"{end_s:g} s")
            raise UsageError(
                "no samples in this window",
                address=self.place,
                why=f"{' to '.join(asked)}; the segment has {clock.first_s:g} to {clock.end_s:g} s",
                hint='clock="segment" counts from its beginning' if clock.told() else "",
            )
        return first, last

    def _scaled(self, values: np.ndarray[Any, Any], columns: list[int]) -> np.ndarray[Any, Any]:
        if self.gain_uv is None or self.offset_uv is None:
            raise UsageError("the gain of this recording is unknown", hint="scaled=False")
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
                f"no channel {missing[0]}",
                address=self.place,
                why=f"it has {len(known)}: {', '.join(self.channel_ids[:6])}, …",
            )
        return [known[str(c)] for c in channels]

    def _read(self, samples: Segment, first: int, last: int) -> np.ndarray[Any, Any]:
        import numpy as np

        with decoding("a chunk of this recording is damaged", self.place):
            return np.asarray(samples[first:last])

    @property
    def _size(self) -> dict[str, str]:
        """The parts of the title, in the order of SpikeInterface."""
        samples = sum(segment.shape[0] for segment in self.segments)
        dtype = self.segments[0].dtype
        return {
            "channels": count_text(len(self.channel_ids), "channel"),
            "sampling": _hertz(self.sampling_frequency_hz),
            "segments": count_text(len(self.segments), "segment"),
            "samples": count_text(samples, "sample"),
            "duration": _duration(samples / self.sampling_frequency_hz),
            "dtype": f"{dtype} dtype",
            "size": bytes_text(samples * len(self.channel_ids) * dtype.itemsize),
        }

    @property
    def _title(self) -> str:
        return f"Recording: {' - '.join(self._size.values())}"

    def _facts(self) -> dict[str, object]:
        """Return all facts, counts as numbers without their nouns."""
        plain = {name: text.removesuffix(" dtype") for name, text in self._size.items()}
        counts = {
            "channels": len(self.channel_ids),
            "segments": len(self.segments),
            "samples": sum(segment.shape[0] for segment in self.segments),
        }
        counted = {name: Field(name, n, f"{n:,}") for name, n in counts.items()}
        return {**plain, **counted, **self._more()}

    def _more(self) -> dict[str, object]:
        """Return the facts that are not in the title."""
        gain = self.gain_uv
        told = [text for clock in self.clocks or () if (text := clock.told())]
        lengths = [f"{s.shape[0]:,} ({_duration(d)})" for s, d in self._lengths()]
        return {
            "samples by segment": ", ".join(lengths) if len(lengths) > 1 else None,
            "gain": f"{float(gain[0]):g} µV/bit" if gain is not None and len(gain) else "unknown",
            "clock": "; ".join(told) or None,
            "probe": self._probe(),
            "ground truth": repr(self.spikes) if self.spikes else None,
            "format": self.form,
            "place": self.place,
        }

    def _lengths(self) -> Iterator[tuple[Segment, float]]:
        return zip(self.segments, self.durations_s, strict=True)

    def _probe(self) -> str:
        places = self.locations_um
        if places is None or not len(places):
            return "channel locations unknown"
        spans = [
            f"{axis} {low:g} to {high:g} µm"
            for axis, low, high in zip("xyz", places.min(0), places.max(0), strict=False)
        ]
        return f"channel locations known ({', '.join(spans)})"

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.recordings.visuals import visuals_of_recording

        return visuals_of_recording(self)

    def __repr__(self) -> str:
        return facts_text(self._title, self._more())

    def _repr_html_(self) -> str:
        return card(self._title, self._more())

    def to_spikeinterface(self) -> Any:
        """Open the same recording with SpikeInterface, if that is installed.

        SpikeInterface needs zarr below 3 on Python below 3.14: install openallen without extras
        in its environment.

        Returns
        -------
        spikeinterface.core.BaseRecording

        Raises
        ------
        MissingExtraError
            If SpikeInterface is not installed, or MEArec for a simulated recording.
        UsageError
            If the recording is remote.
        """
        try:
            import spikeinterface as si
        except ImportError:
            raise _missing("spikeinterface") from None
        if "://" in self.place:
            raise UsageError(
                "SpikeInterface opens local recordings only",
                address=self.place,
                hint="openallen fetch recording:NAME (or asset:NAME)",
            )
        if self.form == "MEArec":
            try:
                from spikeinterface.extractors import read_mearec

                return read_mearec(self.place)[0]
            except (ImportError, AssertionError):
                raise _missing("MEArec") from None
        load = getattr(si, "load", None) or si.load_extractor  # before 0.102
        return load(self.place)


def _hertz(rate_hz: float) -> str:
    return f"{rate_hz / 1000:g} kHz" if rate_hz >= 1000 else f"{rate_hz:g} Hz"


def _duration(duration_s: float) -> str:
    return f"{duration_s:.2f} s" if duration_s < 120 else seconds_text(duration_s)


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        package,
        "opening a recording with SpikeInterface",
        hint=f"pip install {package}, in an environment with zarr below 3",
    )
