"""Series over time: what the server answers beside the files themselves, and the page in Chromium."""

import gzip
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import h5py
import numpy as np
import pytest

import openallen as oa
from openallen.formats.svg import inspect_svg
from openallen.viewer.items import to_key
from openallen.visuals import visuals_of


def get(url: str):
    """Return status, media type and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            body = answer.read()
            if answer.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            return answer.status, answer.headers["content-type"], body
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read()


@pytest.fixture
def served(view, stored, sessions):
    """Return the base of a view of a session: ``served("ophys", "traces")``."""
    url = view(stored, places=sessions)
    return lambda kind, name: f"{url}/v/{to_key(f'place/{kind}')}/{name}/"


@pytest.fixture
def open_page(view, stored, page):
    """Open the page of a file: ``open_page(path, query)``."""

    def go(path, query=""):
        url = view(stored, places={"it": path})
        page.goto(f"{url}/place/it{query}", wait_until="networkidle")
        return page

    return go


def told(base: str, path: str, **query):
    status, media, body = get(f"{base}{path}?{urllib.parse.urlencode(query)}")
    assert status == 200, body[:300]
    assert media == "application/json"
    return json.loads(body)


# --- values ---------------------------------------------------------------------------------------


def extremes(times, values, from_s, to_s, px):
    edges = np.linspace(from_s, to_s, px + 1)
    place = np.searchsorted(edges, times, "right") - 1
    place[times == to_s] = px - 1
    inside = (place >= 0) & (place < px)
    lows, highs = np.full(px, np.nan), np.full(px, np.nan)
    np.fmin.at(lows, place[inside], values[inside])
    np.fmax.at(highs, place[inside], values[inside])
    some = np.unique(place[inside])
    return lows[some], highs[some]


@pytest.mark.parametrize(
    ("kind", "track", "read"),
    [
        ("behavior", "running", lambda s: s.running_speed[["timestamps", "speed"]].to_numpy().T),
        ("ecephys", "pupil", lambda s: s.eye_tracking[["timestamps", "pupil_area"]].to_numpy().T),
        (
            "ophys",
            "dff-1080740923",
            lambda s: (s.ophys_timestamps, s.dff_traces.set_index("cell_roi_id").dff[1080740923]),
        ),
    ],
)
def test_extremes_are_those_of_the_file(served, sessions, kind, track, read):
    base = served(kind, "traces")
    meta = told(base, "meta.json")
    with oa.open(sessions[kind]) as session:
        times, values = (np.asarray(part, float) for part in read(session))
    for from_s, to_s, px in [
        (meta["from_s"], meta["to_s"], 300),
        (meta["from_s"] + 20, meta["from_s"] + 90, 77),
    ]:
        query = {"from": repr(from_s), "to": repr(to_s), "px": px}
        found = told(base, f"track/{track}.json", **query)
        lows, highs = extremes(times, values, from_s, to_s, px)
        lo, hi = (np.array(found[name], float) for name in ("lo", "hi"))
        assert np.array_equal(lo, lows, equal_nan=True)
        assert np.array_equal(hi, highs, equal_nan=True)
    close = told(base, f"track/{track}.json", **{"from": 320.0, "to": 321.0, "px": 1000})
    inside = (times > 320) & (times < 321)
    if inside.any():
        assert set(values[inside][~np.isnan(values[inside])]) <= set(close["y"])


def test_meta_names_what_the_file_has(served):
    meta = told(served("ophys", "traces"), "meta.json")
    groups = list(dict.fromkeys(track["group"] for track in meta["tracks"]))
    assert groups == ["ΔF/F", "detected events", "running", "pupil"]
    assert [i["name"] for i in meta["intervals"]] == ["stimuli", "trials", "changes"]
    assert [e["name"] for e in meta["events"]] == ["licks", "rewards"]
    assert meta["rois"]["ids"][1] == 1086614331
    assert meta["rois"]["tracks"][1] == "dff-1080740923"
    assert (meta["from_s"], meta["to_s"]) == (291.19994, 498.37079)


def test_events_and_stretches_are_those_of_the_file(served, sessions):
    base = served("behavior", "traces")
    with oa.open(sessions["behavior"]) as session:
        licks, trials = session.licks, session.trials
    found = told(base, "events/licks.json", px=8192, **{"from": 10, "to": 60})
    inside = licks["timestamps"][licks["timestamps"].between(10, 60)]
    assert found["total"] == len(inside)
    assert found["t"] == inside.tolist()
    found = told(base, "intervals/trials.json", px=8192)
    assert found["total"] == len(trials)
    assert found["start"] == trials["start_time"].tolist()
    assert found["label"].count("hit") == int(trials["hit"].sum())
    assert found["label"].count("aborted") == int(trials["aborted"].sum())


def test_masks_and_image(served, sessions):
    base = served("ophys", "traces")
    status, media, body = get(f"{base}rois/labels.bin")
    labels = np.frombuffer(body, "<u2").reshape(64, 64)
    with oa.open(sessions["ophys"]) as session:
        masks = list(session.cell_specimen_table["roi_mask"])
    assert status == 200
    assert media == "application/octet-stream"
    assert np.array_equal(labels > 0, np.logical_or.reduce(masks))
    for place, mask in enumerate(masks, 1):
        assert mask[labels == place].all()
    status, media, body = get(f"{base}rois/image.png")
    assert (status, media, body[:4]) == (200, "image/png", b"\x89PNG")


def test_responses_to_events(served, sessions):
    base = served("ophys", "traces")
    query = {"track": "running", "events": "rewards", "before": 1, "after": 2}
    found = told(base, "aligned.json", **query)
    with oa.open(sessions["ophys"]) as session:
        speed, at = session.running_speed, session.rewards["timestamps"].to_numpy()
    where = at[:, None] + np.array(found["t"])
    cut = np.interp(where, speed["timestamps"], speed["speed"], left=np.nan, right=np.nan)
    assert found["n"] == len(at)
    assert np.allclose(found["mean"], np.nanmean(cut, axis=0))
    assert np.allclose(np.array(found["trials"], float), cut, equal_nan=True)
    assert np.allclose(found["sem"], np.nanstd(cut, axis=0) / np.sqrt(len(at)))
    query = {"track": "running", "events": "trials", "label": "hit"}
    with oa.open(sessions["ophys"]) as session:
        assert told(base, "aligned.json", **query)["n"] == int(session.trials["hit"].sum())


def test_without_script_there_is_a_plot(view, stored, sessions):
    url = view(stored, places=sessions)
    body = get(f"{url}/place/ophys")[2].decode()
    assert 'data-kind="traces"' in body
    pictures = [part.split('"')[0] for part in body.split('<img src="')[1:]]
    assert len(pictures) == 2
    kinds = {}
    for picture in pictures:
        status, media, found = get(url + picture)
        assert status == 200
        kinds[media] = found
    assert inspect_svg(kinds["image/svg+xml"]) > 8
    assert b"cell 1086614331" in kinds["image/svg+xml"]
    assert get(f"{url}/thumb/{to_key('place/ophys')}")[1] == "image/png"
    assert get(f"{url}/thumb/{to_key('place/behavior')}")[1] == "image/svg+xml"


def test_what_a_file_lacks_is_left_out(sessions, tmp_path):
    bare = tmp_path / "bare.nwb"
    bare.write_bytes(sessions["ophys"].read_bytes())
    with h5py.File(bare, "r+") as file:
        for path in (
            "acquisition/EyeTracking", "processing/rewards", "intervals",
            "processing/ophys/images/max_projection", "processing/running",
        ):  # fmt: skip
            del file[path]
    with oa.open(bare) as session:
        traces, *tables = visuals_of(session)
    assert {t.group for t in traces.tracks} == {"ΔF/F", "detected events"}
    assert (traces.intervals, [e.name for e in traces.events]) == ((), ["licks"])
    assert traces.rois is None
    assert [t.name for t in tables] == ["cell_specimen_table"]


def test_a_damaged_track_costs_no_other(view, stored, sessions, tmp_path, page):
    broken = tmp_path / "broken.nwb"
    broken.write_bytes(sessions["behavior"].read_bytes())
    with h5py.File(broken, "r+") as file:
        times = file["processing/licking/licks/timestamps"][:-5]
        del file["processing/licking/licks/timestamps"]
        file["processing/licking/licks/timestamps"] = times
    url = view(stored, places={"it": broken})
    base = f"{url}/v/{to_key('place/it')}/traces/"
    assert get(f"{base}events/licks.json")[0] >= 400
    assert get(f"{base}track/running.json")[0] == 200
    assert get(f"{base}plot.svg")[0] == 200
    assert get(f"{url}/place/it")[0] == 200


# --- hostile queries ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("track/running.json?from=nan", 400),
        ("track/running.json?from=inf&to=inf", 400),
        ("track/running.json?from=5&to=4", 400),
        ("track/running.json?from=5&to=5", 400),
        ("track/running.json?from=-1e300&to=1e300", 400),
        ("track/running.json?px=1000000000", 400),
        ("track/running.json?px=0", 400),
        ("track/running.json?px=1e3", 400),
        ("track/nothing.json", 404),
        ("track/running.json/../../x", 404),
        ("track/running", 404),
        ("track/%2e%2e.json", 404),
        ("intervals/licks.json", 404),
        ("intervals/trials.json?px=-1", 400),
        ("events/trials.json", 404),
        ("events/licks.json?to=-1e9", 400),
        ("aligned.json", 404),
        ("aligned.json?track=running", 404),
        ("aligned.json?track=running&events=trials&label=nothing", 404),
        ("aligned.json?track=running&events=licks&before=1e9", 400),
        ("aligned.json?track=running&events=licks&before=-2&after=1", 400),
        ("rois/labels.bin", 404),
        ("rois/image.png", 404),
        ("plot.svg?px=99999", 400),
        ("nothing.json", 404),
        ("", 404),
    ],
)
def test_hostile_queries_are_errors_of_ours(served, path, status):
    found, _, body = get(served("behavior", "traces") + path)
    assert found == status
    assert b"Traceback" not in body


def test_windows_beside_the_recording_are_empty(served):
    base = served("behavior", "traces")
    away = {"from": 1e6, "to": 1e6 + 10}
    assert len(told(base, "track/running.json", **away)["t"]) <= 1
    assert told(base, "events/licks.json", **away)["t"] == []
    assert told(base, "intervals/trials.json", **away)["start"] == []


# --- other things over time -----------------------------------------------------------------------


def test_a_recording_by_channel(view, stored, tmp_path):
    from farstores import unpacked

    made = unpacked(Path(__file__).parents[1] / "data" / "ephys" / "recordings.tar.xz", tmp_path)
    samples = np.load(made / "now" / "traces.npy") * 0.195
    url = view(stored, places={"it": made / "now" / "binary"})
    base = f"{url}/v/{to_key('place/it')}/traces/"
    meta = told(base, "meta.json")
    assert [t["title"] for t in meta["tracks"]][:2] == ["channel 0", "channel 1"]
    assert meta["tracks"][0]["unit"] == "µV"
    found = told(base, "track/channel-3.json", px=100)
    lows, highs = extremes(np.arange(6000) / 3e4, samples[:, 3], 0, 5999 / 3e4, 100)
    assert np.allclose(found["lo"], lows, atol=1e-3)
    assert np.allclose(found["hi"], highs, atol=1e-3)
    close = told(base, "track/channel-3.json", **{"from": 0.1, "to": 0.101, "px": 100})
    assert np.allclose(close["y"][1:-1], samples[3000:3031, 3][: len(close["y"]) - 2], atol=1e-3)


def test_a_long_recording_is_read_in_stretches(tmp_path):
    from openallen.sources.recordings.recording import Recording

    class Long:
        shape = (30_000 * 3600, 384)
        dtype = np.dtype("int16")
        most = 0

        def __getitem__(self, key):
            count = key.stop - key.start
            Long.most = max(Long.most, count)
            return np.arange(key.start, key.stop)[:, None] % 100 + np.zeros((1, 384), np.int16)

    recording = Recording(
        place="made up", form="binary folder", segments=(Long(),), sampling_frequency_hz=30_000.0,
        channel_ids=tuple(map(str, range(384))), annotations={},
    )  # fmt: skip
    visual = visuals_of(recording)[0]
    assert visual.longest_s < 10
    assert sum(track.shown for track in visual.tracks) == 16
    from openallen.errors import UsageError
    from openallen.viewer.answers import Query
    from openallen.viewer.kinds.traces import TracesKind

    kind = TracesKind()
    query = Query({"from": "1800", "to": "1801", "px": "500"})
    answer = kind.answer(visual, "track/channel-0.json", query, lambda: False)
    found = json.loads(gzip.decompress(answer.body) if answer.encoding else answer.body)
    assert set(found["hi"][1:-1]) <= set(range(59, 100))
    with pytest.raises(UsageError, match="at once"):
        kind.answer(visual, "track/channel-0.json", Query(), lambda: False)
    assert kind.answer(visual, "plot.svg", Query(), lambda: False).body
    assert Long.most < 30_000 * 10


def test_sweeps_and_the_firing_rate_over_the_current(tmp_path):
    path = tmp_path / "cell.nwb"
    rate, count = 10_000.0, 20_000
    with h5py.File(path, "w") as file:
        file["nwb_version"] = "NWB-1.0.5"
        file["identifier"] = "made up"
        file["session_start_time"] = "2020-01-01"
        for number, spikes in enumerate((0, 3, 9)):
            volts = np.full(count, -0.07)
            volts[np.linspace(5_500, 14_500, spikes).astype(int)] = 0.03
            current = np.zeros(count)
            current[5_000:15_000] = 50e-12 * number - 20e-12
            for place, data, unit in (
                (f"acquisition/timeseries/Sweep_{number}", volts, "Volts"),
                (f"stimulus/presentation/Sweep_{number}", current, "Amps"),
            ):
                group = file.create_group(place)
                group.attrs["neurodata_type"] = "TimeSeries"
                group.attrs["ancestry"] = ["TimeSeries", "PatchClampSeries", "CurrentClampSeries"]
                group["data"] = data
                # The conversion that older files name, which does not apply.
                group["data"].attrs["conversion"] = 1000.0 if unit == "Volts" else 1.0
                group["data"].attrs["unit"] = unit
                group["starting_time"] = 7.0
                group["starting_time"].attrs["rate"] = rate
    with oa.open(path) as cell:
        sweeps, curve, table = visuals_of(cell)
        assert [t.title for t in sweeps.tracks] == ["sweep 0", "sweep 1", "sweep 2"]
        times, values = sweeps.tracks[2].read()
        assert (times[0], values.max().round(6), values.min().round(6)) == (0.0, 30.0, -70.0)
        currents, rates = curve.tracks[0].read()
    assert np.allclose(currents, [-20, 30, 80])
    assert rates.tolist() == [0, 3, 9]
    assert curve.axis == "current (pA)"
    assert [row["sweep"] for row in table.table()] == [0, 1, 2]


def test_any_nwb_file(tmp_path):
    path = tmp_path / "any.nwb"
    with h5py.File(path, "w") as file:
        file["nwb_version"] = file["identifier"] = "2.7.0"
        file["session_start_time"] = "2020-01-01"
        for name, shape in (("speed", (500,)), ("position", (500, 2)), ("movie", (5, 4, 4))):
            group = file.create_group(f"acquisition/{name}")
            group["data"] = np.arange(np.prod(shape), dtype=float).reshape(shape)
            group["data"].attrs["unit"] = "cm"
            group["timestamps"] = np.arange(shape[0]) / 10
        lick = file.create_group("acquisition/left_lick_time")
        lick["data"] = np.ones(3)
        lick["timestamps"] = [1.0, 2.0, 4.5]
        trials = file.create_group("intervals/trials")
        trials.attrs["colnames"] = ["start_time", "stop_time", "label"]
        trials["id"] = [0, 1]
        trials["start_time"] = [1.0, 3.0]
        trials["stop_time"] = [2.0, 4.0]
        trials["label"] = np.array([b"go", b"catch"])
    with oa.open(path) as session:
        traces, table = visuals_of(session)
        assert [t.name for t in traces.tracks] == ["position-0", "position-1", "speed"]
        assert traces.tracks[1].read()[1][:2].tolist() == [1, 3]
        assert [e.title for e in traces.events] == ["left lick"]
        assert traces.intervals[0].read()[2] == ["go", "catch"]
    assert (traces.from_s, traces.to_s, table.name) == (0.0, 49.9, "trials")


# --- the page -------------------------------------------------------------------------------------


def until(page, expression: str, arg=None) -> None:
    """Wait until an expression is true; strict pages do not let Playwright's own waiting run."""
    for _ in range(200):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def shown(page) -> dict:
    """What the page shows, by its own words."""
    return {
        "query": page.locator(".traces").get_attribute("data-query"),
        "url": page.url.partition("?")[2],
        "pressed": page.locator(".chips [aria-pressed=true]").all_inner_texts(),
        "where": page.locator(".traces .where").inner_text(),
    }


