"""What mutated input showed, by name: sizes that are claimed, halves of characters, contradictions."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from nwbfiles import h5

import openallen as oa
from openallen.errors import AddressError, CorruptError, UsageError
from openallen.formats.npy import check_texts, read_npy, read_npz
from openallen.formats.swc import read_swc
from openallen.formats.zips import Zip
from openallen.json_text import load_json
from openallen.sources.recordings.recording import Recording
from openallen.sources.releases.models import Version
from openallen.store import Leases


def test_an_array_that_claims_more_than_the_file_holds_is_refused_before_memory_is_taken(tmp_path):
    def fill(file: h5py.File) -> None:
        made = file.create_dataset("acquisition/a", (1 << 33,), "f8", chunks=(1 << 10,))
        made[:3] = [1.0, 2.0, 3.0]
        small = file.create_dataset("acquisition/b", (1 << 20,), "f8", chunks=(1 << 10,))
        small[:2] = [4.0, 5.0]

    with oa.open(h5(tmp_path / "x.nwb", fill)) as session:
        with pytest.raises(CorruptError, match="claims more than the file holds"):
            session.tree.array("acquisition/a")
        with pytest.raises(CorruptError, match="claims more than the file holds"):
            session.tree.part("acquisition/a", slice(0, 1 << 32))
        assert session.tree.part("acquisition/a", slice(0, 4)).tolist() == [1.0, 2.0, 3.0, 0.0]
        assert session.tree.array("acquisition/b")[:3].tolist() == [4.0, 5.0, 0.0]


def test_a_packed_array_of_one_value_is_read_whole(tmp_path):
    def fill(file: h5py.File) -> None:
        zeros = np.zeros((30_000, 1_000), "u4")  # a mask: gzip makes a thousandth of it
        file.create_dataset("acquisition/a", data=zeros, chunks=(3_000, 1_000), compression="gzip")

    with oa.open(h5(tmp_path / "x.nwb", fill)) as session:
        assert session.tree.array("acquisition/a").shape == (30_000, 1_000)


def npy(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


@pytest.mark.parametrize("letter", [0x110000, 0xFFFFFFFF, 0xD800, 0xDFFF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_text_of_characters_that_do_not_exist_is_refused(letter, order):
    codes = np.array([[65, letter], [66, 67]], f"{order}u4")
    texts = codes.view(f"{order}U2")
    with pytest.raises(CorruptError):
        read_npy(npy(texts), "x")
    with pytest.raises(CorruptError):
        check_texts(np.rec.fromarrays([texts.reshape(-1)], names="a"), "x")
    whole = np.array(["aé", "\U0010ffff", ""], f"{order}U2")
    assert read_npy(npy(whole), "x").tolist() == whole.tolist()


def test_an_array_is_no_larger_than_its_file():
    body = npy(np.arange(6.0).reshape(2, 3))
    assert read_npy(body, "x").tolist() == [[0, 1, 2], [3, 4, 5]]
    for shape in (b"(9, 9)", b"(-2, 3", b"(2, 3,"):
        with pytest.raises(CorruptError):
            read_npy(body.replace(b"(2, 3)", shape), "x")
    with pytest.raises(CorruptError):
        read_npy(npy(np.array([{}], object)), "x")
    out = io.BytesIO()
    np.savez(out, a=np.arange(3), b=np.array(["x"]))
    found = read_npz(out.getvalue(), "x")
    assert {name: values.tolist() for name, values in found.items()} == {"a": [0, 1, 2], "b": ["x"]}


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"\udfff": 1}', r'["a\uD83D b"]', '"\ud800"'])
def test_json_with_half_a_character_is_no_json(text):
    with pytest.raises(ValueError, match="half a character"):
        load_json(text)
    with pytest.raises(ValueError, match="half a character"):
        load_json(text.encode("utf-8", "surrogatepass"))


def test_json_with_whole_characters_is_read():
    for told in ("\U0001f600", "é", "a\\ud800"):
        for ascii_only in (True, False):
            text = json.dumps([told], ensure_ascii=ascii_only)
            assert load_json(text) == load_json(text.encode()) == [told]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"sampling_frequency_hz": 0.0}, "sampling frequency of 0.0 Hz"),
        ({"sampling_frequency_hz": float("nan")}, "sampling frequency of nan Hz"),
        ({"channel_ids": ("a", "b")}, "2 ids for 3 channels"),
        ({"segments": (np.zeros(4),)}, "not samples x channels"),
        ({"locations_um": np.zeros((3, 1))}, "locations of shape"),
    ],
)
def test_a_recording_that_contradicts_itself_is_refused(given, why):
    usual = {
        "place": "x", "form": "zarr", "segments": (np.zeros((4, 3)),), "annotations": {},
        "sampling_frequency_hz": 30_000.0, "channel_ids": ("a", "b", "c"),
    }  # fmt: skip
    assert Recording(**usual).durations_s == (4 / 30_000,)
    with pytest.raises(CorruptError, match=why):
        Recording(**usual | given)


@pytest.mark.parametrize("text", [None, 5, ["1.0"], "9" * 5000, "1.٣", "", "x"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(AddressError):
        Version(text)


@pytest.mark.parametrize("pid", [10**30, -1, 0, True, 2.5, [1], None])
@pytest.mark.parametrize("started", [[], {}, 5, "", None])
def test_a_lease_of_a_process_that_cannot_be_is_left_to_age(tmp_path, pid, started):
    target, leases = tmp_path / "a.nwb", Leases()
    lease = leases.take(target)
    told = json.loads(lease.path.read_bytes()) | {"pid": pid, "started": started}
    lease.path.unlink()
    lease.path.write_text(json.dumps(told))
    other = Leases()
    assert other.take(target) is None
    leases.close()
    other.close()


@pytest.mark.parametrize("name", ["9" * 5000, "9" * 20])
def test_an_id_of_thousands_of_digits_is_no_id(name):
    with pytest.raises(AddressError):
        oa.show(f"file:{name}")


@pytest.mark.parametrize("text", ["a=\udcff", "a__in=1,\ud800"])
def test_a_filter_with_half_a_character_is_none(text):
    with pytest.raises(AddressError):
        oa.list("stack:", text, source="sample")


@pytest.mark.parametrize("text", ["release:\udcff", "http://h/\udcff.nwb", "asset:a/\ud800"])
def test_an_address_with_half_a_character_is_none(text):
    with pytest.raises(AddressError):
        oa.open(text)


def zipped(method: int, body: bytes) -> bytearray:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as packed:
        packed.writestr(zipfile.ZipInfo("a.raw"), body, method)
    return bytearray(out.getvalue())


@contextmanager
def at_most(most_bytes: int):
    """Less memory than that is taken at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
