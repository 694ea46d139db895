"""A stack to OME-Zarr: pixels, pyramid, scales, projections, gaps, and what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tensorstore
import yaozarrs
from hypothesis import given, settings
from hypothesis import strategies as st

import openallen as oa
from openallen.errors import CorruptError, IntegrityError, NotFoundError, RefusedError, UsageError
from openallen.formats.focus import focus_measure
from openallen.formats.omezarr import Geometry, OmeZarr, write_stack
from openallen.formats.omezarr.pyramid import halve
from openallen.formats.omezarr.shards import Shard, checksum
from openallen.formats.omezarr.writer import fitting_threads
from openallen.formats.parallel import Helpers, ordered_map
from openallen.planes.convert import ConvertOptions


def jpegs(count: int, height: int, width: int, channels: int) -> list[bytes]:
    y, x = np.mgrid[:height, :width]
    made = []
    for z in range(count):
        waves = 150 + 50 * np.sin((x + 9 * z) / 11) + 40 * np.cos(y / 7)
        gray = waves.clip(0, 255).astype(np.uint8)
        if channels == 1:
            made.append(
                simplejpeg.encode_jpeg(gray[..., None], colorspace="GRAY", colorsubsampling="Gray")
            )
        else:
            pixels = np.stack([gray, gray // 2, 255 - gray], axis=-1)
            made.append(simplejpeg.encode_jpeg(pixels, colorspace="RGB", colorsubsampling="420"))
    return made


def decoded(made: list[bytes], channels: int) -> np.ndarray:
    """The reference: (z, y, x) or (c, z, y, x)."""
    space = "GRAY" if channels == 1 else "RGB"
    stack = np.stack([simplejpeg.decode_jpeg(j, colorspace=space) for j in made])
    return stack[..., 0] if channels == 1 else np.moveaxis(stack, -1, 0)


def geometry(count: int, height: int, width: int, channels: int, **options) -> Geometry:
    return Geometry(
        width_px=width, height_px=height, planes=count, channels=channels,
        x_um=0.1144, y_um=0.1144, z_um=0.28, **({"chunk_px": 64} | options),
    )  # fmt: skip


def write(made, where, to, **options):
    return write_stack([(lambda j=j: j) if j else None for j in made], where, to, **options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("keep_jpeg", [False, True])
def test_pixels_pyramid_scales_and_two_other_readers(tmp_path, channels, keep_jpeg):
    made = jpegs(4, 150, 203, channels)
    where = geometry(4, 150, 203, channels)
    done: list[int] = []
    store = write(made, where, tmp_path / "a.ome.zarr", keep_jpeg=keep_jpeg, done=done.append)
    image = OmeZarr(store.path)
    assert done == [0, 1, 2, 3]
    assert "".join(image.axes) == ("zyx" if channels == 1 else "czyx")
    assert [level.shape[-2:] for level in image.levels] == [(150, 203), (75, 102), (38, 51)]
    full = image.levels[0][...]
    assert (full == decoded(made, channels)).all()
    for lower, upper in zip(image.levels, image.levels[1:], strict=False):
        below, above = lower[...].astype(int), upper[...].astype(int)
        means = mean_of_four(below)
        limit = 0 if not keep_jpeg else 40  # JPEG tiles are lossy
        assert np.abs(means - above).max() <= limit
    assert image.scales_um[1][-3:] == (0.28, pytest.approx(0.2288), pytest.approx(0.2288))
    yaozarrs.validate_zarr_store(str(store.path))
    if not keep_jpeg:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store.path / "1")}}
        theirs = tensorstore.open(spec).result().read().result()
        assert (theirs == image.levels[1][...]).all()


def mean_of_four(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[-2:]
    pad = [(0, 0)] * (pixels.ndim - 2) + [(0, height % 2), (0, width % 2)]
    p = np.pad(pixels, pad, mode="edge")
    four = p[..., ::2, ::2] + p[..., 1::2, ::2] + p[..., ::2, 1::2] + p[..., 1::2, 1::2]
    return (four + 2) // 4


def test_kept_jpegs_are_the_source_to_the_byte(tmp_path):
    made = jpegs(2, 150, 203, 3)
    store = write(made, geometry(2, 150, 203, 3), tmp_path / "a.ome.zarr", keep_jpeg=True)
    assert [
        (store.path / "0" / "c" / "0" / str(z) / "0" / "0").read_bytes() for z in range(2)
    ] == made


@pytest.mark.parametrize("channels", [1, 3])
def test_projections_are_those_of_the_whole_stack(tmp_path, channels):
    made = jpegs(5, 300, 70, channels)
    store = write(made, geometry(5, 300, 70, channels), tmp_path / "a.ome.zarr")
    stack = decoded(made, 1)
    for axes, axis in (("xy", 0), ("xz", 1), ("yz", 2)):
        for function, reduce in (("min", np.min), ("max", np.max), ("mean", np.mean)):
            expected = reduce(stack, axis=axis)
            expected = expected.T if axes == "yz" else expected
            found = store.projections[f"{function}_{axes}"]
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= (0.5 if function == "mean" else 0)
            read = OmeZarr(store.path).projection(function, axes)
            assert (read == found).all()
    yaozarrs.validate_zarr_store(str(store.path / "projections" / "min_xz"))


def test_missing_planes_read_as_nothing_and_are_named(tmp_path):
    made = jpegs(4, 80, 90, 1)
    made[2] = None
    store = write(made, geometry(4, 80, 90, 1), tmp_path / "a.ome.zarr")
    level = OmeZarr(store.path).levels[0][...]
    assert (level[2] == 0).all()
    assert (level[3] == decoded([made[3]], 1)[0]).all()
    attributes = json.loads((store.path / "zarr.json").read_text())["attributes"]
    assert attributes["openallen"]["missing_planes"] == [2]
    seen = decoded([made[i] for i in (0, 1, 3)], 1)
    assert (store.projections["min_xy"] == seen.min(axis=0)).all()
    assert (store.projections["min_xz"][2] == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_halving_is_the_rounded_mean_of_four(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert (halve(pixels) == mean_of_four(pixels.astype(int))).all()


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_levels_end_in_one_chunk_and_scales_follow(height, width):
    where = geometry(3, height, width, 1, chunk_px=512)
    assert max(where.levels[-1]) <= 512
    assert all(max(size) > 512 for size in where.levels[:-1])
    last = len(where.levels) - 1
    for axis, size in enumerate(where.levels[last]):
        covered = size * 2**last
        assert 0 <= covered - (height, width)[axis] < 2**last


@pytest.mark.parametrize("size", [(1, 1), (1, 65), (64, 64), (65, 1)])
def test_small_and_thin_stacks(tmp_path, size):
    made = jpegs(1, *size, 1)
    store = write(made, geometry(1, *size, 1), tmp_path / "a.ome.zarr")
    assert (OmeZarr(store.path).levels[0][...] == decoded(made, 1)).all()


@pytest.mark.parametrize("system", ["writes little at a time", "has no writev"])
def test_shards_are_whole_however_the_system_writes(tmp_path, monkeypatch, system):
    chunks = [b"one", b"", b"three" * 9, b"4"]
    if system == "has no writev":
        monkeypatch.delattr(os, "writev", raising=False)
    else:
        some = lambda fd, parts: os.write(fd, parts[0][:2])  # noqa: E731
        monkeypatch.setattr(os, "writev", some, raising=False)
    with Shard(tmp_path / "s", 5) as shard:
        shard.add(1, chunks[:2])
        shard.add(3, chunks[2:])
    data = (tmp_path / "s").read_bytes()
    absent = 2**64 - 1
    places = [absent, absent, 0, 3, 3, 0, 3, 45, 48, 1]
    index = struct.pack("<10Q", *places)
    assert data == b"".join(chunks) + index + struct.pack("<I", checksum(index))


def test_the_checksum_is_crc32c():
    assert checksum(b"123456789") == 0xE3069283


# --- trouble --------------------------------------------------------------------------------------


def test_a_store_that_is_there_is_not_touched_unasked(tmp_path):
    made, where = jpegs(1, 80, 90, 1), geometry(1, 80, 90, 1)
    to = tmp_path / "a.ome.zarr"
    write(made, where, to)
    with pytest.raises(RefusedError):
        write(made, where, to)
    write(made, where, to, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda j: j[: len(j) // 2], IntegrityError),
        (lambda j: jpegs(1, 81, 90, 1)[0], CorruptError),
        (lambda j: b"<html>", CorruptError),
    ],
)
def test_a_plane_that_is_damaged_or_of_another_size_stops_it(tmp_path, spoil, error):
    made = jpegs(3, 80, 90, 1)
    made[1] = spoil(made[1])
    with pytest.raises(error):
        write(made, geometry(3, 80, 90, 1), tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_colour_planes_cannot_be_kept_in_a_gray_store(tmp_path):
    with pytest.raises(CorruptError, match="3 components"):
        write(jpegs(1, 80, 90, 3), geometry(1, 80, 90, 1), tmp_path / "a.ome.zarr", keep_jpeg=True)


@pytest.mark.parametrize(
    "options", [{"chunk_px": 100}, {"compression_level": 0}, {"gray": True, "keep_jpeg": True}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError):
        ConvertOptions(**options)


SLOW = """
import sys, time
from pathlib import Path
from openallen.formats.omezarr import Geometry, write_stack
jpeg = Path(sys.argv[1]).read_bytes()
left = list(range(10))
def plane():
    if not left.pop():
        time.sleep(1000)  # never done: it is killed here
    return jpeg
