"""A recording: traces read as they are asked for, in steps or µV, and where the channels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from openallen.display import card, facts_text, seconds_text
from openallen.errors import MissingExtraError, UsageError
from openallen.formats.chunks import decoding

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Recording", "Segment", "Spikes"]


class Segment(Protocol):
    """Samples of one segment: something with a shape that gives slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples, channels."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Return a part."""
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
        """Return a part of the traces.

        Parameters
        ----------
        start_s, end_s
            From and to, in seconds from the beginning of the segment; to its end where None, or
            where it ends before that.
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
        samples = self._segment(segment)
        first, last = self._span(segment, start_s, end_s)
        columns = self._columns(channels)
        values = self._read(samples, first, last)[:, columns]
        if scaled:
            values = self._scaled(values, columns)
        times = np.arange(first, last) / self.sampling_frequency_hz
        return xr.DataArray(
            values,
            dims=("time", "channel"),
            coords={"time": ("time", times, {"units": "s"}), **self._labels(columns)},
            name="traces",
            attrs=self._about(scaled=scaled),
        )

    def _labels(self, columns: list[int]) -> dict[str, Any]:
        """Return what is known of channels, as coordinates."""
        found: dict[str, Any] = {"channel": [self.channel_ids[i] for i in columns]}
        if self.locations_um is not None:
            for axis, name in enumerate(("x_um", "y_um")):
                found[name] = ("channel", self.locations_um[columns, axis])
        return found

    def _about(self, *, scaled: bool) -> dict[str, Any]:
        rate = self.sampling_frequency_hz
        return {"units": "µV" if scaled else "1", "sampling_frequency_hz": rate}

    def lazy(self, segment: int = 0, *, scaled: bool = True) -> xr.DataArray:
        """Return all traces of a segment as one array that is read as it is sliced.

        Parameters
        ----------
        segment
            Which segment.
        scaled
            µV as float32; else the integers as they are stored.

        Returns
        -------
        DataArray
            ``sample`` x ``channel``: samples are counted, as the times of hours of them would fill
            the memory; ``attrs["sampling_frequency_hz"]`` tells their distance. ``.chunk()`` hands
            over to dask. Channels are labelled as in `traces`.

        Raises
        ------
        As `traces` does, some of it when values are wanted.
        """
        import numpy as np

        try:
            from openallen.formats.lazy import lazy_array
        except ImportError:
            raise MissingExtraError("ephys", "labelled traces") from None
        samples = self._segment(segment)
        if scaled and self.gain_uv is None:
            raise UsageError("the gain of this recording is not known", hint="scaled=False")

        def read(key: tuple[Any, ...]) -> Any:
            rows, columns = key
            first, last, step = (
                rows.indices(samples.shape[0]) if isinstance(rows, slice) else (rows, rows + 1, 1)
            )
            part = self._read(samples, first, max(first, last))[::step]
            chosen = np.atleast_1d(np.arange(len(self.channel_ids))[columns])
            values = part[:, chosen]
            values = self._scaled(values, chosen.tolist()) if scaled else values
            values = values if isinstance(columns, slice) else values[:, 0]
            return values if isinstance(rows, slice) else values[0]

        kind = "float32" if scaled else self._read(samples, 0, 0).dtype
        return lazy_array(
            read,
            samples.shape,
            kind,
            ("sample", "channel"),
            self._labels(list(range(len(self.channel_ids)))),
            name="traces",
            attrs=self._about(scaled=scaled),
            chunks=(round(self.sampling_frequency_hz), len(self.channel_ids)),
        )

    def _segment(self, number: int) -> Segment:
        if not 0 <= number < len(self.segments):
            raise UsageError(f"there is no segment {number}", why=f"there are {len(self.segments)}")
        return self.segments[number]

    def _span(self, segment: int, start_s: float, end_s: float | None) -> tuple[int, int]:
        """Return the samples from and to."""
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

        with decoding("a chunk of this recording is damaged", self.place):
            return np.asarray(samples[first:last])

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

        SpikeInterface needs zarr below 3 on Python below 3.14: install openallen without extras
        beside it.

        Returns
        -------
        spikeinterface.core.BaseRecording

        Raises
        ------
        MissingExtraError
            If it is not installed; or for simulated recordings MEArec.
        UsageError
            If the recording is not on this machine.
        """
        try:
            import spikeinterface as si
        except ImportError:
            raise _missing("spikeinterface") from None
        if "://" in self.place:
            raise UsageError(
                "SpikeInterface opens what is on this machine",
                address=self.place,
                hint="fetch it: openallen fetch recording:… (or asset:…)",
            )
        if self.form == "MEArec":
            try:
                from spikeinterface.extractors import read_mearec

                return read_mearec(self.place)[0]
            except (ImportError, AssertionError):
                raise _missing("MEArec") from None
        load = getattr(si, "load", None) or si.load_extractor  # before 0.102
        return load(self.place)


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        package,
        "opening a recording with SpikeInterface",
        hint=f"pip install {package}, in an environment with zarr below 3",
    )
