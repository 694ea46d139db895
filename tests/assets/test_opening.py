"""What is inside assets, opened where it lies on a real S3 server; counted, and cut off."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from assetbucket import publish_assets
from buckets import serving_s3
from farstores import (
    EXA,
    NWB,
    PROBE,
    RAW,
    SESSION,
    SMART,
    halved,
    publish_stores,
    ramp,
    reread,
    unpacked,
    upload,
    write_v2,
)

import openallen as oa
from openallen.errors import (
    CorruptError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    TruncatedError,
    UsageError,
)
from openallen.formats import wavpack
from openallen.formats.omezarr import OmeZarr
from openallen.formats.zarrs import Hierarchy
from openallen.sessions import NwbTables
from openallen.settings import Settings
from openallen.sources.assets.access import bucket_for
from openallen.sources.recordings import open_recording
from openallen.store.objects import CachedObjects
from openallen.transport import Http, Retry
from openallen.transport.objects import RemoteObjects
from openallen.transport.s3 import Bucket
from openallen.verbs import views

DATA = Path(__file__).parents[1] / "data"
needs_wavpack = pytest.mark.skipif(not wavpack.available(), reason="the system has no libwavpack")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Where stores are on disk as the bucket has them."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def published(made):
    with serving_s3() as endpoint:
        found = publish_assets(endpoint)
        publish_stores(found, DATA, made)
        yield found


@pytest.fixture
def far(bucket):
    """Open what lies below a prefix, its requests counted."""
    clients = []

    def give(prefix: str, kept=None) -> RemoteObjects:
        clients.append(Http())
        return RemoteObjects(bucket_for(clients[-1], Settings.load()), f"{prefix}/", kept)

    yield give
    for client in clients:
        client.close()


# --- images ---------------------------------------------------------------------------------------


def test_an_image_of_zarr_2_at_each_level_with_its_origin(bucket):
    image = oa.open(f"asset:{SMART}/image_tile_fusing/OMEZarr/Ex_639_Em_667.zarr")
    assert isinstance(image, OmeZarr)
    assert image.axes == ("t", "c", "z", "y", "x")
    assert image.scales_um[1][2:] == (4.0, 3.6, 3.6)
    assert [found.shape for found in image.levels] == [
        (1, 1, 16, 24, 32),
        (1, 1, 8, 12, 16),
        (1, 1, 4, 6, 8),
    ]
    whole = image.level(0)
    assert whole.dims == image.axes
    assert whole["z"].to_numpy()[:2].tolist() == [100.0, 102.0]
    assert whole["x"].attrs["units"] == "µm"
    # The metadata say that all levels begin at one place; the means of two begin half a pixel on.
    for number in (1, 2):
        level = image.level(number)
        part = level.isel(t=0, c=0)
        z, y, x = (
            float(part[a][2] - whole[a][0]) / s for a, s in zip("zyx", (2, 1.8, 1.8), strict=True)
        )
        assert float(part.isel(z=2, y=2, x=2)) == pytest.approx(1000 + 64 * z + 4 * y + x, abs=1)
    assert float(image.level(1)["z"][0]) == 101.0
    assert float(image.level(1, origin="stored")["z"][0]) == 100.0
    assert image.level(-1).attrs["level"] == 2
    assert image.level_for(4.0) == 1
    assert image.level_for(0.1) == 0
    assert "2 µm" in repr(image)
    for wrong in (lambda: image.level(3), lambda: image.level(0, origin="middle")):
        with pytest.raises(UsageError):
            wrong()


def test_only_the_chunks_that_are_looked_at_come(far):
    place = far(f"{SMART}/image_tile_fusing/OMEZarr/Ex_639_Em_667.zarr")
    image = OmeZarr(place)
    opened = place.requests
    assert opened <= 4
    level = image.level(0)
    before = place.requests
    assert before - opened == 1  # the array's own description
    part = level.isel(t=0, c=0, z=slice(0, 4), y=5, x=slice(3, 9))
    assert place.requests == before
    assert part.to_numpy().tolist() == ramp()[0, 0, 0:4, 5, 3:9].tolist()
    assert place.requests == before + 1
    part.to_numpy()
    assert place.requests == before + 1


def test_an_image_of_zarr_3_sharded_reads_parts_of_shards(far):
    place = far(f"{EXA}/SPIM.ome.zarr/tile_000001_ch_561.zarr")
    image = OmeZarr(place)
    level = image.level(0)
    assert level.coords["c"].to_numpy().tolist() == ["561"]
    assert level["z"].to_numpy()[:2].tolist() == [0.0, 2.0]
    assert float(image.level(1)["y"][0]) == pytest.approx(0.9)
    before = place.bytes_received
    assert int(level.isel(t=0, c=0, z=1, y=1, x=1)) == int(ramp()[0, 0, 1, 1, 1])
    assert place.bytes_received - before < 4 * 8 * 8 * 2 + 400
    dask = pytest.importorskip("dask.array")
    assert isinstance(level.chunk({}).data, dask.Array)
    assert int(level.chunk({}).sum()) == int(ramp().sum())


@pytest.mark.parametrize(
    ("translation", "unit", "more", "z"),
    [
        ("same", "micrometer", {}, [100.0, 101.0]),
        ("centres", "micrometer", {}, [100.0, 101.0]),
        ("none", "micrometer", {}, [0.0, 1.0]),
        ("same", "millimeter", {}, [1e5, 1.01e5]),
        ("same", "", {}, [100.0, 101.0]),
    ],
)
def test_origins_of_levels_by_what_the_metadata_say(tmp_path, translation, unit, more, z):
    volume = ramp((8, 16, 16))
    write_v2(
        tmp_path / "i.zarr", [volume, halved(volume)], translation=translation, unit=unit, more=more
    )
    image = oa.open(tmp_path / "i.zarr")
    assert [float(image.level(n)["z"][0]) for n in (0, 1)] == pytest.approx(z)
    assert bool(image.notes) is (unit == "")
    sampled = json.loads((tmp_path / "i.zarr" / ".zattrs").read_text())
    sampled["multiscales"][0]["type"] = "subsample"
    (tmp_path / "i.zarr" / ".zattrs").write_text(json.dumps(sampled))
    assert float(OmeZarr(tmp_path / "i.zarr").level(1)["z"][0]) == pytest.approx(
        z[0] if translation != "centres" else z[1]
    )


@pytest.mark.parametrize(
    "multiscales",
    [
        [], [{"datasets": []}], [{"axes": ["z", "y"], "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 3]}]}]}],
        [{"axes": ["y", "x"], "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0]}]}]}],
        [{"axes": ["y", "x"], "datasets": [{"path": "0", "coordinateTransformations": [{"type": "affine"}]}]}],
        "no", [{"axes": [{}], "datasets": [{"path": "0"}]}],
    ],
)  # fmt: skip
def test_images_that_make_no_sense(tmp_path, multiscales):
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / ".zattrs").write_text(json.dumps({"multiscales": multiscales}))
    with pytest.raises(CorruptError, match="not an OME-Zarr image"):
        oa.open(tmp_path)


def test_old_images_without_scales_are_taken_as_they_are(tmp_path):
    volume = ramp((4, 8, 8))
    write_v2(tmp_path, [volume])
    reread(
        tmp_path,
        ".zattrs",
        lambda told: told.update(multiscales=[{"version": "0.1", "datasets": [{"path": "0"}]}]),
    )
    image = oa.open(tmp_path)
    assert image.axes == ("t", "c", "z", "y", "x")
    assert len(image.notes) == 5
    assert int(image.level(0).isel(t=0, c=0, z=0, y=0, x=5)) == 1005


def test_chunks_of_background_are_not_there_and_that_can_be_seen(tmp_path):
    volume = ramp((8, 16, 32))
    volume[..., 16:] = 0
    write_v2(tmp_path, [volume])
    image = oa.open(tmp_path)
    assert image.missing_chunks == ()
    assert int(image.level(0).sum()) == int(volume.sum())
    assert image.missing_chunks == ("0/0/0/0/0/1",)
    assert "1 chunk" in repr(image)


def test_chunks_of_images_that_are_damaged(tmp_path):
    write_v2(tmp_path / "v2.zarr", [ramp((8, 16, 16))])
    chunk = tmp_path / "v2.zarr" / "0" / "0" / "0" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    for body in (whole[: len(whole) // 2], b"<html>not found</html>", b""):
        chunk.write_bytes(body)
        level = oa.open(tmp_path / "v2.zarr").level(0)
        with pytest.raises(CorruptError, match="damaged"):
            level.to_numpy()


def test_services_that_break_off_or_refuse(loopback):

    def place(**routes) -> RemoteObjects:
        server = loopback({f"/b/{name}": handler for name, handler in routes.items()})
        bucket = Bucket(
            http=client, name="b", endpoint=server.url, retry=Retry(attempts=2, first_wait_s=0.01)
        )
        return RemoteObjects(bucket, "")

    def broken(request, reply):
        reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        reply.cut()

    with Http(silence_timeout_s=2) as client:
        cut = place(x=broken)
        with pytest.raises(OpenAllenError):
            cut.get("x")
        assert cut.requests == 2
        with pytest.raises(OpenAllenError):
            place(x=lambda _, reply: reply.send(status="403 Forbidden")).get("x")
        gone = place(x=lambda _, reply: reply.send(status="404 Not Found"))
        assert gone.get("x") is None
        assert gone.get("x", 0, 10) is None
        whole = place(x=lambda _, reply: reply.send(b"abcde"))
        assert whole.get("x", 1, 3) == b"bc"  # a service that knows no ranges
        part = {"Content-Range": "bytes 2-3/5"}
        other = place(x=lambda _, reply: reply.send(b"cd", "206 Partial Content", part))
        with pytest.raises(OpenAllenError, match="wrong range received"):
            other.get("x", 0, 2)


@pytest.mark.parametrize(
    ("asked", "body", "told"),
    [
        ((0, 3), b"ab", "bytes 0-1/5"),  # shorter than asked for, though there is more
        ((0, 3), b"ab", "bytes 0-2/5"),  # shorter than it says
        ((0, 3), b"abc", None),
        ((0, 3), b"abc", "bytes 2-0/5"),
        ((0, 3), b"abc", "bytes 0-2/2"),
        ((0, 3), b"abc", "nonsense"),
        ((-2, None), b"ab", "bytes 0-1/5"),
        ((-2, None), b"de", "bytes 3-4/*"),
        ((2, None), b"cd", "bytes 2-3/5"),
        ((None, None), b"abc", "bytes 0-2/5"),
    ],
)
def test_another_part_than_was_asked_for_is_never_taken_for_it(loopback, asked, body, told):
    head = {} if told is None else {"Content-Range": told}
    server = loopback({"/b/x": lambda _, reply: reply.send(body, "206 Partial Content", head)})
    with Http() as client:
        bucket = Bucket(http=client, name="b", endpoint=server.url, retry=Retry(attempts=1))
        with pytest.raises(OpenAllenError, match="received"):
            RemoteObjects(bucket, "").get("x", *asked)


@pytest.mark.parametrize(
    ("asked", "body", "told"),
    [
        ((0, 3), b"abc", "bytes 0-2/5"),
        ((0, 3), b"abc", "bytes 0-2/*"),
        ((3, 99), b"de", "bytes 3-4/5"),
        ((2, None), b"cde", "bytes 2-4/5"),
        ((-2, None), b"de", "bytes 3-4/5"),
        ((-9, None), b"abcde", "bytes 0-4/5"),
    ],
)
def test_the_part_that_was_asked_for(loopback, asked, body, told):
    head = {"Content-Range": told}
    server = loopback({"/b/x": lambda _, reply: reply.send(body, "206 Partial Content", head)})
    with Http() as client:
        bucket = Bucket(http=client, name="b", endpoint=server.url, retry=Retry(attempts=1))
        assert RemoteObjects(bucket, "").get("x", *asked) == body


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_in_zarr_as_its_tables(bucket):
    told = json.loads((DATA / "assets" / "session.nwb.json").read_text())
    session = oa.open(f"asset:{NWB}/{SESSION}")
    assert isinstance(session, NwbTables)
    assert set(session.table_names) == {"units", "trials", "electrodes"}
    for name, columns in told["tables"].items():
        table = getattr(session, name)
        for column, values in columns.items():
            assert [_plain(value) for value in table[column]] == values, (name, column)
    assert session.electrodes["group"].tolist() == ["/general/extracellular_ephys/ProbeA"] * 4
    assert session.metadata["started"].startswith(told["start"][:19])
    assert session.metadata["subject"] == "625749"
    lfp = session.series("LFP", 0.5, 0.505)
    assert (lfp / 1e-6).to_numpy().round(3)[:, 0].tolist() == [row[0] for row in told["lfp"]]
    assert (lfp / 2e-6).to_numpy().round(3)[:, 2].tolist() == [row[2] for row in told["lfp"]]
    assert session.series("LFP", scaled=False, end_s=0.505).to_numpy().tolist() == told["lfp"]
    assert session.series("running", 1.0, 2.0)["time"].to_numpy()[
        [0, -1]
    ].tolist() == pytest.approx([1.01, 1.91])
    assert list(session.table("units", columns=["amplitude"])) == ["amplitude"]
    assert "LFP, running, licks" in repr(session)
    for wrong in (lambda: session.table("none"), lambda: session.series("none")):
        with pytest.raises(NotFoundError, match="there are"):
            wrong()
    for wrong in (
        lambda: session.table("units", columns=["none"]),
        lambda: session.series("running", 9),
    ):
        with pytest.raises(UsageError):
            wrong()


def _plain(value):
    if isinstance(value, (np.ndarray, list)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def test_tables_of_a_far_session_take_few_requests(far):
    from openallen.formats.nwb import frame, open_zarr

    place = far(f"{NWB}/{SESSION}")
    tree = open_zarr(place, "session")
    assert place.requests == 4
    assert len(frame(tree, "intervals/trials", index="id")) == 6
    # For the table its attributes, for each of the four columns and the ids what describes it, and
    # its chunk.
    assert place.requests == 4 + 1 + 2 * 5
    with_nothing = place.requests
    frame(tree, "intervals/trials", index="id")
    assert place.requests == with_nothing


@pytest.mark.parametrize("consolidated", [True, False])
def test_a_session_on_this_machine(tmp_path, consolidated):
    unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", tmp_path)
    folder = tmp_path / "session.nwb.zarr"
    if not consolidated:
        (folder / ".zmetadata").unlink()
    session = oa.open(folder)
    assert set(session.table_names) == {"units", "trials", "electrodes"}
    assert session.trials["go"].tolist() == [False, True] * 3


def test_consolidated_metadata_that_lie(tmp_path):
    unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", tmp_path)
    folder = tmp_path / "session.nwb.zarr"

    def lie(told):
        copied = told["metadata"]
        copied["units/amplitude/.zarray"]["shape"] = [99]
        for key in [k for k in copied if k.startswith("intervals/trials/go/")]:
            del copied[key]
        copied["intervals/trials/ghost/.zarray"] = copied["units/amplitude/.zarray"]
        copied["intervals/trials/.zattrs"]["colnames"] = ["nothing"]

    reread(folder, ".zmetadata", lie)
    session = oa.open(folder)
    assert len(session.units) == 5
    assert session.trials["go"].tolist() == [False, True] * 3
    assert any("amplitude" in note for note in session.tree.hierarchy.notes)
    with pytest.raises(CorruptError, match="names an array that is not there"):
        session.tree.array("intervals/trials/ghost")


def test_sessions_with_chunks_missing_or_damaged(tmp_path):
    unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", tmp_path)
    folder = tmp_path / "session.nwb.zarr"
    (folder / "units" / "amplitude" / "0").unlink()
    session = oa.open(folder)
    assert len(session.trials) == 6  # what is whole is there all the same
    with pytest.raises(TruncatedError, match="units/amplitude/0"):
        session.units  # noqa: B018
    assert list(session.table("units", skip=["amplitude"]))
    stimulus = folder / "intervals" / "trials" / "stimulus" / "0"
    stimulus.write_bytes(b"<html>no</html>")
    with pytest.raises(CorruptError):
        session.trials  # noqa: B018
    stimulus.unlink()
    with pytest.raises(TruncatedError, match="stimulus/0"):
        session.trials  # noqa: B018
    lfp = folder / "acquisition" / "LFP" / "data" / "0.0"
    lfp.write_bytes(lfp.read_bytes()[:100])
    with pytest.raises(CorruptError, match="damaged"):
        session.series("LFP", 0.5, 0.6)
    assert len(session.series("running")) == 50


def test_a_damaged_copy_of_metadata_and_links_in_circles(tmp_path):
    unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", tmp_path)
    folder = tmp_path / "session.nwb.zarr"
    (folder / ".zmetadata").write_text("<html>")
    session = oa.open(folder)
    assert len(session.trials) == 6
    assert "consolidated metadata cannot be read" in session.tree.hierarchy.notes[0]
    links = [
        {"name": "round", "path": "/intervals/again"},
        {"name": "again", "path": "/intervals/round"},
    ]
    (folder / "intervals" / ".zattrs").write_text(json.dumps({"zarr_link": [*links, "no link"]}))
    with pytest.raises(CorruptError, match="circular links"):
        oa.open(folder).tree.array("intervals/round/x")


@pytest.mark.parametrize("codec", ["zlib", "gzip", "lzma", "zstd", "bz2"])
def test_whatever_a_codec_raises_is_said_in_one_way(tmp_path, codec):
    import numcodecs

    write_v2(tmp_path / "i.zarr", [ramp((8, 16, 16))])
    reread(tmp_path / "i.zarr", "0/.zarray", lambda told: told.update(compressor={"id": codec}))
    chunk = tmp_path / "i.zarr" / "0" / "0" / "0" / "0" / "0" / "0"
    whole = numcodecs.get_codec({"id": codec}).encode(ramp((8, 16, 16)).tobytes())
    chunk.write_bytes(whole)
    assert np.array_equal(oa.open(tmp_path / "i.zarr").level(0), ramp((8, 16, 16)))
    for body in (b"<html>not found</html>", whole[: len(whole) // 2], b""):
        chunk.write_bytes(body)
        with pytest.raises(CorruptError, match="damaged"):
            oa.open(tmp_path / "i.zarr").level(0).to_numpy()


def test_a_page_of_html_is_not_remembered(loopback, tmp_path):

    page = b"<!DOCTYPE html><html>log in first</html>"
    server = loopback(
        {"/b/x": lambda asked, reply: reply.send(page if asked.number == 1 else b"chunk")}
    )
    with Http() as client:
        place = RemoteObjects(
            Bucket(http=client, name="b", endpoint=server.url), "", CachedObjects(tmp_path)
        )
        assert place.get("x", mark="v1") == page
        assert place.get("x", mark="v1") == b"chunk"
        again = RemoteObjects(
            Bucket(http=client, name="b", endpoint=server.url), "", CachedObjects(tmp_path)
        )
        assert again.get("x", mark="v1") == b"chunk"
        assert again.requests == 0


def test_pickles_in_a_store_are_values_or_refused(tmp_path):
    import numcodecs

    unpacked(DATA / "assets" / "session.nwb.zarr.tar.xz", tmp_path)
    folder = tmp_path / "session.nwb.zarr"
    chunk = folder / "general" / "extracellular_ephys" / "electrodes" / "group" / "0"
    told = json.loads((chunk.parent / ".zarray").read_text())

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    codec = numcodecs.get_codec(told["compressor"])
    chunk.write_bytes(bytes(codec.encode(pickle.dumps(Evil()))))
    session = oa.open(folder)
    with pytest.raises(CorruptError, match="neither a value nor an array"):
        session.electrodes  # noqa: B018
    assert not (tmp_path / "owned").exists()


# --- recordings -----------------------------------------------------------------------------------


@needs_wavpack
def test_part_of_a_far_recording_takes_its_chunks_only(far, made):
    traces = np.load(made / "now" / "traces.npy")
    place = far(f"{RAW}/{PROBE}")
    recording = open_recording(place)
    opened = place.requests
    assert opened <= 16
    part = recording.traces(0.0, 0.05, scaled=False)
    assert np.array_equal(part, traces[:1500])
    assert place.requests - opened == 1
    assert recording.locations_um is not None
    by_address = oa.open(f"asset:{RAW}/{PROBE}")
    assert np.array_equal(by_address.traces(scaled=False), traces)


def test_part_of_a_far_binary_recording_is_a_range_of_its_file(bucket, made):
    address = "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB"
    recording = oa.open(address)
    traces = np.load(made / "now" / "traces.npy")
    part = recording.traces(0.05, 0.1)
    assert np.allclose(part, traces[1500:3000] * 0.195, atol=1e-3)
    assert recording.durations_s == (0.2,)
    here = oa.open(address, remote=False)
    assert np.array_equal(here.traces(scaled=False), traces)
    assert Path(here.place).is_dir()


def test_simulated_recordings_and_truncated_ones(bucket, tmp_path):
    import h5py

    values = np.random.default_rng(2).integers(-500, 500, (3000, 4)).astype("int16")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("recordings", data=values).attrs["gain_to_uV"] = 0.195
        file.create_group("info/recordings")["fs"] = 32000.0
        file["spiketrains/0/times"] = np.array([0.01, 0.02])
    body = (tmp_path / "m.h5").read_bytes()
    bucket.put("ephys-compression/mearec/mearec_NP1.h5", body, "aind-benchmark-data")
    address = "recording:mearec/mearec_NP1.h5"
    far = oa.open(address)
    assert np.array_equal(far.traces(scaled=False), values)
    assert far.spikes.times_s["0"].tolist() == [0.01, 0.02]
    assert np.array_equal(oa.open(address, remote=False).traces(scaled=False), values)
    assert oa.open(address).place.startswith(str(tmp_path))  # it is here now
    leaving = f"import openallen as oa; r = oa.open('{address}', remote=True); print(float(r.traces(0, 0.01).sum()))"
    done = subprocess.run(
        [sys.executable, "-c", leaving], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")  # open as the process ends
    bucket.put(
        "ephys-compression/mearec/other.h5",
        body.replace(b"recordings", b"recordinks"),
        "aind-benchmark-data",
    )
    with pytest.raises(CorruptError, match="not a MEArec file"):
        oa.open("recording:mearec/other.h5")
    bucket.s3.delete_object(Bucket="aind-benchmark-data", Key="ephys-compression/mearec/other.h5")
    assert [row["recording"] for row in oa.list("recording:mearec")] == ["mearec_NP1.h5"]
    kwargs = {
        "file_paths": ["t.raw"],
        "sampling_frequency": 30000.0,
        "num_chan": 4,
        "dtype": "<i2",
        "time_axis": 0,
    }
    cut = "ephys-compression/aind-np2/cut"
    bucket.put(f"{cut}/cached.json", json.dumps({"kwargs": kwargs}).encode(), "aind-benchmark-data")
    bucket.put(f"{cut}/t.raw", bytes(1001), "aind-benchmark-data")
    with pytest.raises(TruncatedError, match="truncated"):
        oa.open("recording:aind-np2/cut")
    for wrong, error in [
        ("recording:aind-np2", UsageError),
        ("recording:aind-np2/none", NotFoundError),
        ("recording:mearec/none.h5", NotFoundError),
    ]:
        with pytest.raises(error):
            oa.open(wrong)


def test_what_was_read_is_here_the_second_time(far, tmp_path):
    kept = CachedObjects(tmp_path / "kept")
    first = far(f"{NWB}/{SESSION}", kept)
    whole = Hierarchy(first).array("acquisition/LFP/data")[...]
    again = far(f"{NWB}/{SESSION}", kept)
    hierarchy = Hierarchy(again)
    before = again.requests
    assert np.array_equal(hierarchy.array("acquisition/LFP/data")[...], whole)
    assert again.requests - before == 1  # its description; no chunk
    for path in (tmp_path / "kept").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-5] + b"wrong")
    third = far(f"{NWB}/{SESSION}", kept)
    assert np.array_equal(Hierarchy(third).array("acquisition/LFP/data")[...], whole)


def test_what_is_kept_has_a_limit(tmp_path):
    kept = CachedObjects(tmp_path, limit_bytes=10_000)
    for n in range(100):
        kept.put(str(n), bytes(500))
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 12_000
    assert kept.get("99") == bytes(500)
    assert kept.get("0") is None


def test_offline_and_not_here(bucket, monkeypatch):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    with pytest.raises(OfflineError):
        oa.open(f"asset:{NWB}/{SESSION}")


def test_what_is_remembered_can_be_seen_and_forgotten(bucket, tmp_path):
    oa.open("recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB").traces(0.0, 0.05)
    store = tmp_path / "store"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "openallen", "store", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    listed = run("ls")
    assert "openallen store prune ranges" in listed.stderr
    assert "ranges:" not in listed.stdout
    told = json.loads(run("prune", "ranges", "--dry-run", "--json").stdout)
    assert told["freed_bytes"] > 0
    assert (store / "ranges").is_dir()
    assert run("prune", "ranges").returncode == 0
    assert not (store / "ranges").exists()
    assert run("prune", "nothing").returncode == 2


# --- tables and documents -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uploaded(published):
    """Tables of some megabytes and small documents, for all tests of them."""
    import pandas as pd

    bucket = published

    frame = pd.DataFrame(
        {"t": np.arange(200_000) / 10, "x": np.arange(200_000), "word": ["a", "b"] * 100_000}
    )
    out = io.BytesIO()
    frame.to_parquet(out, row_group_size=20_000, compression=None)
    name = "behavior_123456_2024-01-01_00-00-00"
    bucket.put(f"{name}/behavior/t.parquet", out.getvalue())
    bucket.put(f"{name}/behavior/t.csv", frame.to_csv(index=False).encode())
    bucket.put(f"{name}/behavior/t.tsv", b"a\tb\n1\t2\n")
    bucket.put(f"{name}/behavior/page.csv", b"<html>no such file</html>")
    bucket.put(f"{name}/behavior/page.json", b"<html>no such file</html>")
    bucket.put(f"{name}/behavior/page.parquet", b"<html>no such file</html>")
    bucket.put(f"{name}/behavior/lines.jsonl", b'{"a": 1}\n{"a": 2}\n')
    bucket.put(f"{name}/behavior/cell.swc", b"1 1 0 0 0 1 -1\n2 3 1 0 0 1 1\n")
    bucket.put(f"{name}/behavior/cut.json", b'{"a": [1, 2')
    out = io.BytesIO()
    np.save(out, np.arange(5))
    bucket.put(f"{name}/behavior/n.npy", out.getvalue())
    return f"asset:{name}/behavior", frame, bucket


@pytest.fixture
def tables(uploaded, bucket):
    return uploaded


def test_tables_and_documents(tables):
    where, frame, _ = tables
    assert oa.open(f"{where}/t.csv").equals(frame)
    assert oa.open(f"{where}/t.parquet").equals(frame)
    assert oa.open(f"{where}/t.parquet", columns=["x"]).equals(frame[["x"]])
    assert oa.open(f"{where}/t.parquet", nrows=5).equals(frame[:5])
    assert oa.open(f"{where}/t.csv", nrows=5, columns=["word"]).equals(frame[["word"]][:5])
    assert oa.open(f"{where}/t.tsv").to_dict("list") == {"a": [1], "b": [2]}
    assert oa.open(f"{where}/lines.jsonl") == [{"a": 1}, {"a": 2}]
    assert oa.open(f"{where}/n.npy").tolist() == [0, 1, 2, 3, 4]
    asset = oa.open(where.rpartition("/")[0])
    assert len(asset.open("behavior/t.csv", nrows=3)) == 3
    assert len(oa.open(f"{where}/cell.swc").nodes) == 2


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("page.csv", {}, CorruptError),
        ("page.json", {}, CorruptError),
        ("page.parquet", {}, CorruptError),
        ("cut.json", {}, CorruptError),
        ("none.csv", {}, NotFoundError),
        ("none.parquet", {}, NotFoundError),
        ("none", {}, NotFoundError),
        ("t.csv", {"columns": ["none"]}, UsageError),
        ("t.parquet", {"columns": ["none"]}, UsageError),
        ("", {"columns": ["none"]}, UsageError),
    ],
)
def test_tables_that_are_none(tables, name, options, error):
    with pytest.raises(error):
        oa.open(f"{tables[0]}/{name}".rstrip("/"), **options)


def test_a_file_that_was_fetched_is_read_here(tables, monkeypatch):
    where, frame, _ = tables
    oa.fetch(f"{where}/t.parquet")
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "http://127.0.0.1:9")
    assert oa.open(f"{where}/t.parquet").equals(frame)


# --- what is inside -------------------------------------------------------------------------------


def test_what_can_be_opened(bucket):
    found = {c.path: c.kind for c in oa.open(f"asset:{EXA}").contents()}
    assert found == {f"SPIM.ome.zarr/tile_00000{n}_ch_561.zarr": "image" for n in range(2)}
    assert {c.kind for c in oa.open(f"asset:{NWB}").contents()} == {"session"}
    assert [(c.path, c.kind) for c in oa.open(f"asset:{RAW}").contents()] == [(PROBE, "recording")]
    assert {c.kind for c in oa.open(f"asset:{SMART}").contents()} == {"image"}
    with pytest.raises(UsageError):
        oa.open(f"asset:{RAW}/ecephys_clipped/settings.xml")


def test_sortings_in_an_asset_open_as_what_they_are(bucket, tmp_path):
    """AIND's sorted assets hold them; they were announced as recordings, and called corrupt."""
    made = unpacked(DATA / "ephys" / "sortings.tar.xz", tmp_path)
    asset = f"{RAW}_sorted_2025-01-02_03-04-05"
    kinds = {
        "curated/exp1.zarr": ("sorting.zarr", "sorting"),
        "postprocessed/exp1.zarr": ("analyzer.zarr", "analyzer"),
        "spikesorted/exp1": ("numpy", "sorting"),
        "old/exp1": ("analyzer", "analyzer"),
    }
    for path, (folder, _) in kinds.items():
        upload(bucket.put, made / folder, f"{asset}/{path}")
    found = {c.path: c.kind for c in oa.open(f"asset:{asset}").contents()}
    assert found == {path: kind for path, (_, kind) in kinds.items()}
    for path, (folder, _) in kinds.items():
        there, here = oa.open(f"asset:{asset}/{path}"), oa.open(made / folder)
        assert type(there) is type(here)
        expected = here.units()["spike_times"]
        assert all(map(np.array_equal, there.units()["spike_times"], expected))
    metrics = oa.open(f"asset:{asset}/postprocessed/exp1.zarr").metrics()
    assert metrics.loc["noise", "num_spikes"] == 10


