"""What each extra is for, once, in a few seconds: run with the lowest versions that are allowed.

Nothing of the test tools is installed beside them, since these would raise the versions of others.
"""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

import openallen as oa
from openallen.errors import CorruptError
from openallen.formats.objects import FolderObjects
from openallen.formats.zarrs import Hierarchy
from openallen.sources.tables import Rows

DATA = Path(__file__).parents[1] / "tests" / "data"


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def images(folder: Path) -> None:
    """Numbers and texts of both versions of Zarr, and a stack that is converted and read back."""
    from openallen.formats.omezarr import Geometry, OmeZarr, write_stack

    values = np.arange(600, dtype="<u2").reshape(20, 30)
    for version in (2, 3):
        group = zarr.open_group(folder / f"v{version}", mode="w", zarr_format=version)
        group.create_array("a", shape=(20, 30), chunks=(7, 7), dtype="<u2")[:] = values
        if version == 3:
            made = group.create_array(
                "s", shape=(20, 30), chunks=(5, 5), shards=(10, 10), dtype="<u2"
            )
            made[:] = values
        found = Hierarchy(FolderObjects(folder / f"v{version}"))
        assert np.array_equal(found.array("a")[:], values), version
        assert np.array_equal(found.array("a")[3:9, 5], values[3:9, 5]), version
    assert np.array_equal(found.array("s")[:], values)
    bodies = [_jpeg(20 * z) for z in range(3)]
    where = Geometry(width_px=48, height_px=64, planes=3, channels=1, x_um=1, y_um=1, z_um=2)
    for keep in (False, True):
        to = folder / f"{keep}.ome.zarr"
        write_stack([(lambda b=body: b) for body in bodies], where, to, keep_jpeg=keep)
        level = OmeZarr(to).level(0).to_numpy()
        assert level.shape == (3, 64, 48)
        assert level[:, 5, 5].tolist() == [0, 20, 40]


def codecs(folder: Path) -> None:
    """Refuse a codec that older versions of numcodecs would run a command with."""

    class Touch:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (folder / "owned",))

    group = zarr.open_group(folder / "v2", mode="w", zarr_format=2)
    group.create_array("a", shape=(1,), chunks=(1,), dtype="<i8")[:] = 1
    told = json.loads((folder / "v2" / "a" / ".zarray").read_text())
    for kind in ("|O", "<i8"):
        told |= {"dtype": kind, "compressor": {"id": "pickle"}, "fill_value": None}
        (folder / "v2" / "a" / ".zarray").write_text(json.dumps(told))
        (folder / "v2" / "a" / "0").write_bytes(pickle.dumps(Touch()))
        try:
            Hierarchy(FolderObjects(folder / "v2")).array("a")[:]
        except CorruptError:
            assert not (folder / "owned").exists()
        else:
            raise AssertionError("read by a codec that is not allowed")


def _jpeg(value: int) -> bytes:
    import simplejpeg

    return simplejpeg.encode_jpeg(np.full((64, 48, 1), value, np.uint8), colorspace="GRAY")


def sessions(folder: Path) -> None:
    """Sessions in HDF5 and in Zarr, with references kept as pickles."""
    found = oa.open(
        unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", folder) / "session.nwb.zarr"
    )
    assert (len(found.units), len(found.trials)) == (5, 6)
    assert "ProbeA" in str(found.electrodes["group"].iloc[0])
    for file in sorted(unpacked(DATA / "nwb" / "sessions.tar.xz", folder).rglob("*.nwb")):
        assert repr(oa.open(file))


def recordings(folder: Path) -> None:
    """The samples of a recording, from each container."""
    made = unpacked(DATA / "ephys" / "recordings.tar.xz", folder)
    truth = np.load(made / "now" / "traces.npy")
    for place in ("old/binary", "now/binary", "now/blosc.zarr", "now/zstd.zarr"):
        assert np.array_equal(oa.open(made / place).traces(scaled=False), truth), place


