"""What a recording looks like: traces by channel; what a sorting looks like: spikes by unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError
from openallen.visuals import RasterVisual, TableVisual, TracesVisual, Visual, channel_tracks

if TYPE_CHECKING:
    import numpy as np

    from openallen.sources.recordings.recording import Recording
    from openallen.sources.recordings.sorting import Sorting

__all__ = ["visuals_of_recording", "visuals_of_sorting"]

_MOST_SEGMENTS: Final = 8
_AT_ONCE: Final = 40_000_000
"""Samples of all channels that are read for one view."""


def visuals_of_recording(recording: Recording) -> tuple[Visual, ...]:
    """Return the views of a recording: each segment, its channels, ground truth.

    Parameters
    ----------
    recording
        The recording.
    """
    segments = range(min(len(recording.segments), _MOST_SEGMENTS))
    found = []
    for n in segments:
        # A segment whose times are damaged costs no other, and not the channels.
        with suppress(OpenAllenError):
            found += [_segment(recording, n)] if recording.segments[n].shape[0] else []
    table = TableVisual(name="channels", title="Channels", table=lambda: _channels(recording))
    return (*found, *_truth(recording), table)


def _segment(recording: Recording, number: int) -> TracesVisual:
    count = recording.segments[number].shape[0]
    rate = recording.sampling_frequency_hz
    ends = recording.times_s(number, 0, 1)[0], recording.times_s(number, count - 1, count)[0]
    from_s, to_s = (float(end) for end in ends)
    longest = _AT_ONCE / rate / max(1, len(recording.channel_ids))
    scaled = recording.gain_uv is not None and recording.offset_uv is not None

    def read(start_s: float, stop_s: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        step = 1.5 / rate
        begin, end = max(from_s, start_s - step), min(to_s + step, stop_s + step)
        if end <= begin:
            return np.empty(0), np.empty((0, len(recording.channel_ids)))
        part = recording.traces(begin, end, segment=number, scaled=scaled)
        return part["time"].to_numpy(), part.to_numpy()

    many = len(recording.segments) > 1
    return TracesVisual(
        name=f"traces-{number}" if many else "traces",
        title=f"Traces, segment {number}" if many else "Traces",
        from_s=from_s,
        to_s=max(to_s, from_s + 1 / rate),
        tracks=channel_tracks(
            [f"channel {name}" for name in recording.channel_ids],
            read,
            unit="µV" if scaled else "",
            group="channels",
        ),
        longest_s=longest if longest < to_s - from_s else None,
    )


def _channels(recording: Recording) -> list[dict[str, Any]]:
    places = recording.locations_um
    rows = []
    for n, name in enumerate(recording.channel_ids):
        row: dict[str, Any] = {"channel": name}
        if places is not None:
            row |= {f"{a}_um": float(v) for a, v in zip("xyz", places[n], strict=False)}
        if recording.gain_uv is not None:
            row["gain_uv"] = float(recording.gain_uv[n])
        rows.append(row)
    return rows


def _truth(recording: Recording) -> Iterator[RasterVisual]:
    if recording.spikes is None:
        return
    names = list(recording.spikes.times_s)
    times = [recording.spikes.times_s[name] for name in names]
    yield _raster("Ground-truth spikes", names, times, [{} for _ in names])


def _raster(
    title: str,
    names: Sequence[str],
    times: Sequence[np.ndarray[Any, Any]],
    more: Sequence[dict[str, Any]],
) -> RasterVisual:
    some = [t for t in times if len(t)]
    rows = [
        {"id": name, "spikes": len(t), **told}
        for name, t, told in zip(names, times, more, strict=True)
    ]
    return RasterVisual(
        name="raster",
        title=title,
        from_s=min((float(t[0]) for t in some), default=0.0),
        to_s=max((float(t[-1]) for t in some), default=1.0),
        units=lambda: rows,
        spikes=lambda: times,
    )


def visuals_of_sorting(sorting: Sorting) -> tuple[Visual, ...]:
    """Return the views of a sorting: the spikes of its first segment.

    Parameters
    ----------
    sorting
        The sorting.
    """
    names = list(sorting.unit_ids)
    times = [sorting.times_s(name) for name in names]
    plain = {n: v.tolist() for n, v in sorting.properties.items() if v.ndim == 1}
    more = [{n: values[row] for n, values in plain.items()} for row in range(len(names))]
    return (_raster("Spikes", names, times, more),)