def test_a_codec_nobody_brings_is_named(bucket, tmp_path):
    write_v2(tmp_path, [ramp((8, 16, 16))])
    reread(tmp_path, "0/.zarray", lambda told: told["compressor"].update(id="aliens"))
    name = "SmartSPIM_1_2024-01-01_00-00-00"
    upload(bucket.put, tmp_path, f"{name}/a.zarr")
    image = oa.open(f"asset:{name}/a.zarr")
    with pytest.raises(CorruptError, match=r"codec .aliens. is not read"):
        image.level(0)


def test_archives_are_no_stores(tmp_path):
    with tarfile.open(tmp_path / "x.zarr", "w"):
        pass
    with pytest.raises(UsageError):
        oa.open(tmp_path / "x.zarr")


# --- what a stranger does ---


def test_an_asset_there_is_none_of(bucket):
    wrong = "ecephys_625749_2022-08-03_15-15-07"
    with pytest.raises(NotFoundError, match="no such asset"):
        oa.open(f"asset:{wrong}")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "openallen", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    for verb in ("list", "show", "view"):
        done = run(verb, f"asset:{wrong}")
        assert done.returncode == 3
        assert wrong in done.stderr.splitlines()[0]
    part = run("show", f"asset:{NWB}/nwb/none.zarr")
    assert (part.returncode, f"openallen list asset:{NWB}/nwb" in part.stderr) == (3, True)
    assert "patterns are for list and fetch" in run("show", f"asset:{NWB}/nwb/*.csv").stderr
    assert f"list asset:{NWB}" in run("list", f"asset:{NWB}/none").stderr
    assert "NP1, NP2" in run("bench", "compression", "NP3").stderr