def settled(page, words: str) -> None:
    until(
        page, "words => !!document.querySelector('.traces')?.dataset.query?.includes(words)", words
    )


def painted(page, selector: str) -> int:
    """How many colours a canvas has."""
    return page.eval_on_selector(
        selector,
        """canvas => {
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
          copy.drawImage(canvas, 0, 0);
          const data = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
          return new Set(data).size;
        }""",
    )


def test_a_click_on_a_cell_selects_its_trace(open_page, sessions):
    page = open_page(sessions["ophys"])
    page.wait_for_selector(".rois[data-ready]")
    assert painted(page, ".chart[data-group='ΔF/F'] canvas") > 8
    with oa.open(sessions["ophys"]) as session:
        cells = session.cell_specimen_table
    cell = cells.iloc[1]
    y, x = (int(v) for v in np.argwhere(cell["roi_mask"]).mean(axis=0).round())
    canvas = page.locator(".rois canvas")
    box = canvas.bounding_box()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    canvas.click(position={"x": (x + 0.5) / 64 * box["width"], "y": (y + 0.5) / 64 * box["height"]})
    until(page, "document.querySelector('.chips [aria-pressed=true]')")
    assert shown(page)["pressed"] == ["1086614331"]
    until(page, "location.search.includes('rois=1086614331')")
    until(page, "document.querySelector('.aligned h3').textContent.includes('1086614331')")
    page.wait_for_load_state("networkidle")
    assert any("track=dff-1080740923" in url for url in asked)
    # A second click lets it go.
    page.get_by_role("button", name="1086614331").click()
    assert shown(page)["pressed"] == []