def test_members_of_a_zip_are_read_whatever_their_method(method):
    for body in (b"", b"x", np.random.default_rng(1).bytes(70_000) + bytes(70_000)):
        assert Zip(bytes(zipped(method, body))).read("a.raw") == body


@pytest.mark.parametrize("dictionary_bytes", [1, 1 << 20, 0xFFFFFFFF])
def test_a_zip_member_takes_no_larger_dictionary_than_it_comes_to(dictionary_bytes):
    body = zipped(zipfile.ZIP_LZMA, b"text" * 100)
    at = 30 + len("a.raw") + 5  # behind the local header: two sizes, and the properties
    assert body[at - 5 : at] == b"\x09\x04\x05\x00\x5d"
    body[at : at + 4] = dictionary_bytes.to_bytes(4, "little")
    with at_most(1 << 20):
        assert Zip(bytes(body)).read("a.raw") == b"text" * 100


def test_a_zip_member_that_needs_a_huge_dictionary_is_refused_before_memory_is_taken():
    size = (300 << 20).to_bytes(4, "little")
    body = zipped(zipfile.ZIP_LZMA, np.random.default_rng(1).bytes(400_000))
    body = body.replace((400_000).to_bytes(4, "little"), size)  # in both places
    at = 30 + len("a.raw") + 5
    body[at : at + 4] = b"\xff" * 4
    with at_most(8 << 20), pytest.raises(CorruptError, match="LZMA dictionary of 4,294,967,295"):
        Zip(bytes(body)).read("a.raw")


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_zip_member_that_comes_to_more_than_it_claims_takes_no_memory_for_it(method):
    body = zipped(method, bytes(230_000_000))
    told = (230_000_000).to_bytes(4, "little")
    assert body.count(told) == 2
    lying = bytes(body.replace(told, (100_000).to_bytes(4, "little")))
    with at_most(16 << 20), pytest.raises(CorruptError, match="damaged"):
        Zip(lying).read("a.raw")


@pytest.mark.parametrize("method", METHODS)
def test_a_zip_member_with_a_wrong_byte_is_refused(method):
    body = zipped(method, b"text of a member" * 100)
    crc = zlib.crc32(b"text of a member" * 100).to_bytes(4, "little")
    with pytest.raises(CorruptError, match="damaged"):
        Zip(bytes(body.replace(crc, b"\0" * 4))).read("a.raw")


@pytest.mark.parametrize("far", ["1e200", "-1.7e308", "1.1e9"])
def test_a_point_farther_out_than_any_neuron_is_refused(tmp_path, far):
    path = tmp_path / "x.swc"
    path.write_text(f"1 1 0 0 0 1 -1\n2 3 5 0 0 1 1\n3 3 0 {far} 0 1 2\n")
    with pytest.raises(CorruptError, match="beyond 1e"):
        read_swc(path)
    cell = read_swc(path, strict=False)
    assert (len(cell), cell.sholl(4.0)) == (2, {4.0: 1, 8.0: 0})


def test_a_step_that_makes_too_many_spheres_or_points_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "x.swc"
    path.write_text("1 1 0 0 0 1 -1\n2 3 0 0 5 1 1\n3 3 0 9e8 0 1 2\n")
    cell = read_swc(path)
    with at_most(1 << 20):
        for step_um in (10.0, 1e-300):
            with pytest.raises(UsageError, match="too many spheres"):
                cell.sholl(step_um)
            with pytest.raises(UsageError, match="too many points"):
                cell.resampled(step_um)
    assert len(cell.sholl(1e8)) == 10
    assert len(cell.resampled(1e8)) == 11