def test_a_folder_of_images_says_what_it_holds(bucket):
    store = oa.open(f"asset:{EXA}/SPIM.ome.zarr")
    assert isinstance(store, Hierarchy)
    assert "tile_000001_ch_561.zarr" in repr(store)
    assert "Zarr 2" in store._repr_html_()
    shown = str(oa.show(f"asset:{EXA}"))
    assert "opens without being fetched" in shown
    assert "tile_000000_ch_561.zarr" in shown


def test_channels_of_a_series_are_electrodes(bucket):
    session = oa.open(f"asset:{NWB}/{SESSION}")
    part = session.series("LFP", 1.0, 1.2, channels=[3, 0])
    assert part["channel"].to_numpy().tolist() == [3, 0]
    assert part.shape == (200, 2)
    for name, channels in [("LFP", [4]), ("running", [0])]:
        with pytest.raises(UsageError, match="no such channels"):
            session.series(name, 1.0, 1.2, channels=channels)


def test_recordings_are_found_in_python_too(bucket):
    assert oa.search("recording:")[0]["kind"] == "aind-np2"
    assert oa.search("recording:aind-np2")[0]["address"].startswith("recording:aind-np2/")


@pytest.mark.parametrize("number", ["a", 1.5, None, 3, -4])
def test_levels_there_are_not(tmp_path, number):
    write_v2(tmp_path, [ramp((4, 8, 8))])
    with pytest.raises(UsageError, match="levels are 0 to 0"):
        oa.open(tmp_path).level(number)