def test_zoom_loads_finer_data(open_page, sessions):
    page = open_page(sessions["ophys"])
    settled(page, "from=291.19994")
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/track/running.json" in r.url else None)
    page.locator(".plots").focus()
    for _ in range(8):
        page.keyboard.press("+")
    until(page, "document.querySelector('.traces .where').textContent.includes('.')")
    until(
        page,
        """() => {
          const query = new URLSearchParams(document.querySelector('.traces').dataset.query);
          return Number(query.get('to')) - Number(query.get('from')) < 9;
        }""",
    )
    assert sorted(json.loads(get(asked[-1])[2])) == ["t", "y"]  # the samples themselves
    before = shown(page)["where"]
    page.keyboard.press("ArrowRight")
    until(page, "old => document.querySelector('.traces .where').textContent !== old", before)
    page.keyboard.press("0")
    settled(page, "from=291.19994&to=498.37079")
    until(page, "!location.search.includes('from=')")


def test_dragging_and_the_wheel_zoom(open_page, sessions):
    page = open_page(sessions["behavior"])
    settled(page, "from=0&")
    over = page.locator(".chart[data-group=running] .u-over")
    box = over.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=5)
    page.mouse.up()
    until(page, "location.search.includes('from=')")
    query = dict(part.split("=") for part in shown(page)["url"].split("&"))
    assert float(query["from"]) == pytest.approx(297.25 * 0.25, abs=1.5)
    assert float(query["to"]) == pytest.approx(297.25 * 0.5, abs=1.5)
    old = shown(page)["where"]
    page.mouse.wheel(0, -300)
    until(page, "old => document.querySelector('.traces .where').textContent !== old", old)


