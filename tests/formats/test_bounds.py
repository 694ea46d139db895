"""Sizes that come from outside are looked at before memory is taken: in processes that have little."""

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import openallen as oa
from openallen.errors import CorruptError, IntegrityError
from openallen.formats.inflate import inflate
from openallen.formats.jpeg import JpegCheck, decode, inspect
from openallen.formats.marker import read_markers
from openallen.json_text import load_json

READ = """
import resource, sys
import numpy, PIL.Image, simplejpeg
import openallen as oa
from openallen.errors import OpenAllenError
limit = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (300 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from pathlib import Path
from openallen.formats.jpeg import decode
try:
    path = Path(sys.argv[1])
    found = decode(path.read_bytes()) if path.suffix == '.jpeg' else oa.open(path)
    print('read', type(found))
except OpenAllenError as error:
    print(type(error).__name__, error)
"""


def read(path):
    """Read a file in a process that may take 300 MB for it."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout


def jpeg(width=64, height=48, *, told=None):
    """A picture whose header says that it is another size."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file, "JPEG")
    body = bytearray(file.getvalue())
    if told:
        at = body.index(b"\xff\xc0")
        body[at + 5 : at + 9] = struct.pack(">HH", *told)
    return bytes(body)


def png(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.jpeg", jpeg(told=(65500, 65500))),
        ("x.jpg", jpeg(told=(65500, 65500))),
        ("x.png", png(60000, 60000)),
        ("x.png", png(2**31 - 1, 2**31 - 1)),
        ("x.json", b"[" * 3000 + b"]" * 3000),
        ("x.json", b"[" * 800 + b"]" * 800),
        ("x.json", b"[" + b"9" * 5000 + b"]"),
    ],
)  # fmt: skip
def test_a_few_bytes_that_ask_for_gigabytes_are_refused(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    assert "CorruptError" in read(tmp_path / name)


def volume(form, body):
    """A volume whose header claims 14 GB."""
    if form == "mha":
        told = (
            "NDims = 3\nDimSize = 1900 1900 1900\nElementType = MET_SHORT\nCompressedData = True\n"
        )
        return f"{told}ElementDataFile = LOCAL\n".encode() + body
    told = "NRRD0004\ntype: short\ndimension: 3\nsizes: 1900 1900 1900\nencoding: gzip\nendian: little\n\n"
    return told.encode() + body


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("form", ["mha", "nrrd"])
def test_a_volume_that_claims_more_than_there_is_takes_no_memory(tmp_path, form):
    place = tmp_path / f"x.{form}"
    place.write_bytes(volume(form, gzip.compress(b"x" * 100)))
    assert "packed bytes cannot come to 13,718,000,000" in read(place)
    place.write_bytes(volume(form, zlib.compress(bytes(14 << 20)) * 1000))
    assert "more than the memory holds" in read(place)


def test_data_packed_as_tightly_as_deflate_can_are_read():
    body = bytes(64 << 20)
    for packed in (zlib.compress(body, 9), gzip.compress(body, 9)):
        assert len(inflate(packed, len(body))) == len(body)


def test_a_header_larger_than_the_coded_picture_can_be_is_damage(tmp_path):
    assert inspect(jpeg()).width_px == 64
    for told in ((65500, 65500), (3000, 3000)):
        with pytest.raises(CorruptError, match="too small for its picture"):
            decode(jpeg(told=told))
        (tmp_path / "x.jpg").write_bytes(jpeg(told=told))
        with pytest.raises(CorruptError):
            JpegCheck()(tmp_path / "x.jpg")


@pytest.mark.parametrize("size", [(8, 8), (1000, 700), (4000, 4000)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"quality": 1}])
def test_the_emptiest_pictures_there_are_pass(size, options):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JPEG", **options)
    assert inspect(file.getvalue()).width_px == size[0]


