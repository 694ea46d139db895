"""Codecs are allowed by name before one is made; numbers of texts are checked before memory is."""

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

import openallen as oa
from openallen.errors import CorruptError
from openallen.formats.objects import FolderObjects
from openallen.formats.omezarr.reader import OmeZarr
from openallen.formats.zarrs import Hierarchy


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def version_2(folder, told, chunk):
    place = folder / "x.zarr" / "a"
    place.mkdir(parents=True)
    (folder / "x.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    usual = {
        "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "order": "C",
        "fill_value": None, "filters": None, "compressor": None,
    }  # fmt: skip
    (place / ".zarray").write_text(json.dumps(usual | told))
    (place / "0").write_bytes(chunk)
    return folder / "x.zarr"


def version_3(folder, codecs, chunk, kind="int64", fill=0):
    place = folder / "x.zarr"
    (place / "a" / "c").mkdir(parents=True)
    (place / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    told = {
        "zarr_format": 3, "node_type": "array", "shape": [1], "data_type": kind, "codecs": codecs,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}}, "attributes": {},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill, "storage_transformers": [],
    }  # fmt: skip
    (place / "a" / "zarr.json").write_text(json.dumps(told))
    (place / "a" / "c" / "0").write_bytes(chunk)
    return place


PICKLE, JSON2 = {"id": "pickle", "protocol": 5}, {"id": "json2"}
SHARD = {"chunk_shape": [1], "codecs": [{"name": "numcodecs.pickle"}], "index_codecs": ["bytes"]}
ROUTES_2 = {
    "compressor of objects": {"compressor": PICKLE},
    "compressor of numbers": {"dtype": "<i8", "compressor": PICKLE},
    "filter of numbers": {"dtype": "<i8", "filters": [PICKLE]},
    "filter after another": {"dtype": "<i8", "filters": [{"id": "zlib"}, PICKLE]},
    "compound of objects": {"dtype": [["a", "|O"]], "filters": [PICKLE]},
    "a wrapper": {"compressor": {"id": "n5_wrapper", "compressor_config": PICKLE}},
    "objects in a filter": {"filters": [{"id": "astype", "encode_dtype": "|O", "decode_dtype": "|O"}]},
    "a codec without a name": {"compressor": {}},
    "a name that is no text": {"compressor": {"id": ["pickle"]}},
    "filters that are no list": {"filters": {"id": "zlib"}},
    "an unknown one": {"filters": [{"id": "nobody-knows"}]},
    "the old msgpack": {"filters": [{"id": "msgpack"}]},
}  # fmt: skip
ROUTES_3 = {
    "by name": [{"name": "bytes"}, {"name": "numcodecs.pickle", "configuration": {}}],
    "as text": ["numcodecs.pickle"],
    "in a shard": [{"name": "sharding_indexed", "configuration": SHARD}],
    "an unknown one": [{"name": "nobody-knows"}],
    "without a name": [{"configuration": {}}],
    "no codec": [3],
}


@pytest.mark.parametrize("told", ROUTES_2.values(), ids=ROUTES_2)
def test_codecs_that_are_not_known_are_refused_in_version_2(told, tmp_path):
    place = version_2(tmp_path, told, pickle.dumps(Touch(tmp_path / "owned")))
    for read in (lambda: Hierarchy(FolderObjects(place)).array("a")[:], lambda: oa.open(place).array("a")[:]):  # fmt: skip
        with pytest.raises(CorruptError):
            read()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("codecs", ROUTES_3.values(), ids=ROUTES_3)
def test_codecs_that_are_not_known_are_refused_in_version_3(codecs, tmp_path):
    place = version_3(tmp_path, codecs, pickle.dumps(Touch(tmp_path / "owned")))
    with pytest.raises(CorruptError):
        Hierarchy(FolderObjects(place)).array("a")[:]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("version", [2, 3])
def test_no_codec_is_made_of_metadata_that_zarr_reads_itself(version, tmp_path):
    chunk = pickle.dumps(Touch(tmp_path / "owned"))
    if version == 2:
        place = version_2(tmp_path, {"compressor": PICKLE}, chunk)
    else:
        place = version_3(tmp_path, ROUTES_3["by name"], chunk)
    image = OmeZarr.__new__(OmeZarr)
    image._hierarchy = Hierarchy(FolderObjects(place))
    with pytest.raises(CorruptError, match="is not read"):
        image.group["a"]


def test_the_usual_codecs_are_read(tmp_path):
    group = zarr.open_group(str(tmp_path / "x.zarr"), mode="w", zarr_format=2)
    values = np.arange(100).reshape(10, 10)
    for name in ("blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma"):
        made = group.create_array(
            name, shape=(10, 10), chunks=(5, 5), dtype="<i4", compressors=numcodecs.get_codec({"id": name}),
            filters=[numcodecs.Delta("<i4"), numcodecs.Shuffle(4)],
        )  # fmt: skip
        made[:] = values
    found = Hierarchy(FolderObjects(tmp_path / "x.zarr"))
    for name in ("blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma"):
        assert np.array_equal(found.array(name)[:], values)


# --- numbers of texts -----------------------------------------------------------------------------

HUGE = struct.pack("<II", 0xFFFFFFF0, 0)


def limited(script, *arguments, most=3 << 30):
    """Run a script in a process that may take three gigabytes, libraries included."""
    lead = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({most}, {most}))\n"
    return subprocess.run(
        [sys.executable, "-c", lead + script, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


READ = """
import resource, sys, openallen as oa
from openallen.errors import CorruptError
from openallen.formats.objects import FolderObjects
from openallen.formats.zarrs import Hierarchy
from openallen.formats.chunks import decoding
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with decoding('damaged', 'a'):
        print(Hierarchy(FolderObjects(__import__('pathlib').Path(sys.argv[1]))).array('a')[:])
except CorruptError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, 'MB')
"""


@pytest.mark.parametrize("codec", ["vlen-utf8", "vlen-bytes"])
@pytest.mark.parametrize(
    "chunk", [HUGE, HUGE + bytes(8), struct.pack("<I", 50_000_000), b"", b"\x01"]
)
@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_that_claims_billions_of_texts_takes_no_memory(version, chunk, codec, tmp_path):
    if version == 2:
        place = version_2(tmp_path, {"filters": [{"id": codec}]}, chunk)
    else:
        kind = "string" if codec == "vlen-utf8" else "variable_length_bytes"
        place = version_3(tmp_path, [{"name": codec}], chunk, kind, "")
    done = limited(READ, place)
    assert done.returncode == 0, done.stderr[-800:]
    first, *_, last = done.stdout.splitlines()
    assert "damaged" in first or "cannot be read" in first
    assert int(last.split()[0]) < 100


def test_texts_are_read_in_both_versions(tmp_path):
    texts = np.array(["a", "bc", "", "ü"], dtype=object)
    for version, name in ((2, "two"), (3, "three")):
        group = zarr.open_group(str(tmp_path / name), mode="w", zarr_format=version)
        group.create_array("a", shape=(4,), chunks=(2,), dtype=str)[:] = texts
        assert list(Hierarchy(FolderObjects(tmp_path / name)).array("a")[:]) == list(texts)
