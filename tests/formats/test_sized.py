"""Chunks that are damaged: an error that names the array, never other values, never a crash."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.errors import CorruptError, IntegrityError
from openallen.formats import wavpack
from openallen.formats.chunks import decoding
from openallen.formats.objects import FolderObjects
from openallen.formats.sized import compare, decoded
from openallen.formats.wavpack_encode import encode
from openallen.formats.zarrs import Hierarchy

VALUES = (np.arange(4096, dtype="<i4") // 3).reshape(64, 64)
COMPRESSORS = {
    "blosc": numcodecs.Blosc(cname="lz4", shuffle=1),
    "blosc-zstd": numcodecs.Blosc(cname="zstd", shuffle=2),
    "zstd": numcodecs.Zstd(3),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(3),
    "zlib": numcodecs.Zlib(3),
    "bz2": numcodecs.BZ2(3),
    "lzma": numcodecs.LZMA(preset=1),
    "lzma-raw": numcodecs.LZMA(format=3, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1}]),
}
CODECS = {
    "blosc": zarr.codecs.BloscCodec(cname="lz4", shuffle="shuffle"),
    "zstd": zarr.codecs.ZstdCodec(level=3),
    "gzip": zarr.codecs.GzipCodec(level=3),
}


def made(folder: Path, name: str, *, version: int, shards: bool = False) -> Path:
    """Write an array of one chunk, or of one shard with four; return the file of it."""
    zarr.create_group(str(folder), zarr_format=version)
    array = zarr.create_array(
        str(folder),
        name="a",
        shape=VALUES.shape,
        chunks=(32, 32) if shards else VALUES.shape,
        shards=VALUES.shape if shards else None,
        dtype="<i4",
        compressors=COMPRESSORS[name] if version == 2 else CODECS[name],
        zarr_format=version,
    )
    array[:] = VALUES
    return folder / "a" / ("0.0" if version == 2 else "c/0/0")


def read(folder: Path) -> np.ndarray:
    array = Hierarchy(FolderObjects(folder)).array("a")
    with decoding("a chunk is damaged", "a"):
        return np.asarray(array[...])


KINDS = [(n, 2, False) for n in COMPRESSORS] + [(n, 3, s) for n in CODECS for s in (False, True)]


@pytest.mark.parametrize(("name", "version", "shards"), KINDS)
def test_whole_chunks_read_as_they_were_written(tmp_path, name, version, shards):
    made(tmp_path, name, version=version, shards=shards)
    assert np.array_equal(read(tmp_path), VALUES)


@pytest.mark.parametrize(("name", "version", "shards"), KINDS)
def test_a_chunk_cut_anywhere_is_an_error(tmp_path, name, version, shards):
    chunk = made(tmp_path, name, version=version, shards=shards)
    whole = chunk.read_bytes()
    for keep in range(0, len(whole), max(1, len(whole) // 25)):
        chunk.write_bytes(whole[:keep])
        with pytest.raises(IntegrityError):
            read(tmp_path)


@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_another_array_of_the_same_codec_is_an_error(tmp_path, name):
    chunk = made(tmp_path, name, version=2)
    for count in (0, 1, 4095, 4097, 100_000):
        chunk.write_bytes(COMPRESSORS[name].encode(np.ones(count, "<i4").tobytes()))
        with pytest.raises(IntegrityError, match="damaged"):
            read(tmp_path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_blosc_chunk_of_24_bytes_that_claims_16384(tmp_path, version):
    """numcodecs returns memory of the process for such a chunk."""
    chunk = made(tmp_path, "blosc", version=version)
    head = bytearray(chunk.read_bytes()[:24])
    chunk.write_bytes(head)
    with pytest.raises(CorruptError, match="24 bytes, which claim"):
        read(tmp_path)
    head[2] |= 2  # "stored as it is"
    head[12:16] = struct.pack("<I", 24)
    chunk.write_bytes(head)
    with pytest.raises(CorruptError, match="contradict"):
        read(tmp_path)


def test_the_chunk_that_ends_the_interpreter_is_an_error(tmp_path):
    chunk = made(tmp_path, "blosc", version=2)
    body = bytes.fromhex(
        "0201910400400000004000004a3432393439363732393665393939000000140020003200000028b52ffd"
    )
    chunk.write_bytes(body)
    code = (
        "import sys; from pathlib import Path; from openallen.errors import CorruptError\n"
        "from openallen.formats.objects import FolderObjects\n"
        "from openallen.formats.zarrs import Hierarchy\n"
        "try: Hierarchy(FolderObjects(Path(sys.argv[1]))).array('a')[...]\n"
        "except CorruptError: print('named')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "named"), done.stderr


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("zlib", zlib.compress), ("bz2", bz2.compress), ("lzma", lzma.compress)])  # fmt: skip
def test_all_members_are_read(tmp_path, name, pack):
    chunk = made(tmp_path, name, version=2)
    raw = VALUES.tobytes()
    chunk.write_bytes(pack(raw[:1000]) + pack(raw[1000:]))
    assert np.array_equal(read(tmp_path), VALUES)


@settings(max_examples=150)
@given(
    kind=st.sampled_from(KINDS),
    edits=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_bytes_changed_anywhere_give_an_error_of_ours_or_an_array(tmp_path_factory, kind, edits):
    """Formats without check sums cannot tell each change; whatever is told must be ours."""
    folder = tmp_path_factory.mktemp("a")
    chunk = made(folder, kind[0], version=kind[1], shards=kind[2])
    body = bytearray(chunk.read_bytes())
    for at, value in edits:
        body[at % min(len(body), 64 if at % 2 else len(body))] = value
    chunk.write_bytes(body)
    with contextlib.suppress(IntegrityError):
        assert read(folder).shape == VALUES.shape


def test_filters_that_change_the_type_are_counted(tmp_path):
    values = np.arange(100, dtype="<i8")
    group = zarr.create_group(str(tmp_path), zarr_format=2)
    array = group.create_array(
        "a", shape=(100,), chunks=(100,), dtype="<i8", compressors=numcodecs.Blosc(),
        filters=[numcodecs.Delta(dtype="<i8", astype="<i2")],
    )  # fmt: skip
    array[:] = values
    assert np.array_equal(read(tmp_path), values)
    assert json.loads((tmp_path / "a/.zarray").read_text())["filters"][0]["astype"] == "<i2"
    (tmp_path / "a/0").write_bytes(numcodecs.Blosc().encode(np.ones(100, "<i8")))
    with pytest.raises(CorruptError, match="claims 800 bytes, not 200"):
        read(tmp_path)


STREAM = b"wvpk" + struct.pack("<IHBBIIIII", 24, 0x410, 0, 0, 10**6, 0, 0, 1, 0)
"""One block without samples, of a stream that claims a million."""


def flac(samples, *, channels=1, bits=16, more=b""):
    packed = 48_000 << 44 | channels - 1 << 41 | bits - 1 << 36 | samples
    info = bytes(10) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC" + bytes([0 if more else 128]) + (34).to_bytes(3, "big") + info + more


def test_flac_is_read_only_where_it_tells_the_size_of_its_chunk():
    compare("flac", flac(64, channels=2), 256, "a")
    compare("flac", flac(64, bits=24), 256, "a")
    padded = flac(64, channels=2, more=b"\x81\0\0\2\0\0")
    compare("flac", padded + bytes(100), 256, "a")
    twice = flac(64, channels=2, more=b"\x80" + flac((1 << 36) - 1)[5:])
    for body in (flac((1 << 36) - 1), flac(0), twice, flac(64)[:30], b"", b"ID3" + flac(128)):
        with pytest.raises(CorruptError, match="damaged chunk"):
            compare("flac", body, 256, "a")
    with pytest.raises(CorruptError, match="claims"):
        compare("flac", flac(1 << 35), None, "a")


@pytest.mark.skipif(not wavpack.available(), reason="no libwavpack")
@pytest.mark.parametrize("dtype", ["i1", "<i2", "<i4"])
@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_blocks_of_wavpack_count_what_they_hold(dtype, channels):
    values = (np.arange(300 * channels) % 101 - 50).reshape(300, channels).astype(dtype)
    body = encode(values)
    assert wavpack.wavpack_bytes(body) == values.nbytes
    assert np.array_equal(wavpack.decode(body), values)
    compare("wavpack", body, values.nbytes, "a")
    more = bytearray(body)
    more[12:16] = struct.pack("<I", 10**6)  # samples in all, which memory is taken for
    with pytest.raises(IntegrityError):
        wavpack.decode(bytes(more))
    for wrong in (body + body, body[:-1] + b"wvpk", body + b"x", STREAM):
        with pytest.raises(CorruptError):
            compare("wavpack", wrong, values.nbytes, "a")


def untold(blocks: int) -> bytes:
    """Write a frame of zstd that does not say what it comes to: 128 KiB in every four bytes."""
    one = (1 << 1 | 1 << 20).to_bytes(3, "little") + b"a"
    last = (1 | 1 << 1 | 1 << 20).to_bytes(3, "little") + b"a"
    return b"\x28\xb5\x2f\xfd\x00\x38" + one * (blocks - 1) + last


def test_zstd_that_tells_no_size_is_bounded_by_its_blocks():
    assert len(decoded("zstd", untold(4), 4 << 17, "a")) == 4 << 17
    assert len(decoded("zstd", untold(4), None, "a", most_bytes=4 << 17)) == 4 << 17
    skipped = b"\x50\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"
    assert len(decoded("zstd", untold(2) + skipped + untold(1), None, "a")) == 3 << 17
    small = numcodecs.Zstd().encode(b"x" * 100)
    for body, size in (
        (untold(8), 4 << 17), (untold(2), 4 << 17), (untold(9000), None),
        (small + untold(9000), None), (small + untold(9000), 100), (untold(9)[:-2], None),
    ):  # fmt: skip
        with pytest.raises(CorruptError):
            decoded("zstd", body, size, "a")


def test_lzma_takes_no_more_memory_than_it_may(tmp_path):
    big = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    with pytest.raises(CorruptError):
        decoded("lzma", b"x", 4, "a", options={"format": 3, "filters": big})
    body = bytearray(lzma.compress(b"abcd", format=lzma.FORMAT_ALONE))
    assert bytes(decoded("lzma", body, 4, "a", options={"format": 2})) == b"abcd"
    body[1:5] = struct.pack("<I", 1 << 31)
    with pytest.raises(CorruptError):
        decoded("lzma", body, 4, "a", options={"format": 2})
