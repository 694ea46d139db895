"""Make the simulated sessions of Visual Coding in the sample archive: files, tables, rows.

    python tools/make_sample_sessions.py [ARCHIVE]

One two-photon and one Neuropixels session in the published layouts, as objects of the bucket
``allen-brain-observatory``, and rows of the service that name the two-photon one. Every number is
made up from fixed seeds; ids that begin with 900000 are of nothing real. To be run after
``make_sample.py``, whose tables it adds rows to. Needs h5py alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import sample_ecephys as ecephys
import sample_ophys as ophys

Row = dict[str, Any]

SAMPLE: Final = Path(__file__).parents[1] / "src" / "openallen" / "archive" / "sample"
BUCKET: Final = "allen-brain-observatory"
MODIFIED: Final = "2026-01-15T00:00:00Z"
NPX: Final = "visual-coding-neuropixels/ecephys-cache"
OPHYS_SESSION, SPECIMEN, DONOR, AGE, LINE = 900000021, 900000031, 900000041, 900000042, 900000043
FILE, FILE_TYPE, EYE_FILE, EYE_TYPE = 900000071, 900000072, 900000073, 900000074
MAPPING: Final = 900000301
STIMULI: Final = {"dg": "drifting_grating", "ns": "natural_scene", "sg": "static_grating"}
VISP: Final = 385
GENOTYPE: Final = "Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93"
LINES: Final = ("Cux2-CreERT2", "Camk2a-tTA", "Ai93(TITL-GCaMP6f)")
STRUCTURES: Final = {a: n for probe in ecephys.PROBES for a, n in probe.areas}


def main(root: Path) -> None:
    """Write everything.

    Parameters
    ----------
    root
        The folder of the archive.
    """
    bucket = root / "buckets" / BUCKET
    two_photon = bucket / "visual-coding-2p" / "ophys_experiment_data"
    two_photon.mkdir(parents=True, exist_ok=True)
    key = two_photon / f"{ophys.EXPERIMENT}.nwb"
    ophys.write(key)
    _rows(root / "tables", ophys.Session())
    _neuropixels(bucket / NPX)
    _index(root, bucket)
    about = json.loads((root / "archive.json").read_text("utf-8"))
    about["files"] = {str(FILE): key.relative_to(root).as_posix()}
    made_up = {*about.get("simulated_files", ()), key.name}
    about["simulated_files"] = sorted(made_up)
    (root / "archive.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def _neuropixels(cache: Path) -> None:
    made = ecephys.Session()
    folder = cache / f"session_{ecephys.SESSION}"
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "sessions": [_session()],
        "probes": [_probe(probe) for probe in ecephys.PROBES],
        "channels": [row for probe in ecephys.PROBES for row in _channels(probe)],
        "units": _units(made),
        f"{ecephys.SESSION_TYPE}_analysis_metrics": _analysis(made),
        f"session_{ecephys.SESSION}/session_{ecephys.SESSION}_analysis_metrics": _analysis(made),
    }
    for name, rows in tables.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (cache / f"{name}.csv").write_text(text.getvalue(), "utf-8")
    # Spikes are drawn with the session, waveforms and gaze while it is written: in this order.
    ecephys.write(folder / f"session_{ecephys.SESSION}.nwb", made)
    for probe in ecephys.PROBES:
        if probe.has_lfp:
            ecephys.write_lfp(folder / f"probe_{probe.id}_lfp.nwb", made, probe)


# --- tables of the Neuropixels project ------------------------------------------------------------


def _session() -> Row:
    return {
        "id": ecephys.SESSION,
        "date_of_acquisition": ecephys.STARTED.replace("+00:00", "Z"),
        "published_at": "2026-01-15T00:00:00Z",
        "specimen_id": ecephys.SPECIMEN,
        "session_type": ecephys.SESSION_TYPE,
        "isi_experiment_id": "",
        "age_in_days": 120.0,
        "sex": "M",
        "genotype": ecephys.GENOTYPE,
        "has_nwb": True,
    }


def _probe(probe: ecephys.Probe) -> Row:
    return {
        "id": probe.id,
        "air_channel_index": 372.0,
        "ecephys_session_id": ecephys.SESSION,
        "lfp_sampling_rate": ecephys.LFP_HZ if probe.has_lfp else "",
        "name": probe.name,
        "phase": "3a",
        "sampling_rate": 30000.0,
        "surface_channel_index": 340.0,
        "has_lfp_data": probe.has_lfp,
        "lfp_temporal_subsampling_factor": 2.0,
    }


def _channels(probe: ecephys.Probe) -> list[Row]:
    return [
        {
            "id": row["id"],
            "ecephys_probe_id": probe.id,
            "local_index": row["probe_channel_number"],
            "probe_horizontal_position": row["probe_horizontal_position"],
            "probe_vertical_position": row["probe_vertical_position"],
            "anterior_posterior_ccf_coordinate": row["x"],
            "dorsal_ventral_ccf_coordinate": row["y"],
            "left_right_ccf_coordinate": row["z"],
            "ecephys_structure_id": float(row["structure_id"]),
            "ecephys_structure_acronym": row["location"],
        }
        for row in ecephys.channels_of(probe)
    ]


def _units(made: ecephys.Session) -> list[Row]:
    told, peaks = ecephys.metrics(made), ecephys.peak_channels(made)
    # The service has two names of its own.
    names = {"waveform_duration": "duration", "waveform_halfwidth": "halfwidth"}
    return [
        {"id": int(unit)}
        | {names.get(name, name): float(told[name][n]) for name in sorted(told, key=str.lower)}
        | {
            "ecephys_channel_id": int(peaks[n]),
            "local_index": n % ecephys.UNITS,
            "quality": "good",
            "epoch_name_quality_metrics": "complete_session",
            "epoch_name_waveform_metrics": "complete_session",
        }
        for n, unit in enumerate(made.units["id"])
    ]


_STIMULI: Final = {
    "dg": (
        "pref_ori_dg", "pref_tf_dg", "f1_f0_dg", "g_dsi_dg", "g_osi_dg", "mod_idx_dg", "c50_dg",
        "pref_ori_multi_dg", "pref_tf_multi_dg", "time_to_peak_dg", "run_mod_dg", "run_pval_dg",
        "fano_dg", "fire_rate_dg", "lifetime_sparseness_dg",
    ),
    "sg": (
        "pref_sf_sg", "pref_ori_sg", "pref_phase_sg", "g_osi_sg", "time_to_peak_sg",
        "pref_sf_multi_sg", "pref_ori_multi_sg", "run_mod_sg", "run_pval_sg", "fano_sg",
        "fire_rate_sg", "lifetime_sparseness_sg",
    ),
    "ns": (
        "pref_image_ns", "image_selectivity_ns", "pref_images_multi_ns", "run_mod_ns",
        "run_pval_ns", "fano_ns", "fire_rate_ns", "lifetime_sparseness_ns",
    ),
    "rf": (
        "area_rf", "azimuth_rf", "elevation_rf", "width_rf", "height_rf", "on_screen_rf",
        "p_value_rf", "time_to_peak_rf", "run_mod_rf", "run_pval_rf", "fano_rf", "fire_rate_rf",
        "lifetime_sparseness_rf",
    ),
    "fl": (
        "on_off_ratio_fl", "sustained_idx_fl", "time_to_peak_fl", "run_mod_fl", "run_pval_fl",
        "fano_fl", "fire_rate_fl", "lifetime_sparseness_fl",
    ),
}  # fmt: skip


def _analysis(made: ecephys.Session) -> list[Row]:
    """Return analysis metrics; empty for stimuli that the session does not have (sg, ns)."""
    random, rows = np.random.RandomState(8), []
    names = [name for group in _STIMULI.values() for name in group]
    for n, unit in enumerate(made.units["id"]):
        row: Row = {"ecephys_unit_id": int(unit)}
        for name in names:
            drawn = round(float(random.rand()), 4)
            row[name] = "" if name.endswith(("_sg", "_ns")) else drawn
        told = {name: made.units[name][n] for name in ("direction", "frequency", "x", "y")}
        row |= {
            "pref_ori_dg": float(told["direction"]),
            "pref_tf_dg": float(told["frequency"]),
            "pref_ori_multi_dg": False,
            "pref_tf_multi_dg": False,
            "c50_dg": "",
            "fire_rate_dg": float(made.units["firing_rate"][n]),
            "azimuth_rf": float(told["x"]) + 40.0,
            "elevation_rf": float(told["y"]) + 40.0,
            "on_screen_rf": True,
            "p_value_rf": round(0.05 * float(row["p_value_rf"]), 4),
        }
        rows.append(row)
    return rows


# --- rows of the service --------------------------------------------------------------------------


def _rows(tables: Path, made: ophys.Session) -> None:
    experiment, folder = (
        ophys.EXPERIMENT,
        f"/external/simulated/ophys_experiment_{ophys.EXPERIMENT}/",
    )
    _set(tables, "experiment_containers", [{
        "id": ophys.CONTAINER, "failed": False, "imaging_depth": 175, "isi_experiment_id": None,
        "specimen_id": SPECIMEN, "targeted_structure_id": VISP, "weight": 0,
    }])  # fmt: skip
    _set(tables, "ophys_experiments", [{
        "id": experiment, "date_of_acquisition": "2026-01-01T10:00:00Z",
        "experiment_container_id": ophys.CONTAINER, "fail_eye_tracking": False,
        "imaging_depth": 175, "name": "simulated_3StimA", "ophys_session_id": OPHYS_SESSION,
        "specimen_id": SPECIMEN, "stimulus_name": "three_session_A", "storage_directory": folder,
        "targeted_structure_id": VISP,
    }])  # fmt: skip
    cells = _cells(made)
    _set(tables, "api_cam_cell_metrics", cells)
    _set(tables, "api_cam_stimulus_mappings", [
        {
            "id": MAPPING + n, "item": name, "item_type": "M", "level": "R",
            "stimulus_name": STIMULI[name.rpartition("_")[2]],
        }
        for n, name in enumerate(n for n in sorted(cells[0]) if n.rpartition("_")[2] in STIMULI)
    ])  # fmt: skip
    _set(tables, "specimens", [{
        "donor_id": DONOR, "id": SPECIMEN, "is_cell_specimen": False, "name": "Simulated-900000031",
    }])  # fmt: skip
    _set(tables, "donors", [{
        "age_id": AGE, "id": DONOR, "external_donor_name": "simulated", "sex": "M",
        "full_genotype": GENOTYPE,
    }])  # fmt: skip
    _set(tables, "ages", [{"id": AGE, "name": "P100", "days": 100.0}])
    kinds = ("driver", "driver", "reporter")
    _set(tables, "transgenic_lines", [
        {"id": LINE + n, "name": name, "transgenic_line_type_name": kind}
        for n, (name, kind) in enumerate(zip(LINES, kinds, strict=True))
    ])  # fmt: skip
    _set(tables, "donors_transgenic_lines", [
        {"donor_id": DONOR, "transgenic_line_id": LINE + n} for n in range(len(LINES))
    ], key="transgenic_line_id")  # fmt: skip
    _set(tables, "well_known_file_types", [
        {"id": FILE_TYPE, "name": "NWBOphys"}, {"id": EYE_TYPE, "name": "EyeDlcScreenMapping"},
    ])  # fmt: skip
    _set(tables, "well_known_files", [{
        "attachable_id": experiment, "attachable_type": "OphysExperiment",
        "download_link": f"/api/v2/well_known_file_download/{FILE}", "id": FILE,
        "path": f"{folder}{experiment}.nwb", "well_known_file_type_id": FILE_TYPE,
    }, {  # only the row: it says that the session has eye tracking
        "attachable_id": OPHYS_SESSION, "attachable_type": "OphysSession",
        "download_link": f"/api/v2/well_known_file_download/{EYE_FILE}", "id": EYE_FILE,
        "path": f"{folder}eye_tracking.h5", "well_known_file_type_id": EYE_TYPE,
    }])  # fmt: skip


def _set(tables: Path, name: str, rows: Sequence[Row], key: str = "id") -> None:
    """Put rows into a table, in the place of those with the same ids."""
    key = key if key in rows[0] else "cell_specimen_id"
    path = tables / f"{name}.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    ours = {row[key] for row in rows}
    kept = [line for line in lines if json.loads(line).get(key) not in ours]
    # Ours come last: a table is listed as it was, and then they follow.
    new = [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows]
    path.write_text("\n".join([*kept, *new]) + "\n", "utf-8")


_METRICS: Final = (
    "dsi_dg", "g_dsi_dg", "g_osi_dg", "g_osi_sg", "image_sel_ns", "osi_dg", "osi_sg", "p_dg",
    "p_ns", "p_run_mod_dg", "p_run_mod_ns", "p_run_mod_sg", "p_sg", "peak_dff_dg", "peak_dff_ns",
    "peak_dff_sg", "pref_dir_dg", "pref_image_ns", "pref_ori_sg", "pref_phase_sg", "pref_sf_sg",
    "pref_tf_dg", "reliability_dg", "reliability_nm1_a", "reliability_nm1_b", "reliability_nm1_c",
    "reliability_nm2", "reliability_nm3", "reliability_ns", "reliability_sg", "rf_area_off_lsn",
    "rf_area_on_lsn", "rf_center_off_x_lsn", "rf_center_off_y_lsn", "rf_center_on_x_lsn",
    "rf_center_on_y_lsn", "rf_chi2_lsn", "rf_distance_lsn", "rf_overlap_index_lsn", "run_mod_dg",
    "run_mod_ns", "run_mod_sg", "sfdi_sg", "tfdi_dg", "time_to_peak_ns", "time_to_peak_sg",
)  # fmt: skip


def _cells(made: ophys.Session) -> list[Row]:
    """Return metrics of cells, as far as gratings alone tell; null for what was not shown."""
    rows = []
    for number, cell in enumerate(ophys.CELLS):
        row: Row = {
            "all_stim": False, "area": "VISp", "cell_specimen_id": cell,
            "donor_full_genotype": GENOTYPE, "experiment_container_id": ophys.CONTAINER,
            "failed_experiment_container": False, "imaging_depth": 175, "specimen_id": SPECIMEN,
            "tld1_id": LINE, "tld1_name": LINES[0], "tld2_id": LINE + 1, "tld2_name": LINES[1],
            "tlr1_id": LINE + 2, "tlr1_name": LINES[2],
        }  # fmt: skip
        rows.append(row | dict.fromkeys(_METRICS) | _tuning(made, number))
    return rows


def _tuning(made: ophys.Session, cell: int) -> dict[str, Any]:
    means: dict[tuple[float, float], list[float]] = {}
    for begin, end, frequency, direction, blank in made.gratings:
        if not blank:
            told = 100 * float(made.dff[cell, begin:end].mean())
            means.setdefault((direction, frequency), []).append(told)
    best = max(means, key=lambda shown: float(np.mean(means[shown])))
    curve = np.array([np.mean(means[d, best[1]]) for d in map(float, ophys.DIRECTIONS)])
    curve = np.clip(curve, 0, None)
    turns = np.deg2rad(np.array(ophys.DIRECTIONS, float))
    return {
        "g_dsi_dg": _away(curve, turns),
        "g_osi_dg": _away(curve, 2 * turns),
        "peak_dff_dg": round(float(curve.max()), 3),
        "pref_dir_dg": best[0],
        "pref_tf_dg": best[1],
    }


def _away(curve: ophys.Array, angles: ophys.Array) -> float:
    return round(float(abs((curve * np.exp(1j * angles)).sum()) / curve.sum()), 4)


# --- the index of the bucket ----------------------------------------------------------------------


def _index(root: Path, bucket: Path) -> None:
    """Say when objects were modified, and their MD5, so that every installation tells the same."""
    lines = []
    for path in sorted(p for p in bucket.rglob("*") if p.is_file()):
        etag = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        key = path.relative_to(bucket).as_posix()
        lines.append(json.dumps({"key": key, "etag": etag, "modified": MODIFIED}))
    (root / "buckets" / f"{BUCKET}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE)
