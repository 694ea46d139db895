"""What any NWB file looks like: its series over time, its spikes, its tables."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError
from openallen.formats.nwb import column_names
from openallen.sessions.series import read_series
from openallen.sessions.unit_visuals import file_version
from openallen.visuals import (
    EventTrack,
    IntervalTrack,
    RasterVisual,
    TableVisual,
    TracesVisual,
    Track,
    Visual,
    channel_tracks,
)

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.nwb import Tree
    from openallen.sessions.general import NwbTables

__all__ = ["general_visuals"]

_MOST_SERIES: Final = 60
_MOST_LONG: Final = 4
_MOST_TABLES: Final = 16
_MOST_COLUMNS: Final = 24
_MOST_CHANNELS: Final = 2_000
_AT_ONCE: Final = 4_000_000
_STRETCH: Final = 20_000_000
_LABELS: Final = ("stimulus_name", "image_name", "label", "name", "condition", "outcome", "tags")


@dataclass(frozen=True)
class _Found:
    """A series, as far as it is known without its samples."""

    name: str
    path: str
    count: int
    channels: int
    from_s: float
    to_s: float

    @property
    def samples(self) -> int:
        return self.count * max(1, self.channels)

    @property
    def slug(self) -> str:
        return _slug(self.name)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def general_visuals(
    session: NwbTables, tables: Mapping[str, str], series: Mapping[str, str]
) -> tuple[Visual, ...]:
    """Return the views of a file.

    Parameters
    ----------
    session
        The file.
    tables, series
        Paths of its tables and series, by their names.
    """
    found = list(_series(session.tree, series))
    intervals = tuple(_intervals(session, tables))
    events = tuple(_events(session.tree, found))
    named = {e.name for e in events}
    plain = [one for one in found if one.slug not in named]
    return (
        *_raster(session, tables, events, intervals),
        *_together(session.tree, plain, intervals, events),
        *_long(session.tree, plain),
        *_tables(session, tables),
    )


# --- series ---------------------------------------------------------------------------------------


def _series(tree: Tree, series: Mapping[str, str]) -> Iterator[_Found]:
    for name, path in list(series.items())[:_MOST_SERIES]:
        try:
            one = _one(tree, name, path)
        except (OpenAllenError, ValueError, TypeError, KeyError, IndexError):
            continue  # what cannot be read is told where it is asked for by name
        if one is not None:
            yield one


def _one(tree: Tree, name: str, path: str) -> _Found | None:
    """Return a series that lines can be drawn of; None for movies and empty ones."""
    shape = tree.shape(f"{path}/data")
    if not shape or len(shape) > 2 or not math.prod(shape):
        return None
    kind = getattr(tree.lazy(f"{path}/data"), "dtype", None)
    if kind is None or kind.kind not in "iufb":
        return None
    channels = shape[1] if len(shape) == 2 else 0
    if tree.has(f"{path}/timestamps"):
        times = tree.shape(f"{path}/timestamps")[0]
        # Samples and times of other lengths: time may be the other axis, which reading finds out.
        if times != shape[0] and len(shape) == 2 and times == shape[1]:
            shape, channels = (times, shape[0]), shape[0]
        from_s, to_s = (float(tree.item(f"{path}/timestamps", at)) for at in (0, -1))
    else:
        rate = float(tree.attrs(f"{path}/starting_time")["rate"])
        from_s = float(tree.value(f"{path}/starting_time"))
        to_s = from_s + (shape[0] - 1) / rate
    if not (math.isfinite(from_s) and math.isfinite(to_s)) or channels > _MOST_CHANNELS:
        return None
    return _Found(name, path, shape[0], channels, from_s, max(from_s, to_s))


def _reader(tree: Tree, one: _Found, column: int | None) -> Callable[[], Any]:
    def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        found = read_series(tree, one.path, called=one.name)
        values = found.to_numpy()
        return found["time"].to_numpy(), values if column is None else values[:, column]

    return read


def _unit(tree: Tree, one: _Found) -> str:
    told = str(tree.attrs(f"{one.path}/data").get("unit", ""))
    return "" if told.casefold() in {"n/a", "na", "none", "unknown", "arbitrary", "1"} else told


def _together(
    tree: Tree,
    found: Sequence[_Found],
    intervals: tuple[IntervalTrack, ...],
    events: tuple[EventTrack, ...],
) -> tuple[TracesVisual, ...]:
    """Return the series that are read at once, on one axis."""
    small = [one for one in found if one.samples <= _AT_ONCE]
    if not small and not events and not intervals:
        return ()
    tracks = [track for one in small for track in _small(tree, one)]
    from_s = min((one.from_s for one in found), default=0.0)
    to_s = max((one.to_s for one in found), default=from_s)
    if not found:
        from_s, to_s = _ends(intervals, events)
    return (
        TracesVisual(
            name="traces",
            title="Series",
            from_s=from_s,
            to_s=to_s,
            tracks=tuple(tracks),
            intervals=intervals,
            events=events,
        ),
    )


def _ends(intervals: Sequence[IntervalTrack], events: Sequence[EventTrack]) -> tuple[float, float]:
    import numpy as np

    found = [np.zeros(1)]
    for track in intervals:
        try:
            found += [part[np.isfinite(part)] for part in track.read()[:2]]
        except OpenAllenError:
            continue
    for event in events:
        try:
            found.append(event.read())
        except OpenAllenError:
            continue
    known = np.concatenate(found[1:] or found)
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def _small(tree: Tree, one: _Found) -> Iterator[Track]:
    unit = _unit(tree, one)
    group = one.name.rpartition("/")[0] if one.channels == 0 else one.name
    if one.channels == 0:
        yield Track(
            name=one.slug,
            title=one.name,
            unit=unit,
            group=group or one.name,
            read=_reader(tree, one, None),
        )
    for column in range(one.channels):
        yield Track(
            name=f"{one.slug}-{column}",
            title=f"{one.name} {column}",
            unit=unit,
            group=group,
            read=_reader(tree, one, column),
            shown=column < 8,
        )


def _long(tree: Tree, found: Sequence[_Found]) -> Iterator[TracesVisual]:
    """Yield a view for each series that is too long to be read at once."""
    for one in [one for one in found if one.samples > _AT_ONCE][:_MOST_LONG]:
        span = max(one.to_s - one.from_s, 1e-9)
        longest = span * min(1.0, _STRETCH / one.samples)

        def read(
            from_s: float, to_s: float, one: _Found = one, step: float = span / one.count
        ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            part = read_series(tree, one.path, (from_s - step, to_s + step), called=one.name)
            values = part.to_numpy()
            return part["time"].to_numpy(), values if values.ndim == 2 else values[:, None]

        count = max(1, one.channels)
        titles = [f"channel {n}" for n in range(count)] if one.channels else [one.name]
        yield TracesVisual(
            name=one.slug,
            title=one.name,
            from_s=one.from_s,
            to_s=one.to_s,
            tracks=channel_tracks(titles, read, unit=_unit(tree, one), group=one.name),
            longest_s=longest if longest < span else None,
        )


def _events(tree: Tree, found: Sequence[_Found]) -> Iterator[EventTrack]:
    """Yield series that are points in time: ``left_lick_time`` of a behavior session."""
    for one in found:
        if one.channels == 0 and re.search(r"_times?$", one.name):

            def read(path: str = f"{one.path}/timestamps") -> Any:
                return tree.array(path)

            if tree.has(f"{one.path}/timestamps"):
                title = re.sub(r"_times?$", "", one.name).replace("_", " ")
                yield EventTrack(name=one.slug, title=title, read=read)


# --- tables ---------------------------------------------------------------------------------------


def _columns(tree: Tree, path: str) -> list[str]:
    try:
        return list(column_names(tree, path)[0])
    except OpenAllenError:
        return []


def _intervals(session: NwbTables, tables: Mapping[str, str]) -> Iterator[IntervalTrack]:
    for name, path in list(tables.items())[:_MOST_TABLES]:
        columns = _columns(session.tree, path)
        if not {"start_time", "stop_time"} <= set(columns):
            continue
        label = next((n for n in _LABELS if n in columns), None)
        wanted = ["start_time", "stop_time", *([label] if label else [])]

        def read(name: str = name, wanted: list[str] = wanted, label: str | None = label) -> Any:
            table = session.table(name, columns=wanted)
            labels = [str(v) for v in table[label]] if label else [name] * len(table)
            start, stop = (table[n].to_numpy(float) for n in ("start_time", "stop_time"))
            return start, stop, labels

        yield IntervalTrack(
            name=_slug(name), title=name.replace("_", " "), read=read, table=_slug(name)
        )


def _tables(session: NwbTables, tables: Mapping[str, str]) -> Iterator[TableVisual]:
    for name in list(tables)[:_MOST_TABLES]:

        def table(name: str = name) -> Any:
            # Arrays in cells fill the memory, and nobody reads them in a table.
            ragged = [n for n in ("spike_times", "spike_amplitudes", "waveform_mean", "image_mask")
                      if n in _columns(session.tree, tables[name])]  # fmt: skip
            return session.table(name, skip=ragged)

        yield TableVisual(name=_slug(name), title=name.replace("_", " "), table=table)


def _raster(
    session: NwbTables,
    tables: Mapping[str, str],
    events: tuple[EventTrack, ...],
    intervals: tuple[IntervalTrack, ...],
) -> Iterator[RasterVisual]:
    """Yield the spikes of the units, where the file has some."""
    import numpy as np

    path = tables.get("units")
    if path is None or "spike_times" not in _columns(session.tree, path):
        return
    kept: list[tuple[Any, list[Any]]] = []

    def read() -> tuple[Any, list[Any]]:
        if not kept:
            columns = [n for n in _columns(session.tree, path) if n not in _HEAVY]
            table = session.table("units", columns=["spike_times", *columns[:_MOST_COLUMNS]])
            times = [np.sort(np.asarray(t, float).reshape(-1)) for t in table["spike_times"]]
            kept.append((table.drop(columns="spike_times"), times))
        return kept[0]

    def units() -> list[dict[str, Any]]:
        table = read()[0]
        plain = [n for n in table if table[n].map(np.ndim).max() == 0] if len(table) else []
        rows = table[plain].to_dict("records")
        return [{"id": i, **row} for i, row in zip(table.index.tolist(), rows, strict=True)]

    try:
        ends = [t[[0, -1]] for t in read()[1] if len(t)]
    except OpenAllenError:
        return
    if ends:
        yield RasterVisual(
            name="raster",
            title="Spikes",
            from_s=float(min(e[0] for e in ends)),
            to_s=float(max(e[1] for e in ends)),
            units=units,
            spikes=lambda: read()[1],
            source=file_version(session.path, "units"),
            events=events,
            intervals=intervals,
        )


_HEAVY: Final = frozenset(
    {"spike_times", "spike_amplitudes", "waveform_mean", "waveform_sd", "waveforms", "electrodes",
     "obs_intervals", "electrode_group"}
)  # fmt: skip
