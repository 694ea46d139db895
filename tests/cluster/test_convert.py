"""Conversions on a cluster: the same bytes as here, whatever becomes of workers."""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from clustertasks import slow_plane

from openallen.errors import RefusedError, StoreError, TruncatedError
from openallen.formats.omezarr import Geometry
from openallen.planes.convert import Conversion, ConvertOptions

pytest.importorskip("distributed")
PLANES = 9


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("planes")
    random = np.random.default_rng(5)
    for n in range(PLANES):
        pixels = random.integers(0, 255, (150, 203, 3), np.uint8)
        (folder / f"{n}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels))
    return folder


def conversion(
    jpegs: Path, to: Path, *, channels: int = 3, wait_s: float = 0, **options
) -> Conversion:
    sources = [functools.partial(slow_plane, jpegs / f"{n}.jpg", wait_s) for n in range(PLANES)]
    sources[4] = None  # a section that is missing
    where = Geometry(
        width_px=203, height_px=150, planes=PLANES, channels=channels,
        x_um=0.5, y_um=0.5, z_um=2.0, chunk_px=64,
    )  # fmt: skip
    return Conversion(
        address="stack:1", name="a stack", attributes={"made_by": "a test"}, here_bytes=1,
        geometry=where, sources=tuple(sources), to=to / "a.ome.zarr",
        options=ConvertOptions(chunk_px=64, gray=channels == 1, **options),
    )  # fmt: skip


def digests(store: Path) -> dict[str, str]:
    files = [p for p in store.rglob("*") if p.is_file()]
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(("channels", "keep_jpeg"), [(1, False), (3, False), (3, True)])
def test_the_bytes_are_those_of_a_conversion_here(
    dask_cluster, jpegs, tmp_path, channels, keep_jpeg
):
    here = conversion(jpegs, tmp_path / "here", channels=channels, keep_jpeg=keep_jpeg).run()
    told: list[int] = []
    there = conversion(jpegs, tmp_path / "there", channels=channels, keep_jpeg=keep_jpeg).run(
        told.append, client=dask_cluster.address
    )
    assert sorted(told) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert digests(there.path) == digests(here.path)
    assert {p.name for p in there.path.iterdir()} == {p.name for p in here.path.iterdir()}
    for name, image in here.projections.items():
        np.testing.assert_array_equal(there.projections[name], image)


def test_planes_of_a_killed_worker_are_done_again(dask_cluster, jpegs, tmp_path):
    here = conversion(jpegs, tmp_path / "here").run()
    killed = threading.Event()

    def kill(z):
        if not killed.is_set():
            killed.set()
            dask_cluster.kill_worker("one")

    # The scheduler is named by its file here.
    there = conversion(jpegs, tmp_path / "there", wait_s=0.2).run(kill, client=dask_cluster.file)
    assert killed.is_set()
    assert digests(there.path) == digests(here.path)


def test_a_damaged_plane_ends_it_and_no_store_is_there(dask_cluster, jpegs, tmp_path):
    work = conversion(jpegs, tmp_path / "to")
    (tmp_path / "bad.jpg").write_bytes((jpegs / "0.jpg").read_bytes()[:500])
    sources = list(work.sources)
    sources[6] = functools.partial(slow_plane, tmp_path / "bad.jpg", 0)
    object.__setattr__(work, "sources", tuple(sources))
    with pytest.raises(TruncatedError):
        work.run(client=dask_cluster.address)
    # Tasks that were under way may leave files in the draft, which the next conversion removes.
    assert not work.to.exists()


def test_a_worker_that_does_not_see_the_folder_is_named(tmp_path):
    from openallen.formats.omezarr.spread import convert_some

    with pytest.raises(StoreError, match="does not see the folder") as caught:
        convert_some((None, tmp_path / "not-here" / "a.ome.zarr.part"), [])
    assert "--to DIR" in caught.value.hint


def test_stores_that_exist_are_said_before_anything_is_written(jpegs, tmp_path):
    work = conversion(jpegs, tmp_path)
    work.to.mkdir()
    with pytest.raises(RefusedError, match="already exists"):
        work.run()
    assert list(work.to.iterdir()) == []
