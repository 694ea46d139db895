"""Every spelling of a web address that people paste, and every file or folder they try to open."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import openallen as oa
from openallen.errors import AddressError, NotFoundError, OpenAllenError, UsageError
from openallen.web_address import WebAddress

DATA = Path(__file__).parents[1] / "data"
ASSET = "ecephys_625749_2022-08-03_15-15-06"
SESSION = "visual-behavior-ophys/behavior_ophys_experiments/behavior_ophys_experiment_951980471.nwb"
CCF = "https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf"

MEANT = {
    f"s3://aind-open-data/{ASSET}": f"asset:{ASSET}",
    f"s3://aind-open-data/{ASSET}/": f"asset:{ASSET}",
    f"asset:{ASSET}/": f"asset:{ASSET}",
    f"zarr://s3://aind-open-data/{ASSET}/a.zarr": f"asset:{ASSET}/a.zarr",
    f"zarr2://s3://aind-open-data/{ASSET}/a.zarr/": f"asset:{ASSET}/a.zarr",
    f"s3://aind-open-data/{ASSET}/a.zarr/|zarr2:": f"asset:{ASSET}/a.zarr",
    f"https://aind-open-data.s3.us-west-2.amazonaws.com/{ASSET}/b/c.csv": f"asset:{ASSET}/b/c.csv",
    f"https://aind-open-data.s3.amazonaws.com/{ASSET}/b/c.csv": f"asset:{ASSET}/b/c.csv",
    f"https://s3.us-west-2.amazonaws.com/aind-open-data/{ASSET}/b/c.csv": f"asset:{ASSET}/b/c.csv",
    f"HTTPS://AIND-OPEN-DATA.s3.us-west-2.amazonaws.com/{ASSET}": f"asset:{ASSET}",
    "s3://aind-benchmark-data/ephys-compression/aind-np2/612962_2022-04-13_19-18-04_ProbeB/":
        "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB",
    f"s3://visual-behavior-ophys-data/{SESSION}": f"release:visual-behavior-ophys/files/{SESSION.partition('/')[2]}",
    f"https://visual-behavior-ophys-data.s3.us-west-2.amazonaws.com/{SESSION}?versionId=abc":
        f"release:visual-behavior-ophys/files/{SESSION.partition('/')[2]}?version_id=abc",
    "http://api.brain-map.org//api/v2/image_download/321549654?downsample=3": "image:321549654?downsample=3",
    "http://api.brain-map.org/api/v2/well_known_file_download/491120155": "file:491120155",
    "https://celltypes.brain-map.org/experiment/morphology/313862022": "stack:313862022",
    "https://celltypes.brain-map.org/mouse/experiment/morphology/313862022?x=1": "stack:313862022",
    "https://mouse.brain-map.org/experiment/show/69855739": "grid:69855739",
    "https://connectivity.brain-map.org/projection/experiment/181777177": "grid:181777177",
    "http://api.brain-map.org/grid_data/download/69855739?include=energy": "grid:69855739?include=energy",
    f"{CCF}/annotation/ccf_2017/annotation_25.nrrd": "atlas:ccf-2017/annotation/25",
    f"{CCF}/annotation/ccf_2017/structure_meshes/385.obj": "atlas:ccf-2017/mesh/385",
    "http://api.brain-map.org/api/v2/structure_graph_download/1.json": "structures:1",
    "http://api.brain-map.org/api/v2/data/Specimen/313862022.json": "rma:Specimen?id=313862022",
}  # fmt: skip


@pytest.mark.parametrize(("web", "meant"), MEANT.items(), ids=list(MEANT))
def test_a_web_address_means_the_thing_it_names(web, meant):
    found = oa.Address.parse(web)
    assert str(found) == meant
    assert oa.Address.parse(str(found)) == found


@pytest.mark.parametrize(
    "web",
    [
        "s3://somebody-else/aind-open-data/x", "https://somebody-else.s3.amazonaws.com/x.nwb",
        "https://example.org/experiment/morphology/313862022", "https://brain-map.org.evil.example/api/v2/image_download/1",
        "s3://dandiarchive/blobs/000/111/000111", "https://api.brain-map.org/something/else/5",
    ],
)  # fmt: skip
def test_addresses_of_others_are_nobodys(web):
    with pytest.raises(AddressError, match="known source"):
        oa.Address.parse(web)


def test_web_addresses_are_taken_apart_without_losing_a_byte():
    found = WebAddress.parse("zarr3://S3://Bucket.Name/a b/c%23d%2Fe?versionId=1")
    assert (found.bucket, found.key, found.version_id) == ("Bucket.Name", "a b/c#d/e", "1")
    with pytest.raises(ValueError, match="not a web address"):
        WebAddress.parse("ftp://x/y")


# --- buckets of others, opened for what they hold -------------------------------------------------


@pytest.fixture
def elsewhere(world, published):
    """A bucket of somebody else, with a table, a picture, a Zarr and a session in it."""
    from buckets import connect

    s3 = connect(published.endpoint)
    if "somebody-else" not in {b["Name"] for b in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(
            Bucket="somebody-else", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )

    def put(key: str, body: bytes) -> None:
        s3.put_object(Bucket="somebody-else", Key=key, Body=body, ACL="public-read")

    return put


def test_any_bucket_is_opened_by_content(elsewhere, tmp_path):
    import zarr

    elsewhere("lab/t.csv", b"a,b\n1,2\n")
    elsewhere("lab/t.json", json.dumps({"a": [1]}).encode())
    zarr.create_array(str(tmp_path / "x.zarr"), data=np.arange(6), zarr_format=2)
    for path in (tmp_path / "x.zarr").rglob("*"):
        if path.is_file():
            elsewhere(f"lab/x.zarr/{path.relative_to(tmp_path / 'x.zarr')}", path.read_bytes())
    assert oa.open("s3://somebody-else/lab/t.csv")["b"].tolist() == [2]
    assert oa.open("s3://somebody-else/lab/t.json") == {"a": [1]}
    assert "x.zarr" in repr(oa.open("s3://somebody-else/lab/x.zarr"))
    with pytest.raises(UsageError, match=r"it holds x\.zarr/, t\.csv, t\.json") as caught:
        oa.open("s3://somebody-else/lab/")
    assert caught.value.hint == "openallen show s3://somebody-else/lab/x.zarr/"
    with pytest.raises(NotFoundError):
        oa.open("s3://somebody-else/nothing/")
    with pytest.raises(NotFoundError):
        oa.open("s3://somebody-else/lab/missing.csv")


# --- files and folders ----------------------------------------------------------------------------


def test_folders_that_are_not_one_thing_say_what_they_hold(world, tmp_path, cli):
    folder = tmp_path / "several"
    folder.mkdir()
    for name in ("a.nwb", "b.nwb", "C.NWB", "notes.txt"):
        (folder / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"it holds 3 .nwb files, 1 .txt file") as caught:
        oa.open(folder)
    assert caught.value.hint == f"openallen show {folder / 'C.NWB'}"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="it holds nothing"):
        oa.open(tmp_path / "empty")
    (tmp_path / "sorting").mkdir()
    (tmp_path / "sorting" / "spikes.npy").write_bytes(b"")
    (tmp_path / "sorting" / "si_folder.json").write_text("{}")
    with pytest.raises(UsageError, match=r"1 .npy file, 1 .json file|1 .json file, 1 .npy file"):
        oa.open(tmp_path / "sorting")
    assert cli("show", folder).code == 2


@pytest.mark.parametrize("name", [r"C:\data\session.nwb", "nothere.nwb", "./no/such/dir", r"D:\x"])
def test_a_missing_file_is_a_missing_file(world, name, cli):
    with pytest.raises(NotFoundError, match="no such file or folder"):
        oa.open(name)
    said = cli("show", name)
    assert said.code == 3
    assert "Traceback" not in said.err


def test_a_missing_file_is_told_with_the_nearest(world, tmp_path):
    (tmp_path / "session_1.nwb").write_bytes(b"x")
    with pytest.raises(NotFoundError) as caught:
        oa.open(tmp_path / "sesion_1.nwb")
    assert caught.value.hint == f"openallen show {tmp_path / 'session_1.nwb'}"


SWC = "1 1 0 0 0 1 -1\n2 3 0 5 0 1 1\n"
OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("cell.swc", SWC, "Morphology"), ("mesh.obj", OBJ, "Mesh"), ("t.csv", "a\n1\n", "DataFrame"),
        ("t.tsv", "a\tb\n1\t2\n", "DataFrame"), ("d.json", "[1]", "list"),
    ],
)  # fmt: skip
def test_suffixes_in_any_case(tmp_path, name, body, kind, upper):
    path = tmp_path / (name.upper() if upper else name)
    path.write_text(body)
    assert type(oa.open(path)).__name__ == kind
    assert type(oa.open(str(path))).__name__ == kind


def test_a_reconstruction_is_read_from_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cell.swc").write_text(SWC)
    assert len(oa.read_swc("cell.swc")) == len(oa.read_swc(SWC.encode())) == 2
    with pytest.raises(NotFoundError):
        oa.read_swc("missing.swc")


def test_files_of_no_known_kind_are_refused_by_name(world, tmp_path):
    (tmp_path / "x.docx").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"'\.docx' files cannot be opened"):
        oa.open(tmp_path / "x.docx")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x89HDF\r\n\x1a\n", b"\0" * 100])
@pytest.mark.parametrize(
    "name", ["x.nwb", "x.csv", "x.json", "x.npy", "x.parquet", "x.swc", "x.obj", "x.nrrd", "x.mha", "x.nii.gz", "x.png", "x.zip"],
)  # fmt: skip
def test_damaged_files_of_every_kind_are_errors_of_ours(world, tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    try:
        np.asarray(oa.open(tmp_path / name))
    except OpenAllenError:
        return
    assert name in {"x.csv", "x.swc"}  # text of any kind may be a table of one column


DEEP = b"[" * 100_000
NPY = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (30000, 30000, 30000), }".ljust(117) + b"\n"
)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.json", DEEP), ("x.jsonl", DEEP), ("x.json", b'{"a":' * 100_000), ("x.npy", NPY + b"few"),
        ("x.zarr/zarr.json", DEEP), ("x.zarr/.zgroup", DEEP), ("cell/manifest.json", DEEP),
        ("1_adult_mouse_brain_graph.json", DEEP),
        ("recording/binary.json", DEEP), ("x_project_manifest_v1.0.0.json", DEEP),
    ],
)  # fmt: skip
def test_text_and_headers_that_ask_for_too_much_are_errors_of_ours(world, tmp_path, name, body):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "cell" / "planes").mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    place = path if path.parent == tmp_path else path.parent
    for verb in (oa.open, oa.show):
        with pytest.raises(OpenAllenError):
            verb(place)


def test_metadata_of_an_asset_nested_too_deeply_is_noted(tmp_path):
    (tmp_path / "data_description.json").write_bytes(DEEP)
    assert "data_description.json is not valid JSON" in str(oa.show(tmp_path))


# --- a folder that was moved ----------------------------------------------------------------------


def test_a_folder_that_was_fetched_moved_and_copied(switch, tmp_path, cli, monkeypatch):
    options = ("--downsample", "5", "--planes", ":3")
    assert cli("fetch", "stack:313862022", "--to", tmp_path / "cell", *options).code == 0
    shutil.copytree(tmp_path / "cell", tmp_path / "copy dir")
    shutil.move(tmp_path / "cell", tmp_path / "moved")
    switch.off()
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    for folder in ("copy dir", "moved"):
        said = cli("verify", tmp_path / folder)
        assert said.code == 0, said
        assert "10 intact" in said.out
        assert "3 of 50" in cli("show", tmp_path / folder).out
        again = cli("fetch", "stack:313862022", "--to", tmp_path / folder, *options)
        assert again.code == 0, again.err
        assert re.search(r"already here +10 files", again.out)
    plane = next((tmp_path / "moved" / "planes").glob("*.jpg"))
    plane.write_bytes(plane.read_bytes()[:-5] + b"wrong")
    next((tmp_path / "copy dir" / "morphology").glob("*.swc")).unlink()
    said = cli("verify", tmp_path / "moved")
    assert said.code == 7
    assert f"damaged: {plane}" in said.out
    said = cli("verify", tmp_path / "copy dir", "--json")
    assert said.code == 7
    assert json.loads(said.out)["missing"] == 1


def test_show_of_a_stack_that_is_here_at_another_size(world, cli):
    assert cli("fetch", "stack:313862022", "--downsample", "5", "--planes", ":2").code == 0
    said = cli("show", "stack:313862022")
    assert said.code == 0
    assert "here at downsample 5" in said.out
    assert cli("show", "stack:313862022", "--downsample", "3").code == 0


def test_repair_takes_the_options_and_the_source_of_the_manifest(world, cli, monkeypatch):
    store = Path(oa.Settings.load().store)
    assert cli("fetch", "stack:313862022", "--downsample", "5", "--planes", "::20").code == 0
    assert cli("fetch", "grid:69855739").code == 0
    plane = next((store / "stacks" / "313862022" / "planes").glob("*.jpg"))
    grid = next((store / "grids" / "69855739").glob("*.zip"))
    before = {p: p.read_bytes() for p in (plane, grid)}
    for path in before:
        path.write_bytes(b"rot")
    monkeypatch.setenv("OPENALLEN_SOURCE", "live")  # what is damaged came from elsewhere
    assert cli("store", "verify").code == 7
    said = cli("store", "repair")
    assert said.code == 0, said
    assert {p: p.read_bytes() for p in before} == before
    assert cli("store", "verify").code == 0


def test_git_finds_no_scheme_compared_outside_the_doors():
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("this is no checkout")
    done = subprocess.run(
        ["git", "grep", "-nE", r"scheme (==|!=|in |not in)", "--", "src"],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if not line.partition(":")[0].endswith(("address.py", "registry.py", "source.py"))]  # fmt: skip
    assert lines == []
