"""The door of recordings: kinds, recordings, their files, parts; folders and files on this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from assetbucket import Assets, fresh
from buckets import connect, serving_s3
from farstores import BENCHMARK, OLD, unpacked, upload

import openallen as oa
from openallen.address import Address
from openallen.errors import (
    AddressError,
    CorruptError,
    NotFoundError,
    OfflineError,
    TruncatedError,
    UsageError,
)
from openallen.sources.base import SURE, Place
from openallen.sources.recordings import Recording
from openallen.sources.recordings.source import RecordingSource

DATA = Path(__file__).parents[1] / "data"
PROBE = "612962_2022-04-13_19-18-04_ProbeB"
ADDRESS = f"recording:aind-np2/{PROBE}"
SIMULATED = "recording:mearec/mearec_NP1.h5"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return unpacked(DATA / "ephys" / "recordings.tar.xz", tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def traces(made) -> np.ndarray:
    return np.load(made / "now" / "traces.npy")


def mearec(path: Path) -> np.ndarray:
    values = np.random.default_rng(2).integers(-500, 500, (3000, 4)).astype("int16")
    with h5py.File(path, "w") as file:
        file.create_dataset("recordings", data=values).attrs["gain_to_uV"] = 0.195
        file.create_group("info/recordings")["fs"] = 32000.0
        file["spiketrains/0/times"] = np.array([0.01, 0.02])
    return values


@pytest.fixture(scope="module")
def published(made, tmp_path_factory):
    with serving_s3() as endpoint:
        found = Assets(endpoint, connect(endpoint))
        fresh(found.s3, BENCHMARK)
        upload(lambda key, body: found.put(key, body, BENCHMARK), made / "old" / "binary", OLD)
        simulated = tmp_path_factory.mktemp("h5") / "m.h5"
        mearec(simulated)
        found.put("ephys-compression/mearec/mearec_NP1.h5", simulated.read_bytes(), BENCHMARK)
        found.put("ephys-compression/mearec/notes.txt", b"not a recording", BENCHMARK)
        found.put("other/x.txt", b"not of the benchmark", BENCHMARK)
        yield found


# --- rows -----------------------------------------------------------------------------------------


def test_kinds_and_recordings(bucket):
    assert oa.list("recording:") == [
        {"kind": "aind-np2", "address": "recording:aind-np2"},
        {"kind": "mearec", "address": "recording:mearec"},
    ]
    assert oa.list("recording:aind-np2") == [{"recording": PROBE, "address": ADDRESS}]
    assert oa.list("recording:mearec") == [{"recording": "mearec_NP1.h5", "address": SIMULATED}]
    few = oa.list("recording:", limit=1)
    assert (len(few), few.counted) == (1, "1 kind of 2")
    assert [r["kind"] for r in oa.list("recording:", kind__like="aind*")] == ["aind-np2"]
    assert oa.list("recording:", kind="np2").empty().why == "there are aind-np2, mearec"
    with pytest.raises(UsageError, match="no column 'kin'") as told:
        oa.list("recording:", kin="x")
    assert told.value.hint == "openallen list recording: kind=x"


def test_files_of_a_recording(bucket):
    rows = oa.list(ADDRESS)
    paths = [row["path"] for row in rows]
    assert "cached.json" in paths
    assert rows.total == len(rows)
    assert [r["path"] for r in oa.list(f"{ADDRESS}/*.json")] == [p for p in paths if p.endswith(".json") and "/" not in p]  # fmt: skip
    assert [r["path"] for r in oa.list(SIMULATED)] == ["mearec_NP1.h5"]


@pytest.mark.parametrize(
    ("address", "what", "hint"),
    [
        ("recording:aind-np3/x", "no such kind of recording", "openallen list recording:aind-np2"),
        ("recording:nothing/x", "no such kind of recording", "openallen list recording:"),
        ("recording:aind-np2/612962_2022-04-13_19-18-04_ProbeA", "no such recording", f"openallen show {ADDRESS}"),
        ("recording:aind-np2/none", "no such recording", "openallen list recording:aind-np2"),
        ("recording:mearec/mearec_NP2.h5", "nothing there", "openallen show recording:mearec/mearec_NP1.h5"),
        (f"{ADDRESS}/cache.json", "nothing there", f"openallen show {ADDRESS}/cached.json"),
        (f"{ADDRESS}/*.raw", "patterns are for list and fetch", f"openallen list '{ADDRESS}/*.raw'"),
    ],
)  # fmt: skip
def test_recordings_there_are_not(bucket, address, what, hint):
    for ask in (oa.show, oa.open):
        with pytest.raises(NotFoundError, match=what) as told:
            ask(address)
        assert told.value.hint == hint


def test_kinds_there_are_not(bucket):
    assert oa.list("recording:aind-np3").empty().hint == "openallen list recording:aind-np2"
    with pytest.raises(NotFoundError, match="no such kind of recording"):
        oa.plan("recording:nothing")
    for ask in (oa.show, oa.open):
        for address in ("recording:", "recording:aind-np2"):
            with pytest.raises(UsageError, match="not a single recording"):
                ask(address)
    with pytest.raises(NotFoundError, match="no such kind of recording"):
        oa.show("recording:nothing")
    with pytest.raises(UsageError, match="have no version"):
        oa.show("recording:aind-np2@1/x")


def test_the_sample_has_no_recordings():
    with pytest.raises(NotFoundError, match="sample has no recordings"):
        oa.list("recording:", source="sample")


# --- show, fetch, open ----------------------------------------------------------------------------


def test_facts_of_a_recording(bucket):
    facts = oa.show(ADDRESS)
    assert (facts.kind, facts["channels"], facts.ids) == ("Recording", 8, (ADDRESS,))
    assert isinstance(facts.thing, Recording)
    assert facts.notes == (f"fetch it: openallen fetch {ADDRESS}",)


def test_a_recording_is_read_where_it_lies_and_then_here(bucket, traces, tmp_path):
    far = oa.open(ADDRESS)
    assert far.place.startswith("s3://aind-benchmark-data/")
    assert np.array_equal(far.traces(0.05, 0.1, scaled=False), traces[1500:3000])
    plan = oa.plan(ADDRESS, to=tmp_path / "to")
    assert plan.to == tmp_path / "to" / PROBE
    assert plan.title == f"Recording aind-np2/{PROBE}"
    assert {f.address for f in plan.files} >= {f"{ADDRESS}/cached.json"}
    assert plan.files[0].retry == f"openallen fetch {ADDRESS} --to {tmp_path / 'to'}"
    folder = oa.fetch(ADDRESS, to=tmp_path / "to")
    assert np.array_equal(oa.open(folder).traces(scaled=False), traces)
    here = oa.open(ADDRESS, remote=False)
    assert np.array_equal(here.traces(scaled=False), traces)
    assert oa.open(ADDRESS).place.startswith("s3://")  # made of many files: all may not be here
    assert oa.open(f"{ADDRESS}/cached.json")["kwargs"]["num_chan"] == 8
    whole = oa.plan("recording:aind-np2", to=tmp_path / "kind")
    assert {f.path.partition("/")[0] for f in whole.files} == {PROBE}
    for options in ({"columns": ["x"]}, {"remote": 5}):
        with pytest.raises(UsageError):
            oa.open(ADDRESS, **options)
    with pytest.raises(UsageError, match="cannot be opened"):
        oa.open(f"{ADDRESS}/traces_cached_seg0.raw")


def test_a_simulated_recording_here_and_remote(bucket, tmp_path):
    far = oa.open(SIMULATED, remote=True)
    assert far.spikes.times_s["0"].tolist() == [0.01, 0.02]
    path = oa.fetch(SIMULATED, to=tmp_path)
    assert path == tmp_path / "mearec_NP1.h5"
    assert oa.open(path).form == "MEArec"
    url = f"{bucket.endpoint}/{BENCHMARK}/ephys-compression/mearec/mearec_NP1.h5"
    assert oa.open(url).form == "MEArec"
    assert oa.show(url).kind == "Recording"


def test_offline_what_is_here_is_listed_and_opened(bucket, monkeypatch, traces):
    oa.fetch(ADDRESS)
    oa.fetch(SIMULATED)
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    kinds = oa.list("recording:")
    assert [row["kind"] for row in kinds] == ["aind-np2", "mearec"]
    assert kinds.notes[0].startswith("offline: what is here")
    assert [row["recording"] for row in oa.list("recording:mearec")] == ["mearec_NP1.h5"]
    assert "cached.json" in {row["path"] for row in oa.list(ADDRESS)}
    assert np.array_equal(oa.open(ADDRESS).traces(scaled=False), traces)
    assert oa.show(SIMULATED)["format"] == "MEArec"
    for ask in (lambda: oa.list("recording:other"), lambda: oa.show("recording:aind-np2/none")):
        with pytest.raises(OfflineError):
            ask()


# --- web addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ("s3://aind-benchmark-data/ephys-compression", "recording:"),
        ("s3://aind-benchmark-data/ephys-compression/aind-np2/", "recording:aind-np2"),
        (f"s3://aind-benchmark-data/{OLD}", ADDRESS),
        (f"https://aind-benchmark-data.s3.us-west-2.amazonaws.com/{OLD}/cached.json", f"{ADDRESS}/cached.json"),
        (f"https://s3.amazonaws.com/aind-benchmark-data/{OLD}/", ADDRESS),
        (f"zarr://s3://aind-benchmark-data/{OLD}/|zarr2:", ADDRESS),
    ],
)  # fmt: skip
def test_web_addresses(web, address):
    assert str(Address.parse(web)) == address


@pytest.mark.parametrize(
    "web", ["s3://aind-benchmark-data", "s3://aind-benchmark-data/other/x.txt", f"s3://aind-benchmark-data/{OLD}?versionId=1"],
)  # fmt: skip
def test_web_addresses_of_something_else(web):
    with pytest.raises(AddressError):
        Address.parse(web)


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["old/binary", "now/binary", "now/blosc.zarr"])
def test_folders_are_recognised(made, place):
    assert RecordingSource.recognise(Place.here(made / place)) == SURE
    assert oa.show(made / place)["sampling"] == "30 kHz"


def test_hdf5_is_recognised_by_what_it_holds(tmp_path):
    mearec(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["recordings"] = np.arange(3)
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n and nothing more")
    (tmp_path / "d.h5").write_bytes(b"")
    (tmp_path / "e.hdf5").write_bytes(b"<html>no</html>")
    shutil.copy(tmp_path / "a.h5", tmp_path / "f.H5")
    sure = {p.name: RecordingSource.recognise(Place.here(p)) for p in tmp_path.iterdir()}
    assert {name for name, sureness in sure.items() if sureness} == {"a.h5", "f.H5"}
    assert oa.open(tmp_path / "f.H5").form == "MEArec"


def test_what_looks_like_a_recording_and_is_none(made, tmp_path):
    folder = tmp_path / "r"
    shutil.copytree(made / "now" / "binary", folder)
    (folder / "traces_cached_seg0.raw").write_bytes(bytes(1001))
    with pytest.raises(TruncatedError):
        oa.open(folder)
    (folder / "binary.json").write_text("{")
    with pytest.raises(CorruptError):
        oa.show(folder)
    for told in ({}, {"zarr_format": 2}, []):
        group = tmp_path / f"group{len(told)}{type(told).__name__}"
        group.mkdir()
        (group / ".zattrs").write_text(json.dumps(told))
        assert RecordingSource.recognise(Place.here(group)) == 0


def test_examples_are_what_their_web_addresses_mean():
    from openallen.sources.assets.source import AssetSource

    for source in (RecordingSource, AssetSource):
        for example in source.examples:
            assert str(Address.parse(example.address)) == example.address
            assert {str(Address.parse(web)) for web in example.web} <= {example.address}
