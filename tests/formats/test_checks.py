"""Whether files of common formats are whole, told without their libraries."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import pytest

from openallen.errors import CorruptError, IntegrityError, TruncatedError
from openallen.formats.checks import Hdf5Check, JsonCheck, ZipCheck, end_of_hdf5


def written(path: Path, libver: str, block: int = 0) -> bytes:
    with h5py.File(path, "w", libver=libver, userblock_size=block) as file:
        file["x"] = list(range(1000))
    return path.read_bytes()


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_every_form_of_hdf5_tells_where_it_ends(tmp_path, libver):
    path = tmp_path / "x.nwb"
    body = written(path, libver)
    assert end_of_hdf5(body[:128]) == len(body)
    assert Hdf5Check()(path) == {}
    for size in (len(body) - 1, len(body) // 2, 200, 97, 96, 95, 40, 9, 8):
        path.write_bytes(body[:size])
        with pytest.raises(TruncatedError):
            Hdf5Check()(path)
    path.write_bytes(body + b"more")  # what comes behind is none of its business
    assert Hdf5Check()(path) == {}


@pytest.mark.parametrize("body", [b"", b"\x89HD", b"<html>", b"x" * 500])
def test_what_is_no_hdf5_is_told(tmp_path, body):
    path = tmp_path / "x.nwb"
    path.write_bytes(body)
    with pytest.raises(CorruptError, match="not an HDF5 file"):
        Hdf5Check()(path)


def test_superblocks_nobody_knows_are_let_through():
    head = b"\x89HDF\r\n\x1a\n"
    assert end_of_hdf5(head + b"\x09" + b"\0" * 119) is None
    assert end_of_hdf5(head + b"\0" * 120) is None  # addresses of no size
    assert end_of_hdf5(head + b"\x02\x08" + b"\xff" * 118) is None  # no address


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'"\xff"', b"NaN2"])
def test_what_is_no_json_is_told(tmp_path, body):
    path = tmp_path / "x.json"
    path.write_bytes(body)
    with pytest.raises(CorruptError, match="not JSON"):
        JsonCheck()(path)
    path.write_bytes(b'{"a": 1}')
    assert JsonCheck()(path) == {}


def test_a_zip_is_whole_when_its_directory_is_there(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a", "b" * 100)
    body = path.read_bytes()
    assert ZipCheck()(path) == {"members": 1}
    for size in (0, 4, 40, len(body) - 1):
        path.write_bytes(body[:size])
        with pytest.raises(IntegrityError):
            ZipCheck()(path)