# --- looked at, and told apart --------------------------------------------------------------------


def test_states_that_are_there_and_states_that_are_made(bucket):
    (one,) = views(f"asset:{SMART}/neuroglancer_config.json")
    assert one.layers == ("a",)
    found = views(f"asset:{SMART}")
    assert [view.title for view in found] == [
        "neuroglancer_config.json",
        "image_cell_segmentation/Ex_639/visualization/neuroglancer_config.json",
    ]
    assert found[0].url.startswith("https://viewer.example#!s3://")
    assert found[0].layers == ("a",)
    made = views(f"asset:{EXA}")
    assert [view.made for view in made] == [True, True]
    state = json.loads(unquote(made[0].url.partition("#!")[2]))
    assert (
        state["layers"][0]["source"]
        == f"zarr://s3://aind-open-data/{EXA}/SPIM.ome.zarr/tile_000000_ch_561.zarr"
    )
    assert state["dimensions"]["z"] == [pytest.approx(2e-6), "m"]
    one = views(f"asset:{EXA}/SPIM.ome.zarr/tile_000001_ch_561.zarr")
    assert [view.title for view in one] == ["SPIM.ome.zarr/tile_000001_ch_561.zarr"]
    with pytest.raises(NotFoundError, match="nothing to view"):
        views(f"asset:{RAW}")


