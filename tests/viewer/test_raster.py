"""Spikes: counts beside those of numpy, single spikes, responses, the cache, the page in Chromium."""

import gzip
import json
import os
import struct
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.formats.png import inspect_png
from openallen.viewer.answers import Query
from openallen.viewer.counts import counts_of, load_counts, save_counts
from openallen.viewer.items import to_key
from openallen.viewer.kinds import Kinds
from openallen.visuals import RasterVisual, visuals_of


def get(url: str):
    """Return status and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            body = answer.read()
            packed = answer.headers.get("content-encoding") == "gzip"
            return answer.status, gzip.decompress(body) if packed else body
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def base(view, stored, sessions):
    """The base of the raster of a Neuropixels session."""
    return f"{view(stored, places=sessions)}/v/{to_key('place/ecephys')}/raster/"


def told(base: str, path: str, **query):
    status, body = get(f"{base}{path}?{urllib.parse.urlencode(query)}")
    assert status == 200, body[:300]
    return json.loads(body)


def counts(body: bytes):
    """Return header and counts of what ``view.bin`` answers."""
    (length,) = struct.unpack("<I", body[:4])
    head = json.loads(body[4 : 4 + length])
    values = np.frombuffer(body[4 + length :], np.uint8).reshape(head["units"], head["bins"])
    return head, values * head["scale"]


@pytest.fixture
def spikes(sessions):
    """Spike times by unit, of the file itself."""
    with oa.open(sessions["ecephys"]) as session:
        return dict(session.spike_times)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [(27.11889, 333.90344), (100, 130), (100, 101), (320, 350)])
def test_counts_are_those_of_the_file(base, spikes, window):
    ids = [row[0] for row in told(base, "units.json")["rows"]]
    query = urllib.parse.urlencode({"from": window[0], "to": window[1], "px": 300})
    status, body = get(f"{base}view.bin?{query}")
    head, values = counts(body)
    assert status == 200
    assert head["units"] == len(ids) == len(spikes)
    assert head["bins"] <= 301
    assert head["from_s"] <= window[0] + 1e-6
    assert head["from_s"] + head["bins"] * head["bin_s"] >= min(window[1], 333.9) - 1e-6
    edges = head["from_s"] + np.arange(head["bins"] + 1) * head["bin_s"]
    # The last column may reach beyond the window: bins there are not counted.
    whole = edges[1:] <= window[1] + 1e-9
    for row, unit in zip(values, ids, strict=True):
        expected = np.histogram(spikes[unit], edges)[0]
        assert np.abs(row - expected)[whole].max() <= head["scale"]
        if head["scale"] == 1:
            assert abs(int(row[whole].sum()) - int(expected[whole].sum())) <= 2  # at edges


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 400), st.floats(0.01, 300))
def test_no_spike_is_lost(seed, units, px, length):
    rng = np.random.default_rng(seed)
    spikes = [np.sort(rng.uniform(-1, 301, rng.integers(0, 2_000))) for _ in range(units)]
    made = counts_of(spikes, 0.0, 300.0)
    for level in made.levels:
        inside = [int(((s >= 0) & (s <= 300)).sum()) for s in spikes]
        assert level.sum(axis=1, dtype=np.int64).tolist() == inside
    from_s = float(rng.uniform(0, 300 - min(length, 299)))
    summed, begin, width = made.view(from_s, from_s + length, px)
    assert summed.shape[1] <= px + 1
    assert begin <= from_s + 1e-9
    fine = round((begin - made.from_s) / made.bin_s)
    each = round(width / made.bin_s)
    finest = made.levels[0].astype(int)
    for column in range(summed.shape[1] - 1):
        part = finest[:, fine + column * each : fine + (column + 1) * each]
        assert summed[:, column].tolist() == part.sum(axis=1).tolist()


def test_single_spikes_from_close(base, spikes):
    ids = [row[0] for row in told(base, "units.json")["rows"]]
    found = told(base, "spikes.json", **{"from": 100, "to": 105})
    for row, unit in enumerate(ids):
        times = spikes[unit][(spikes[unit] >= 100) & (spikes[unit] < 105)]
        drawn = [t for t, r in zip(found["t"], found["row"], strict=True) if r == row]
        assert np.allclose(drawn, times, atol=1e-5)
    assert not found["many"]


def test_units_lie_probe_after_probe(base, sessions):
    found = told(base, "units.json")
    names = [column["name"] for column in found["columns"]]
    assert names[:4] == ["id", "probe", "structure", "depth_um"]
    probes = [row[1] for row in found["rows"]]
    assert probes == sorted(probes)
    with oa.open(sessions["ecephys"]) as session:
        rates = session.units["firing_rate"]
    column = names.index("firing_rate")
    for row in found["rows"]:
        assert row[column] == pytest.approx(rates[row[0]])


def test_responses_of_a_unit(base, spikes, sessions):
    ids = [row[0] for row in told(base, "units.json")["rows"]]
    found = told(base, "aligned.json", row=3, events="stimuli", label="omitted", bins=30)
    with oa.open(sessions["ecephys"]) as session:
        shown = session.stimulus_presentations
        at = shown["start_time"][shown["image_name"] == "omitted"].to_numpy()
    edges = np.linspace(-1, 2, 31)
    expected = sum(np.histogram(spikes[ids[3]] - t, edges)[0] for t in at) / len(at) / 0.1
    assert found["n"] == len(at)
    assert np.allclose(found["mean"], expected, atol=1 / len(at) / 0.1 + 1e-9)
    assert len(found["spikes"]) == len(found["event"])


def test_without_script_there_is_a_picture_and_a_table(view, stored, sessions):
    url = view(stored, places=sessions)
    body = get(f"{url}/place/ecephys")[1].decode()
    assert 'data-kind="raster"' in body
    assert "1061854479" in body
    picture = next(p for p in body.split('<img src="')[1:] if "picture.png" in p).split('"')[0]
    status, png = get(url + picture)
    assert status == 200
    assert inspect_png(png)[1] >= 10


# --- the cache ------------------------------------------------------------------------------------


def many(units: int = 40, seconds: float = 600.0, rate_hz: float = 25.0, source: str = "made up"):
    rng = np.random.default_rng(0)
    times = [np.sort(rng.uniform(0, seconds, int(seconds * rate_hz))) for _ in range(units)]
    asked = []

    def spikes():
        asked.append(1)
        return times

    visual = RasterVisual(
        name="raster", title="Spikes", from_s=0.0, to_s=seconds, source=source,
        units=lambda: [{"id": n} for n in range(units)], spikes=spikes,
    )  # fmt: skip
    return visual, times, asked


def test_counts_are_kept_on_disk(tmp_path):
    first, times, asked = many()
    body = Kinds(tmp_path)["raster"].answer(first, "view.bin", Query(), lambda: False).body
    assert len(asked) == 1
    assert len(list(tmp_path.iterdir())) == 1
    again, _, asked = many()
    other = Kinds(tmp_path)["raster"].answer(again, "view.bin", Query(), lambda: False).body
    assert asked == []
    assert other == body
    # Another version of the file has counts of its own; damaged ones are made anew.
    newer, _, asked = many(source="another")
    Kinds(tmp_path)["raster"].answer(newer, "view.bin", Query(), lambda: False)
    assert len(asked) == 1
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        data[-7] ^= 0xFF
        path.write_bytes(data)
    damaged, _, asked = many()
    mended = Kinds(tmp_path)["raster"].answer(damaged, "view.bin", Query(), lambda: False).body
    assert len(asked) == 1
    assert mended == body
    assert sum(map(len, times)) == sum(int(n) for n in [counts(gzip.decompress(body))[1].sum()])


def test_counts_survive_their_way_to_disk(tmp_path):
    made = counts_of(many()[1], 0.0, 600.0)
    save_counts(made, tmp_path / "views", "a")
    found = load_counts(tmp_path / "views", "a")
    assert found is not None
    assert all(np.array_equal(a, b) for a, b in zip(made.levels, found.levels, strict=True))
    assert load_counts(tmp_path / "views", "b") is None
    for cut in (b"", b"openallen counts 1\n", b"openallen counts 1\n\xff\xff\xff\xff{}"):
        next((tmp_path / "views").iterdir()).write_bytes(cut)
        assert load_counts(tmp_path / "views", "a") is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    visual, _, _ = many()
    assert Kinds(tmp_path / "views")["raster"].answer(visual, "view.bin", Query(), lambda: False)
    tmp_path.chmod(0o700)


def test_a_file_in_place_of_the_cache(tmp_path):
    (tmp_path / "views").write_text("not a folder")
    visual, _, _ = many()
    assert Kinds(tmp_path / "views")["raster"].answer(visual, "view.bin", Query(), lambda: False)


# --- hostile queries ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("view.bin?from=nan", 400),
        ("view.bin?from=9&to=1", 400),
        ("view.bin?px=1000000000", 400),
        ("view.bin?from=-1e300&to=1e300", 400),
        ("view.bin?from=1e9&to=1000000001", 200),
        ("view.bin?from=-50&to=-40", 200),
        ("spikes.json", 400),
        ("spikes.json?from=0&to=1e9", 400),
        ("spikes.json?from=1e9&to=1000000001", 200),
        ("aligned.json", 404),
        ("aligned.json?row=10", 400),
        ("aligned.json?row=-1", 400),
        ("aligned.json?row=0&events=licks&bins=1000000", 400),
        ("aligned.json?row=0&events=nothing", 404),
        ("intervals/nothing.json", 404),
        ("intervals/trials.json", 200),
        ("../traces/meta.json", 404),
        ("nothing", 404),
    ],
)
def test_hostile_queries_are_errors_of_ours(base, path, status):
    found, body = get(base + path)
    assert found == status
    assert b"Traceback" not in body


def test_units_without_spikes_and_no_units():
    kind = Kinds()["raster"]
    empty = RasterVisual(
        name="raster", title="Spikes", from_s=0.0, to_s=0.0, units=list, spikes=list
    )
    assert kind.answer(empty, "view.bin", Query(), lambda: False).body
    assert kind.fallback(empty, "")["text"] == "no units"
    assert kind.thumbnail(empty) is None
    silent = RasterVisual(
        name="raster", title="Spikes", from_s=0.0, to_s=1.0,
        units=lambda: [{"id": 1}], spikes=lambda: [np.empty(0)],
    )  # fmt: skip
    assert kind.answer(silent, "spikes.json", Query(), lambda: False).body
    assert kind.answer(silent, "picture.png", Query(), lambda: False).body.startswith(b"\x89PNG")


def test_long_recordings_are_fine_from_close():
    rng = np.random.default_rng(1)
    spikes = [np.sort(rng.uniform(0, 200_000, 40_000)) for _ in range(20)]
    long = RasterVisual(
        name="raster", title="Spikes", from_s=0.0, to_s=200_000.0,
        units=lambda: [{"id": n} for n in range(20)], spikes=lambda: spikes,
    )  # fmt: skip
    kind = Kinds()["raster"]
    assert kind.counts(long).bin_s > 0.05
    assert kind.counts(long).bytes < 128_000_000
    found = counts_in(long, kind, {"from": "5000.02", "to": "5040.02", "px": "1000"})
    head, values = found
    assert head["bin_s"] == 0.05
    assert head["from_s"] == pytest.approx(5000.0)
    edges = head["from_s"] + 0.05 * np.arange(head["bins"] + 1)
    for row, times in enumerate(spikes):
        assert np.array_equal(values[row], np.histogram(times, edges)[0])
    away, _ = counts_in(long, kind, {"from": "1e6", "to": "1000001", "px": "1000"})
    assert away["bins"] == 0


def counts_in(visual, kind, query):
    """Return what view.bin says, and its counts."""
    answer = kind.answer(visual, "view.bin", Query(query), lambda: False)
    body = gzip.decompress(answer.body) if answer.encoding else answer.body
    (length,) = struct.unpack("<I", body[:4])
    head = json.loads(body[4 : 4 + length])
    values = np.frombuffer(body[4 + length :], np.uint8).reshape(head["units"], head["bins"])
    return head, values


def test_a_sorting_is_a_raster():
    from openallen.sources.recordings.sorting import Sorting, Train

    sorting = Sorting(
        place="made up", form="numpy folder", sampling_frequency_hz=10.0, unit_ids=("a", "b"),
        segments=1, properties={"quality": np.array(["good", "noise"])},
        read=lambda: Train(np.array([10, 20, 30]), np.array([0, 1, 0]), np.zeros(3, int)),
    )  # fmt: skip
    (raster,) = visuals_of(sorting)
    assert [t.tolist() for t in raster.spikes()] == [[1.0, 3.0], [2.0]]
    assert raster.units()[1] == {"id": "b", "spikes": 1, "quality": "noise"}


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture
def opened(view, stored, sessions, page):
    """Open the page of a Neuropixels session: ``opened(query)``."""
    url = view(stored, places=sessions)

    def go(query=""):
        page.goto(f"{url}/place/ecephys{query}", wait_until="networkidle")
        until(page, "!!document.querySelector('.raster')?.dataset.query")
        return page

    return go


def until(page, expression: str, arg=None) -> None:
    """Wait until an expression is true; strict pages do not let Playwright's own waiting run."""
    for _ in range(200):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


