"""NRRD, with SimpleITK and pynrrd as second readers; MetaImage with SimpleITK too."""

from __future__ import annotations

import bz2
import gzip

import nrrd
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.errors import CorruptError, IntegrityError, TruncatedError
from openallen.formats import metaimage
from openallen.formats.inflate import inflate
from openallen.formats.metaimage import read_metaimage
from openallen.formats.nrrd import NrrdCheck, beside, parse_header, read_nrrd

KINDS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]  # fmt: skip


def head(**more: str) -> bytes:
    keys = {
        "type": "unsigned int",
        "dimension": "3",
        "space dimension": "3",
        "sizes": "4 3 2",
        "space directions": "(25,0,0) (0,25,0) (0,0,25)",
        "endian": "little",
        "encoding": "raw",
    } | more
    text = "".join(f"{key.replace('_', ' ')}: {value}\n" for key, value in keys.items() if value)
    return b"NRRD0004\n# made for a test\n" + text.encode() + b"\n"


VALUES = np.arange(24, dtype="<u4").reshape((4, 3, 2), order="F")
RAW = VALUES.tobytes(order="F")


def test_the_first_axis_varies_fastest():
    header, found = read_nrrd(head() + RAW)
    assert header.shape == found.shape == (4, 3, 2)
    assert header.spacing == (25.0, 25.0, 25.0)
    assert found[1, 0, 0] == 1
    assert found[0, 1, 0] == 4
    assert np.array_equal(found, VALUES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # by pynrrd, while it writes
def test_what_pynrrd_writes_we_read_as_simpleitk_does(tmp_path, kind, encoding):
    path = tmp_path / "x.nrrd"
    values = np.random.default_rng(3).integers(0, 100, (5, 4, 3)).astype(kind)
    nrrd.write(str(path), values, {"encoding": encoding, "spacings": [10.0, 20.0, 30.0]})
    header, found = read_nrrd(path.read_bytes())
    assert found.dtype == kind
    assert header.spacing == (10.0, 20.0, 30.0)
    assert np.array_equal(found, values)
    assert NrrdCheck()(path)["shape"] == [5, 4, 3]
    if encoding != "bzip2":  # SimpleITK is built without it
        theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        assert np.array_equal(theirs.T, found)


@settings(max_examples=40)
@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from(["raw", "gzip", "bzip2"]),
    st.booleans(),
)
def test_any_type_shape_encoding_and_byte_order(kind, sizes, encoding, big):
    values = (
        np.random.default_rng(1)
        .integers(0, 100, sizes)
        .astype((">" if big else "<") + np.dtype(kind).str[1:])
    )
    raw = values.tobytes(order="F")
    packed = {"raw": raw, "gzip": gzip.compress(raw), "bzip2": bz2.compress(raw)}[encoding]
    names = {"float32": "float", "float64": "double"}
    told = head(
        type=names.get(kind, kind),
        dimension=str(len(sizes)),
        sizes=" ".join(map(str, sizes)),
        endian="big" if big else "little",
        encoding=encoding,
        **{"space directions": "", "space dimension": ""},
    )
    _, found = read_nrrd(told + packed)
    assert found.dtype.isnative
    assert np.array_equal(found, values)


def test_data_beside_the_header_and_nowhere_else(tmp_path):
    (tmp_path / "x.raw").write_bytes(RAW)
    (tmp_path / "secret").write_bytes(RAW)
    (tmp_path / "in").mkdir()
    _, found = read_nrrd(head(**{"data file": "x.raw"}), beside(tmp_path))
    assert np.array_equal(found, VALUES)
    for name in ("../secret", "/etc/passwd", str(tmp_path / "secret"), "LIST", "x%03d.raw 0 9 1"):
        with pytest.raises(CorruptError):
            read_nrrd(head(**{"data file": name}), beside(tmp_path / "in"))
    with pytest.raises(CorruptError, match="is missing"):
        read_nrrd(head(**{"data file": "x.raw"}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>sorry</html>", "not an NRRD"),
        (b"", "not an NRRD"),
        (b"NRRD0004\nnonsense\n\n", "invalid NRRD header|no dimension"),
        (head(type="block"), "unsupported volume"),
        (head(encoding="hex"), "unsupported volume"),
        (head(sizes="4 3"), "invalid NRRD header|invalid sizes"),
        (head(sizes="4 3 -2"), "invalid sizes"),
        (head(sizes="4 3 x"), "invalid NRRD header"),
        (head(sizes="90000 90000 90000"), "too large"),
        (head(endian=""), "no endian"),
        (head(**{"byte skip": "4"}), "unsupported volume"),
    ],
)
def test_headers_that_make_no_sense(data, message):
    with pytest.raises(CorruptError, match=message):
        parse_header(data)