def tables(folder: Path) -> None:
    """Rows as tables of pandas and Arrow, and as a file of Parquet."""
    import duckdb
    import pyarrow.parquet as pq

    rows = Rows([{"id": 1, "name": "a"}, {"id": 2, "name": None}])
    assert isinstance(rows.to_pandas(), pd.DataFrame)
    pq.write_table(rows.to_arrow(), folder / "rows.parquet")
    told = duckdb.sql(f"select sum(id) from '{folder / 'rows.parquet'}'").fetchone()
    assert told == (3,)


def atlas(folder: Path) -> None:
    """Sums by structure of a grid, written as NRRD and NIfTI, and as a picture."""
    from openallen.sources.atlases.write_volumes import write_nifti, write_nrrd

    energy = oa.fetch("grid:69855739", to=folder / "grid", source="sample").energy
    summed = oa.fetch("atlas:P56", to=folder / "atlas", source="sample").unionizer()(energy)
    assert summed["mean"].max() > 10
    for write, name in ((write_nrrd, "energy.nrrd"), (write_nifti, "energy.nii.gz")):
        write(energy, folder / name)
        again = oa.open(folder / name)
        assert np.allclose(np.asarray(again), np.asarray(energy), equal_nan=True), name
    _openallen("show", folder / "grid", "--picture", folder / "energy.png")
    assert (folder / "energy.png").stat().st_size > 1000


def web(folder: Path) -> None:
    """A page of the web view, and a picture on it."""
    from openallen.serving.server import serving
    from openallen.settings import Settings
    from openallen.viewer import viewer_app

    with serving(viewer_app(Settings.load(store=folder / "store"))) as url:
        page = urllib.request.urlopen(url, timeout=60).read().decode()
        assert "<html" in page
        assert "openallen" in page


def widget(folder: Path) -> None:
    """A reconstruction in a notebook: a card, and the widget beside it."""
    shutil.copy(DATA.parents[1] / "src/openallen/archive/sample/files/9000000001.swc", folder)
    told = oa.view(folder / "9000000001.swc")
    assert [one["kind"] for one in told.visuals] == ["cell"]
    assert "application/vnd.jupyter.widget-view+json" in told._repr_mimebundle_()[0]


def polars(folder: Path) -> None:
    """A table of a release."""
    release = oa.open("release:visual-coding-2p", source="sample")
    assert release.to_polars("ophys_experiments").height == 1


def dask(folder: Path) -> None:
    """Samples of a recording, summed piece by piece."""
    made = unpacked(DATA / "ephys" / "recordings.tar.xz", folder)
    truth = np.load(made / "now" / "traces.npy")
    traces = oa.open(made / "now/zstd.zarr").traces(scaled=False).chunk()
    assert int(traces.astype("i8").sum().compute()) == int(truth.astype("i8").sum())


def cluster(folder: Path) -> None:
    """The same by a scheduler and its worker."""
    from distributed import Client

    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0"):
        dask(folder)


def s3(folder: Path) -> None:
    """The buckets of an archive, read by boto3."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    how = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    with serving(archive_app("sample")) as url:
        client = boto3.client("s3", endpoint_url=url, region_name="us-west-2", config=how)
        listed = client.list_objects_v2(Bucket="allen-brain-observatory")["Contents"]
        body = client.get_object(Bucket="allen-brain-observatory", Key=listed[0]["Key"])
        assert len(body["Body"].read()) == listed[0]["Size"]


def fast(folder: Path) -> None:
    """Digests by libsodium."""
    from openallen.store.digests import SodiumBlake2b

    sodium = SodiumBlake2b()
    sodium.update(b"openallen")
    assert sodium.hexdigest() == hashlib.blake2b(b"openallen").hexdigest()


def _openallen(*words: object) -> bytes:
    command = [sys.executable, "-m", "openallen", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=True).stdout


CHECKS = (
    images, codecs, sessions, recordings, tables, atlas, web, widget, polars, dask, cluster, s3, fast,
)  # fmt: skip


def main() -> None:
    os.environ["OPENALLEN_OFFLINE"] = "1"
    os.environ["OPENALLEN_STORE"] = tempfile.mkdtemp()
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder))
        print("works:", check.__name__)
    assert b"fetch" in _openallen("--help")


if __name__ == "__main__":
    main()