where = Geometry(width_px=90, height_px=80, planes=50, channels=1, x_um=1, y_um=1, z_um=1, chunk_px=64)
write_stack([plane] * 50, where, Path(sys.argv[2]), workers=1)
"""


def test_killed_in_the_middle_nothing_looks_finished(tmp_path):
    made, to = jpegs(1, 80, 90, 1), tmp_path / "a.ome.zarr"
    (tmp_path / "p.jpg").write_bytes(made[0])
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "p.jpg"), str(to)])
    draft = tmp_path / "a.ome.zarr.part"
    deadline = time.monotonic() + 100
    while not (draft / "0" / "c" / "2").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert draft.exists()
    assert not to.exists()
    write(made, geometry(1, 80, 90, 1), to)
    assert not draft.exists()
    assert (OmeZarr(to).levels[0][...] == decoded(made, 1)).all()


FULL_SIZE = """
import re, sys
from pathlib import Path
import numpy as np, simplejpeg
from openallen.formats.omezarr import Geometry, write_stack
from openallen.formats.omezarr import writer
channels = int(sys.argv[2])
writer.cores = lambda: int(sys.argv[3])
rows = np.random.default_rng(0).integers(150, 200, (64, 5760, channels), dtype=np.uint8)
plane = np.tile(rows, (119, 1, 1))[:7568]
space, sub = (("GRAY", "Gray"), ("RGB", "420"))[channels == 3]
jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(plane), 60, space, sub)
del plane
geometry = Geometry(
    width_px=5760, height_px=7568, planes=627, channels=channels, x_um=0.1144, y_um=0.1144, z_um=0.28
)
planes = [lambda: jpeg] * 6 + [None] * 621
write_stack(planes, geometry, Path(sys.argv[1]), keep_jpeg=True)
# ru_maxrss would begin with what the process that started this one holds.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
@pytest.mark.parametrize("cores", [2, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_stack_of_full_size_fits_into_a_gigabyte(tmp_path, channels, cores):
    to = tmp_path / "s.ome.zarr"
    command = [sys.executable, "-c", FULL_SIZE, str(to), str(channels), str(cores)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) * 1024 < 1e9


def test_threads_are_as_many_as_memory_allows(monkeypatch):
    monkeypatch.setattr("openallen.formats.omezarr.writer.cores", lambda: 64)
    size = {"planes": 627, "x_um": 0.1, "y_um": 0.1, "z_um": 0.3}

    def threads(width_px, height_px, channels):
        where = Geometry(width_px=width_px, height_px=height_px, channels=channels, **size)
        return fitting_threads(where)

    planes, helpers = threads(5760, 7568, 3)
    assert planes == 2
    assert helpers >= 8
    planes, helpers = threads(5760, 7568, 1)
    assert planes >= 6
    assert helpers >= 8
    assert threads(720, 946, 3) == (64, 0)
    assert threads(60000, 60000, 3) == (1, 0)


@pytest.mark.parametrize("keep_jpeg", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_threads_and_helpers_writes_the_same_bytes(
    tmp_path, monkeypatch, channels, keep_jpeg
):
    made = jpegs(9, 301, 267, channels)
    made[4] = None
    where = geometry(9, 301, 267, channels)

    def written(name: str, workers: int | None) -> dict[str, bytes]:
        write(made, where, tmp_path / name, keep_jpeg=keep_jpeg, workers=workers)
        files = [p for p in (tmp_path / name).rglob("*") if p.is_file()]
        return {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in files}

    one = written("1", 1)
    assert len(one) > 9 * len(where.levels)
    assert written("2", 2) == one
    assert written("5", 5) == one
    monkeypatch.setattr("openallen.formats.omezarr.writer.fitting_threads", lambda _: (2, 4))
    assert written("helped", None) == one


def test_a_gray_plane_of_a_colour_stack_is_written_in_gray(tmp_path):
    made = [jpegs(1, 80, 90, 3)[0], jpegs(1, 80, 90, 1)[0]]
    store = write(made, geometry(2, 80, 90, 3), tmp_path / "a.ome.zarr")
    level = OmeZarr(store.path).levels[0][...]
    assert (level[:, 1] == decoded(made[1:], 1)[0]).all()
    assert (level[:, 0] == decoded(made[:1], 3)[:, 0]).all()


def test_helpers_give_results_in_order_and_errors_where_they_happen():
    for threads in (0, 3):
        helpers = Helpers(threads)
        assert list(helpers.map(lambda i: i * i, range(20))) == [i * i for i in range(20)]
        with pytest.raises(ZeroDivisionError):
            list(helpers.map(lambda i: 1 // (i - 5), range(20)))
        helpers.close()


def test_what_is_no_ome_zarr(tmp_path):
    with pytest.raises(NotFoundError):
        OmeZarr(tmp_path)
    (tmp_path / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    )
    with pytest.raises(CorruptError):
        OmeZarr(tmp_path)


def test_results_come_in_order_and_few_are_under_way():
    taken: list[int] = []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    results = ordered_map(lambda i: i * i, items(), workers=2, ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 3 + 4 + 1
    assert list(results) == [i * i for i in range(3, 50)]


def test_focus_is_the_variance_of_the_laplacian():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (1200, 57), dtype=np.uint8)
    p = pixels.astype(float)
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    assert focus_measure(pixels) == pytest.approx(laplacian.var())
    assert focus_measure(np.full((9, 9), 7, np.uint8)) == 0
    assert focus_measure(pixels[:2]) == 0


# --- whole stacks ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cell(tmp_path_factory, sample_url) -> Path:
    folder = tmp_path_factory.mktemp("cell")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENALLEN_STORE", str(tmp_path_factory.mktemp("store")))
        oa.fetch(
            "stack:313862022",
            to=folder,
            source=sample_url,
            downsample=4,
            planes="5:20:3",
            projections=False,
        )
    return folder


def test_a_packaged_stack_knows_its_depths(cell, tmp_path):
    stack = oa.open(cell)
    image = stack.zarr(tmp_path)
    assert image.path == tmp_path / "313862022.ome.zarr"
    assert image.levels[0].shape == (3, 5, 473, 360)
    # every third plane is here: neighbours are three steps apart
    assert image.scales_um[0] == (
        1.0,
        pytest.approx(0.84),
        pytest.approx(1.8304),
        pytest.approx(1.8304),
    )
    assert (image.levels[0][:, 1] == np.moveaxis(stack.planes[1].read(), -1, 0)).all()
    told = image.group.attrs["openallen"]
    assert told["sections"] == [7, 10, 13, 16, 19]
    assert told["simulated"] is True
    assert stack.zarr(tmp_path).path == image.path  # not again


def test_a_gap_in_a_packaged_stack_is_a_gap_in_the_store(cell, tmp_path):
    folder = Path(shutil.copytree(cell, tmp_path / "cell"))
    told = json.loads((folder / "manifest.json").read_text())
    for entry in told["planes"]:
        if entry["section_number"] in {10, 13}:
            entry["path"] = None
    (folder / "manifest.json").write_text(json.dumps(told))
    work = oa.open(folder).conversion(tmp_path, gray=True)
    assert [source is not None for source in work.sources] == [True, False, False, True, True]
    assert work.geometry.channels == 1
    work.run()
    assert OmeZarr(work.to).group.attrs["openallen"]["missing_planes"] == [1, 2]


def test_two_conversions_to_one_store_do_not_meet(cell, tmp_path):
    work = oa.open(cell).conversion(tmp_path)
    again: list[str] = []

    def second(_: int) -> None:
        if not again:
            with pytest.raises(RefusedError, match="another process is writing") as caught:
                oa.open(cell).conversion(tmp_path).run()
            again.append(caught.value.why)

    made = work.run(second)
    assert "process" in again[0]
    assert OmeZarr(made.path).levels
    assert [p.name for p in tmp_path.iterdir()] == [made.path.name]


def test_replacing_a_store_leaves_one_store(cell, tmp_path):
    first = oa.open(cell).conversion(tmp_path).run()
    oa.open(cell).conversion(tmp_path, overwrite=True, gray=True).run()
    assert len(OmeZarr(first.path).levels[0].shape) == 3
    assert [p.name for p in tmp_path.iterdir()] == [first.path.name]