@pytest.mark.parametrize(
    ("text", "links"),
    [
        (b"{}", []),
        (b"<html>", []),
        (b"[]", []),
        (b'{"ng_link": "javascript:alert(1)"}', []),
        (
            b'{"layers": []}',
            [
                "https://neuroglancer-demo.appspot.com/#!s3://aind-open-data/SmartSPIM_9_2024-01-01_00-00-00/neuroglancer_state.json"
            ],
        ),
    ],
)
def test_documents_that_are_states_or_not(bucket, text, links):
    bucket.put("SmartSPIM_9_2024-01-01_00-00-00/neuroglancer_state.json", text)
    if links:
        assert [view.url for view in views("asset:SmartSPIM_9_2024-01-01_00-00-00")] == links
    else:
        with pytest.raises(NotFoundError, match="nothing to view"):
            views("asset:SmartSPIM_9_2024-01-01_00-00-00")


def test_links_to_pictures_of_ephys(bucket):
    name = "ecephys_9_2024-01-01_00-00-00_sorted_2024-01-02_00-00-00"
    told = {
        "ProbeA": {
            "timeseries": "https://figurl.example/a",
            "sorting_summary": "https://figurl.example/b",
        },
        "note": "text",
    }
    bucket.put(f"{name}/visualization_output.json", json.dumps(told).encode())
    assert [(v.url, v.layers) for v in views(f"asset:{name}")] == [
        ("https://figurl.example/a", ("ProbeA/timeseries",)),
        ("https://figurl.example/b", ("ProbeA/sorting_summary",)),
    ]


