"""Extremes of each pixel are those of all samples in it; nothing is lost, at any zoom."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.errors import CorruptError
from openallen.viewer.answers import Query
from openallen.viewer.culled import Stretches, points_drawn, stretches_drawn
from openallen.viewer.kept import Kept
from openallen.viewer.kinds import Kinds
from openallen.viewer.pyramid import pyramid
from openallen.visuals import RasterVisual, TableVisual


def binned(times, values, from_s, to_s, px):
    """The extremes of each pixel that has samples, by the plainest of loops."""
    edges = np.linspace(from_s, to_s, px + 1)
    found = []
    for n in range(px):
        last = n == px - 1
        inside = (times >= edges[n]) & ((times <= to_s) if last else (times < edges[n + 1]))
        if inside.any():
            part = values[inside]
            known = part[~np.isnan(part)]
            found.append((known.min(), known.max()) if len(known) else (np.nan, np.nan))
    return np.array(found).reshape(-1, 2)


series = st.builds(
    lambda seed, count, gaps: (seed, count, gaps),
    st.integers(0, 2**32 - 1),
    st.integers(1, 6_000),
    st.booleans(),
)


def made(seed, count, gaps):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1.0, count) * np.where(rng.random(count) < 0.01, 500, 1))
    values = rng.normal(size=count).astype(rng.choice([np.float32, np.float64]))
    if gaps:
        values[rng.random(count) < 0.2] = np.nan
    return times, values


@given(series, st.integers(1, 300), st.floats(0, 1), st.floats(0.001, 1))
def test_extremes_of_each_pixel(given_series, px, begin, length):
    times, values = made(*given_series)
    from_s = times[0] + begin * (times[-1] - times[0])
    to_s = from_s + length * max(1.0, times[-1] - times[0])
    seen = pyramid(times, values).seen(from_s, to_s, px)
    inside = (times >= from_s) & (times <= to_s)
    if seen.exact:
        assert inside.sum() <= 2 * px
        first, last = np.searchsorted(times, from_s), np.searchsorted(times, to_s, "right")
        part = slice(max(0, first - 1), last + 1)
        assert np.array_equal(seen.times_s, times[part])
        assert np.array_equal(seen.low, values[part], equal_nan=True)
        return
    expected = binned(times, values, from_s, to_s, px)
    assert np.array_equal(np.stack([seen.low, seen.high], 1), expected, equal_nan=True)
    assert (np.diff(seen.times_s) > 0).all()


@given(series, st.integers(1, 64))
def test_no_sample_is_lost(given_series, px):
    times, values = made(*given_series)
    seen = pyramid(times, values).seen(times[0], times[-1] + 1e-9, px)
    known = values[~np.isnan(values)]
    if len(known):
        assert np.nanmin(seen.low) == known.min()
        assert np.nanmax(seen.high) == known.max()


def test_one_peak_among_millions_is_seen():
    values = np.zeros(3_000_000, np.float32)
    values[1_234_567] = 1
    seen = pyramid(np.arange(3_000_000) / 1e3, values).seen(0, 3_000, 1_000)
    assert len(seen.high) == 1_000
    assert seen.high.max() == 1
    assert seen.high.argmax() == 1_234_567 // 3_000


def test_times_out_of_order_and_missing_ones():
    found = pyramid(np.array([3.0, np.nan, 1.0, 2.0]), np.array([30, 0, 10, 20], np.int16))
    assert found.times_s.tolist() == [1, 2, 3]
    assert found.lows[0].tolist() == [10, 20, 30]
    assert len(pyramid(np.empty(0), np.empty(0)).seen(0, 1, 10).times_s) == 0
    infinite = pyramid(np.arange(3.0), np.array([1, np.inf, 2.0])).seen(0, 2, 10)
    assert np.isnan(infinite.low[1])
    for values in (np.zeros(3), np.zeros((2, 2)), np.array(["a", "b"])):
        with pytest.raises(CorruptError):
            pyramid(np.arange(2.0), values)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 200))
def test_every_pixel_with_a_stretch_or_an_event_has_one(seed, count, px):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(-5, 105, count)
    stops = starts + rng.exponential(rng.choice([0.01, 1, 30]), count)
    labels = [str(n) for n in rng.integers(0, 4, count)]
    found = stretches_drawn(Stretches(starts, stops, labels), 0.0, 100.0, px)
    inside = (starts <= 100) & (stops >= 0)
    assert found["total"] == inside.sum()
    width = 100 / px

    def pixels(starts, stops, labels):
        left = np.clip(np.floor(np.asarray(starts) / width), 0, px - 1).astype(int)
        right = np.clip(np.floor(np.asarray(stops) / width), 0, px - 1).astype(int)
        return {(p, label) for a, b, label in zip(left, right, labels, strict=True)
                for p in range(a, b + 1)}  # fmt: skip

    some = np.flatnonzero(inside)
    expected = pixels(starts[some], stops[some], [labels[i] for i in some])
    assert pixels(found["start"], found["stop"], found["label"]) == expected
    events = np.sort(starts)
    drawn = points_drawn(events, 0.0, 100.0, px)
    every = events[(events >= 0) & (events <= 100)]
    assert drawn["total"] == len(every)
    assert pixels(drawn["t"], drawn["t"], [""] * len(drawn["t"])) == pixels(
        every, every, [""] * len(every)
    )
    assert len(drawn["t"]) <= px


class Owner:
    """What values belong to."""


def test_all_kinds_of_views_share_one_bound():
    kinds = Kinds()
    visual = TableVisual(name="rows", title="Rows", table=lambda: [{"id": 1}, {"id": 2}])
    for path in ("rows.json", "rows.json"):
        kinds["table"].answer(visual, path, Query(), bool)
    held = kinds.kept.bytes
    raster = RasterVisual(
        name="raster", title="Spikes", from_s=0.0, to_s=1.0,
        units=lambda: [{"id": 1}], spikes=lambda: [np.array([0.5])],
    )  # fmt: skip
    kinds["raster"].answer(raster, "view.bin", Query(), bool)
    assert 0 < held < kinds.kept.bytes
    del visual, raster
    assert kinds.kept.bytes == 0


def test_what_was_used_last_is_kept():
    kept = Kept(100)
    owner, made = Owner(), []

    def make(name):
        made.append(name)
        return name

    for name in ("a", "b", "a", "c", "a", "b"):
        assert kept.get(owner, name, lambda name=name: make(name), lambda _: 40) == name
    assert made == ["a", "b", "c", "b"]
    assert kept.bytes == 80
    assert kept.peek(owner, "a") == "a"
    assert kept.peek(Owner(), "a") is None
    del owner
    assert kept.bytes == 0  # values go with what they belong to
