"""Tables of NWB as other programs leave them: values, not exceptions, and no column lost."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nwbfiles import Store, h5, put_series, put_table

import openallen as oa
from openallen.errors import CorruptError, MissingExtraError, NotFoundError, UsageError

TEXT = h5py.string_dtype()


def opened(tmp_path, fill):
    return oa.open(h5(tmp_path / "x.nwb", fill))


def units(tmp_path, columns, **more):
    return opened(tmp_path, lambda file: put_table(file, "units", columns, **more))


COLUMNS = {
    "depth": np.arange(3.0),
    "good": np.array([True, False, True]),
    "spike_times": np.arange(6.0),
    "spike_times_index": np.array([1, 3, 6], dtype="uint8"),
    "quality": np.array([b"a", b"b", b"c"]),
}
NAMES = ["depth", "good", "spike_times", "quality"]


def as_it_should_be(table: pd.DataFrame) -> None:
    assert set(table.columns) == set(NAMES)
    assert table["depth"].dtype == "float64"
    assert table["good"].dtype == "bool"
    assert table["quality"].tolist() == ["a", "b", "c"]
    assert [list(cell) for cell in table["spike_times"]] == [[0], [1, 2], [3, 4, 5]]
    assert table.index.tolist() == [0, 1, 2]


# --- what a table says of its columns -------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (np.array(NAMES, dtype=TEXT), ""),
        (np.array([n.ljust(20).encode() for n in NAMES]), "blanks"),
        (np.array([f" {n}\t" for n in NAMES], dtype=TEXT), "blanks"),
        (np.array(["depth", "good"], dtype=TEXT), "does not name: quality, spike_times"),
        ("depth", "does not name: good, quality, spike_times"),
        (np.array([], dtype="float64"), "does not name"),
        (np.array([1.0, 2.0]), "does not name"),
        (False, "does not name"),
        (np.array([*NAMES, "gone"], dtype=TEXT), "no column gone"),
        (np.array([*NAMES, *NAMES], dtype=TEXT), ""),
    ],
)
def test_no_column_is_lost_whatever_a_table_says(tmp_path, names, told, caplog):
    with caplog.at_level(logging.WARNING, "openallen"):
        table = units(tmp_path, COLUMNS, names=names).units
    as_it_should_be(table)
    notes = "; ".join(table.attrs.get("notes", []))
    assert told in notes
    assert bool(notes) == bool(told)
    assert notes in caplog.text


@given(data=st.data())
def test_names_with_anything_around_and_missing_lose_nothing(tmp_path_factory, data):
    kept = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
    around = st.text(" \t\n", max_size=3)
    said = [data.draw(around) + name + data.draw(around) for name in kept]
    said += data.draw(st.lists(st.sampled_from(["nothing", "", " "]), max_size=1))
    names = np.array(said, dtype=TEXT)
    as_it_should_be(units(tmp_path_factory.mktemp("t"), COLUMNS, names=names).units)


def test_a_table_without_rows_keeps_its_columns_and_types(tmp_path):
    empty = {"depth": np.zeros(0), "good": np.zeros(0, bool), "n": np.zeros(0, "int16")}
    table = units(tmp_path, empty, ids=np.zeros(0, "int64"), names=np.zeros(0)).units
    assert table.dtypes.astype(str).to_dict() == {"depth": "float64", "good": "bool", "n": "int16"}
    assert len(table) == 0
    assert "notes" not in table.attrs


def test_columns_that_are_not_named_can_be_asked_for(tmp_path):
    session = units(tmp_path, COLUMNS, names=np.array(["depth "], dtype=TEXT))
    assert list(session.table("units", columns=["spike_times"])) == ["spike_times"]
    with pytest.raises(UsageError, match="no column"):
        session.table("units", columns=["none"])


def test_a_column_that_ends_like_an_index_is_a_column(tmp_path):
    columns = {"image": np.arange(3), "image_index": np.array([7, 8, 9])}
    names = np.array(["image", "image_index"], dtype=TEXT)
    table = units(tmp_path, columns, names=names).units
    assert table["image_index"].tolist() == [7, 8, 9]
    assert table["image"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("container", ["HDF5", "Zarr"])
def test_both_containers_say_the_same(tmp_path, container):
    if container == "HDF5":
        session = units(tmp_path, COLUMNS, names=np.array(["depth ", "gone"], dtype=TEXT))
    else:
        store = Store(tmp_path / "x.nwb.zarr")
        store.group("units", colnames=["depth ", "gone"])
        for name, values in {**COLUMNS, "id": np.arange(3)}.items():
            store.array(f"units/{name}", values.astype(str) if name == "quality" else values)
        session = oa.open(store.folder)
    as_it_should_be(session.units)
    assert session.units.attrs["notes"] == [
        "there is no column gone, which the table names",
        "the table names its columns with blanks around them",
        "columns that the table does not name: good, quality, spike_times",
    ]


@pytest.mark.shared
def test_a_file_with_blanks_around_names(shared):
    table = oa.open(shared / "faults" / "padded.nwb").units
    assert table["quality"].notna().all()
    assert len(table.columns) == 9
    assert set(table["electrode_group"]) <= {
        "/general/extracellular_ephys/shank0", "/general/extracellular_ephys/shank1"
    }  # fmt: skip


# --- shapes and ids -------------------------------------------------------------------------------


def test_a_column_stored_as_a_row_is_a_column(tmp_path):
    columns = {"depth": np.arange(3.0), "lying": np.arange(3).reshape(1, 3)}
    table = units(tmp_path, columns, ids=np.arange(3).reshape(1, 3)).units
    assert table["lying"].tolist() == [0, 1, 2]
    assert table["lying"].dtype == "int64"
    assert "stored as rows, not columns: lying" in table.attrs["notes"]


def test_one_row_of_many_values_stays_one(tmp_path):
    columns = {"depth": np.arange(1.0), "wave": np.arange(3).reshape(1, 3)}
    table = units(tmp_path, columns).units
    assert table["wave"].iloc[0].tolist() == [0, 1, 2]
    assert "notes" not in table.attrs


@pytest.mark.parametrize(
    ("ids", "right"),
    [
        (np.array([], dtype="int64"), [0, 1, 2]),
        (np.array([0, 1]), [0, 1, 2]),
        (np.array([7, 9]), [7, 9, pd.NA]),
        (np.array([7, 8, 9]), [7, 8, 9]),
    ],
)
def test_fewer_ids_than_rows_lose_no_row_and_name_none_wrongly(tmp_path, ids, right):
    table = units(tmp_path, {"depth": np.arange(3.0)}, ids=ids).units
    assert table["depth"].tolist() == [0, 1, 2]
    assert [None if pd.isna(i) else i for i in table.index] == [
        None if pd.isna(i) else i for i in right
    ]
    assert ("ids for 3 rows" in str(table.attrs.get("notes"))) == (len(ids) < 3)


def test_more_ids_than_rows_and_columns_that_differ_are_damage(tmp_path):
    with pytest.raises(CorruptError, match="more ids"):
        units(tmp_path / "a", {"depth": np.arange(3.0)}, ids=np.arange(4)).units  # noqa: B018
    with pytest.raises(CorruptError, match="differ in length"):
        units(tmp_path / "b", {"a": np.arange(3.0), "b": np.arange(2)}).units  # noqa: B018


def test_units_without_enough_ids_are_an_error_in_a_neuropixels_session(tmp_path, files):
    place = tmp_path / "x.nwb"
    shutil.copy(files["ecephys"], place)
    place.chmod(0o644)
    with h5py.File(place, "r+") as file:
        ids = file["units/id"][()]
        del file["units/id"]
        file["units/id"] = ids[:-1]
    with oa.open(place) as session:
        with pytest.raises(CorruptError, match="differ in number"):
            session.spike_times  # noqa: B018
        with pytest.raises(CorruptError, match="differ in number"):
            session.spike_times_of([int(ids[0])])


@pytest.mark.parametrize(
    ("where", "change", "says"),
    [
        ("units/spike_times_index", lambda ends: ends + 60_000, "behind its end"),
        ("units/spike_times_index", lambda ends: ends[::-1], "behind its end"),
        ("units/id", lambda ids: np.full_like(ids, ids[0]), "share an id"),
    ],
)
def test_spikes_of_some_units_are_those_of_all_or_an_error(tmp_path, files, where, change, says):
    place = tmp_path / "x.nwb"
    shutil.copy(files["ecephys"], place)
    place.chmod(0o644)
    with h5py.File(place, "r+") as file:
        first = int(file["units/id"][0])
        file[where][...] = change(file[where][()])
    with oa.open(place) as session:
        with pytest.raises(CorruptError, match=says):
            session.spike_times_of([first])
        with pytest.raises(CorruptError, match=says):
            session.spike_times  # noqa: B018


def test_a_table_without_rows_may_have_ragged_columns(tmp_path):
    none = {
        "depth": np.zeros(0),
        "spike_times": np.zeros(0),
        "spike_times_index": np.zeros(0, "u1"),
    }
    table = units(tmp_path, none).units
    assert table.empty
    assert list(table.columns) == ["depth", "spike_times"]


def test_labels_of_numbers_that_are_not_whole_cost_one_column(tmp_path):
    def fill(file):
        group = put_table(file, "units", {"n": np.arange(3), "k": np.arange(3.0)})
        group["k"].attrs["neurodata_type"] = "EnumData"
        group.create_dataset("k_elements", data=np.array(["a", "b", "c"], dtype=TEXT))

    table = opened(tmp_path, fill).units
    assert table["n"].tolist() == [0, 1, 2]
    assert "k is left out: labels of what is no whole number" in str(table.attrs["notes"])


# --- what columns hold ----------------------------------------------------------------------------


def test_text_that_is_not_utf_8_is_text(tmp_path):
    def fill(file):
        words = np.array([b"caf\xe9", "grün".encode(), b"go"], dtype=object)
        group = put_table(file, "units", {"n": np.arange(3)})
        group.create_dataset("varying", data=words, dtype=h5py.string_dtype())
        group.create_dataset("fixed", data=words.astype("S8"))
        group.attrs.create("colnames", np.array([b"n", b"vary\xe9ing"], dtype=object), dtype=TEXT)
        file["general/institution"] = np.bytes_(b"Universit\xe9")
        put_series(file, "acquisition/notes", words.astype("S8"), np.arange(3.0))

    session = opened(tmp_path, fill)
    table = session.units
    assert table["varying"].tolist() == table["fixed"].tolist() == ["café", "grün", "go"]
    assert session.metadata["institution"] == "Université"
    assert session.series("notes").to_numpy().tolist() == ["café", "grün", "go"]
    table.to_csv(tmp_path / "t.csv")
    str(table.attrs["notes"]).encode()


def test_labels_of_enumerations_are_text(tmp_path):
    kinds = h5py.enum_dtype({"low": 0, "high": 5}, basetype="u1")

    def fill(file):
        group = put_table(file, "units", {"n": np.arange(3)})
        group.create_dataset("level", data=np.array([5, 0, 3], dtype="u1"), dtype=kinds)
        group.create_dataset("state", data=np.array([1, 0, 9], dtype="u1"))
        group["state"].attrs["neurodata_type"] = "EnumData"
        group.create_dataset("state_elements", data=["A", "B"])
        group.create_dataset("steps", data=np.array([0, 1, 1, 0], dtype="u1"))
        group["steps"].attrs["neurodata_type"] = "EnumData"
        group.create_dataset("steps_elements", data=["A", "B"])
        group.create_dataset("steps_index", data=np.array([1, 1, 4]))

    table = opened(tmp_path, fill).units
    assert table["level"].tolist() == ["high", "low", "3"]
    assert table["state"].tolist() == ["B", "A", None]
    assert [list(cell) for cell in table["steps"]] == [["A"], [], ["B", "B", "A"]]
    assert set(table) == {"n", "level", "state", "steps"}


REFERENCE = np.dtype(
    [("idx_start", "<i4"), ("count", "<i4"), ("timeseries", h5py.ref_dtype)]
)  # fmt: skip
ROWS = [(0, 10, "/acquisition/s"), (3, 2, "/acquisition/s"), (-1, -1, None)]


def with_references(file: h5py.File) -> None:
    put_series(file, "acquisition/s", np.arange(20), np.arange(20.0))
    group = put_table(file, "intervals/epochs", {"start_time": np.arange(3.0)})
    to = file["acquisition/s"].ref
    rows = np.array([(0, 10, to), (3, 2, to), (-1, -1, h5py.Reference())], dtype=REFERENCE)
    group.create_dataset("one", data=rows)
    group.create_dataset("timeseries", data=rows)
    group.create_dataset("timeseries_index", data=np.array([2, 2, 3], dtype="uint8"))
    group.create_dataset("target", data=np.array([to, to, h5py.Reference()]), dtype=h5py.ref_dtype)
    group.create_dataset("part", data=np.array([file["acquisition/s/data"].regionref[1:3]] * 3),
                         dtype=h5py.regionref_dtype)  # fmt: skip
    mixed = np.array([(1, b"x"), (2, b"y"), (3, b"z")], dtype=[("n", "i4"), ("word", "S3")])
    group.create_dataset("mixed", data=mixed)
    plain = np.array([(1, 2.0)] * 3, dtype=[("x", "u4"), ("weight", "f4")])
    group.create_dataset("plain", data=plain)
    group.attrs["electrode"] = to


def test_references_are_paths_and_parts_of_series(tmp_path):
    session = opened(tmp_path, with_references)
    table = session.table("epochs")
    assert table["one"].tolist() == ROWS
    assert (table["one"][1].idx_start, table["one"][1].count, table["one"][1].path) == ROWS[1]
    assert [list(cell) for cell in table["timeseries"]] == [ROWS[:2], [], ROWS[2:]]
    assert table["target"].tolist() == ["/acquisition/s", "/acquisition/s", None]
    assert table["part"].tolist() == ["/acquisition/s/data"] * 3
    assert table["mixed"].tolist() == [(1, "x"), (2, "y"), (3, "z")]
    assert float(table["plain"][0]["weight"]) == 2.0
    assert session.tree.attrs("intervals/epochs")["electrode"] == "/acquisition/s"
    assert pickle.loads(pickle.dumps(table))["one"].tolist() == ROWS
    table.to_csv(tmp_path / "t.csv")


def test_references_of_hdmf_zarr_are_the_same(tmp_path):
    store = Store(tmp_path / "x.nwb.zarr")
    store.series("acquisition/s", np.arange(20), np.arange(20.0))
    store.group("intervals/epochs", colnames=["start_time", "timeseries", "one"])
    store.array("intervals/epochs/start_time", np.arange(3.0))
    store.array("intervals/epochs/id", np.arange(3))
    store.array("intervals/epochs/timeseries_index", np.array([2, 2, 3]))
    rows = [(a, n, {"source": ".", "path": p} if p else None) for a, n, p in ROWS]
    cells = np.empty(3, dtype=object)
    cells[:] = rows
    for name in ("timeseries", "one"):
        place = store.folder / "intervals" / "epochs" / name
        place.mkdir()
        told = {
            "zarr_format": 2, "shape": [3], "chunks": [3], "order": "C", "fill_value": None,
            "dtype": [["idx_start", "<i4"], ["count", "<i4"], ["timeseries", "|O"]],
            "compressor": None, "filters": [{"id": "pickle", "protocol": 4}],
        }  # fmt: skip
        (place / ".zarray").write_text(json.dumps(told))
        (place / "0").write_bytes(pickle.dumps(cells, protocol=4))
    table = oa.open(store.folder).table("epochs")
    assert table["one"].tolist() == ROWS
    assert table["one"][0].path == "/acquisition/s"
    assert [list(cell) for cell in table["timeseries"]] == [ROWS[:2], [], ROWS[2:]]


@pytest.mark.shared
def test_references_of_real_files(shared):
    with oa.open(shared / "faults" / "icephys.nwb") as session:
        found = session.table("responses")["response"].tolist()
        assert all(row.path.startswith("/acquisition/resp") and row.count > 0 for row in found)
    with oa.open(shared / "public/nwb/LantyerEtAl2018_170328_AB_277_ST50_C.nwb") as session:
        rows = session.table("sweep_table")["series"]
        assert [list(row) for row in rows][:1] == [["/acquisition/VoltageClampSeries_01"]]


# --- one column that cannot be read ---------------------------------------------------------------


def test_a_filter_that_is_not_installed_is_named_and_costs_its_column_only(tmp_path):
    def fill(file):
        group = put_table(file, "units", {"depth": np.arange(3.0)})
        space = h5py.h5s.create_simple((3,))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((3,))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())  # zstd
        made = h5py.h5d.create(group.id, b"packed", h5py.h5t.IEEE_F64LE, space, plist)
        made.write_direct_chunk((0,), b"\x28\xb5\x2f\xfd" + b"\0" * 20)

    session = opened(tmp_path, fill)
    pytest.importorskip("h5py")
    if h5py.h5z.filter_avail(32015):
        pytest.skip("this filter is installed")
    table = session.units
    assert list(table) == ["depth"]
    assert "hdf5plugin" in table.attrs["notes"][-1]
    with pytest.raises(MissingExtraError, match="hdf5plugin") as caught:
        session.table("units", columns=["packed"])
    assert caught.value.hint == "pip install hdf5plugin"


def test_a_type_that_numpy_does_not_have_costs_its_column_only(tmp_path):
    def fill(file):
        group = put_table(file, "units", {"depth": np.arange(3.0)})
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(group.id, b"when", h5py.h5t.UNIX_D64LE, space)

    session = opened(tmp_path, fill)
    assert session.units["depth"].tolist() == [0, 1, 2]
    assert "when is left out" in session.units.attrs["notes"][-1]
    with pytest.raises(CorruptError, match="type that cannot be read"):
        session.table("units", columns=["when"])


def test_a_column_linked_to_a_file_that_is_not_here_costs_itself_only(tmp_path):
    def fill(file):
        group = put_table(file, "units", {"depth": np.arange(3.0)})
        group["away"] = h5py.ExternalLink("raw.nwb", "/units/away")
        group.attrs["colnames"] = np.array(["depth", "away"], dtype=TEXT)

    session = opened(tmp_path, fill)
    assert list(session.units) == ["depth"]
    assert "raw.nwb" in session.units.attrs["notes"][-1]
    with pytest.raises(NotFoundError, match=r"raw\.nwb"):
        session.table("units", columns=["away"])


# --- locks ----------------------------------------------------------------------------------------

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "rb+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_a_file_that_another_program_has_locked_is_read(tmp_path):
    path = h5(tmp_path / "x.nwb", lambda file: put_table(file, "units", COLUMNS))
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OSError, match="lock"):
            h5py.File(path, "r")
        as_it_should_be(oa.open(path).units)
        holder.communicate(b"")


# --- damaged files --------------------------------------------------------------------------------


@settings(max_examples=60, derandomize=True)  # other damage can end HDF5 itself
@given(changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_names_and_types_are_our_errors(tmp_path_factory, changes):
    """Bytes around the names of a type and of a link: most of what HDF5 and numpy raise."""
    path = h5(tmp_path_factory.mktemp("d") / "x.nwb", with_references)
    body = bytearray(path.read_bytes())
    places = [at + n for word in (b"idx_start", b"timeseries", b"weight")
              for at in [body.find(word)] if at >= 0 for n in range(-8, 16)]  # fmt: skip
    for at, value in changes:
        body[places[at % len(places)]] = value
    path.write_bytes(bytes(body))
    try:
        with oa.open(path) as session:
            for name in session.table_names:
                session.table(name)
    except oa.OpenAllenError:
        pass
    with h5py.File(path, "a"):  # nobody holds it: a failed opening closed what it opened
        pass