def test_state_survives_a_reload(open_page, sessions):
    page = open_page(sessions["ophys"], "?from=320&to=350&rois=1086614331,1086616369&hide=pupil")
    settled(page, "from=320&to=350")
    first = shown(page)
    assert first["pressed"] == ["1086614331", "1086616369"]
    assert page.locator(".chart[data-group=pupil]").is_hidden()
    assert page.locator(".chart[data-group=running]").is_visible()
    page.get_by_label("running", exact=True).uncheck()
    page.get_by_label("Around").select_option("licks")
    until(page, "location.search.includes('align=licks')")
    page.reload(wait_until="networkidle")
    settled(page, "from=320&to=350")
    again = shown(page)
    assert again["pressed"] == first["pressed"]
    assert page.locator(".chart[data-group=running]").is_hidden()
    assert page.get_by_label("Around").input_value() == "licks"


def test_a_trial_leads_to_its_time(open_page, sessions):
    page = open_page(sessions["ophys"])
    page.get_by_role("button", name="Show miss 4").click()
    until(page, "location.search.includes('from=')")
    query = dict(part.split("=") for part in shown(page)["url"].split("&"))
    with oa.open(sessions["ophys"]) as session:
        trial = session.trials.iloc[3]
    assert float(query["from"]) < trial["start_time"] < trial["stop_time"] < float(query["to"])
    assert page.locator(".spans tr.seen").count() >= 1


