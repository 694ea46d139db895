"""The assets of the embedded sample: a recording and its spike sorting, listed and opened offline."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from numcodecs import Blosc

import openallen as oa
from openallen.archive import SAMPLE
from openallen.errors import NotFoundError

TOOLS = Path(__file__).parents[2] / "tools"
RAW = "ecephys_900001_2026-01-15_10-00-00"
SORTED = f"{RAW}_sorted_2026-01-16_12-00-00"
NWB = f"nwb/{RAW}_experiment1_recording1.nwb"
BUCKETS = ("aind-open-data", "allen-data-views")


@pytest.fixture
def sample(monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", "sample")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")


def opened(name, kind):
    asset = oa.open(f"asset:{name}")
    (path,) = [one.path for one in asset.contents() if one.kind == kind]
    return asset.open(path)


def test_the_catalogue_of_the_sample_comes_from_its_own_parquet(sample):
    said: list[str] = []
    found = oa.list("asset:", "project=openallen sample", say=said.append)
    assert [row["name"] for row in found] == [RAW, SORTED]
    assert [row["level"] for row in found] == ["raw", "derived"]
    assert said == ["2 assets from the public catalogue data-asset-cache/bdc-v1.0"]
    assert len(oa.list("asset:", level="derived", modality="ecephys", subject="900001")) == 1
    with pytest.raises(NotFoundError, match="no such asset"):
        oa.open("asset:ecephys_625749_2022-08-03_15-15-06")


def test_an_asset_of_the_sample_says_that_it_is_simulated(sample):
    for name in (RAW, SORTED):
        assert "SIMULATED asset of the openallen sample" in str(oa.show(f"asset:{name}"))
        assert not oa.open(f"asset:{name}").record.problems
    assert opened(RAW, "recording").annotations["simulated"]
    assert "SIMULATED" in str(opened(SORTED, "hdf5"))


def test_the_command_that_fetches_an_asset_names_the_sample(monkeypatch):
    monkeypatch.delenv("OPENALLEN_SOURCE", raising=False)
    facts = oa.show(f"asset:{SORTED}", source="sample")
    assert facts.notes[-1] == (
        f"fetch it: openallen fetch asset:{SORTED} --to {SORTED} --source sample"
    )


def test_spikes_lie_where_the_recording_has_them(sample):
    recording, analyzer = opened(RAW, "recording"), opened(SORTED, "analyzer")
    units = analyzer.units(recording=recording)
    templates = analyzer.templates()
    nwb = opened(SORTED, "hdf5")
    traces = recording.traces(scaled=True)
    assert (float(traces.time[0]), traces.shape) == (100.0, (300_000, 12))
    for number, (unit, row) in enumerate(units.iterrows()):
        assert np.array_equal(row.spike_times, nwb.units.spike_times.iloc[number])
        channel = row.main_channel_id
        at = analyzer.sorting.samples(unit)
        cut = traces.sel(channel=channel).values[at[:, None] + np.arange(-30, 60)]
        # The median is what other units' spikes do not move; the mean of the rest is noise.
        off = np.median(cut, 0) - templates.sel(unit=unit, channel=channel).values
        assert np.abs(off).max() < 6 * 4.7 / np.sqrt(len(at)) + 4.7
        assert np.median(cut, 0).argmin() == pytest.approx(30, abs=1)


def test_units_answer_to_their_orientation(sample):
    nwb = opened(SORTED, "hdf5")
    trials = nwb.trials

    def rate(unit, orientation):
        chosen = trials[trials.orientation_deg == orientation].start_time.to_numpy() + 0.04
        spikes = nwb.units.spike_times[unit]
        found = np.searchsorted(spikes, chosen + 0.25) - np.searchsorted(spikes, chosen)
        return found.mean() / 0.25

    for unit, answers_to in ((0, 0), (1, 90), (2, 90), (4, 0)):
        assert rate(unit, answers_to) > 3 * rate(unit, 90 - answers_to)
    for unit in (3, 5):
        assert 0.5 < rate(unit, 0) / rate(unit, 90) < 2


# --- how it was made ------------------------------------------------------------------------------


def objects(archive: Path) -> dict[str, bytes]:
    found = {}
    for bucket in BUCKETS:
        lines = (archive / "buckets" / f"{bucket}.jsonl").read_text().splitlines()
        for row in map(json.loads, lines):
            body = (archive / row["file"]).read_bytes()
            assert hashlib.md5(body).hexdigest() == row["etag"], row["key"]
            found[row["key"]] = body
    return found


def told(key: str, body: bytes, folder: Path) -> object:
    """Return what an object says: libraries pack the same values in other bytes."""
    path = folder / "object"
    path.write_bytes(body)
    if key.endswith(".pqt"):
        return pq.read_table(path).to_pylist()
    if "/traces_seg0/" in key and not key.endswith(".zarray"):
        return bytes(Blosc().decode(body))
    if not key.endswith(".nwb"):
        return body
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, thing: found.update(
                {name: np.array(thing[()]).tolist() if isinstance(thing, h5py.Dataset) else ""}
            )
        )
        return repr(found)


def test_making_the_assets_again_makes_the_same(tmp_path):
    if not TOOLS.is_dir():
        pytest.skip("the tools are not here")
    archive = tmp_path / "archive"
    command = [sys.executable, str(TOOLS / "make_sample_assets.py"), str(archive)]
    subprocess.run(command, check=True, timeout=300)
    before, after = objects(SAMPLE), objects(archive)
    assert list(before) == list(after)
    for key, body in before.items():
        assert told(key, body, tmp_path) == told(key, after[key], tmp_path), key
    held = {f"objects/{path.name}" for path in (SAMPLE / "objects").iterdir()}
    lines = [
        row for b in BUCKETS for row in (SAMPLE / f"buckets/{b}.jsonl").read_text().splitlines()
    ]
    assert held == {json.loads(line)["file"] for line in lines}