def test_data_that_do_not_fit():
    with pytest.raises(TruncatedError):
        read_nrrd(head() + RAW[:-4])
    with pytest.raises(CorruptError):
        read_nrrd(head() + RAW + b"1234")
    packed = gzip.compress(RAW)
    with pytest.raises(TruncatedError, match="truncated data"):
        read_nrrd(head(encoding="gzip") + packed[:-6])
    with pytest.raises(CorruptError, match="too many"):
        read_nrrd(head(encoding="gzip") + gzip.compress(b"\0" * 50_000_000))
    spoilt = bytearray(packed)
    spoilt[-6] ^= 1  # the check sum
    with pytest.raises(CorruptError, match="do not decompress"):
        read_nrrd(head(encoding="gzip") + bytes(spoilt))
    # members may follow each other, as gzip's own tool reads them
    _, found = read_nrrd(head(encoding="gzip") + gzip.compress(RAW[:40]) + gzip.compress(RAW[40:]))
    assert np.array_equal(found, VALUES)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>no</html>",
        head() + RAW[:-1],
        head() + RAW + b"1",
        head(encoding="gzip") + gzip.compress(RAW)[:-3],
        head(encoding="gzip") + gzip.compress(RAW[:-1]),
        head(sizes=""),
    ],
)
def test_the_check_needs_no_library_and_lets_nothing_damaged_pass(tmp_path, data):
    path = tmp_path / "x.nrrd"
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        NrrdCheck()(path)


@given(st.binary(max_size=5000), st.integers(0, 6000))
def test_inflating_gives_exactly_that_size_or_says_why(data, size):
    packed = gzip.compress(data)
    if size == len(data):
        assert bytes(inflate(packed, size)) == data
    else:
        with pytest.raises(IntegrityError):
            inflate(packed, size)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in {"int64", "uint64"}])
@pytest.mark.parametrize("ending", [".mhd", ".mha"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dims", [2, 3, 4])
def test_metaimages_simpleitk_writes(tmp_path, kind, ending, compressed, dims):
    values = np.random.default_rng(4).integers(0, 100, (2, 5, 4, 3)[-dims:]).astype(kind)
    image = SimpleITK.GetImageFromArray(values, isVector=False)
    image.SetSpacing((200.0, 100.0, 50.0, 25.0)[:dims])
    path = tmp_path / f"x{ending}"
    SimpleITK.WriteImage(image, str(path), compressed)
    header, found = read_metaimage(path.read_bytes(), lambda name: (tmp_path / name).read_bytes())
    assert np.array_equal(found, values)
    assert header.spacing == (200.0, 100.0, 50.0, 25.0)[:dims][::-1]


def test_colours_come_last(tmp_path):
    values = np.random.default_rng(5).integers(0, 255, (3, 4, 5, 3), dtype="uint8")
    path = tmp_path / "x.mha"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values, isVector=True), str(path))
    _, found = read_metaimage(path.read_bytes())
    assert np.array_equal(found, values)


def mha(**more: str) -> bytes:
    told = {"NDims": "3", "DimSize": "2 2 2", "ElementType": "MET_SHORT", **more}
    lines = [f"{key} = {value}" for key, value in told.items()]
    return "\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode()


@pytest.mark.parametrize("steps", ["nan 1 1", "0 1 1", "1 inf 1", "1e400 1 1"])
@pytest.mark.parametrize("key", ["ElementSpacing", "ElementSize"])
def test_voxels_of_metaimage_have_a_size(key, steps):
    with pytest.raises(CorruptError, match="voxels of no size"):
        metaimage.parse_header(mha(**{key: steps}))


def test_metaimage_written_as_text_is_not_taken_for_numbers():
    text = b"1 2 3 4 5 6 7 8 "  # as many bytes as the eight values have
    with pytest.raises(CorruptError, match="values written as text"):
        read_metaimage(mha(BinaryData="False") + text)


@pytest.mark.parametrize(
    "more",
    [
        {"spacings": "25 25"},
        {"spacings": "0 25 25"},
        {"spacings": "inf 25 25"},
        {"space directions": "(25,0,0) (0,25,0)", "space": "left-posterior-superior"},
        {"space directions": "(25,0,0) (0,0,0) (0,0,25)", "space": "left-posterior-superior"},
    ],
)
def test_voxels_of_nrrd_have_a_size(more):
    with pytest.raises(CorruptError, match=r"voxels of no size|invalid NRRD"):
        parse_header(head(**({"space directions": "", "space dimension": ""} | more)))


def test_a_step_backwards_is_as_long_as_one_forwards():
    plain = {"space directions": "", "space dimension": ""}
    assert parse_header(head(**plain, spacings="-25 10 nan")).spacing == (25, 10, 1)