def test_tables_are_folded_below_and_their_rows_lead_to_their_time(open_page, sessions):
    page = open_page(sessions["ophys"])
    folds = page.locator("details.fold")
    titles = ["Cells", "Trials", "Stimulus presentations", "Rewards"]
    assert folds.locator("h2").all_inner_texts() == titles
    assert folds.nth(2).locator("summary .dim").inner_text() == "372 rows"
    assert page.locator(".fold[open]").count() == 0
    assert page.locator(".fold [data-live]").count() == 0
    folds.nth(1).locator("summary").click()
    folds.nth(1).locator(".rows tbody tr").nth(3).get_by_role("button").first.click()
    until(page, "location.search.includes('from=')")
    query = dict(part.split("=") for part in shown(page)["url"].split("&"))
    with oa.open(sessions["ophys"]) as session:
        trial = session.trials.iloc[3]
    assert float(query["from"]) < trial["start_time"] < trial["stop_time"] < float(query["to"])
    # A link to a table that is sorted opens it.
    folds.nth(3).locator("summary").click()
    folds.nth(3).locator("th button").first.click()
    until(page, "location.search.includes('rewards.sort=')")
    page.reload(wait_until="networkidle")
    until(page, "document.querySelectorAll('.fold[open] [data-live]').length === 1")
    assert page.locator(".fold[open] h2").inner_text() == "Rewards"


def test_arrays_in_tables_are_said_in_words(view, stored, sessions):
    url = view(stored, places=sessions)
    base = f"{url}/v/{to_key('place/ophys')}/trials/"
    found = json.loads(get(f"{base}rows.json?sort=start_time")[2])
    column = [c["name"] for c in found["columns"]].index("lick_times")
    cells = [row[column] for row in found["rows"]]
    assert cells[0] == "306.252, 306.704, 306.869, … (12 values)"
    assert cells[3:6] == ["329.565", "335.929, 336.061", ""]
    assert max(len(cell) for row in found["rows"] for cell in row) <= 160


def test_hostile_states_are_harmless(open_page, sessions):
    page = open_page(sessions["ophys"], "?from=nan&to=-5&rois=x,0,99&tracks=../x&align=%3Cb%3E")
    settled(page, "from=291.19994")
    assert shown(page)["pressed"] == []
