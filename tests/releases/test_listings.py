"""Releases without manifests: the listing of a bucket stands in for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.address import Address
from openallen.errors import IntegrityError, NotFoundError, UsageError
from openallen.plans import safe_path
from openallen.sources.releases import PROJECTS, Manifest, open_release
from openallen.sources.releases.models import Project
from openallen.sources.releases.plan import ReleaseJob
from openallen.sources.releases.search import choose, file_address, file_rows, parts_of
from openallen.transport import Http
from openallen.transport.s3 import Bucket

CODING = PROJECTS["visual-coding-neuropixels"]
PREFIX = CODING.files_prefix
KEYS = (
    "brain_observatory_1.1_analysis_metrics.csv",
    "channels.csv",
    "natural_scene_templates/natural_scene_1.tiff",
    "probes.csv",
    "session_715093703/probe_810755797_lfp.nwb",
    "session_715093703/session_715093703.nwb",
    "sessions.csv",
    "units.csv",
)


def listing(keys, project: Project = CODING) -> Manifest:
    listed = [[project.files_prefix + key, 7, "0" * 32] for key in keys]
    return Manifest.read({"version": "20200101", "listed": listed}, project)


def named(manifest: Manifest, text: str) -> list[str]:
    return [f.path for f in choose(manifest, Address.parse(text)).files]


def test_the_tables_and_sessions_of_visual_coding_are_what_they_are():
    manifest = listing(KEYS)
    assert list(manifest.by_kind["table"]) == [
        "brain_observatory_1.1_analysis_metrics", "channels", "probes", "sessions", "units",
    ]  # fmt: skip
    assert list(manifest.by_kind["ecephys_session"]) == ["715093703"]
    assert list(manifest.by_kind["probe"]) == ["810755797"]
    at = "release:visual-coding-neuropixels"
    assert named(manifest, f"{at}/sessions") == ["sessions.csv"]
    assert named(manifest, f"{at}/tables") == [k for k in KEYS if k.endswith(".csv")]
    assert named(manifest, f"{at}/table/units") == ["units.csv"]
    assert named(manifest, f"{at}/ecephys_session/715093703") == [KEYS[5]]
    assert named(manifest, f"{at}/natural_scene_templates/natural_scene_1.tiff") == [KEYS[2]]
    assert len(named(manifest, f"{at}/files")) == len(KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "s3://allen-brain-observatory/visual-coding-neuropixels/ecephys-cache/sessions.csv",
        "https://allen-brain-observatory.s3.us-west-2.amazonaws.com/"
        "visual-coding-neuropixels/ecephys-cache/sessions.csv",
        "release:visual-coding-neuropixels/files/sessions.csv",
    ],
)
def test_the_key_of_the_bucket_names_the_file_too(text):
    assert named(listing(KEYS), text) == ["sessions.csv"]


@pytest.mark.parametrize(
    ("path", "what", "why"),
    [
        ("sessions/1", "the table 'sessions' has no part '1'", "one table is one file"),
        ("nonsense/1", "has no 'nonsense'", "ecephys_session"),
        ("nonsense", "has no 'nonsense'", "sessions"),
        ("ecephys_session/1", "has no ecephys_session '1'", "it has 1 file of"),
        ("ecephys_session/715093704", "has no ecephys_session", "did you mean 715093703?"),
        ("table/nonsense", "has no table 'nonsense'", "units"),
        ("files/session_715093703", "no such file", "a folder with 2 files"),
        ("files/session.csv", "no such file", "did you mean sessions.csv?"),
        ("files/nothing.nwb", "no such file", "it has 8 files"),
        ("resources/x", "no resource 'x'", "it has no resources"),
    ],
)
def test_parts_that_are_not_there_are_errors_that_say_what_is(path, what, why):
    with pytest.raises(NotFoundError, match=what) as caught:
        named(listing(KEYS), f"release:visual-coding-neuropixels/{path}")
    assert why in caught.value.why


@pytest.mark.parametrize("path", ["files/sessions.csv?id=1", "sessions?id=1", "table/units?id=1"])
def test_conditions_on_single_files_are_refused(path):
    with pytest.raises(UsageError, match="conditions need one kind"):
        named(listing(KEYS), f"release:visual-coding-neuropixels/{path}")


ODD = st.lists(
    st.one_of(
        st.sampled_from(["files", "table", "tables", "file", "a.csv", ".csv", "x", "50%41", "#@?"]),
        st.text(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
).map("/".join)


@given(st.lists(ODD, unique_by=str.casefold, max_size=8))
def test_the_key_a_listing_shows_is_the_key_the_address_takes(keys):
    project = Project(name="odd", title="odd", bucket="b", form="listing", prefix="p/")
    manifest = listing(keys, project)
    left_out = manifest.other.get("left_out", ())
    assert len(manifest.files) + len(left_out) == len(keys)
    for key in left_out:
        with pytest.raises(IntegrityError):
            safe_path(key.removeprefix("p/"))
    for file in manifest.files:
        where = Address.parse(file_address(manifest, file))
        assert Address.parse(str(where)) == where
        assert choose(manifest, where).files == (file,)
        assert manifest.by_kind[file.kind][file.id] == file
    for row in file_rows(manifest):
        assert named(manifest, str(row["address"])) == [row["path"]]
    for part in parts_of(manifest):
        choose(manifest, Address("release", "odd", path=(part,)))


def test_ids_that_are_no_numbers_are_told_not_raised(release, tmp_path, monkeypatch):
    release.put("coded/session_x/probe_1_lfp.nwb", b"A" * 10)
    release.put("coded/sessions.csv", b"id,session_type\n5,a\n")
    told = {"coded": {"bucket": release.bucket, "form": "listing"}}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(told))
    opened = open_release("release:coded", tmp_path)
    assert opened.tables == ("sessions",)
    assert list(opened.rows("sessions")) == [{"id": 5, "session_type": "a"}]
    with pytest.raises(UsageError, match="are not sessions"):
        opened.sessions("session_x")
    with pytest.raises(NotFoundError):
        opened.file("session_x", "nothing")
    with pytest.raises(NotFoundError):
        opened.table("nothing")
    assert oa.fetch("release:coded/sessions", to=tmp_path).name == "sessions.csv"


def test_odd_keys_are_left_out_and_the_plan_says_so(tmp_path):
    project = Project(name="odd", title="odd", bucket="b", form="listing", prefix="p/")
    manifest = listing(["a/../b", "fine.csv", "con", "a//b", "d\\e"], project)
    from openallen.sources.releases.cache import ReleaseCache

    cache = ReleaseCache(project, Bucket(http=Http(offline=True), name="b"), tmp_path)
    plan = ReleaseJob.of(
        cache, manifest, manifest.files, address=manifest.address, source="live"
    ).plan
    assert [f.path for f in plan.files] == ["odd-20200101/fine.csv"]
    assert "4 keys left out: not safe as file names: 'p/a/../b'" in str(plan)


def test_listing_millions_of_keys_tells_how_far_it_is(published, tmp_path, monkeypatch):
    from openallen.sources.releases import cache as rooms

    monkeypatch.setattr(rooms, "_SEEN_KEYS", 5)
    for i in range(12):
        published.put(f"counted/{i:02}", b"x")
    project = Project(name="counted", title="", bucket=published.bucket, form="listing")
    seen: list[int] = []
    with Http() as http:
        bucket = Bucket(http=http, name=published.bucket, endpoint=published.endpoint)
        cache = rooms.ReleaseCache(project, bucket, tmp_path, seen=seen.append)
        manifest = cache.manifest(cache.versions()[0])
    assert len(manifest.files) == 12
    assert seen == [5, 10, 12]
