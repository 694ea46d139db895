"""Expression grids: MetaImage, zips, and a service that sends them, well and badly."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import file_handler

import openallen as oa
from openallen.errors import CorruptError, IntegrityError, NotFoundError, TruncatedError, UsageError
from openallen.formats.metaimage import parse_header, read_metaimage
from openallen.formats.zips import Zip
from openallen.sources.atlases import ExpressionGrid

# What is said of the adult grids: 67 x 41 x 58 voxels of 200 µm, float32, -1 where nothing is known.
SIZE = (67, 41, 58)


def header(sizes=SIZE, kind: str = "MET_FLOAT", file: str = "energy.raw", **more: str) -> bytes:
    keys = {
        "ObjectType": "Image",
        "NDims": str(len(sizes)),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": " ".join(["200"] * len(sizes)),
        "DimSize": " ".join(map(str, sizes)),
        "ElementType": kind,
    } | more
    lines = [f"{k} = {v}" for k, v in (keys | {"ElementDataFile": file}).items() if v]
    return ("\n".join(lines) + "\n").encode()


def volume(seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.random(SIZE[::-1]).astype("<f4") * 30
    values[random.random(values.shape) < 0.4] = -1
    return values


def packed(**members: bytes) -> bytes:
    """Zip members; two underscores stand for a folder, _mhd and _raw for those endings."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(
                name.replace("__", "/").replace("_mhd", ".mhd").replace("_raw", ".raw"), data
            )
    return out.getvalue()


def grid(*kinds: str) -> bytes:
    members = {"data_set.xml": b"<section-data-set/>"}
    for number, kind in enumerate(kinds or ("energy",)):
        members |= {
            f"{kind}.mhd": header(file=f"{kind}.raw"),
            f"{kind}.raw": volume(number).tobytes(),
        }
    return packed(**members)


# --- MetaImage ----------------------------------------------------------------------------------

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip


@given(
    st.sampled_from(sorted(TYPES)),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read(  # noqa: PLR0917 - one for each thing drawn
    kind, sizes, big, compressed, local, channels, seed
):
    dtype = (">" if big else "<") + TYPES[kind]
    shape = (*sizes[::-1], channels) if channels > 1 else tuple(sizes[::-1])
    values = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    raw = values.tobytes()
    data = zlib.compress(raw) if compressed else raw
    head = header(
        sizes,
        kind,
        "LOCAL" if local else "x.raw",
        BinaryDataByteOrderMSB=str(big),
        CompressedData=str(compressed),
        ElementNumberOfChannels=str(channels),
        TransformMatrix="",
    )
    told, found = read_metaimage(head + data if local else head, lambda name: data)
    assert found.shape == shape
    assert told.spacing == (200.0,) * len(sizes)
    assert found.dtype.isnative
    assert np.array_equal(found, values)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (header(kind="MET_STRING"), "unknown ElementType"),
        (header(file=""), "no ElementDataFile"),
        (header(DimSize="67 41"), "2 numbers, not 3"),
        (header(DimSize="67 41 0"), "no length"),
        (header(DimSize="a b c"), "not a list of numbers"),
        (header(NDims="9"), "one to four axes"),
        (header(DimSize="90000 90000 90000"), "too large"),
        (b"<html><body>sorry</body></html>", "not a MetaImage header"),
        (b"", "no NDims"),
        (header(ElementNumberOfChannels="x"), "not a list of numbers"),
        (header(ElementNumberOfChannels="0"), "unsupported volume"),
        (header(HeaderSize="-1"), "unsupported volume"),
    ],
)
def test_headers_that_make_no_sense(head, message):
    with pytest.raises(CorruptError, match=message):
        parse_header(head)


def test_data_that_do_not_fit_the_header():
    raw = volume().tobytes()
    with pytest.raises(TruncatedError, match="too few"):
        read_metaimage(header(), lambda name: raw[:-4])
    with pytest.raises(CorruptError, match="too many"):
        read_metaimage(header(), lambda name: raw + b"1234")
    with pytest.raises(CorruptError, match="data file is missing"):
        read_metaimage(header())
    bomb = zlib.compress(b"\0" * 50_000_000)
    with pytest.raises(CorruptError, match="too many"):
        read_metaimage(header(CompressedData="True"), lambda name: bomb)
    with pytest.raises(CorruptError, match="do not decompress"):
        read_metaimage(header(CompressedData="True"), lambda name: raw)


