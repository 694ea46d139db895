"""Make the simulated assets of AIND in the sample archive: a recording, and its spike sorting.

    python tools/make_sample_assets.py [ARCHIVE]

Two assets of one session in the published layout, as objects of the bucket ``aind-open-data``: raw
(metadata, a recording in Zarr) and sorted (metadata, an analyzer of SpikeInterface, the session as
NWB). Every number is made up from fixed seeds; the subject 900001 is no animal. Keys of Zarr are
long, and some systems take no long paths, so objects lie below ``objects/`` by their digest and the
index of the bucket says which is which. The catalogue of both is a Parquet file in the bucket
``allen-data-views``. Needs h5py, numcodecs and pyarrow.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numcodecs import Blosc
from sample_nwb2 import File, Ragged

Array = np.ndarray[Any, Any]

SAMPLE: Final = Path(__file__).parents[1] / "src" / "openallen" / "archive" / "sample"
BUCKET, VIEWS = "aind-open-data", "allen-data-views"
CATALOGUE: Final = "data-asset-cache/bdc-v1.0/asset_basics.pqt"
MODIFIED: Final = "2026-01-17T00:00:00Z"
SUBJECT: Final = "900001"
RAW: Final = f"ecephys_{SUBJECT}_2026-01-15_10-00-00"
SORTED: Final = f"{RAW}_sorted_2026-01-16_12-00-00"
STREAM: Final = "experiment1_Record Node 101#Neuropix-PXI-100.ProbeA"
NOTE: Final = "SIMULATED asset of the openallen sample: no recording, every number is made up"
CHANNELS, RATE_HZ, LENGTH_S, BEGIN_S = 12, 30_000, 10, 100.0
GAIN_UV, NOISE_UV = 4.6875, 4.7  # a Neuropixels 1.0 at gain 250, in saline rather than a brain
BEFORE, AFTER = 30, 60
PERIOD_S, SHOWN_S, PRESENTATIONS = 0.5, 0.25, 20
# Channel with the largest amplitude, that amplitude in µV, width in ms, spikes/s at rest and while
# its stimulus is shown, that stimulus in degrees (None: it answers to nothing).
UNITS: Final = (
    (1, 80.0, 0.35, 3.0, 45.0, 0),
    (3, 48.0, 0.18, 12.0, 60.0, 90),
    (5, 64.0, 0.40, 2.0, 35.0, 90),
    (7, 40.0, 0.30, 8.0, 8.0, None),
    (8, 110.0, 0.45, 4.0, 50.0, 0),
    (10, 44.0, 0.20, 15.0, 15.0, None),
)


class Session:
    """What was made up: presentations, spikes, shapes of spikes."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(20260115)
        shown = np.repeat([0, 90], PRESENTATIONS // 2)
        self.orientations = self.random.permutation(shown)
        self.starts_s = 0.125 + PERIOD_S * np.arange(PRESENTATIONS)
        self.templates = np.stack([_template(*unit[:3]) for unit in UNITS])
        self.samples = [self._spikes(*unit[3:]) for unit in UNITS]

    def _spikes(self, rest_hz: float, shown_hz: float, answers_to: int | None) -> Array:
        """Draw the samples of the spikes of a unit: at most one in 2 ms, 40 ms after its cause."""
        at_s = np.arange(0, LENGTH_S, 0.002)
        rate = np.full(len(at_s), rest_hz)
        for start, orientation in zip(self.starts_s, self.orientations, strict=True):
            if orientation == answers_to:
                rate[(at_s >= start + 0.04) & (at_s < start + 0.04 + SHOWN_S)] = shown_hz
        fires = self.random.rand(len(at_s)) < rate * 0.002
        fires[1:] &= ~fires[:-1]
        # Two in neighbouring bins could be too near: of these, the second was left out.
        found = (at_s[fires] * RATE_HZ).astype(int) + self.random.randint(0, 30, fires.sum())
        inside = (found >= BEFORE) & (found < LENGTH_S * RATE_HZ - AFTER)
        return np.asarray(found[inside])

    def traces(self) -> Array:
        """Return samples x channels as they are stored: noise, and the spikes of all units."""
        shape = (LENGTH_S * RATE_HZ, CHANNELS)
        uv = NOISE_UV * self.random.standard_normal(shape)
        for template, samples in zip(self.templates, self.samples, strict=True):
            for at in samples:
                uv[at - BEFORE : at + AFTER] += template
        return np.asarray(np.rint(uv / GAIN_UV).astype("<i2"))

    def times_s(self) -> list[Array]:
        """Return the spikes of each unit in s, on the clock of the recording."""
        return [BEGIN_S + samples / RATE_HZ for samples in self.samples]


def places_um() -> Array:
    """Return where the contacts are: four columns of a Neuropixels 1.0, 20 µm between rows."""
    number = np.arange(CHANNELS)
    x = np.array([27.0, 59.0, 11.0, 43.0])[number % 4]
    return np.stack([x, 20.0 * (number // 2)], 1)


def _template(channel: int, amplitude_uv: float, width_ms: float) -> Array:
    """Return the shape of a spike in µV, samples x channels: a trough, then a peak."""
    at_ms = (np.arange(BEFORE + AFTER) - BEFORE) / RATE_HZ * 1000
    late = at_ms - 1.3 * width_ms
    shape = -np.exp(-((at_ms / (0.45 * width_ms)) ** 2)) + 0.35 * np.exp(-((late / width_ms) ** 2))
    places = places_um()
    away = np.linalg.norm(places - places[channel], axis=1)
    return np.asarray(np.round(amplitude_uv * shape[:, None] * np.exp(-away / 30.0)))


# --- objects of a bucket --------------------------------------------------------------------------


class Objects:
    """Objects that are put into the bucket.

    Parameters
    ----------
    root
        The folder of the archive.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lines: dict[str, dict[str, dict[str, str]]] = {BUCKET: {}, VIEWS: {}}
        (root / "objects").mkdir(parents=True, exist_ok=True)

    def put(self, key: str, body: bytes, bucket: str = BUCKET) -> None:
        """Put one object."""
        file = f"objects/{hashlib.sha256(body).hexdigest()[:16]}"
        (self._root / file).write_bytes(body)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self._lines[bucket][key] = {"key": key, "etag": etag, "modified": MODIFIED, "file": file}

    def document(self, key: str, told: Mapping[str, Any]) -> None:
        """Put a document in JSON."""
        self.put(key, json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n")

    def index(self) -> None:
        """Write which object lies where, and take away what is of no object any more."""
        folder = self._root / "buckets"
        folder.mkdir(parents=True, exist_ok=True)
        kept = set()
        for bucket, objects in self._lines.items():
            lines = [json.dumps(objects[key]) for key in sorted(objects)]
            (folder / f"{bucket}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
            kept |= {line["file"] for line in objects.values()}
        for file in (self._root / "objects").iterdir():
            if f"objects/{file.name}" not in kept:
                file.unlink()


class Store:
    """A Zarr hierarchy of version 2, as SpikeInterface's writers leave it.

    Parameters
    ----------
    objects
        Where it is put.
    key
        Its folder.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        self._objects = objects
        self._key = key

    def group(self, path: str = "", **attributes: Any) -> None:
        """Put a group."""
        at = f"{self._key}/{path}".rstrip("/")
        self._objects.document(f"{at}/.zgroup", {"zarr_format": 2})
        if attributes:
            self._objects.document(f"{at}/.zattrs", attributes)

    def array(self, path: str, values: Any, *, rows: int = 0) -> None:
        """Put an array, in one piece; in pieces of `rows`, compressed, where it has many."""
        values = np.asarray(values)
        codec = Blosc("zstd", 9, Blosc.BITSHUFFLE) if rows else None
        chunks = [rows or len(values), *values.shape[1:]]
        about = {
            "chunks": chunks, "compressor": codec.get_config() if codec else None,
            "dtype": values.dtype.str, "fill_value": "" if values.dtype.kind == "U" else 0,
            "filters": None, "order": "C", "shape": list(values.shape), "zarr_format": 2,
        }  # fmt: skip
        self._objects.document(f"{self._key}/{path}/.zarray", about)
        rest = ".0" * (values.ndim - 1)
        for n in range(len(values) // chunks[0]):
            body = np.ascontiguousarray(values[n * chunks[0] : (n + 1) * chunks[0]])
            packed = codec.encode(body) if codec else body.tobytes()
            self._objects.put(f"{self._key}/{path}/{n}{rest}", bytes(packed))


# --- the two assets -------------------------------------------------------------------------------


def main(root: Path) -> None:
    """Write everything.

    Parameters
    ----------
    root
        The folder of the archive.
    """
    made, objects = Session(), Objects(root)
    _documents(objects, RAW, "raw", [])
    _recording(objects, made)
    steps = [
        _step("Ephys preprocessing", "2026-01-16T12:00:00+00:00", "2026-01-16T12:20:00+00:00"),
        _step("Spike sorting", "2026-01-16T12:20:00+00:00", "2026-01-16T13:05:00+00:00"),
        _step("Ephys postprocessing", "2026-01-16T13:05:00+00:00", "2026-01-16T13:15:00+00:00"),
    ]
    _documents(objects, SORTED, "derived", steps)
    _analyzer(objects, made)
    objects.put(f"{SORTED}/nwb/{RAW}_experiment1_recording1.nwb", _nwb(made))
    objects.put(CATALOGUE, _catalogue(), VIEWS)
    objects.index()


def _catalogue() -> bytes:
    """Return a row for each asset, as the public catalogue has them."""
    rows = [
        {
            "_id": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(), "name": name,
            "modalities": ["ecephys"], "project_name": "openallen sample", "data_level": level,
            "subject_id": SUBJECT, "acquisition_start_time": "2026-01-15T10:00:00+00:00",
            "location": f"s3://{BUCKET}/{name}",
        }
        for name, level in ((RAW, "raw"), (SORTED, "derived"))
    ]  # fmt: skip
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def _step(name: str, begin: str, end: str) -> dict[str, Any]:
    return {
        "name": name, "software_version": "0", "start_date_time": begin, "end_date_time": end,
        "input_location": f"s3://{BUCKET}/{RAW}", "output_location": f"s3://{BUCKET}/{SORTED}",
        "code_url": "", "parameters": {}, "outputs": {}, "notes": "simulated",
    }  # fmt: skip


def _documents(objects: Objects, name: str, level: str, steps: list[dict[str, Any]]) -> None:
    """Put the metadata, in version 1 of the schema."""
    about = {
        "schema_version": "1.0.0", "name": name, "subject_id": SUBJECT, "data_level": level,
        "creation_time": "2026-01-16T12:00:00+00:00" if steps else "2026-01-15T10:00:00+00:00",
        "institution": {"name": "Allen Institute for Neural Dynamics", "abbreviation": "AIND"},
        "investigators": [], "funding_source": [], "license": "CC-BY-4.0",
        "project_name": "openallen sample", "data_summary": NOTE,
        "modality": [{"name": "Extracellular electrophysiology", "abbreviation": "ecephys"}],
        "platform": {"name": "Electrophysiology platform", "abbreviation": "ecephys"},
    }  # fmt: skip
    if steps:
        about |= {"input_data_name": RAW, "process_name": "sorted"}
    objects.document(f"{name}/data_description.json", about)
    objects.document(f"{name}/subject.json", {
        "schema_version": "1.0.0", "subject_id": SUBJECT, "sex": "Female",
        "date_of_birth": "2025-09-15", "genotype": "wt/wt",
        "species": {"name": "Mus musculus", "abbreviation": None}, "notes": "simulated",
    })  # fmt: skip
    objects.document(f"{name}/session.json", {
        "schema_version": "1.0.0", "subject_id": SUBJECT, "rig_id": "simulated",
        "session_type": "gratings", "experimenter_full_name": [],
        "session_start_time": "2026-01-15T10:00:00+00:00",
        "session_end_time": "2026-01-15T10:00:10+00:00",
    })  # fmt: skip
    if steps:
        pipeline = {"processor_full_name": "", "data_processes": steps}
        told = {"schema_version": "1.0.0", "processing_pipeline": pipeline, "analyses": []}
        objects.document(f"{name}/processing.json", told)


def _probe() -> dict[str, Any]:
    ids = [str(n) for n in range(CHANNELS)]
    return {
        "probe_ids": ["0"],
        "probes": [{
            "annotations": {"description": "simulated"}, "contact_annotations": {},
            "contact_ids": ids, "contact_positions": places_um().tolist(),
            "contact_plane_axes": [[[1.0, 0.0], [0.0, 1.0]]] * CHANNELS,
            "contact_shapes": ["square"] * CHANNELS,
            "contact_shape_params": [{"width": 12.0}] * CHANNELS,
            "device_channel_indices": list(range(CHANNELS)), "ndim": 2, "si_units": "um",
        }],
    }  # fmt: skip


def _channel_ids() -> list[str]:
    return [f"AP{n}" for n in range(CHANNELS)]


def _class(name: str) -> dict[str, str]:
    where = f"spikeinterface.core.zarrextractors.{name}"
    return {"class": where, "module": "spikeinterface", "version": "0.105.3"}


def _recording(objects: Objects, made: Session) -> None:
    store = Store(objects, f"{RAW}/ecephys/ecephys_compressed/{STREAM}-AP.zarr")
    store.group(
        "", annotations={"is_filtered": True, "simulated": True}, num_segments=1,
        probegroup=_probe(), sampling_frequency=float(RATE_HZ),
        zarr_class_info=_class("ZarrRecordingExtractor"),
    )  # fmt: skip
    store.array("channel_ids", _channel_ids())
    store.array("traces_seg0", made.traces(), rows=RATE_HZ)
    store.array("t_starts", [BEGIN_S])
    store.group("properties")
    store.array("properties/gain_to_uV", [GAIN_UV] * CHANNELS)
    store.array("properties/offset_to_uV", [0.0] * CHANNELS)


def metrics(made: Session) -> dict[str, Array]:
    """Return quality metrics of the units, as far as made-up spikes have any.

    Parameters
    ----------
    made
        What was made up.
    """
    counts = np.array([len(samples) for samples in made.samples])
    peaks = np.array([unit[1] for unit in UNITS])
    bins = np.arange(0, LENGTH_S + 1) * RATE_HZ
    present = [np.mean(np.histogram(samples, bins)[0] > 0) for samples in made.samples]
    close = [np.mean(np.diff(samples) < 0.0015 * RATE_HZ) for samples in made.samples]
    return {
        "num_spikes": counts,
        "firing_rate": np.round(counts / LENGTH_S, 3),
        "snr": np.round(peaks / NOISE_UV, 2),
        "presence_ratio": np.round(present, 3),
        "isi_violations_ratio": np.round(close, 4),
    }


def _analyzer(objects: Objects, made: Session) -> None:
    ids = [str(n) for n in range(len(UNITS))]
    store = Store(objects, f"{SORTED}/postprocessed/{STREAM}_recording1.zarr")
    info = {"dev_mode": False, "object": "SortingAnalyzer", "version": "0.105.3"}
    store.group("", settings={"return_in_uV": True}, spikeinterface_info=info)
    attributes = {
        "channel_ids": _channel_ids(), "dtype": "int16", "is_filtered": True,
        "num_channels": CHANNELS, "num_samples": [LENGTH_S * RATE_HZ],
        "sampling_frequency": float(RATE_HZ),
    }  # fmt: skip
    store.group("recording_info", probegroup=_probe(), recording_attributes=attributes)
    order = np.argsort(np.concatenate(made.samples), kind="stable")
    units = np.repeat(np.arange(len(UNITS)), [len(samples) for samples in made.samples])
    store.group(
        "sorting", annotations={"simulated": True}, num_segments=1,
        sampling_frequency=float(RATE_HZ), zarr_class_info=_class("ZarrSortingExtractor"),
    )  # fmt: skip
    store.array("sorting/unit_ids", ids)
    store.group("sorting/spikes")
    store.array("sorting/spikes/sample_index", np.concatenate(made.samples)[order])
    store.array("sorting/spikes/unit_index", units[order])
    store.array("sorting/spikes/segment_slices", [[0, len(order)]])
    store.group("sorting/properties")
    store.array("sorting/properties/main_channel_id", [f"AP{unit[0]}" for unit in UNITS])
    store.group("extensions")
    done = {"run_completed": True, "runtime_s": 0.0}
    store.group("extensions/templates", params=_span_ms(), run_info=done)
    store.array("extensions/templates/average", made.templates.astype("<f4"))
    named = {"metric_names": list(metrics(made))}
    store.group("extensions/quality_metrics", params=named, run_info=done)
    store.group("extensions/quality_metrics/metrics", dataframe=True)
    for name, values in {"index": np.array(ids), **metrics(made)}.items():
        store.array(f"extensions/quality_metrics/metrics/{name}", values)


def _span_ms() -> dict[str, Any]:
    span = {"ms_before": BEFORE / RATE_HZ * 1000, "ms_after": AFTER / RATE_HZ * 1000}
    return {**span, "operators": ["average"]}


def _nwb(made: Session) -> bytes:
    told = {
        "identifier": f"{RAW}_experiment1_recording1", "session_description": NOTE,
        "session_start_time": "2026-01-15T10:00:00+00:00",
        "timestamps_reference_time": "2026-01-15T10:00:00+00:00",
        "general/session_id": RAW, "general/institution": "AIND",
        "general/subject/subject_id": SUBJECT, "general/subject/species": "Mus musculus",
        "general/subject/sex": "F", "general/subject/age": "P122D",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.nwb"
        with h5py.File(path, "w", libver=("v110", "v110")) as h5:
            file = File(h5, told)
            file.table("units", np.arange(len(UNITS)), {
                "spike_times": Ragged(made.times_s()),
                "device_name": ["ProbeA"] * len(UNITS),
                "ks_unit_id": np.arange(len(UNITS)),
                "default_qc": [_passes(n, made) for n in range(len(UNITS))],
                **{name: values for name, values in metrics(made).items() if name != "num_spikes"},
            }, ("core", "Units"))  # fmt: skip
            starts = np.round(BEGIN_S + made.starts_s, 6)
            file.group("intervals", "core", "TimeIntervals")
            file.table("intervals/trials", np.arange(PRESENTATIONS), {
                "start_time": starts, "stop_time": starts + SHOWN_S,
                "stimulus_name": ["drifting grating"] * PRESENTATIONS,
                "orientation_deg": made.orientations,
            }, ("core", "TimeIntervals"))  # fmt: skip
        return path.read_bytes()


def _passes(unit: int, made: Session) -> str:
    told = metrics(made)
    good = told["presence_ratio"][unit] >= 0.9 and told["isi_violations_ratio"][unit] < 0.5
    return "pass" if good else "fail"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE)