def test_several_of_one_label_are_told_apart_by_what_is_inside(bucket):
    raw = "multiplane-ophys_777777_2022-08-25_09-45-23"
    inside = {
        "01": "VISp_0/dff/dff.h5",
        "02": "dlc_face/out.csv",
        "03": "results/pophys.nwb.zarr/.zgroup",
    }
    bucket.put(
        f"{raw}/data_description.json", json.dumps({"subject_id": "777777", "name": raw}).encode()
    )
    for n, path in inside.items():
        name = f"{raw}_processed_2023-01-{n}_00-00-00"
        bucket.put(f"{name}/{path}", b"x")
        bucket.sidecar(name, "data_description", {"name": name})
    bucket.put(f"{raw}_processed_2023-01-01_00-00-00/VISp_1/dff/dff.h5", b"x")
    other = f"{raw}_nwb_2023-02-01_00-00-00"
    bucket.put(f"{other}/x", b"x")
    family = {row["name"]: row["inside"] for row in oa.show(f"asset:{raw}", graph=True)["family"]}
    assert family[f"{raw}_processed_2023-01-01_00-00-00"] == ["VISp_0/", "VISp_1/"]
    assert family[f"{raw}_processed_2023-01-02_00-00-00"] == ["dlc_face/out.csv"]
    assert family[f"{raw}_processed_2023-01-03_00-00-00"] == ["results/pophys.nwb.zarr/"]
    assert family[other] is None


