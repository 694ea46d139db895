"""Sortings and analyzers as SpikeInterface wrote them, against what it reads back itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from farstores import unpacked

import openallen as oa
from openallen.errors import CorruptError, IntegrityError, NotFoundError, UsageError
from openallen.sources.recordings import Analyzer, Sorting, open_sorting
from openallen.transport import Http, Retry
from openallen.transport.objects import RemoteObjects
from openallen.transport.s3 import Bucket

DATA = Path(__file__).parents[1] / "data" / "ephys" / "sortings.tar.xz"
SORTINGS = ["numpy", "npz", "sorting.zarr", "analyzer/sorting", "analyzer.zarr/sorting"]
ANALYZERS = ["analyzer", "analyzer.zarr"]
IDS = ("7", "noise", "12")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return unpacked(DATA, tmp_path_factory.mktemp("sortings"))


@pytest.fixture(scope="module")
def truth(made):
    return np.load(made / "truth.npz")


@pytest.mark.parametrize("place", SORTINGS)
def test_spike_times_are_on_the_clock_of_the_recording(made, truth, place):
    found = oa.open(made / place)
    recording = oa.open(made / "recording.zarr")
    assert isinstance(found, Sorting)
    assert (found.unit_ids, found.segments, found.sampling_frequency_hz) == (IDS, 2, 5000.0)
    for unit in IDS:
        for segment in (0, 1):
            expected = truth[f"{unit}_{segment}"]
            times = found.times_s(unit, segment, recording=recording)
            assert np.allclose(times, expected, rtol=0, atol=1e-9)
            samples = found.samples(unit, segment)
            assert np.array_equal(found.times_s(unit, segment), samples / 5000)
    assert min(float(truth[f"{unit}_0"][0]) for unit in IDS) > 100.5


@pytest.mark.parametrize("place", SORTINGS)
def test_units_are_a_table(made, truth, place):
    found = oa.open(made / place)
    table = found.units(recording=oa.open(made / "recording.zarr"))
    assert table.index.tolist() == list(IDS)
    assert table.index.name == "unit_id"
    assert table["spike_count"].tolist() == [len(truth[f"{unit}_0"]) for unit in IDS]
    assert np.allclose(table.loc["noise", "spike_times"], truth["noise_0"])
    assert table.attrs["clock"] == "recording"
    assert found.units(1).attrs["clock"] == "segment"
    assert "Sorting" in repr(found)
    assert "main_channel_id" in found.properties


@pytest.mark.parametrize("place", ANALYZERS)
def test_an_analyzer_has_templates_and_metrics(made, truth, place):
    found = oa.open(made / place)
    assert isinstance(found, Analyzer)
    assert found.extensions == ("noise_levels", "quality_metrics", "random_spikes", "templates")
    templates = found.templates()
    assert templates.dims == ("unit", "time", "channel")
    assert np.array_equal(templates, truth["templates"])
    assert templates["unit"].to_numpy().tolist() == list(IDS)
    assert float(templates["time"][0]) == -1.0  # ms
    assert templates.attrs["units"] == "µV"
    expected = pd.read_csv(made / "metrics.csv", index_col=0)
    metrics = found.metrics()
    assert set(metrics.columns) == {"num_spikes", "firing_rate", "snr"}
    assert metrics.index.tolist() == list(IDS)
    assert np.allclose(metrics[expected.columns], expected.to_numpy(float), rtol=1e-12)
    assert "snr" in found.units().columns
    assert found.array("noise_levels", "noise_levels").shape == (4,)
    with pytest.raises(NotFoundError, match="no templates"):
        found.templates("median")
    assert "quality_metrics" in repr(found)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("place", ["numpy", "analyzer/sorting"])
def test_properties_of_a_remote_folder_are_those_of_the_one_here(
    made, loopback, caplog, place, listed
):
    here = oa.open(made / place)
    files = {p.relative_to(made).as_posix(): p for p in (made / place).rglob("*") if p.is_file()}

    def level(request, reply):
        inside = unquote(request.target.rpartition("prefix=")[2])
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{path.stat().st_size}</Size></Contents>"
            for key, path in sorted(files.items())
            if key.startswith(inside) and "/" not in key.removeprefix(inside)
        )
        status = "200 OK" if listed else "403 Forbidden"
        reply.send(f"<ListBucketResult>{entries}</ListBucketResult>".encode(), status)

    server = loopback({"/b/": level})
    for key, path in files.items():
        server.routes[f"/b/{key}"] = lambda _, reply, path=path: reply.send(path.read_bytes())
    with Http() as http:
        bucket = Bucket(http=http, name="b", endpoint=server.url, retry=Retry(attempts=1))
        there = open_sorting(RemoteObjects(bucket, f"{place}/"))
        for unit in IDS:
            assert np.array_equal(there.samples(unit), here.samples(unit))
        if not listed:
            assert there.properties == {}
            assert "not listed" in caplog.text
            return
        assert there.properties.keys() == here.properties.keys() != set()
        for name, values in here.properties.items():
            assert np.array_equal(there.properties[name], values)


def test_what_there_is_not(made):
    found = oa.open(made / "numpy")
    recording = oa.open(made / "recording.zarr")
    object.__setattr__(recording, "sampling_frequency_hz", 30_000.0)
    for wrong in (lambda: found.samples("9"), lambda: found.samples("7", 2), lambda: found.times_s("7", recording=recording)):  # fmt: skip
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(NotFoundError):
        open_sorting(made_nothing(made))


def made_nothing(made: Path):
    from openallen.formats.objects import FolderObjects

    (made / "empty").mkdir(exist_ok=True)
    return FolderObjects(made / "empty")


def changed(made: Path, to: Path, place: str, key: str, change) -> Path:
    shutil.copytree(made / place, to)
    change(to / key)
    return to


def rewrite(**more):
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    return change


@pytest.mark.parametrize(
    ("place", "key", "change"),
    [
        ("numpy", "numpysorting_info.json", rewrite(unit_ids=["7", "12"])),
        ("numpy", "numpysorting_info.json", rewrite(unit_ids=["7", "7", "12"])),
        ("numpy", "numpysorting_info.json", rewrite(num_segments=1)),
        ("numpy", "numpysorting_info.json", rewrite(sampling_frequency=0)),
        ("numpy", "numpysorting_info.json", rewrite(sampling_frequency="x")),
        ("numpy", "numpysorting_info.json", lambda path: path.write_text("{")),
        ("numpy", "spikes.npy", lambda path: path.write_bytes(path.read_bytes()[:-5])),
        ("numpy", "spikes.npy", lambda path: np.save(path, np.arange(5))),
        ("numpy", "spikes.npy", lambda path: path.unlink()),
        ("npz", "sorting_cached.npz", lambda path: path.write_bytes(path.read_bytes()[:200])),
        ("sorting.zarr", "spikes/unit_index/0", lambda path: path.write_bytes(path.read_bytes()[:20])),
        ("sorting.zarr", "spikes/unit_index/0", lambda path: path.unlink()),
        ("sorting.zarr", "unit_ids/0", lambda path: path.unlink()),
    ],
)  # fmt: skip
def test_sortings_that_are_damaged(made, tmp_path, place, key, change):
    spoilt = changed(made, tmp_path / "x", place, key, change)
    with pytest.raises(IntegrityError):
        open_sorting_here(spoilt).units()


def open_sorting_here(path: Path):
    from openallen.formats.objects import FolderObjects

    return open_sorting(FolderObjects(path))


def test_templates_that_match_nothing(made, tmp_path):
    def change(path: Path) -> None:
        np.save(path, np.zeros((2, 15, 4)))

    spoilt = changed(made, tmp_path / "x", "analyzer", "extensions/templates/average.npy", change)
    with pytest.raises(CorruptError, match="templates do not match"):
        oa.open(spoilt).templates()
