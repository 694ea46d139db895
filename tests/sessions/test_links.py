"""Links inside files and between them: followed beside, refused outside, named where dead."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import file_handler
from nwbfiles import Store, h5, put_series, put_table

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, OpenAllenError, RefusedError
from openallen.formats.nwb import open_h5, open_zarr
from openallen.formats.objects import FolderObjects

OWN, OTHER = np.arange(5.0), np.arange(5.0) + 100
TIMES = np.arange(5.0)


def raw(path: Path) -> Path:
    return h5(path, lambda file: put_series(file, "acquisition/raw", OTHER, TIMES))


def with_links(path: Path, **links) -> Path:
    def fill(file):
        put_series(file, "acquisition/own", OWN, TIMES)
        put_table(file, "units", {"depth": np.arange(3.0)})
        for name, link in links.items():
            file[f"acquisition/{name}"] = link

    return h5(path, fill)


def zarr_links(path: Path, *links: tuple[str, str, str]) -> Store:
    """Write a store with links: their names, where they lead, in which store."""
    store = Store(path)
    store.series("acquisition/own", OWN, TIMES)
    store.group("units", colnames=["depth"])
    store.array("units/depth", np.arange(3.0))
    store.array("units/id", np.arange(3))
    for name, to, source in links:
        store.link("acquisition", name, to, source)
    return store


def opens_all_the_same(session) -> None:
    assert session.series("own").to_numpy().tolist() == OWN.tolist()
    assert session.units["depth"].tolist() == [0, 1, 2]


# --- dead links -----------------------------------------------------------------------------------

DEAD = {
    "soft": (h5py.SoftLink("/acquisition/gone"), "/acquisition/gone"),
    "itself": (h5py.SoftLink("/acquisition/itself"), "itself"),
    "away": (h5py.ExternalLink("raw.nwb", "/acquisition/raw"), "raw.nwb"),
    "inner": (h5py.ExternalLink("there.nwb", "/acquisition/gone"), "/acquisition/gone"),
}


@pytest.mark.parametrize("name", sorted(DEAD))
def test_a_dead_link_in_hdf5_is_named_where_it_is_touched(tmp_path, name, loopback):
    raw(tmp_path / "there.nwb")
    link, told = DEAD[name]
    path = with_links(tmp_path / "x.nwb", **{name: link})
    server = loopback({"/x.nwb": file_handler(path.read_bytes())})
    for place in (path, f"{server.url}/x.nwb"):
        with oa.open(place) as session:
            opens_all_the_same(session)
            assert set(session.series_names) == {"own"}
            for asked in (name, f"acquisition/{name}"):
                with pytest.raises(OpenAllenError) as caught:
                    session.series(asked)
                if name != "inner" or place is path:
                    assert told in str(caught.value)
            assert f"acquisition/{name}" in repr(session)
            assert isinstance(session.tree.broken("acquisition")[name], OpenAllenError)


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize(
    ("link", "told"),
    [
        (("dead", "/acquisition/raw", "../raw.nwb.zarr"), "raw.nwb.zarr"),
        (("dead", "/acquisition/own", "../raw.nwb.zarr"), "raw.nwb.zarr"),
        (("dead", "/acquisition/own", "/tmp/made/there/raw.nwb.zarr"), "raw.nwb.zarr"),
        (("dead", "/acquisition/own", "s3://bucket/raw.nwb.zarr"), "raw.nwb.zarr"),
        (("dead", "/acquisition/dead", "."), "acquisition/dead"),
        (("dead", "/acquisition/gone", "."), "/acquisition/gone"),
        (("dead", "/acquisition/gone", "../there.nwb.zarr"), "/acquisition/gone"),
    ],
)
def test_a_dead_link_in_zarr_is_named_where_it_is_touched(tmp_path, link, told, copied):
    zarr_links(tmp_path / "there.nwb.zarr")
    store = zarr_links(tmp_path / "x.nwb.zarr", link)
    if copied:
        store.copied()
    session = oa.open(store.folder)
    opens_all_the_same(session)
    assert set(session.series_names) == {"own"}
    with pytest.raises(OpenAllenError) as caught:
        session.series("dead")
    assert told in str(caught.value)
    assert "acquisition/dead" in repr(session)


def test_what_a_link_leads_to_may_lack_parts(tmp_path):
    links = {"dead": h5py.SoftLink("/acquisition/gone"), "good": h5py.SoftLink("own")}
    tree = open_h5(with_links(tmp_path / "x.nwb", **links), "x")
    assert tree.has("acquisition/dead/data")  # so that reading it names the link
    assert not tree.has("acquisition/good/none")
    assert not tree.has("acquisition/own/none")
    with pytest.raises(NotFoundError, match="no acquisition/good/none"):
        tree.array("acquisition/good/none")
    tree.close()


# --- links that are followed ----------------------------------------------------------------------


def test_links_inside_a_file_and_to_one_beside_give_what_they_lead_to(tmp_path):
    raw(tmp_path / "raw.nwb")
    raw(tmp_path / "below" / "deep.nwb")
    path = with_links(
        tmp_path / "x.nwb",
        soft=h5py.SoftLink("/acquisition/own"),
        near=h5py.SoftLink("own"),
        away=h5py.ExternalLink("raw.nwb", "/acquisition/raw"),
        chain=h5py.SoftLink("away"),
        below=h5py.ExternalLink("below/deep.nwb", "acquisition/raw"),
        moved=h5py.ExternalLink("/home/somebody/else/raw.nwb", "/acquisition/raw"),
    )
    right = {"soft": OWN, "near": OWN}
    with oa.open(path) as session:
        for name in ("soft", "near", "away", "chain", "below", "moved"):
            found = session.series(f"acquisition/{name}")
            assert found.to_numpy().tolist() == right.get(name, OTHER).tolist(), name
            assert session.series(f"acquisition/{name}", 1, 3).sizes["time"] == 2
        assert session.tree.broken("acquisition") == {}


@pytest.mark.parametrize("source", ["../raw.nwb.zarr", "raw.nwb.zarr", "/old/raw.nwb.zarr"])
def test_a_link_to_another_store_gives_the_data_of_that(tmp_path, source):
    other = Store(tmp_path / "raw.nwb.zarr")
    other.series("acquisition/own", OTHER, TIMES)
    store = zarr_links(tmp_path / "x.nwb.zarr", ("theirs", "/acquisition/own", source))
    session = oa.open(store.folder)
    assert session.series("own").to_numpy().tolist() == OWN.tolist()
    assert session.series("theirs").to_numpy().tolist() == OTHER.tolist()
    assert session.tree.names("acquisition/theirs") == ["data", "timestamps"]
    assert session.tree.attrs("acquisition/theirs/data")["unit"] == "V"


@pytest.mark.parametrize("source", [".", "", "../x.nwb.zarr", "/where/it/was/x.nwb.zarr"])
def test_a_link_to_its_own_store_by_any_name(tmp_path, source):
    store = zarr_links(tmp_path / "x.nwb.zarr", ("mine", "/acquisition/own", source))
    assert oa.open(store.folder).series("mine").to_numpy().tolist() == OWN.tolist()


def test_references_to_another_store_name_it(tmp_path):
    store = zarr_links(tmp_path / "x.nwb.zarr")
    told = {"zarr_dtype": "object", "value": {"source": "../raw.nwb.zarr", "path": "/a"}}
    store.group("units", target=told)
    assert oa.open(store.folder).tree.attrs("units")["target"] == "../raw.nwb.zarr/a"


class Far:
    """What a bucket offers, without a folder that can be looked at."""

    def __init__(self, folder: FolderObjects) -> None:
        self.folder_of = folder
        self.name = folder.name

    def __getattr__(self, name: str):
        return getattr(self.folder_of, name)

    def within(self, path: str):
        return Far(self.folder_of.within(path))


def test_far_stores_follow_links_in_their_own_folder(tmp_path):
    """Objects of a bucket are those of a folder here: what is around them is given."""
    zarr_links(tmp_path / "x.nwb.zarr", ("theirs", "/acquisition/own", "../raw.nwb.zarr"),
               ("dead", "/acquisition/own", "../none.nwb.zarr"))  # fmt: skip
    Store(tmp_path / "raw.nwb.zarr").series("acquisition/own", OTHER, TIMES)

    around = Far(FolderObjects(tmp_path))
    tree = open_zarr(around.within("x.nwb.zarr"), "x", around=around)
    assert tree.array("acquisition/theirs/data").tolist() == OTHER.tolist()
    with pytest.raises(NotFoundError, match=r"none\.nwb\.zarr"):
        tree.array("acquisition/dead/data")
    alone = open_zarr(around.within("x.nwb.zarr"), "x")
    with pytest.raises(NotFoundError, match=r"raw\.nwb\.zarr"):
        alone.array("acquisition/theirs/data")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("../../raw/deep/raw.nwb.zarr", OTHER),
        ("../raw/deep/raw.nwb.zarr", OTHER),  # from the folder the store lies in
        ("/where/it/was/beside.nwb.zarr", TIMES),
        ("../beside.nwb.zarr", TIMES),
        ("../../nwb/x.nwb.zarr", OWN),
        ("../../../asset/raw/deep/raw.nwb.zarr", None),
        ("../../../other/raw.nwb.zarr", None),
        ("/where/it/was/raw.nwb.zarr", None),
        ("s3://bucket/asset/raw/deep/raw.nwb.zarr", None),
        ("../..", None),
        ("../../raw", None),
    ],
)
def test_far_stores_follow_links_anywhere_in_their_asset_and_no_further(tmp_path, source, found):
    asset = tmp_path / "asset"
    zarr_links(asset / "nwb" / "x.nwb.zarr", ("theirs", "/acquisition/own", source))
    Store(asset / "raw" / "deep" / "raw.nwb.zarr").series("acquisition/own", OTHER, TIMES)
    Store(asset / "nwb" / "beside.nwb.zarr").series("acquisition/own", TIMES, TIMES)
    Store(tmp_path / "other" / "raw.nwb.zarr").series("acquisition/own", OTHER, TIMES)
    around = Far(FolderObjects(asset))
    at = "nwb/x.nwb.zarr"
    tree = open_zarr(around.within(at), "x", around=around, at=at)
    assert tree.array("acquisition/own/data").tolist() == OWN.tolist()
    if found is None:
        with pytest.raises(NotFoundError, match="acquisition/theirs"):
            tree.array("acquisition/theirs/data")
    else:
        assert tree.array("acquisition/theirs/data").tolist() == found.tolist()


def test_a_link_to_the_root_is_not_walked_again(tmp_path):
    path = with_links(tmp_path / "x.nwb", up=h5py.SoftLink("/"))
    with oa.open(path) as session:
        assert session.table_names == ("units",)
        assert session.series_names == ("own",)


# --- what is refused ------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path) -> Path:
    """A file in another folder that nobody may read through a link."""
    return raw(tmp_path / "private" / "secret.nwb")


def links_out(path: Path, secret: Path) -> Path:
    def fill(file):
        put_series(file, "acquisition/own", OWN, TIMES)
        put_table(file, "units", {"depth": np.arange(3.0)})
        for name, to in (("plain", str(secret)), ("up", "../private/secret.nwb")):
            file[f"acquisition/{name}"] = h5py.ExternalLink(to, "/acquisition/raw")
        whole = file.create_group("acquisition/bytes")
        text = [(str(secret.with_suffix(".txt")).encode(), 0, 40)]
        whole.create_dataset("data", (5,), "f8", external=text)
        whole.create_dataset("timestamps", data=TIMES)
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "acquisition/raw/data", (5,))
        virtual = file.create_group("acquisition/virtual")
        virtual.create_virtual_dataset("data", layout)
        virtual.create_dataset("timestamps", data=TIMES)

    return h5(path, fill)


@pytest.mark.parametrize("name", ["plain", "up", "bytes", "virtual"])
@pytest.mark.parametrize("where", ["here", "far"])
def test_no_file_of_another_folder_is_read(tmp_path, secret, loopback, name, where):
    secret.with_suffix(".txt").write_bytes(OTHER.tobytes())
    path = links_out(tmp_path / "open" / "x.nwb", secret)
    if where == "far":
        server = loopback({"/x.nwb": file_handler(path.read_bytes())})
    with oa.open(path if where == "here" else f"{server.url}/x.nwb") as session:
        opens_all_the_same(session)
        for ask in (
            lambda: session.series(name),
            lambda: session.tree.array(f"acquisition/{name}/data"),
            lambda: session.tree.part(f"acquisition/{name}/data", slice(0, 2)),
            lambda: session.tree.lazy(f"acquisition/{name}/data"),
        ):
            with pytest.raises((RefusedError, NotFoundError)) as caught:
                ask()
            assert "secret" in str(caught.value)


def test_a_symbolic_link_beside_leads_nowhere_outside(tmp_path, secret):
    path = with_links(
        tmp_path / "open" / "x.nwb", away=h5py.ExternalLink("raw.nwb", "/acquisition/raw")
    )
    (path.parent / "raw.nwb").symlink_to(secret)
    with oa.open(path) as session, pytest.raises(NotFoundError, match=r"raw\.nwb"):
        session.series("away")


def test_a_store_linked_outside_is_refused(tmp_path):
    Store(tmp_path / "private" / "raw.nwb.zarr").series("acquisition/own", OTHER, TIMES)
    out = str(tmp_path / "private" / "raw.nwb.zarr")
    links = [("plain", "/acquisition/own", out),
             ("up", "/acquisition/own", "../../private/raw.nwb.zarr")]  # fmt: skip
    store = zarr_links(tmp_path / "open" / "x.nwb.zarr", *links)
    session = oa.open(store.folder)
    opens_all_the_same(session)
    for name, _, _ in links:
        with pytest.raises(RefusedError, match=r"raw\.nwb\.zarr"):
            session.series(name)


def test_virtual_arrays_of_the_file_itself_are_read(tmp_path):
    def fill(file):
        put_series(file, "acquisition/own", OWN, TIMES)
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(".", "acquisition/own/data", (5,))
        file.create_group("acquisition/view").create_virtual_dataset("data", layout)
        file["acquisition/view/timestamps"] = TIMES

    with oa.open(h5(tmp_path / "x.nwb", fill)) as session:
        assert session.series("view").to_numpy().tolist() == OWN.tolist()


# --- any links at all -----------------------------------------------------------------------------

PLACES = ["a", "b", "a/b", "b/a", "own", "gone", "a/own", "/", "b/a/b"]


@settings(max_examples=60)
@given(data=st.data())
def test_any_web_of_links_ends_and_gives_what_hdf5_gives(data):
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file["own"] = OWN
        for group in ("a", "b"):
            file.create_group(group)
        for group in ("a", "b"):
            for name in ("a", "b", "own"):
                kind = data.draw(st.sampled_from(["none", "soft", "hard"]))
                to = data.draw(st.sampled_from(PLACES))
                slash = data.draw(st.sampled_from(["", "/"]))
                if kind == "soft":
                    file[group][name] = h5py.SoftLink(f"{slash}{to.strip('/') or '/'}")
                elif kind == "hard":
                    file[group][name] = file[data.draw(st.sampled_from(["a", "b", "own"]))]
    with h5py.File(held, "r") as file:
        tree = open_h5(held, "x")
        for path in data.draw(st.lists(st.sampled_from(PLACES), min_size=1)):
            try:
                right = file.get(path)
            except (KeyError, RuntimeError, OSError):  # too many links
                right = None
            if right is None:
                with pytest.raises((NotFoundError, CorruptError)):
                    tree.attrs(path)
            elif isinstance(right, h5py.Dataset):
                assert tree.array(path).tolist() == OWN.tolist()
            else:
                assert tree.names(path) == sorted(right)
                tree.groups(path)
                tree.broken(path)


@pytest.mark.shared
def test_a_file_linked_to_one_that_is_not_there(shared, tmp_path):
    path = shutil.copy(shared / "faults" / "extbroken.nwb", tmp_path / "x.nwb")
    with oa.open(path) as session:
        assert session.series_names
        dead = session.tree.broken("acquisition")
        assert dead
        for name in dead:
            with pytest.raises(NotFoundError):
                session.series(name)