def test_by_the_command_line(bucket):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "openallen", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    links = run("view", f"asset:{SMART}", "--links", "--ids")
    assert links.stdout.startswith("https://viewer.example#!s3://"), links.stderr
    assert run("view", f"asset:{RAW}", "--links").returncode == 3
    assert run("view", "stack:1", "--links").returncode == 2
    shown = run("show", f"asset:{NWB}/{SESSION}")
    assert "units" in shown.stdout, shown.stderr
    told = json.loads(
        run("show", f"asset:{SMART}/image_tile_fusing/OMEZarr/Ex_639_Em_667.zarr", "--json").stdout
    )
    assert told["kind"] == "OmeZarr"
    assert told["levels"] == 3
    told = json.loads(
        run("show", "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB", "--json").stdout
    )
    assert (told["channels"], told["sampling"], told["dtype"]) == (8, "30 kHz", "int16")
    rows = run("list", "recording:aind-np2")
    assert "612962_2022-04-13_19-18-04_ProbeB" in rows.stdout, rows.stderr
    kinds = json.loads(run("list", "recording:", "--json").stdout.splitlines()[0])
    assert kinds["kind"] == "aind-np2"
    assert run("list", "recording:nothing").returncode == 3
    assert run("show", f"asset:{RAW}/ecephys_clipped").returncode == 2
    assert run("show", f"asset:{RAW}/nothing.csv").returncode == 3


def test_a_long_listing_says_how_far_it_is(bucket, capsys, monkeypatch):
    from openallen.cli import progress

    monkeypatch.setattr(progress, "_EVERY", 2)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", -1.0)
    with progress.counting(None, "files", quiet=False) as step:
        oa.open(f"asset:{EXA}").folders(seen=step)
    assert "files 2\nfiles 4\n" in capsys.readouterr().err
