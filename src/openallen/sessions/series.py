"""Series over time: which axis is time, which samples lie in a window, in which unit they are.

Files put time on another axis than the first, have more or fewer times than samples, or times
that do not ascend. What can be told apart is read and noted; what cannot is an error.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openallen.errors import CorruptError, UsageError
from openallen.formats.nwb.values import number

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.formats.nwb import Tree

__all__ = ["read_series", "time_axis"]

_CELLS_FIRST: Final = "processing/brain_observatory_pipeline/"
"""Where Visual Coding keeps traces, cells x frames: which matters where these are as many."""

_LOG: Final = logging.getLogger("openallen.sessions")
_SECONDS: Final = frozenset({"", "s", "sec", "secs", "second", "seconds"})
_MOST_SAMPLES: Final = 50_000_000


class _Window(NamedTuple):
    """Samples from and to along the axis of time, and which of these are in the window."""

    axis: int
    first: int
    last: int
    times: np.ndarray[Any, Any]
    kept: np.ndarray[Any, Any] | None


def read_series(
    tree: Tree,
    path: str,
    window_s: tuple[float | None, float | None] = (None, None),
    *,
    channels: Sequence[int] | None = None,
    scaled: bool = True,
    called: str = "",
    conversion: bool = True,
) -> xr.DataArray:
    """Return a series, or a part of it; see `openallen.sessions.general.NwbTables.series`.

    Parameters
    ----------
    tree
        The file.
    path
        Where the series is in it.
    window_s
        From and up to, in s on the clock of the session.
    channels, scaled
        As there.
    called
        The name it was asked for by, for hints.
    conversion
        Whether the conversion the series names is right; else values are in its unit as stored.

    Raises
    ------
    UsageError
        If the window holds nothing of it, or too much.
    CorruptError
        If its times do not go with its samples.
    """
    import numpy as np

    _check_window(tree, window_s)
    notes: list[str] = []
    shape = tree.shape(f"{path}/data")
    window = _window(tree, path, shape, window_s, notes)
    rest = [int(n) for at, n in enumerate(shape) if at != window.axis]
    _check_channels(tree, rest, channels)
    count = window.last - window.first
    if count * math.prod(rest) > _MOST_SAMPLES:
        raise UsageError(
            "this is more than can be read at once",
            address=tree.name,
            why=f"{count:,} times {rest or ''}",
            hint=f"series({called or path!r}, start_s, end_s)",
        )
    span = slice(window.first, window.last)
    key: Any = span if window.axis == 0 else (*(slice(None),) * window.axis, span)
    values = np.moveaxis(tree.part(f"{path}/data", key), window.axis, 0)
    if window.kept is not None:
        values = values[window.kept]
    told = tree.attrs(f"{path}/data")
    if scaled and conversion and values.dtype.kind in "iufbc":
        values = _scaled(tree, path, values, told)
    made = _labelled(tree, path, values, window.times)
    made.attrs["units"] = str(told.get("unit", "")) if scaled else "1"
    if unit := _odd_unit(tree, path):
        notes.append(f"its times name the unit {unit!r}, and are taken as seconds")
    if notes:
        made.attrs["notes"] = "; ".join(notes)
        _LOG.warning("%s: %s: %s", tree.name, path, made.attrs["notes"])
    return made if channels is None else made.isel(channel=list(channels))


def _check_window(tree: Tree, window_s: Sequence[Any]) -> None:
    if any(s is not None and (not isinstance(s, Real) or math.isnan(s)) for s in window_s):
        raise UsageError("a window is two numbers", address=tree.name, why=repr(window_s)[:80])


def _check_channels(tree: Tree, rest: list[int], channels: Sequence[Any] | None) -> None:
    if channels is None:
        return
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in channels)
    if len(rest) != 1 or not whole or any(not -rest[0] <= n < rest[0] for n in channels):
        raise UsageError(
            "this series has no such channels", address=tree.name, why=f"it has {rest or 'none'}"
        )


def time_axis(times: int, shape: tuple[int, ...], where: str, path: str) -> int:
    """Return the axis of samples that time runs along, by its length; the first where it fits.

    Parameters
    ----------
    times
        How many times there are.
    shape
        Shape of the samples.
    where, path
        The file and the series, for messages.

    Raises
    ------
    CorruptError
        If no axis is as long, or several after the first are.
    """
    if shape and shape[0] == times:
        return 0
    fitting = [at for at, length in enumerate(shape) if length == times]
    if len(fitting) == 1:
        return fitting[0]
    raise CorruptError(
        "times and samples differ in number",
        address=where,
        why=f"{path}: {times:,} times, samples {' x '.join(map(str, shape)) or 'none'}",
    )


def _window(
    tree: Tree,
    path: str,
    shape: tuple[int, ...],
    window_s: tuple[float | None, float | None],
    notes: list[str],
) -> _Window:
    if not shape:
        raise CorruptError("a series whose samples have no axis", address=tree.name, why=path)
    if tree.has(f"{path}/timestamps"):
        found = _by_times(tree, path, shape, window_s, notes)
    else:
        found = _by_rate(tree, path, shape[0], window_s)
    # A series that holds nothing, an unused channel, is empty in any window.
    if found.first >= found.last and shape[found.axis] and window_s != (None, None):
        raise UsageError(
            "no samples in this window", address=tree.name, why=f"{window_s[0]} to {window_s[1]} s"
        )
    return found


def _by_times(
    tree: Tree,
    path: str,
    shape: tuple[int, ...],
    window_s: tuple[float | None, float | None],
    notes: list[str],
) -> _Window:
    import numpy as np

    times = _times(tree, path, notes)
    if not math.prod(shape) and tree.has(f"{path}/external_file"):
        notes.append("its samples lie in files outside of this one (external_file)")
        return _Window(0, 0, 0, times[:0], None)
    axis = time_axis(len(times), shape, tree.name, f"{path}/data")
    if axis == 0 and len(times) > 1 and len(times) in shape[1:]:
        axis = 1 if path.startswith(_CELLS_FIRST) and shape[1] == len(times) else 0
        if axis == 0:
            notes.append("several axes of the samples are as long as its times: the first is taken")
    if axis:
        notes.append(f"time is axis {axis} of the stored samples, by its length")
    start_s, end_s = window_s
    if bool(np.all(times[1:] >= times[:-1])) and not np.isnan(times[-1:]).any():
        first = 0 if start_s is None else int(np.searchsorted(times, start_s, "left"))
        last = len(times) if end_s is None else int(np.searchsorted(times, end_s, "left"))
        return _Window(axis, first, max(first, last), times[first:last], None)
    notes.append(_disorder(times))
    if window_s == (None, None):
        return _Window(axis, 0, len(times), times, None)
    low, high = (-math.inf if start_s is None else start_s), (math.inf if end_s is None else end_s)
    at = np.flatnonzero((times >= low) & (times < high))
    if not len(at):
        return _Window(axis, 0, 0, times[:0], None)
    first = int(at[0])
    return _Window(axis, first, int(at[-1]) + 1, times[at], at - first)


def _times(tree: Tree, path: str, notes: list[str]) -> np.ndarray[Any, Any]:
    """Return the times of a series as one row of numbers.

    Raises
    ------
    CorruptError
        If they are more than one row, or no numbers.
    """
    times: np.ndarray[Any, Any] = tree.array(f"{path}/timestamps")
    if times.ndim != 1 and times.size == max(times.shape, default=1):
        notes.append(f"its times are stored as {' x '.join(map(str, times.shape)) or 'a scalar'}")
        times = times.reshape(-1)
    if times.ndim != 1 or times.dtype.kind not in "iuf":
        what = " x ".join(map(str, times.shape))
        raise CorruptError(
            "times that are not one row of numbers",
            address=tree.name,
            why=f"{path}/timestamps: {what} of {times.dtype}",
        )
    return times


def _odd_unit(tree: Tree, path: str) -> str:
    """Return the unit of the times of a series where it is not the second; else nothing."""
    place = f"{path}/timestamps" if tree.has(f"{path}/timestamps") else f"{path}/starting_time"
    unit = str(tree.attrs(place).get("unit") or "").strip()
    return "" if unit.lower() in _SECONDS else unit


def _disorder(times: np.ndarray[Any, Any]) -> str:
    import numpy as np

    missing = int(np.isnan(times).sum())
    parts = [f"{missing:,} of its times are missing"] if missing else []
    known = times[~np.isnan(times)]
    back = int((np.diff(known) < 0).sum())
    parts += [f"its times run backwards at {back:,} places"] if back else []
    return "; ".join(parts)


def _by_rate(
    tree: Tree, path: str, count: int, window_s: tuple[float | None, float | None]
) -> _Window:
    import numpy as np

    place = f"{path}/starting_time"
    begin = number(tree.value(place), "starting_time", f"{tree.name}/{path}")
    rate = number(tree.attrs(place).get("rate", 0), "rate", f"{tree.name}/{path}")
    if not (rate > 0 and math.isfinite(rate) and math.isfinite(begin)):
        raise CorruptError("a series without a rate", address=tree.name, why=path)
    spans = [None if s is None else (s - begin) * rate for s in window_s]
    # A hair's breadth below a sample still means that sample; infinity is one end.
    edges = [
        None if s is None or math.isinf(s) else int(np.ceil(np.clip(s - 1e-6, -1, count)))
        for s in spans
    ]
    first = min(count, max(0, edges[0] or 0))
    last = count if edges[1] is None else min(count, max(0, edges[1]))
    last = max(first, last)
    return _Window(0, first, last, begin + np.arange(first, last) / rate, None)


def _labelled(
    tree: Tree, path: str, values: np.ndarray[Any, Any], times: np.ndarray[Any, Any]
) -> xr.DataArray:
    """Return values with their times, and with their electrodes where the file has them."""
    from openallen.sessions.arrays import xarray

    rest = values.ndim - 1
    coords: dict[str, Any] = {"time": ("time", times, {"units": "s"})}
    if rest == 1 and tree.has(f"{path}/electrodes"):
        rows = tree.array(f"{path}/electrodes")
        coords |= {"channel": rows} if rows.shape == values.shape[1:] else {}
    names = ["channel"] if rest == 1 else [f"axis_{n + 1}" for n in range(rest)]
    name, about = path.rpartition("/")[2], {"path": path}
    made: xr.DataArray = xarray().DataArray(
        values, dims=("time", *names), coords=coords, name=name, attrs=about
    )
    return made


def _scaled(
    tree: Tree, path: str, values: np.ndarray[Any, Any], told: Mapping[str, Any]
) -> np.ndarray[Any, Any]:
    where = f"{tree.name}/{path}"
    conversion = number(told.get("conversion", 1.0), "conversion", where)
    offset = number(told.get("offset", 0.0), "offset", where)
    # Half precision has three digits, and nothing below 6e-8: volts would come out as zeros.
    made = values.astype("float32") if values.dtype == "float16" else values
    if conversion != 1.0:
        made = made * conversion
    if tree.has(f"{path}/channel_conversion"):
        each = tree.array(f"{path}/channel_conversion")
        if values.ndim < 2 or each.shape != values.shape[1:2]:
            raise CorruptError(
                "channels and their conversions differ in number",
                address=tree.name,
                why=f"{path}: {each.shape} for samples {values.shape}",
            )
        made = made * each.reshape(-1, *(1,) * (values.ndim - 2))
    return made + offset if offset else made
