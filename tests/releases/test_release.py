"""Releases end to end, against a versioned bucket on a real S3 server."""

from __future__ import annotations

import json

import pytest

import openallen as oa
from openallen.display import bytes_text
from openallen.errors import NotFoundError, UsageError
from openallen.store import digest_of

NAME = "release:visual-behavior-ophys"


def test_the_newest_version_first_then_the_one_used_last(release):
    first = oa.open(NAME)
    assert str(first.version) == "1.0.0"
    assert [str(v) for v in first.versions()] == ["1.0.0", "0.2.0", "0.1.0"]
    oa.open(f"{NAME}@0.2.0")
    again = oa.open(NAME)
    assert str(again.version) == "0.2.0"
    assert "1.0.0 is newer" in again.notes[0]
    with pytest.raises(NotFoundError, match="no such version"):
        oa.open(f"{NAME}@7.0.0")


def test_a_file_of_a_version_is_that_version(release, tmp_path):
    folder = tmp_path / "vbo"
    kinds = oa.open(f"{NAME}@0.1.0").manifest.by_kind
    experiment = list(kinds["ophys_experiment"])[1]
    old = oa.fetch(f"{NAME}@0.1.0/ophys_experiment/{experiment}", to=folder)
    new = oa.fetch(f"{NAME}@1.0.0/ophys_experiment/{experiment}", to=folder)
    assert old.read_bytes() != new.read_bytes()
    for version, path in (("0.1.0", old), ("1.0.0", new)):
        manifest = release.manifests[version]
        told = next(e for e in manifest["data_files"].values() if experiment in e["url"])
        assert digest_of(path, "blake2b") == f"blake2b:{told['file_hash']}"
        assert path.relative_to(folder).parts[0] == f"visual-behavior-ophys-{version}"


def test_equal_files_of_versions_are_stored_and_fetched_once(release, tmp_path):
    folder = tmp_path / "vbo"
    oa.fetch(f"{NAME}@0.1.0", to=folder)
    plan = oa.plan(f"{NAME}@1.0.0", to=folder)
    assert 0 < len(plan.missing) < len(plan.files)

    class Watch:
        def started(self, plan, meter):
            self.bytes = 0

        def settled(self, outcome):
            if outcome.status == "fetched":
                self.bytes += outcome.size_bytes

        def retrying(self, *_):
            raise AssertionError

        waiting = retrying

        def finished(self):
            pass

    watch = Watch()
    oa.fetch(f"{NAME}@1.0.0", to=folder, observer=watch)
    compared = oa.open(f"{NAME}@0.1.0").compare("1.0.0")
    assert watch.bytes == compared.fetch_bytes == plan.missing_bytes > 0
    assert oa.plan(f"{NAME}@1.0.0", to=folder).missing == ()
    kept = folder / "visual-behavior-ophys-0.1.0"
    same = next(p for p in sorted(kept.rglob("*.nwb")))
    twin = folder / "visual-behavior-ophys-1.0.0" / same.relative_to(kept)
    assert twin.stat().st_ino == same.stat().st_ino
    assert not twin.is_symlink()


def test_the_plan_has_sizes(release, tmp_path):
    plan = oa.plan(f"{NAME}@0.2.0", to=tmp_path)
    assert plan.exact
    listed = release.s3.list_object_versions(Bucket=release.bucket)["Versions"]
    sizes = {v["VersionId"]: v["Size"] for v in listed}
    manifest = release.manifests["0.2.0"]
    entries = [*manifest["metadata_files"].values(), *manifest["data_files"].values()]
    assert plan.missing_bytes == sum(sizes[e["version_id"]] for e in entries)


def test_what_changed_between_versions(release):
    compared = oa.open(f"{NAME}@0.1.0").compare("0.2.0")
    sizes = {f.path: f.size_bytes for f in oa.open(f"{NAME}@0.2.0").sized().files}
    names = ("behavior_session_table", "ophys_experiment_table", "ophys_session_table")
    assert str(compared) == (
        "Changes from release:visual-behavior-ophys@0.1.0 to release:visual-behavior-ophys@0.2.0\n"
        "\n"
        + "\n".join(
            f"project_metadata/{n}.csv changed, {bytes_text(sizes[f'project_metadata/{n}.csv'])}"
            for n in names
        )
    )
    later = oa.open(f"{NAME}@0.2.0").compare("1.0.0")
    counts = {w: later.count(w) for w in ("added", "removed", "changed", "renamed")}
    assert counts == {"added": 1, "removed": 1, "changed": 1, "renamed": 1}
    words = {text.split(", ")[0].split(" ")[1] for text in map(str, later.changes)}
    assert words == {"added", "removed", "changed", "renamed"}
    assert later.to_dict()["bytes_missing"] > later.fetch_bytes  # nothing is here but manifests
    assert later.size_summary.startswith("to fetch: ")
    assert str(oa.open(f"{NAME}@0.2.0").compare("0.2.0")).endswith("are equal")


