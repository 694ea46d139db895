"""The door of assets: rows, facts, jobs, web addresses, parts, folders that were fetched, views."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from assetbucket import CURRENT, NWB, ODD, RAW, SORTED, publish_assets
from buckets import serving_s3
from farstores import EXA, PROBE, SESSION, SMART, publish_stores
from farstores import RAW as PROBED

import openallen as oa
from openallen import maintenance
from openallen.address import Address
from openallen.errors import (
    AddressError,
    ExitCode,
    MissingExtraError,
    NotFoundError,
    OfflineError,
    UsageError,
)
from openallen.formats.omezarr import OmeZarr
from openallen.sessions import NwbTables
from openallen.settings import Settings
from openallen.sources.assets import Asset
from openallen.sources.buckets.listing_cache import CachedListings
from openallen.transport.s3 import Listed
from openallen.verbs import listing, views

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    with serving_s3() as endpoint:
        found = publish_assets(endpoint)
        publish_stores(found, DATA, tmp_path_factory.mktemp("stores"))
        yield found


@pytest.fixture
def offline(monkeypatch):
    """No network beyond this machine, and the bucket is not on it."""

    def cut() -> None:
        monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
        monkeypatch.setenv("OPENALLEN_OFFLINE", "1")

    return cut


def mearec(path: Path) -> np.ndarray:
    import h5py

    values = np.random.default_rng(2).integers(-500, 500, (3000, 4)).astype("int16")
    with h5py.File(path, "w") as file:
        file.create_dataset("recordings", data=values).attrs["gain_to_uV"] = 0.195
        file.create_group("info/recordings")["fs"] = 32000.0
        file["spiketrains/0/times"] = np.array([0.01, 0.02])
    return values


# --- rows -----------------------------------------------------------------------------------------


def test_the_catalogue_with_filters(bucket):
    rows = oa.list("asset:", "date>=2022-04-01", modality="ecephys", subject="625749")
    assert {row["name"] for row in rows} == {RAW, SORTED, NWB}
    assert rows.shown == ("name", "level", "modalities", "subject_id", "acquired", "project", "public")  # fmt: skip
    assert rows[0]["acquired"] == "2022-08-03T15:15:06"
    assert rows[0]["address"] == f"asset:{rows[0]['name']}"
    assert rows.notes[0].startswith("catalogue: folder names in aind-open-data, 2")
    few = oa.list("asset:?subject=625749", limit=2)
    assert (len(few), few.total, few.counted) == (2, 3, "2 assets of 3")
    assert json.loads(json.dumps(few.to_dicts())) == few.to_dicts()


def test_the_catalogue_is_kept_until_it_is_refreshed(bucket):
    said: list[str] = []

    def ask(**options) -> int:
        said.clear()
        with listing("asset:", say=said.append, **options) as rows:
            return len(rows)

    count = ask()
    assert "asked" in " ".join(said) or said
    name = "ecephys_900009_2024-01-01_00-00-00"
    bucket.put(f"{name}/x", b"x")
    try:
        assert ask() == count
        assert not said
        assert ask(refresh=True) == count + 1
    finally:
        bucket.s3.delete_object(Bucket="aind-open-data", Key=f"{name}/x")
    with pytest.raises(UsageError, match="only the catalogue is refreshed"):
        oa.list(f"asset:{RAW}", refresh=True)


def test_a_column_there_is_not_is_told_before_anything_is_asked(monkeypatch):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    with pytest.raises(UsageError, match="no column 'modalty'") as told:
        oa.list("asset:", modalty="ecephys")
    assert told.value.hint == "openallen list asset: modality=ecephys"
    with pytest.raises(UsageError, match="no column 'size'") as told:
        oa.list(f"asset:{RAW}", "size>5")
    assert told.value.hint == f"openallen list asset:{RAW} size_bytes__gt=5"
    with pytest.raises(UsageError, match="'much' is not a number"):
        oa.list(f"asset:{RAW}", "size_bytes>much")


def test_what_matches_nothing_says_which_values_there_are(bucket):
    rows = oa.list("asset:", modality="ephys", level="raw")
    assert not rows
    error = rows.empty()
    assert isinstance(error, NotFoundError)
    assert error.why.startswith("values of modality: ")
    assert "ecephys" in error.why
    assert error.hint == "openallen list asset: modality=ecephys level=raw"
    apart = oa.list("asset:", subject="625749", platform="HCR").empty()
    assert apart.why.startswith("values of subject: ")
    assert "625749" not in apart.why
    early = oa.list("asset:", date="1999-01-01").empty()
    assert re.fullmatch(r"date=1999-01-01; date is 20\d\d-.* to 20\d\d-.*", early.why)


def test_files_of_an_asset(bucket):
    rows = oa.list(f"asset:{RAW}/behavior")
    assert [row["path"] for row in rows][:2] == ["behavior/deep/more.csv", "behavior/licks.csv"]
    assert set(rows[0]) == {"path", "size_bytes", "etag"}
    assert rows.notes == ("1.01 kB in 4 files",)
    few = oa.list(f"asset:{RAW}/**/*.csv", limit=1)
    assert (len(few), few.total, few.counted) == (1, 3, "1 file of 3")
    assert few.notes == ("14 bytes in 3 files",)
    assert [r["path"] for r in oa.list(f"asset:{RAW}/behavior", "size_bytes>500")] == ["behavior/video.avi"]  # fmt: skip
    assert [r["path"] for r in oa.list(f"asset:{RAW}?path__like=*/licks.csv")] == ["behavior/licks.csv"]  # fmt: skip
    assert oa.list(f"asset:{RAW}", "size_bytes>1000000").empty().why == "size_bytes__gt=1000000"


def test_files_come_one_by_one_and_a_long_listing_is_told(bucket, monkeypatch):
    from openallen.sources.buckets import source

    monkeypatch.setattr(source, "_SAY_EVERY_S", -1.0)
    said: list[str] = []
    with listing(f"asset:{RAW}", say=said.append) as rows:
        first = next(iter(rows.stream()))
        assert first["path"]
        assert len(said) == 1
    assert said == ["1 file so far"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("behaviour/licks.csv", f"openallen list asset:{RAW}/behavior/licks.csv"),
        ("behavior/lick.csv", f"openallen list asset:{RAW}/behavior/licks.csv"),
        ("behavior/quite/other", f"openallen list asset:{RAW}/behavior"),
        ("x*", f"openallen list asset:{RAW}"),
    ],
)
def test_files_there_are_not_with_the_nearest(bucket, path, hint):
    error = oa.list(f"asset:{RAW}/{path}").empty()
    assert (error.what, error.hint) == ("no file matches", hint)
    with pytest.raises(NotFoundError) as told:
        oa.plan(f"asset:{RAW}/{path}")
    assert told.value.hint == hint


def test_an_asset_there_is_not(bucket):
    name = "ecephys_625749_2022-08-03_15-15-07"
    for ask in (
        lambda: oa.show(f"asset:{name}"),
        lambda: oa.plan(f"asset:{name}"),
        lambda: oa.open(f"asset:{name}"),
        lambda: oa.open(f"asset:{name}/a.csv"),
        lambda: views(f"asset:{name}"),
    ):
        with pytest.raises(NotFoundError, match="no such asset") as told:
            ask()
        assert told.value.hint == "openallen list asset: subject=625749"
    assert oa.list(f"asset:{name}").empty().what == "no such asset"


@pytest.mark.parametrize("name", ["..", "con", "a%2Fb", "a%5Cb"])
def test_names_that_are_none(name):
    with pytest.raises(UsageError, match="not the name of an asset"):
        oa.show(f"asset:{name}")


def test_versions_are_never_dropped(bucket):
    with pytest.raises(UsageError, match="have no version"):
        oa.list(f"asset:{RAW}@2")


# --- facts ----------------------------------------------------------------------------------------


def test_facts_of_an_asset(bucket):
    said: list[str] = []
    facts = oa.show(f"asset:{CURRENT}", say=said.append)
    told = facts.to_dict()
    assert told["address"] == f"asset:{CURRENT}"
    assert told["folders"]["slap2"] == {"files": 1, "size_bytes": 4}
    assert told["modalities"] == ["slap2", "behavior"]
    assert (told["subject_id"], told["level"], told["public"], told["label"]) == ("801381", "raw", True, None)  # fmt: skip
    assert told["acquired"] == "2025-06-05T14:57:42"
    assert told["versions"] == {"data_description": "2.3.3", "subject": "2.0.0"}
    for key in ("name", "platform", "created", "project", "sources", "location", "steps", "quality", "problems", "opens", "notes", "kind", "size_bytes"):  # fmt: skip
        assert key in told
    assert "family" not in told
    assert "slap2  1 file, 4 bytes" in str(facts)
    assert f"openallen fetch asset:{CURRENT} --to {CURRENT}" in str(facts)
    assert facts.ids == (CURRENT,)
    assert isinstance(facts.thing, Asset)
    assert said == [f"listing the files of {CURRENT}"]
    assert oa.show(f"asset:{EXA}")["opens"] == [
        {"path": f"SPIM.ome.zarr/tile_00000{n}_ch_561.zarr", "kind": "image"} for n in range(2)
    ]


def test_provenance_as_text_rows_and_graph(bucket, tmp_path):
    facts = oa.show(f"asset:{NWB}", graph=True)
    family = {row["name"]: row["made_from"] for row in facts["family"]}
    assert family == {RAW: [], SORTED: [RAW], NWB: [RAW]}
    assert f"*    {NWB}" in str(facts)
    dot = tmp_path / "deep" / "g.dot"
    facts = oa.show(f"asset:{NWB}?graph=yes", dot=dot)
    assert dot.read_text().startswith("digraph")
    assert str(dot) in str(facts)
    (tmp_path / "file").write_text("x")
    with pytest.raises(oa.OpenAllenError, match="cannot be written"):
        oa.show(f"asset:{NWB}", dot=tmp_path / "file" / "g.dot")


def test_facts_of_a_part(bucket):
    facts = oa.show(f"asset:{NWB}/{SESSION}")
    assert (facts.kind, isinstance(facts.thing, NwbTables)) == ("session", True)
    assert "units" in str(facts)
    assert "units" in facts["attributes"]
    image = oa.show(f"asset:{SMART}/image_tile_fusing/OMEZarr/Ex_639_Em_667.zarr")
    assert image.to_dict()["kind"] == "OmeZarr"
    assert image["levels"] == 3
    assert oa.show(f"asset:{RAW}/behavior/licks.csv").kind == "DataFrame"


@pytest.mark.parametrize(
    ("part", "options", "error", "message"),
    [
        ("", {"graf": True}, UsageError, "no such option 'graf'"),
        ("/behavior/licks.csv", {"graph": True}, UsageError, "are for whole assets"),
        ("/behavior", {}, UsageError, "cannot be opened"),
        ("/behavior/video.avi", {}, UsageError, "cannot be opened"),
        ("/behavior/*.csv", {}, NotFoundError, "patterns are for list and fetch"),
        ("/behavior/lick.csv", {}, NotFoundError, "behavior/licks.csv"),
        ("/nothing/at/all", {}, NotFoundError, f"list asset:{RAW}"),
    ],
)
def test_what_cannot_be_shown(bucket, part, options, error, message):
    with pytest.raises(error, match=message):
        oa.show(f"asset:{RAW}{part}", **options)


def test_collections_are_not_shown_opened_fetched_or_viewed(bucket):
    for ask in (oa.show, oa.open, oa.plan, views):
        with pytest.raises(UsageError):
            ask("asset:")


@pytest.mark.parametrize("valid", [True, False, None])
def test_validation_says_whether_all_is_sound(bucket, tmp_path, monkeypatch, valid):
    row = {"core_file": "rig", "version": "1", "shipped": "1", "valid": valid, "errors": ["x: y"]}
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{json.dumps([row])}'\n")
    python.chmod(0o755)
    monkeypatch.setenv("OPENALLEN_VALIDATOR", str(python))
    facts = oa.show(f"asset:{RAW}", validate=True)
    assert facts["validation"] == [row]
    assert facts.exit_code == (ExitCode.INTEGRITY if valid is False else ExitCode.DONE)
    assert facts["valid"] is (valid is not False)
    assert "folders" not in facts.to_dict()


def test_validation_of_nothing_and_by_nobody(bucket):
    with pytest.raises(NotFoundError, match="no core files"):
        oa.show(f"asset:{ODD}", validate=True)
    with pytest.raises(MissingExtraError, match="validation"):
        oa.show(f"asset:{RAW}", validate=True)


# --- fetch ----------------------------------------------------------------------------------------


def test_what_is_fetched_says_how_to_fetch_it_again(bucket, tmp_path):
    plan = oa.plan(f"asset:{RAW}/behavior/*.csv", to=tmp_path / "a b")
    assert plan.title == f"Asset {RAW}"
    assert [f.path for f in plan.files] == ["behavior/licks.csv", "behavior/rewards.csv"]
    assert plan.files[0].address == f"asset:{RAW}/behavior/licks.csv"
    assert plan.files[0].retry == f"openallen fetch 'asset:{RAW}/behavior/*.csv' --to '{tmp_path}/a b'"  # fmt: skip
    one = oa.fetch(f"asset:{RAW}/behavior/licks.csv", to=tmp_path / "one")
    assert one.read_text() == "t\n1\n2\n"
    with pytest.raises(UsageError, match="no such option 'x'"):
        oa.fetch(f"asset:{RAW}", to=tmp_path, x=1)


def test_offline_a_fetch_of_what_is_here_has_nothing_to_fetch(bucket, tmp_path, offline):
    oa.fetch(f"asset:{RAW}/behavior")
    kept = CachedListings(tmp_path / "store")
    entries = [Listed(f"{RAW}/{r['path']}", r["size_bytes"], r["etag"]) for r in oa.list(f"asset:{RAW}/behavior")]  # fmt: skip
    offline()
    plan = oa.plan(f"asset:{RAW}/behavior")  # nothing was listed of the real bucket yet
    assert (len(plan.files), plan.missing) == (4, ())
    assert plan.notes == ("offline: only the files that are here, others were never listed",)
    assert (oa.fetch(f"asset:{RAW}/behavior") / "behavior" / "licks.csv").is_file()
    assert [f.path for f in oa.plan(f"asset:{RAW}/**/lick*").files] == ["behavior/licks.csv"]
    with pytest.raises(OfflineError):  # of this nothing is here
        oa.plan(f"asset:{RAW}/ecephys_clipped")
    with pytest.raises(NotFoundError, match="patterns are for list and fetch"):
        oa.open(f"asset:{RAW}/behavior/*.csv")
    kept.put(f"https://aind-open-data.s3.us-west-2.amazonaws.com/{RAW}/", "behavior", entries)
    plan = oa.plan(f"asset:{RAW}/behavior")
    assert (len(plan.files), plan.missing) == (4, ())
    assert plan.notes == ("offline: files as they were listed last",)
    assert (oa.fetch(f"asset:{RAW}/behavior") / "behavior" / "licks.csv").is_file()
    here = oa.open(f"asset:{RAW}/behavior/licks.csv", remote=False)
    assert here["t"].tolist() == [1, 2]


# --- web addresses --------------------------------------------------------------------------------

TILE = f"{EXA}/SPIM.ome.zarr/tile_000000_ch_561.zarr"
SPACED = f"{PROBED}/{PROBE}"


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ("s3://aind-open-data", "asset:"),
        (f"s3://aind-open-data/{RAW}", f"asset:{RAW}"),
        (f"s3://aind-open-data/{RAW}/", f"asset:{RAW}"),
        (f"https://aind-open-data.s3.us-west-2.amazonaws.com/{RAW}/", f"asset:{RAW}"),
        (f"https://aind-open-data.s3-us-west-2.amazonaws.com/{RAW}", f"asset:{RAW}"),
        (f"https://aind-open-data.s3.amazonaws.com/{RAW}/behavior//x.csv", f"asset:{RAW}/behavior/x.csv"),
        (f"https://aind-open-data.s3.dualstack.us-west-2.amazonaws.com/{RAW}", f"asset:{RAW}"),
        (f"https://s3.us-west-2.amazonaws.com/aind-open-data/{RAW}", f"asset:{RAW}"),
        (f"https://s3.amazonaws.com/aind-open-data/{RAW}/", f"asset:{RAW}"),
        (f"zarr://s3://aind-open-data/{TILE}", f"asset:{TILE}"),
        (f"zarr2://s3://aind-open-data/{TILE}/", f"asset:{TILE}"),
        (f"zarr3://https://aind-open-data.s3.us-west-2.amazonaws.com/{TILE}", f"asset:{TILE}"),
        (f"s3://aind-open-data/{TILE}/|zarr2:", f"asset:{TILE}"),
        (f"s3://aind-open-data/{SPACED}", str(Address("asset", PROBED, path=tuple(PROBE.split("/"))))),
        (f"s3://aind-open-data/{SPACED.replace('#', '%23').replace(' ', '%20')}/", str(Address("asset", PROBED, path=tuple(PROBE.split("/"))))),
        (f"https://us-west-2.console.aws.amazon.com/s3/buckets/aind-open-data?region=us-west-2&prefix={RAW}/behavior/", f"asset:{RAW}/behavior"),
        (f"https://neuroglancer-demo.appspot.com/#!s3://aind-open-data/{SMART}/neuroglancer_config.json", f"asset:{SMART}/neuroglancer_config.json"),
    ],
)  # fmt: skip
def test_web_addresses(web, address):
    found = Address.parse(web)
    assert found == Address.parse(address)
    assert str(found) == address


@pytest.mark.parametrize(
    "web",
    [
        f"s3://aind-open-data-other/{RAW}",
        f"s3://aind-open-data/{RAW}/x.csv?versionId=abc",
        f"s3://aind-open-data/{RAW}/../x",
        f"https://example.org/aind-open-data/{RAW}",
        f"https://console.aws.amazon.com/s3/buckets/other?prefix={RAW}/",
        "https://neuroglancer-demo.appspot.com/#!{}",
    ],
)
def test_web_addresses_of_something_else(web):
    with pytest.raises(AddressError):
        Address.parse(web)


def test_a_web_address_opens_as_the_asset(bucket):
    assert isinstance(oa.open(f"s3://aind-open-data/{EXA}/"), Asset)
    assert isinstance(oa.open(f"zarr://s3://aind-open-data/{TILE}"), OmeZarr)


# --- open -----------------------------------------------------------------------------------------


def test_an_asset_goes_by_the_settings_it_was_opened_with(published, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "http://127.0.0.1:9")
    settings = Settings(s3_endpoint=published.endpoint, store=tmp_path / "own")
    asset = oa.open(f"asset:{RAW}", settings=settings)
    assert asset.open("behavior/licks.csv", columns=["t"])["t"].tolist() == [1, 2]
    assert asset.open("/behavior/licks.csv/", nrows=1)["t"].tolist() == [1]
    assert [c.path for c in asset.contents()][:1] == ["behavior/licks.csv"]
    by_hand = oa.assets.open_asset(RAW, settings)
    assert by_hand.open("behavior/rewards.csv")["t"].tolist() == [3]


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ("", {"remote": True}),
        ("", {"columns": ["t"]}),
        ("?graph=true", {}),
        ("/behavior/licks.csv", {"rows": 3}),
        ("/behavior/licks.csv", {"remote": "no"}),
    ],
)
def test_options_that_do_not_go_with_it(bucket, part, options):
    with pytest.raises(UsageError):
        oa.open(f"asset:{RAW}{part}", **options)


def test_a_store_that_is_here_counts_offline_only(bucket, offline):
    address = f"asset:{EXA}/SPIM.ome.zarr/tile_000001_ch_561.zarr"
    oa.fetch(f"{address}/zarr.json")  # one file of many
    assert oa.open(address).level(0).shape == (1, 1, 16, 24, 32)
    whole = oa.open(address, remote=False)
    assert int(whole.level(0).isel(t=0, c=0, z=0, y=0, x=0)) == 1000
    offline()
    assert int(oa.open(address).level(1).isel(t=0, c=0, z=0, y=0, x=0)) > 1000
    with pytest.raises(OfflineError):
        oa.open(address, remote=True)
    with pytest.raises(OfflineError):
        oa.open(f"asset:{EXA}/SPIM.ome.zarr/tile_000000_ch_561.zarr")


def test_hdf5_in_an_asset_is_what_it_holds(bucket, tmp_path):
    import h5py

    values = mearec(tmp_path / "m.h5")
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["dff"] = np.arange(5)
    name = "multiplane-ophys_888888_2024-01-01_00-00-00"
    bucket.put(f"{name}/a/m.h5", (tmp_path / "m.h5").read_bytes())
    bucket.put(f"{name}/a/o.h5", (tmp_path / "o.h5").read_bytes())
    bucket.put(f"{name}/a/none.h5", b"<html>no</html>")
    for remote in (True, False, None):
        found = oa.open(f"asset:{name}/a/m.h5", remote=remote)
        assert np.array_equal(found.traces(scaled=False), values)
        with pytest.raises(oa.OpenAllenError, match="dff"):
            oa.open(f"asset:{name}/a/o.h5", remote=remote)
        with pytest.raises(oa.OpenAllenError, match="HDF5"):
            oa.open(f"asset:{name}/a/none.h5", remote=remote)


# --- what is here ---------------------------------------------------------------------------------


def test_a_folder_that_was_fetched_opens_as_the_asset(bucket, tmp_path):
    oa.fetch(f"asset:{RAW}", to=tmp_path / "mine")
    asset = oa.open(tmp_path / "mine")
    assert isinstance(asset, Asset)
    assert (asset.record.subject_id, asset.record.modalities) == ("625749", ("ecephys",))
    assert [e.key for e in asset.files("behavior/*.csv")] == [f"{RAW}/behavior/licks.csv", f"{RAW}/behavior/rewards.csv"]  # fmt: skip
    assert asset.folders()["behavior"] == (4, 1014)
    assert asset.top() == ("behavior/", "ecephys/")
    assert asset.open("behavior/licks.csv", nrows=1)["t"].tolist() == [1]
    assert {c.path for c in asset.contents() if c.kind == "table"} == {"behavior/licks.csv", "behavior/rewards.csv", "behavior/deep/more.csv"}  # fmt: skip
    facts = oa.show(tmp_path / "mine")
    assert facts["folders"]["behavior"] == {"files": 4, "size_bytes": 1014}
    assert any("only what is here" in note for note in facts.notes)
    assert "openallen fetch" not in str(facts)
    with pytest.raises(NotFoundError):
        asset.open("behavior/none.csv")


def test_a_part_that_was_fetched_is_an_asset_by_its_name(bucket, tmp_path):
    oa.fetch(f"asset:{RAW}/behavior/*.csv", to=tmp_path / RAW)
    asset = oa.open(tmp_path / RAW)
    assert (str(asset.name), asset.record.core_files) == (RAW, ())
    assert len(asset.open("behavior/licks.csv")) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"name": 5}', b'{"name": "a/b"}'])
def test_sidecars_that_say_nothing(tmp_path, body):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data_description.json").write_bytes(body)
    asset = oa.open(tmp_path / "folder")
    assert str(asset.name) == "folder"
    assert asset.record.level == "unknown"
    assert oa.show(tmp_path / "folder")["files"] == 1


def test_a_folder_of_something_else_is_no_asset(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.txt").write_text("x")
    with pytest.raises(UsageError, match="not a data set that can be opened"):
        oa.open(tmp_path / "folder")


def test_offline_an_asset_is_what_is_here_of_it(bucket, offline, tmp_path):
    oa.list("asset:")
    oa.fetch(f"asset:{RAW}")
    offline()
    facts = oa.show(f"asset:{RAW}")
    assert facts["subject_id"] == "625749"
    assert any("only what is here" in note for note in facts.notes)
    rows = oa.list(f"asset:{RAW}/behavior")
    assert [row["path"] for row in rows][-2:] == ["behavior/rewards.csv", "behavior/video.avi"]
    assert {row["etag"] for row in rows} == {""}
    assert rows.notes[1].startswith("offline: the files that are here")
    assert oa.open(f"asset:{RAW}").record.subject_id == "625749"
    assert oa.open(f"asset:{RAW}").open("behavior/licks.csv")["t"].tolist() == [1, 2]
    for ask in (
        lambda: oa.show(f"asset:{CURRENT}"),
        lambda: oa.list(f"asset:{CURRENT}"),
        lambda: oa.open(f"asset:{CURRENT}").record,
        lambda: oa.plan(f"asset:{CURRENT}"),
        lambda: oa.list("asset:"),  # the copy here is of another bucket
        lambda: views(f"asset:{RAW}"),
    ):
        with pytest.raises(OfflineError):
            ask()
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(OfflineError):
        oa.show(f"asset:{RAW}")


def test_what_the_store_holds_is_looked_after_whatever_service_is_chosen(bucket, monkeypatch):
    oa.fetch(f"asset:{RAW}")
    monkeypatch.delenv("OPENALLEN_S3_ENDPOINT")
    monkeypatch.setenv("OPENALLEN_SOURCE", "sample")
    with pytest.raises(NotFoundError, match="no such asset"):
        oa.fetch(f"asset:{RAW}")
    results = [checked.status for _, checked in maintenance.verify([f"asset:{RAW}"])]
    assert set(results) == {"intact"}
    (row,) = maintenance.prune([f"asset:{RAW}"], dry_run=False)
    assert row["files"] > 0
    with pytest.raises(NotFoundError, match="not in the store"):
        list(maintenance.verify([f"asset:{RAW}"]))


# --- views ----------------------------------------------------------------------------------------


def test_views(bucket):
    (one,) = views(f"asset:{SMART}/neuroglancer_config.json")
    assert (one.title, one.layers, one.made) == ("neuroglancer_config.json", ("a",), False)
    made = views(f"asset:{EXA}/SPIM.ome.zarr")
    assert [(v.title, v.made) for v in made] == [(f"SPIM.ome.zarr/tile_00000{n}_ch_561.zarr", True) for n in range(2)]  # fmt: skip
    for nothing in (f"asset:{RAW}", f"asset:{RAW}/behavior", f"asset:{RAW}/none.json"):
        with pytest.raises(NotFoundError, match="nothing to view"):
            views(nothing)
    with pytest.raises(UsageError, match="no such option"):
        views(f"asset:{RAW}?x=1")


# --- the door itself ------------------------------------------------------------------------------


def test_the_doors_are_light():
    heavy = ["numpy", "pandas", "pyarrow", "duckdb", "h5py", "zarr", "xarray", "msgspec", "sqlite3", "ssl", "http.client", "openallen.transport", "openallen.transfer", "openallen.store"]  # fmt: skip
    code = (
        "import sys\n"
        "import openallen.sources.assets.source, openallen.sources.recordings.source\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_asset_that_was_only_looked_at_is_not_in_the_store(bucket):
    from openallen import maintenance

    oa.show("asset:ecephys_625749_2022-08-03_15-15-06", source="live")
    assert [row["address"] for row in maintenance.held()] == []


def test_files_of_an_asset_have_addresses(bucket):
    name = "asset:ecephys_625749_2022-08-03_15-15-06"
    rows = oa.list(f"{name}/behavior/**", source="live")
    assert rows.address_of(rows[0]).startswith(f"{name}/behavior/")