def test_a_picture_is_handed_to_no_other_program(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name in ("gs", "gswin32c"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    body = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    (tmp_path / "x.png").write_bytes(body)
    with pytest.raises(IntegrityError):
        oa.open(tmp_path / "x.png")
    assert not (tmp_path / "ran").exists()


def test_json_as_deep_as_documents_are_is_read():
    deep = json.loads("[" * 150 + "1" + "]" * 150)
    assert load_json(json.dumps(deep)) == deep
    wide = [[[n]] for n in range(1000)]
    assert load_json(json.dumps(wide).encode()) == wide
    for text in ("[" * 201 + "]" * 201, '{"a":' * 300 + "1" + "}" * 300, "[" * 100_000):
        with pytest.raises(json.JSONDecodeError):
            load_json(text)
        with pytest.raises(ValueError):
            load_json(text.encode())


def test_markers_without_end_are_damage():
    with pytest.raises(CorruptError, match="line 1"):
        read_markers("1,2,3,0,0,inf,a")


def test_gzip_is_no_longer_than_it_says():
    from openallen.formats.inflate import inflate

    with pytest.raises(CorruptError):
        inflate(gzip.compress(bytes(50_000_000)), 1000)


ARRAY = """
import resource, sys
import numpy, zarr
from pathlib import Path
from openallen.errors import OpenAllenError
from openallen.formats.chunks import decoding
from openallen.formats.objects import FolderObjects
from openallen.formats.zarrs import Hierarchy
limit = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (400 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        with decoding('read', path):
            print('read', Hierarchy(FolderObjects(Path(path))).array('a')[...].shape)
    except OpenAllenError as error:
        print(type(error).__name__, error)
"""
ZEROS = bytes(1 << 20)
BOMBS = {
    "gzip": gzip.compress(ZEROS) * 900,
    "zlib": zlib.compress(ZEROS) * 900,
    "bz2": bz2.compress(ZEROS) * 900,
    "lzma": lzma.compress(ZEROS) * 900,
    "zstd": b"\x28\xb5\x2f\xfd\x00\x38" + b"\x02\x00\x10a" * 7200 + b"\x03\x00\x10a",
    "lz4": struct.pack("<I", 900 << 20) + bytes(9000),
}
"""Chunks of some kilobytes that come to 900 MB."""
TEXTS = [{"id": "vlen-utf8"}]


def zarr_array(folder, body, **told):
    (folder / "a").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    usual = {
        "zarr_format": 2, "shape": [1000], "chunks": [1000], "dtype": "<i4", "order": "C",
        "fill_value": None, "compressor": None, "filters": None,
    }  # fmt: skip
    (folder / "a" / ".zarray").write_text(json.dumps(usual | told))
    (folder / "a" / "0").write_bytes(body)
    return folder


def read_arrays(*folders):
    done = subprocess.run(
        [sys.executable, "-c", ARRAY, *map(str, folders)],
        capture_output=True, text=True, check=False, timeout=120,
        # each thread would reserve addresses of its own, which count against the limit
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout.splitlines()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_of_zarr_comes_to_no_more_than_its_array_can_hold(tmp_path, name):
    codec, body = {"id": name}, BOMBS[name]
    folders = [
        zarr_array(tmp_path / "compressor", body, compressor=codec),
        zarr_array(tmp_path / "filter", body, filters=[codec]),
        zarr_array(tmp_path / "texts", body, compressor=codec, filters=TEXTS, dtype="|O"),
        zarr_array(tmp_path / "both", body, filters=[*TEXTS, codec], dtype="|O"),
    ]
    told = read_arrays(*folders)
    assert len(told) == 4
    assert all(line.startswith("CorruptError") and "damaged" in line for line in told), told


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("shape", [10**8, 10**13])
def test_an_array_that_claims_more_than_there_is_memory_for_is_an_error_of_ours(tmp_path, shape):
    told = read_arrays(
        zarr_array(tmp_path / "numbers", b"1234", shape=[shape], chunks=[shape]),
        zarr_array(tmp_path / "texts", b"1234", shape=[shape], dtype="|O", filters=TEXTS),
    )
    assert len(told) == 2
    assert all(line.startswith("CorruptError") for line in told), told