def test_files_are_chosen_by_rows_of_their_table(release, tmp_path):
    found = oa.open(NAME).rows("ophys_experiment_table")
    wanted = [r["ophys_experiment_id"] for r in found if r["targeted_structure"] == "VISp"]
    address = f"{NAME}@0.2.0/ophys_experiment?targeted_structure=VISp"
    plan = oa.plan(address, to=tmp_path)
    ids = sorted(int(f.path.rpartition("_")[2].removesuffix(".nwb")) for f in plan.files)
    assert ids == sorted(wanted)
    with pytest.raises(UsageError, match="no column"):
        oa.plan(f"{NAME}@0.2.0/ophys_experiment?targeted_struture=VISp", to=tmp_path)
    with pytest.raises(NotFoundError, match="nothing matches"):
        oa.plan(f"{NAME}@0.2.0/ophys_experiment?imaging_depth__lt=-5", to=tmp_path)


def test_an_imaged_behavior_session_is_in_the_file_of_its_experiment(release, tmp_path):
    rows = oa.open(NAME).rows("behavior_session_table")
    imaged = next(r for r in rows if r["ophys_experiment_id"])
    path = oa.fetch(f"{NAME}@0.2.0/behavior_session/{imaged['behavior_session_id']}", to=tmp_path)
    listed = imaged["ophys_experiment_id"]
    first = listed[0] if isinstance(listed, list) else listed
    assert path.name == f"behavior_ophys_experiment_{first}.nwb"


def test_urls_are_those_of_the_manifest_with_their_versions(release):
    opened = oa.open(f"{NAME}@0.1.0")
    manifest = release.manifests["0.1.0"]
    entries = [*manifest["metadata_files"].values(), *manifest["data_files"].values()]
    assert opened.urls() == [f"{e['url']}?versionId={e['version_id']}" for e in entries]
    assert opened.url("ophys_experiment", 951980471).startswith(
        "https://visual-behavior-ophys-data.s3.us-west-2.amazonaws.com/visual-behavior-ophys/"
        "behavior_ophys_experiments/behavior_ophys_experiment_951980471.nwb?versionId="
    )


@pytest.mark.parametrize("form", ["s3", "https", "path-style"])
def test_web_addresses_of_objects_name_files(release, tmp_path, form):
    opened = oa.open(f"{NAME}@0.2.0")
    file = opened.file("ophys_experiment", 951980471)
    host = f"https://s3.us-west-2.amazonaws.com/{file.at.bucket}/{file.at.key}"
    text = {
        "s3": str(file.at),
        "https": file.versioned_url(),
        "path-style": f"{host}?versionId={file.at.version_id}",
    }[form]
    path = oa.fetch(text, to=opened.folder.parent)
    assert path == opened.path("ophys_experiment", 951980471)
    assert path.is_file()


def test_a_resource_that_no_manifest_names(release, tmp_path):
    path = oa.fetch(f"{NAME}/resources/natural_movie", to=tmp_path)
    assert path.read_bytes() == b"not a movie" * 100


def test_nothing_is_fetched_twice_and_records_are_allensdks(release, tmp_path):
    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    assert oa.plan(f"{NAME}@0.2.0", to=tmp_path).missing == ()
    name = "visual-behavior-ophys_project_manifest_v0.2.0.json"
    assert (tmp_path / "_manifest_last_used.txt").read_text() == name
    told = json.loads((tmp_path / "_downloaded_data.json").read_text())
    manifest = release.manifests["0.2.0"]
    entries = [*manifest["metadata_files"].values(), *manifest["data_files"].values()]
    assert sorted(told.values()) == sorted(e["file_hash"] for e in entries)
    assert all(path.startswith(str(tmp_path)) for path in told)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("release:visual-behaviour-ophys", "no such project"),
        (f"{NAME}/ophys_experimant/1", "has no 'ophys_experimant'"),
        (f"{NAME}/ophys_experiment/1", "no ophys_experiment '1'"),
        (f"{NAME}/resources/nothing", "no resource"),
    ],
)
def test_what_is_not_there(release, tmp_path, address, error):
    with pytest.raises(NotFoundError, match=error):
        oa.fetch(address, to=tmp_path / "none")
