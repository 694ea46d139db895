"""Arrays whose tasks carry addresses: the same values from workers as from here, and small graphs."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from click.testing import CliRunner
from farstores import unpacked

import openallen as oa
from openallen.cli.app import root
from openallen.errors import OpenAllenError, UsageError
from openallen.formats.omezarr import Geometry, write_stack
from openallen.sources.recordings import open_recording

distributed = pytest.importorskip("distributed")
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def client(dask_cluster):
    with dask_cluster.client() as connected:
        yield connected


def on_one(client, array):
    """Compute on one worker: what each imports takes longer than the work."""
    return client.compute(array, workers=["one"])


def image(folder: Path, side: int) -> Path:
    pixels = np.random.default_rng(side).integers(0, 255, (4, side, side), np.uint8)
    planes = [lambda p=p: np.stack([p] * 3, axis=-1) for p in pixels]
    where = Geometry(
        width_px=side, height_px=side, planes=4, channels=1, x_um=1, y_um=1, z_um=1, chunk_px=64
    )
    return write_stack(planes, where, folder / f"{side}.ome.zarr").path


def task_bytes(found) -> list[int]:
    """What each task of a graph is when it is sent, in bytes."""
    return [len(cloudpickle.dumps(task)) for task in dict(found.data.__dask_graph__()).values()]


def test_tasks_of_images_carry_where_they_are(client, tmp_path):
    sizes = []
    for side in (64, 512):  # 16 kB of pixels, and 1 MB
        level = oa.open(image(tmp_path, side)).level(0, chunks={"z": 1, "y": side, "x": side})
        plain = oa.open(tmp_path / f"{side}.ome.zarr").level(0).to_numpy()
        there = on_one(client, level).result().to_numpy()
        np.testing.assert_array_equal(there, plain)
        sizes.append(max(task_bytes(level)))
    assert sizes[1] <= sizes[0] + 100
    assert sizes[1] < 3000


def test_stored_chunks_are_chunks_and_other_wishes_are_checked(tmp_path):
    opened = oa.open(image(tmp_path, 128))
    assert opened.level(0, chunks={}).data.chunksize == (1, 64, 64)
    assert opened.level(0, chunks="auto").data.npartitions == 1
    for wrong in ("much", 2.5, True, {"nothing": 2}, -3):
        with pytest.raises(UsageError, match="chunks"):
            opened.level(0, chunks=wrong)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    return unpacked(DATA / "ephys" / "recordings.tar.xz", tmp_path_factory.mktemp("recordings"))


@pytest.mark.parametrize("form", ["now/binary", "now/blosc.zarr"])
def test_tasks_of_recordings_carry_where_they_are(client, recordings, form):
    traces = np.load(recordings / "now" / "traces.npy")
    for opened in (oa.open(recordings / form), open_recording(recordings / form)):
        found = opened.lazy(scaled=False, chunks=500)
        assert max(task_bytes(found)) < 3000 < traces.nbytes
        np.testing.assert_array_equal(on_one(client, found).result(), traces)
        # Sent as where it is, not as its memory: opened once in a process.
        assert len(pickle.dumps(opened)) < 2000
        assert pickle.loads(pickle.dumps(opened)) is pickle.loads(pickle.dumps(opened))
    scaled = opened.lazy(chunks={"sample": 400, "channel": 3})
    np.testing.assert_array_equal(scaled.compute(), on_one(client, scaled).result())


def test_what_a_worker_cannot_read_says_why(client, recordings, tmp_path):
    shutil.copytree(recordings / "now" / "binary", tmp_path / "gone")
    found = oa.open(tmp_path / "gone").lazy(chunks=500)
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(OpenAllenError, match="gone"):
        on_one(client, found).result()


def test_a_worker_fetches_grids_that_its_disk_lacks(client, tmp_path):
    to = tmp_path / "grids"
    found = oa.grids(gene="Pdyn", source="sample", to=to, chunks=1)
    assert found.data.numblocks[0] == found.sizes["data_set"] == 2
    assert max(task_bytes(found)) < 4000 < found.nbytes
    plain = found.compute()
    for place in to.iterdir():
        shutil.rmtree(place)
    there = on_one(client, found).result()
    np.testing.assert_array_equal(there, plain)
    assert len(list(to.iterdir())) == 2


def test_codecs_are_measured_by_workers_that_read_the_recording(client, recordings):
    where = str(recordings / "now" / "binary")
    words = ["bench", "compression", where, "--codecs", "zlib", "--levels", "low,high"]
    words += ["--seconds", "0.05", "--chunk-s", "0.02", "--json"]
    here, there = (
        CliRunner().invoke(root, [*words, *more], catch_exceptions=False).stdout
        for more in ([], ["--scheduler", client.scheduler.address])
    )
    kept = [
        [
            {k: v for k, v in json.loads(line).items() if "speed" not in k}
            for line in out.splitlines()
        ]
        for out in (here, there)
    ]
    assert len(kept[0]) > 1
    assert kept[0] == kept[1]  # ratios, errors, sizes; speeds are those of the workers
