"""Assets in a bucket: found, understood, fetched; on a real S3 server."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from assetbucket import (
    ASSETS,
    CURRENT,
    DERIVED,
    NWB,
    ODD,
    RAW,
    SORTED,
    SPACED,
    VIEWS,
    basics,
    fresh,
    parquet,
    publish_assets,
)
from buckets import serving_s3

import openallen as oa
from openallen.errors import (
    AnswerError,
    CorruptError,
    NotFoundError,
    OpenAllenError,
    ServiceError,
    UsageError,
)
from openallen.sources.assets import Catalogue, catalogue, open_asset, sql
from openallen.sources.assets.provenance import family_of
from openallen.sources.assets.search import docdb_records
from openallen.sources.buckets.jobs import EtagCheck, part_sizes
from openallen.sources.buckets.patterns import matches, static_prefix
from openallen.transport import Http, Retry
from openallen.transport.s3 import Bucket


@pytest.fixture(scope="module")
def published():
    with serving_s3() as endpoint:
        yield publish_assets(endpoint)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openallen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "key", "yes"),
    [
        ("", "a/b", True),
        ("behavior", "behavior/deep/x.csv", True),
        ("behavior", "behavior2/x.csv", False),
        ("behavior/*", "behavior/deep/x.csv", True),
        ("behavior/*.csv", "behavior/x.csv", True),
        ("behavior/*.csv", "behavior/deep/x.csv", False),
        ("**/*.csv", "behavior/deep/x.csv", True),
        ("**/*.csv", "x.csv", True),
        ("*/x.csv", "behavior/x.csv", True),
        ("behavior/x.csv", "behavior/x.csv", True),
        ("behavior/?.csv", "behavior/x.csv", True),
        ("behavior/[xy].csv", "behavior/y.csv", True),
        ("behavior/[!xy].csv", "behavior/y.csv", False),
        ("a.b/*", "aXb/c", False),
        ("*.json", "subject.json", True),
        ("*.json", "deep/subject.json", False),
    ],
)
def test_patterns(pattern, key, yes):
    assert matches(key, pattern) is yes
    assert not yes or key.startswith(static_prefix(pattern)) or static_prefix(pattern) == pattern


def test_names_and_patterns_that_make_no_sense(bucket):
    for name in ("..", "", "a/b", "con", "a\\b"):
        with pytest.raises(UsageError, match="not the name of an asset"):
            open_asset(name)
    with pytest.raises(UsageError, match="not a pattern"):
        matches("a/b", "[z-a]/*.csv")


# --- the catalogue --------------------------------------------------------------------------------


def test_the_bucket_itself_is_a_catalogue(bucket):
    said: list[str] = []
    found = catalogue(tell=said.append)
    assert {r["name"] for r in found.select()} == {RAW, SORTED, NWB, CURRENT, DERIVED, ODD}
    assert "folder names in aind-open-data" in said[-1]
    assert "parquet: no public catalogue" in said[-1]
    raw = found.select([oa.Condition.parse("level=raw"), oa.Condition.parse("modality=ECEPHYS")])
    assert [r["name"] for r in raw] == [RAW]
    assert raw[0]["public"] is True
    assert sql("select count(*) as n from assets where level = ?", "derived") == [{"n": 4}]
    assert oa.assets.sql("select max(label) as l from assets")[0]["l"]
    said.clear()
    assert len(catalogue(tell=said.append)) == 6
    assert not said  # the copy here is young: nothing was asked


@pytest.mark.parametrize(
    "text",
    [
        "select * from read_text('{secret}')", "select * from '{secret}'",
        "select * from read_csv('{secret}')", "from glob('{folder}/*')",
        "select * from read_parquet('http://127.0.0.1:1/x.parquet')",
        "copy (select 1) to '{folder}/out.csv'", "copy assets from '{secret}'",
        "attach '{folder}/new.db' as new", "export database '{folder}/out'",
        "install httpfs", "load httpfs", "set enable_external_access = true",
        "pragma enable_external_access", "reset lock_configuration", "drop table assets",
        "delete from assets", "explain analyze delete from assets",
        "create table more as select 1", "select 1; drop table assets",
        "update assets set name = ''", "call checkpoint()", "not sql at all",
    ],
)  # fmt: skip
def test_sql_of_the_catalogue_reads_nothing_else_and_changes_nothing(bucket, tmp_path, text):
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    before = {p.name for p in tmp_path.iterdir()}
    catalogue()
    with pytest.raises(UsageError):
        oa.assets.sql(text.format(secret=tmp_path / "secret.csv", folder=tmp_path))
    assert oa.assets.sql("select count(*) as n from assets") == [{"n": 6}]
    assert {p.name for p in tmp_path.iterdir()} - before <= {"store"}


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (["subject=625749"], {RAW, SORTED, NWB}),
        (["date>=2025-01-01"], {CURRENT, DERIVED}),
        (["date=2022-08-03"], {RAW, SORTED, NWB}),
        (["date<2022-08-03"], set()),
        (["acquired<=2022-08-03T15:15:06", "label=nwb"], {NWB}),
        (["label__like=sorted*"], {SORTED}),
        (["label__in=nwb,processed"], {NWB, DERIVED}),
        (["created"], {SORTED, NWB, DERIVED, ODD}),
        (["public=false"], set()),
        (["name__ilike=hcr*"], {ODD}),
        (["modality!=ecephys", "level=raw"], {CURRENT}),
    ],
)
def test_filters(bucket, conditions, names):
    found = catalogue().select([oa.Condition.parse(text) for text in conditions])
    assert {r["name"] for r in found} == names


@pytest.mark.parametrize(
    ("condition", "message"),
    [("modalty=x", "modality"), ("date=soon", "is not a date"), ("modality<5", "is a list"), ("date__like=2*", "is a time")],
)  # fmt: skip
def test_filters_that_make_no_sense(bucket, condition, message):
    with pytest.raises(UsageError, match=message):
        catalogue().select([oa.Condition.parse(condition)])
    with pytest.raises(UsageError, match="rejects this SQL"):
        sql("selct 1")


@pytest.mark.parametrize(
    ("conditions", "why", "better"),
    [
        (["modality=ephys"], "values of modality: ", "modality=ecephys"),
        (["level=Raw"], "values of level: ", "level=raw"),
        (["subject=62574"], "values of subject: ", "subject=625749"),
        (["level=derived", "label=sorte"], "values of label: ", "level=derived label=sorted-ks25"),
        (["modality=ECEPHYS", "level=rw"], "values of level: ", "modality=ECEPHYS level=raw"),
        (["date<1999-01-01"], "date__lt=1999-01-01", ""),
    ],
)
def test_filters_nothing_matches_say_what_there_is(bucket, conditions, why, better):
    given = [oa.Condition.parse(text) for text in conditions]
    there = catalogue()
    assert there.select(given) == []
    error = there.no_assets(given)
    assert why in error.why
    assert error.hint == f"openallen list asset: {better}".rstrip()
    if better:
        assert there.select([oa.Condition.parse(text) for text in better.split()])


def test_the_public_catalogue_is_asked_first(bucket):
    newest = "data-asset-cache/bdc-v0.42/"
    private = "ecephys_700000_2024-01-01_00-00-00"
    rows = [basics(RAW, project_name="Dynamic Routing", data_level="raw"), basics(private, location=f"s3://elsewhere/{private}"), basics(NWB, modalities=["ecephys", "behavior"], data_level="derived")]  # fmt: skip
    keys = {
        f"{newest}asset_basics.pqt": parquet(rows),
        f"{newest}source_data.pqt": parquet([{"name": NWB, "source_data": RAW}]),
        "data-asset-cache/bdc-v0.9/asset_basics.pqt": parquet([basics("old_1_2020-01-01_00-00-00")]),
        "data-asset-cache/cache_versions.json": json.dumps({"versions": ["bdc-v0.9", "bdc-v0.42"]}).encode(),
    }  # fmt: skip
    for key, body in keys.items():
        bucket.put(key, body, VIEWS)
    try:
        said: list[str] = []
        found = catalogue(refresh=True, tell=said.append)
        assert "public catalogue data-asset-cache/bdc-v0.42" in said[-1]
        by_name = {r["name"]: r for r in found.select()}
        assert set(by_name) == {RAW, private, NWB}
        assert by_name[private]["public"] is False
        assert by_name[RAW]["project"] == "Dynamic Routing"
        assert by_name[NWB]["modalities"] == ["ecephys", "behavior"]
        assert by_name[NWB]["sources"] == [RAW]
        bucket.put("data-asset-cache/cache_versions.json", b"<html>", VIEWS)
        assert len(catalogue(refresh=True)) == 3  # folders tell the version too
        bucket.put(f"{newest}asset_basics.pqt", b"PAR1 broken", VIEWS)
        assert len(catalogue(refresh=True)) == 6  # the bucket itself
    finally:
        for key in keys:
            bucket.s3.delete_object(Bucket=VIEWS, Key=key)


def test_a_copy_of_another_bucket_is_no_copy(bucket, monkeypatch):
    assert len(catalogue()) == 6
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    with pytest.raises(ServiceError, match=r"parquet: .*bucket: "):
        catalogue()


def test_a_copy_outlives_its_sources(bucket, monkeypatch, tmp_path):
    """The bucket goes away: the same address, and nobody answers there any more."""
    with serving_s3() as endpoint:
        monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", endpoint)
        # The two servers share what they hold: they are of one process.
        assert len(catalogue()) == 6
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    said: list[str] = []
    assert len(catalogue(refresh=True, tell=said.append)) == 6
    assert "the cached copy of" in said[-1]
    folder = tmp_path / "store" / "assets"
    (folder / "catalogue.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptError, match="--refresh"):
        Catalogue(folder)
    with pytest.raises(ServiceError, match=r"parquet: .*bucket: "):
        catalogue()


# --- the document database ------------------------------------------------------------------------


def docdb(loopback, pages, *, cap: int = 10_000):
    """A database that gives `pages[i]` records at a time, and refuses more than `cap`."""

    def handler(request, reply):
        asked = parse_qs(urlsplit(request.target).query)
        limit = int(asked["limit"][0])
        if limit > cap:
            reply.send(b"too large", status="413 Payload Too Large")
            return
        after = json.loads(asked.get("filter", ["{}"])[0]).get("_id", {}).get("$gt", "")
        rest = [r for r in pages if r["_id"] > after]
        reply.send(json.dumps(rest[: min(limit, 3)]).encode())  # short pages say nothing

    server = loopback({})
    server.routes["/v2/metadata_index/data_assets/find"] = handler
    return server


def rows(count: int):
    return [{"_id": f"{n:04}", "name": f"ecephys_{600000 + n}_2024-01-01_00-00-00", "location": "s3://aind-open-data/x"} for n in range(count)]  # fmt: skip


def test_records_are_paged_by_id_until_an_empty_page(loopback):
    server = docdb(loopback, rows(8), cap=300)
    with Http() as http:
        found = list(docdb_records(http, server.url, "v2", projection={"name": 1}))
    assert [r["_id"] for r in found] == [r["_id"] for r in rows(8)]
    limits = [parse_qs(urlsplit(r.target).query)["limit"][0] for r in server.seen]
    assert limits[:3] == ["1000", "500", "250"]  # 413 is answered with halves


@pytest.mark.parametrize("body", [b"<html>down</html>", b'{"message": "no"}', b"[1]", b""])
def test_answers_that_are_no_records(loopback, body):
    server = loopback({"/v2/metadata_index/data_assets/find": lambda request, reply: reply.send(body)})  # fmt: skip
    with Http() as http, pytest.raises(AnswerError):
        list(docdb_records(http, server.url, "v2", retry=Retry(attempts=1)))


@pytest.mark.parametrize("page", [rows(3), [{"name": "x"}]], ids=["the same again", "no ids"])
def test_a_database_that_does_not_obey_comes_to_an_end(loopback, page):
    body = json.dumps(page).encode()
    server = loopback({"/v2/metadata_index/data_assets/find": lambda request, reply: reply.send(body)})  # fmt: skip
    with Http() as http, pytest.raises(AnswerError, match="unexpected records"):
        list(docdb_records(http, server.url, "v2", retry=Retry(attempts=1)))


def test_the_database_is_asked_where_the_parquet_is_not(bucket, loopback, monkeypatch):
    monkeypatch.setenv("OPENALLEN_DOCDB_URL", docdb(loopback, rows(5)).url)
    said: list[str] = []
    assert len(catalogue(refresh=True, tell=said.append)) == 5
    assert "the document database (v2)" in said[-1]


# --- one asset ------------------------------------------------------------------------------------


def test_metadata_of_the_first_generation(bucket):
    record = oa.open(f"asset:{RAW}").record
    assert record.core_files == ("data_description", "subject", "procedures", "acquisition", "rig", "processing")  # fmt: skip
    assert (record.level, record.subject_id, record.modalities) == ("raw", "625749", ("ecephys",))
    assert (record.species, record.sex, record.instrument_id) == ("Mus musculus", "Female", "323_EPHYS1")  # fmt: skip
    assert record.created.isoformat() == "2022-08-03T15:15:06"
    sorted_ = open_asset(SORTED).record
    assert sorted_.level == "derived"
    assert sorted_.sources == (RAW,)
    assert any("data_description has another name" in p for p in sorted_.problems)


def test_metadata_of_the_second_schema_with_a_combined_record(bucket):
    record = open_asset(CURRENT).record
    assert (record.subject_id, record.sex, record.modalities) == ("801381", "Male", ("slap2", "behavior"))  # fmt: skip
    assert record.public is True
    assert open_asset(DERIVED).record.sources == (CURRENT,)
    assert open_asset(ODD).record.core_files == ()


def test_sidecars_are_kept_and_asked_for_again_when_they_change(bucket, tmp_path):
    name = "ecephys_900001_2024-01-01_00-00-00"
    bucket.sidecar(name, "data_description", {"project_name": "one"})
    bucket.sidecar(name, "metadata.nd", {"data_description": {"project_name": "zero"}})
    bucket.put(f"{name}/subject.json", b"{ no json")
    try:
        asset = open_asset(name)
        assert asset.record.project in {"one", "zero"}
        assert "subject.json is not valid JSON" in asset.notes[0]
        kept = list((tmp_path / "store").rglob("data_description.json"))
        assert len(kept) == 1
        time.sleep(1.1)  # times of objects are whole seconds
        bucket.sidecar(name, "data_description", {"project_name": "two"})
        assert open_asset(name).record.project == "two"
        time.sleep(1.1)
        bucket.sidecar(name, "metadata.nd", {"data_description": {"project_name": "three"}})
        assert open_asset(name).record.project == "three"  # the newer of the two counts
    finally:
        for entry in bucket.s3.list_objects_v2(Bucket=ASSETS, Prefix=name)["Contents"]:
            bucket.s3.delete_object(Bucket=ASSETS, Key=entry["Key"])


def test_files_and_folders(bucket):
    asset = open_asset(RAW)
    assert asset.folders()["behavior"] == (4, 1014)
    found = [e.key.removeprefix(asset.prefix) for e in asset.files("behavior/*.csv")]
    assert found == ["behavior/licks.csv", "behavior/rewards.csv"]
    with pytest.raises(NotFoundError, match="no such asset"):
        assert open_asset("ecephys_1_2020-01-01_00-00-00").record is None


def test_a_part_is_fetched_by_pattern_and_checked(bucket, tmp_path):
    folder = oa.fetch(f"asset:{RAW}/behavior/*.csv", to=tmp_path / "a")
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["licks.csv", "rewards.csv"]
    plan = oa.plan(f"asset:{RAW}/ecephys", to=tmp_path / "b")
    assert (len(plan.files), plan.missing_bytes) == (4, 150_002)
    assert all(f.digest.startswith("md5:") for f in plan.files)
    assert "%23" in plan.files[0].url
    oa.fetch(f"asset:{RAW}/ecephys", to=tmp_path / "b")
    assert (tmp_path / "b" / SPACED / "traces_seg0" / "2.0").read_bytes() == b"\2" * 50_000
    assert not oa.plan(f"asset:{RAW}/ecephys", to=tmp_path / "b").missing
    with pytest.raises(NotFoundError, match="no file of this asset matches"):
        oa.plan(f"asset:{RAW}/nothing/*", to=tmp_path)
    with pytest.raises(UsageError, match="no such option"):
        oa.plan(f"asset:{RAW}?x=1", to=tmp_path)


def test_keys_that_would_leave_the_folder(bucket, tmp_path):
    key = f"{RAW}/bad/../../../evil"
    bucket.put(key, b"x")
    try:
        with pytest.raises(OpenAllenError, match=r"unsafe|dotted"):
            oa.fetch(f"asset:{RAW}/bad", to=tmp_path / "x")
        assert not (tmp_path.parent / "evil").exists()
    finally:
        bucket.s3.delete_object(Bucket=ASSETS, Key=key)


def test_files_uploaded_in_parts(bucket, tmp_path):
    part = 5 << 20
    body = bytes(range(256)) * ((part * 2 + 1000) // 256)
    key = f"{RAW}/behavior/big.bin"
    upload = bucket.s3.create_multipart_upload(Bucket=ASSETS, Key=key, ACL="public-read")["UploadId"]  # fmt: skip
    given = {"Bucket": ASSETS, "Key": key, "UploadId": upload}
    tags = [{"PartNumber": n + 1, "ETag": bucket.s3.upload_part(**given, PartNumber=n + 1, Body=body[n * part : (n + 1) * part])["ETag"]} for n in range(3)]  # fmt: skip
    bucket.s3.complete_multipart_upload(**given, MultipartUpload={"Parts": tags})
    try:
        path = oa.fetch(f"asset:{RAW}/behavior/big.bin", to=tmp_path / "p")
        assert path.read_bytes() == body
        etag = next(iter(open_asset(RAW).files("behavior/big.bin"))).etag
        assert etag.endswith("-3")
        assert EtagCheck(etag, len(body))(path)["part_bytes"] == part
        assert EtagCheck("0" * 32 + "-3", len(body))(path)["part_bytes"] is None
        assert part in part_sizes(len(body), 3)
    finally:
        bucket.s3.delete_object(Bucket=ASSETS, Key=key)


def test_md5_is_what_the_tag_says(bucket):
    entry = next(iter(open_asset(RAW).files("behavior/licks.csv")))
    assert entry.etag == hashlib.md5(b"t\n1\n2\n").hexdigest()


# --- provenance -----------------------------------------------------------------------------------


def test_a_family_in_both_directions(bucket):
    found = catalogue().select([oa.Condition.parse("subject=625749")])
    family = family_of(NWB, found)
    assert family.sources() == (RAW,)
    assert set(family.derived(RAW)) == {SORTED, NWB}
    assert next(m.name for m in family.members) == RAW
    lines = str(family).splitlines()
    assert lines[0].strip() == RAW
    assert f"*    {NWB}" in lines
    assert family.to_dot().count("->") == 2
    lonely = family_of("ecephys_1_2020-01-01_00-00-00_nwb_2020-01-02_00-00-00", [])
    assert "not in the catalogue" in str(lonely)
    assert lonely.to_rows()[1]["known_by"] == "name"


def test_what_metadata_say_goes_before_names():
    rows = [
        {"name": "a_123456_2024-01-01_00-00-00", "sources": []},
        {"name": "a_123456_2024-01-01_00-00-00_x_2024-01-02_00-00-00", "sources": []},
        {"name": "a_123456_2024-01-01_00-00-00_y_2024-01-03_00-00-00", "sources": ["a_123456_2024-01-01_00-00-00_x_2024-01-02_00-00-00"]},
        {"name": "a_999999_2024-01-01_00-00-00", "sources": []},
    ]  # fmt: skip
    family = family_of(rows[0]["name"], rows)
    assert len(family.members) == 3
    assert family.derived(rows[1]["name"]) == (rows[2]["name"],)
    circle = family_of("a", [{"name": "a", "sources": ["b"]}, {"name": "b", "sources": ["a"]}])
    assert len(str(circle).splitlines()) <= 3


# --- by the command line --------------------------------------------------------------------------


def test_list_show_fetch(bucket, tmp_path):
    done = run("list", "asset:", "modality=ecephys", "subject=625749", "date__ge=2022-04-01", "level=derived", "--json")  # fmt: skip
    assert {json.loads(line)["name"] for line in done.stdout.splitlines()} == {SORTED, NWB}
    assert "folder names in aind-open-data" in done.stderr
    shown = run("show", f"asset:{RAW}", "--graph", "--dot", str(tmp_path / "g.dot"))
    assert shown.returncode == 0, shown.stderr
    assert "behavior" in shown.stdout
    assert NWB in shown.stdout
    assert (tmp_path / "g.dot").read_text().startswith("digraph")
    told = json.loads(run("show", f"asset:{CURRENT}", "--json").stdout)
    assert told["folders"]["slap2"] == {"files": 1, "size_bytes": 4}
    files = run("list", f"asset:{RAW}/behavior", "-q").stdout.split()
    assert "behavior/deep/more.csv" in files
    done = run("fetch", f"asset:{RAW}/behavior/*.csv", "--to", str(tmp_path / "f"))
    assert done.returncode == 0, done.stderr
    assert run("list", "asset:", "subject=1").returncode == 3
    assert run("show", "asset:nothing_1_2020-01-01_00-00-00").returncode == 3


def test_recordings_of_the_benchmark(bucket, tmp_path):
    import numpy as np

    benchmark = "aind-benchmark-data"
    fresh(bucket.s3, benchmark)
    session = "ephys-compression/aind-np2/612962_2022-04-13_19-18-04_ProbeB"
    samples = np.arange(4000, dtype="<i2").reshape(1000, 4)
    kwargs = {"file_paths": ["traces_cached_seg0.raw"], "sampling_frequency": 30000.0, "num_chan": 4, "dtype": "<i2", "time_axis": 0}  # fmt: skip
    bucket.put(f"{session}/cached.json", json.dumps({"kwargs": kwargs}).encode(), benchmark)
    bucket.put(f"{session}/traces_cached_seg0.raw", samples.tobytes(), benchmark)
    address = "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB"
    oa.fetch(address)
    found = oa.open(address)
    assert np.array_equal(found.traces(scaled=False), samples)
    assert found.gain_uv is None
    with pytest.raises(UsageError, match="gain of this recording"):
        found.traces()
    assert not oa.plan(address).missing
    with pytest.raises(NotFoundError):
        oa.plan("recording:aind-np2/nothing")


def test_a_bucket_that_does_not_exist_is_named(bucket):
    with Http() as http:
        place = Bucket(http=http, name="nothing-here", endpoint=bucket.endpoint)
        with pytest.raises(NotFoundError) as caught:
            list(place.list("ephys-compression/"))
        assert caught.value.what == f"no bucket nothing-here at {bucket.endpoint}"
        assert caught.value.address == "s3://nothing-here"
        # An object that is missing in a bucket that is there remains the object's error.
        with pytest.raises(NotFoundError, match="not found"):
            Bucket(http=http, name="aind-open-data", endpoint=bucket.endpoint).read("no/such/key")


def test_a_404_of_another_service_is_not_called_a_bucket(loopback):
    def page(request, reply):
        reply.send(b"<html>gone</html>", "404 Not Found", {"Content-Type": "text/html"})

    url = loopback({"/b/": page}).url
    with Http() as http, pytest.raises(NotFoundError) as caught:
        list(Bucket(http=http, name="b", endpoint=url).list())
    assert "bucket" not in caught.value.what