# --- zips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:evil", "..\\evil"])
def test_names_that_would_leave_their_folder(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(CorruptError, match="leave its folder"):
        Zip(out.getvalue())


def test_bombs_and_cut_zips():
    bomb = packed(bomb=b"\0" * 1000)
    at = bomb.rindex(b"PK\x01\x02")
    lease = bomb[: at + 24] + struct.pack("<I", 3_900_000_000) + bomb[at + 28 :]
    with pytest.raises(CorruptError, match="implausible size"):
        Zip(lease)
    whole = grid()
    with pytest.raises(TruncatedError, match="not a complete ZIP file"):
        Zip(whole[: len(whole) // 2])
    spoilt = bytearray(whole)
    spoilt[2000:2100] = b"\xff" * 100
    packed_zip = Zip(bytes(spoilt))
    with pytest.raises(CorruptError, match="damaged"):
        packed_zip.read("energy.raw")
    assert Zip(packed(a__energy_mhd=b"1")).find("energy.mhd") == "a/energy.mhd"
    with pytest.raises(NotFoundError, match="several"):
        Zip(packed(a__energy_mhd=b"1", b__energy_mhd=b"2")).find("energy.mhd")


# --- grids --------------------------------------------------------------------------------------


@pytest.fixture
def service(loopback):
    def start(body: bytes):
        return loopback({"/grid_data/download/69855739": file_handler(body, ranges=False)})

    return start


def test_a_grid_is_fetched_and_opened(service, tmp_path):
    server = service(grid("energy", "density"))
    found = oa.fetch("grid:69855739?include=energy,density", to=tmp_path / "g", source=server.url)
    assert isinstance(found, ExpressionGrid)
    assert any(r.target.endswith("?include=energy,density") for r in server.seen)
    assert found.data_set is None  # this service says nothing of it
    assert found.energy.attrs["data_set_id"] == 69855739
    assert found.kinds == ("density", "energy")
    energy = found.energy
    assert energy.dims == ("AP", "DV", "ML")
    assert energy.shape == SIZE
    assert energy.dtype == "float32"
    assert float(energy["AP"][0]) == 100.0
    assert float(energy["AP"][-1]) == 66.5 * 200
    raw = volume(0)
    assert int(energy.isnull().sum()) == int((raw == -1).sum())
    assert float(energy.mean()) == pytest.approx(float(raw[raw != -1].mean()), rel=1e-5)
    assert (
        float(energy.isel(ML=3, DV=2, AP=1)) == pytest.approx(float(raw[3, 2, 1]))
        or raw[3, 2, 1] == -1
    )
    assert "67 x 41 x 58 (AP x DV x ML)" in repr(found)
    again = oa.open(tmp_path / "g")
    assert again.density.equals(found.density)
    with pytest.raises(NotFoundError, match="has no intensity"):
        assert again.intensity is None


def test_by_the_command_line(service, tmp_path):
    server = service(grid())
    command = [sys.executable, "-m", "openallen", "fetch", "grid:69855739", "--source", server.url]
    done = subprocess.run(
        [*command, "--to", tmp_path / "g"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "g" / "grid_69855739_energy.zip").is_file()

    def asked() -> int:
        return sum("grid_data" in request.target for request in server.seen)

    before = asked()
    done = subprocess.run(
        [*command, "--to", tmp_path / "g"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert asked() == before


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>no such data set</body></html>",
        grid()[:5000],
        packed(notes=b"nothing here"),
        packed(energy_mhd=header(), energy_raw=volume().tobytes()[:-4]),
        packed(energy_mhd=header()),
    ],
    ids=["page", "cut", "no volume", "short raw", "no raw"],
)
def test_what_is_no_grid_never_gets_its_name(service, tmp_path, body, monkeypatch):
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    server = service(body)
    with pytest.raises(oa.OpenAllenError):
        oa.fetch("grid:69855739", to=tmp_path / "g", source=server.url)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_what_cannot_be_asked_for(tmp_path, service):
    with pytest.raises(UsageError, match="no such grid volume 'energie'"):
        oa.plan("grid:69855739?include=energie", to=tmp_path, source=service(grid()).url)
    with pytest.raises(NotFoundError, match="not in the store") as caught:
        oa.open("grid:69855739")
    assert "openallen fetch grid:69855739" in str(caught.value)
    (tmp_path / "x.zip").write_bytes(
        packed(energy_mhd=header((4, 4), TransformMatrix=""), energy_raw=b"\0" * 64)
    )
    with pytest.raises(IntegrityError, match="three axes"):
        assert oa.open(tmp_path / "x.zip").energy is None


def test_the_card_of_a_grid_has_a_picture_where_it_is_small(tmp_path, monkeypatch):
    path = tmp_path / "grid_69855739_energy.zip"
    path.write_bytes(grid())
    assert '<img src="data:image/png;base64,' in oa.open(path)._repr_html_()
    monkeypatch.setattr("openallen.sources.atlases.grids._QUICK_BYTES", 10)
    html = oa.open(path)._repr_html_()
    assert "<img" not in html
    assert "69855739" in html
    cut = tmp_path / "grid_1_energy.zip"
    cut.write_bytes(packed(energy_mhd=header(), energy_raw=volume().tobytes()[:-4]))
    monkeypatch.undo()
    assert "<img" not in oa.open(cut)._repr_html_()