COLOURS = """() => {
  const canvas = document.querySelector('.raster .view canvas');
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext('2d');
  copy.drawImage(canvas, 0, 0);
  return new Set(new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer)).size;
}"""


def test_the_picture_of_all_and_single_spikes(opened):
    page = opened()
    assert page.evaluate(COLOURS) > 10
    assert page.locator(".raster").get_attribute("data-shown") == "counts"
    page.locator(".raster .view canvas").focus()
    for _ in range(9):
        page.keyboard.press("+")
    until(page, "document.querySelector('.raster').dataset.shown === 'spikes'")
    # The traces on the same page follow.
    until(page, "!document.querySelector('.traces').dataset.query.includes('from=27.11')")
    wheres = page.locator(".foot .where").all_inner_texts()
    assert wheres[0] == wheres[1]
    assert page.evaluate(COLOURS) > 5


def test_a_unit_is_chosen_by_row_and_by_key(opened):
    page = opened()
    page.locator(".units tbody tr").nth(2).click(position={"x": 40, "y": 10})
    until(page, "location.search.includes('unit=')")
    chosen = page.locator(".units [aria-selected=true]")
    unit = chosen.locator("td").first.inner_text()
    assert f"unit={unit}" in page.url
    assert unit in page.locator(".raster .aligned h3").inner_text()
    page.locator(".raster .view canvas").focus()
    page.keyboard.press("ArrowDown")
    until(page, "old => !location.search.includes(old)", f"unit={unit}")
    other = page.locator(".units [aria-selected=true] td").first.inner_text()
    assert other == page.locator(".units tbody tr").nth(3).locator("td").first.inner_text()


def test_order_and_colours_survive_a_reload(opened):
    page = opened()
    page.locator(".units th button", has_text="firing rate").click()
    page.locator(".units th button", has_text="firing rate").click()
    page.get_by_label("Colours").select_option("magma")
    until(page, "location.search.includes('order=-firing_rate')")
    until(page, "location.search.includes('map=magma')")
    column = page.locator(".units thead th").all_inner_texts().index("firing rate ↓")
    rates = [
        float(row.locator("td").nth(column).inner_text().replace(",", "") or "-1")
        for row in page.locator(".units tbody tr").all()
    ]
    known = [rate for rate in rates if rate >= 0]
    assert known == sorted(known, reverse=True)
    page.reload(wait_until="networkidle")
    until(page, "!!document.querySelector('.raster')?.dataset.query")
    assert page.get_by_label("Colours").input_value() == "magma"
    assert "firing rate ↓" in page.locator(".units thead th").all_inner_texts()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_narrow_phone_has_no_sideways_scroll(chromium, view, stored, sessions, scheme):
    url = view(stored, places=sessions)
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    for kind in ("ecephys", "ophys"):
        page.goto(f"{url}/place/{kind}", wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
