"""Add a patched cell to the archive that comes with the package: rows, recordings, a model.

    python tools/make_sample_cell.py

Run by ``tools/make_sample.py`` at its end. The cell is that of the sample's image stack. Its rows
of ApiCellTypesSpecimenDetail and EphysFeature are real (the site's own CSV export; the table of
features that AllenSDK's cache wrote, from github davidhbrann/CompClub-sklearn); its sweeps, their
recordings and the model are made up, and marked so. Ids that begin with 9000000 are made up.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from openallen.archive.holdings import SAMPLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = dict[str, Any]

SPECIMEN: Final = 313862022
NWB: Final = 9000000004
PARAMETERS: Final = 9000000005
EPHYS_RESULT: Final = 9000000901
MODEL: Final = 9000000911
TEMPLATE: Final = 329230710
RATE_HZ: Final = 10_000.0
TEST_S: Final = 0.5
"""A test pulse comes first; the experiment begins behind it."""
TYPES: Final = {
    481007198: "NWBDownload",
    329230374: "NeuronalModelParameters",
    292178729: "BiophysicalModelDescription",
}

DETAIL: Final[Row] = {
    "cell_reporter_status": "positive",
    "csl__normalized_depth": 0.461634123847437,
    "csl__x": 9489.24257509068,
    "csl__y": 1423.65239028148,
    "csl__z": 2785.44307154461,
    "donor__id": 313401508,
    "donor__name": "Scnn1a-Tg2-Cre;Ai14(IVSCC)-167081",
    "donor__species": "Mus musculus",
    "ef__adaptation": 0.288858288977703,
    "ef__avg_firing_rate": 6.76635766966642,
    "ef__avg_isi": 147.79,
    "ef__f_i_curve_slope": 0.162138728323699,
    "ef__fast_trough_v_long_square": -49.1875,
    "ef__peak_t_ramp": 3.57477,
    "ef__ri": 58.2812875509262,
    "ef__tau": 17.0602466831779,
    "ef__threshold_i_long_square": 190,
    "ef__upstroke_downstroke_ratio_long_square": 5.2611661772553,
    "ef__vrest": -63.5755844116211,
    "line_name": "Scnn1a-Tg2-Cre",
    "m__biophys": 1,
    "m__biophys_all_active": 0,
    "m__biophys_perisomatic": 1,
    "m__glif": 0,
    "specimen__hemisphere": "right",
    "specimen__name": "Scnn1a-Tg2-Cre;Ai14-167081.03.02.01",
    "structure__acronym": "VISp4",
    "structure__id": 721,
    "structure__layer": "4",
    "structure__name": "Primary visual area, layer 4",
    "structure_parent__acronym": "VISp",
    "structure_parent__id": 385,
    "tag__apical": "intact",
    "tag__dendrite_type": "spiny",
}
FEATURES: Final[Row] = {
    "adaptation": 0.288858288978,
    "avg_isi": 147.79,
    "electrode_0_pa": -13.2318747972,
    "f_i_curve_slope": 0.162138728324,
    "fast_trough_t_long_square": 1.051765,
    "fast_trough_t_ramp": 3.580725,
    "fast_trough_t_short_square": 1.030045,
    "fast_trough_v_long_square": -49.1875,
    "fast_trough_v_ramp": -47.8125038147,
    "fast_trough_v_short_square": -54.5625,
    "has_burst": False,
    "has_delay": False,
    "has_pause": False,
    "id": 473465352,
    "input_resistance_mohm": 112.069712,
    "latency": 0.01549,
    "peak_t_long_square": 1.046835,
    "peak_t_ramp": 3.57477,
    "peak_t_short_square": 1.02351,
    "peak_v_long_square": 33.0,
    "peak_v_ramp": 42.40625,
    "peak_v_short_square": 43.21875,
    "rheobase_sweep_id": 396302678,
    "rheobase_sweep_number": 60,
    "ri": 58.2812875509,
    "sag": 0.0498790591955,
    "seal_gohm": 2.557926656,
    "slow_trough_t_long_square": 1.057575,
    "slow_trough_t_ramp": 3.593095,
    "slow_trough_t_short_square": 1.08543,
    "slow_trough_v_long_square": -50.875,
    "slow_trough_v_ramp": -51.1562538147,
    "slow_trough_v_short_square": -64.53125,
    "specimen_id": 313862022,
    "tau": 17.0602466832,
    "threshold_i_long_square": 190.0,
    "threshold_i_ramp": 63.8750038147,
    "threshold_i_short_square": 0.0,
    "threshold_t_long_square": 1.046235,
    "threshold_t_ramp": 3.57418,
    "threshold_t_short_square": 1.02304,
    "threshold_v_long_square": -40.34375,
    "threshold_v_ramp": -34.59375,
    "threshold_v_short_square": -42.5,
    "thumbnail_sweep_id": 396302660,
    "trough_t_long_square": 1.057575,
    "trough_t_ramp": 3.593095,
    "trough_t_short_square": 1.08543,
    "trough_v_long_square": -50.875,
    "trough_v_ramp": -51.1562538147,
    "trough_v_short_square": -64.53125,
    "upstroke_downstroke_ratio_long_square": 5.26116617726,
    "upstroke_downstroke_ratio_ramp": 5.38643998235,
    "upstroke_downstroke_ratio_short_square": 5.94957544574,
    "vm_for_sag": -70.90625,
    "vrest": -63.5755844116,
}


@dataclass(frozen=True)
class Sweep:
    """A sweep to be made up: a step of current, its begin and end in s from the sweep's begin."""

    number: int
    stimulus: str
    amplitude_pa: float
    begin_s: float
    end_s: float
    length_s: float

    def current_pa(self) -> NDArray[np.float64]:
        """Return the current: a test pulse, then the step."""
        times = np.arange(round(self.length_s * RATE_HZ)) / RATE_HZ
        found = np.zeros(len(times))
        found[(times >= 0.05) & (times < 0.1)] = -20.0
        found[(times >= self.begin_s) & (times < self.end_s)] = self.amplitude_pa
        return found


SWEEPS: Final = (
    Sweep(20, "Short Square", 1100.0, 1.02, 1.023, 1.6),
    Sweep(35, "Long Square", -70.0, 1.02, 2.02, 2.6),
    Sweep(60, "Long Square", 250.0, 1.02, 2.02, 2.6),
)


def simulated(current_pa: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float]]:
    """Return a made-up membrane potential in mV, and its spike times in s.

    A leaky cell with the input resistance, time constant and resting potential of the real one's
    features, a threshold, a spike of fixed shape and some adaptation.
    """
    rng = np.random.default_rng(SPECIMEN)
    rest, tau_ms, ri = FEATURES["vrest"], FEATURES["tau"], 3 * FEATURES["ri"]
    dt_ms = 1e3 / RATE_HZ
    shape = np.concatenate([np.linspace(-35, 32, 5), np.linspace(28, -52, 14)])
    noise = rng.normal(0.0, 0.02, len(current_pa))
    found, spikes = np.empty(len(current_pa)), []
    v, adapted, at = rest, 0.0, 0
    while at < len(current_pa):
        v += dt_ms / tau_ms * (rest - v + ri * (current_pa[at] - adapted) / 1e3)
        adapted *= 1 - dt_ms / 120.0
        if v >= -38.0:
            spikes.append(at / RATE_HZ)
            part = shape[: len(current_pa) - at]
            found[at : at + len(part)] = part
            at, v, adapted = at + len(part), -52.0, adapted + 18.0
            continue
        found[at] = v + noise[at]
        at += 1
    return np.round(found * 32) / 32, spikes


def _series(group: h5py.Group, values: NDArray[np.float64], *, unit: str, scale: float) -> None:
    data = group.create_dataset(
        "data", data=values.astype("float32"), compression="gzip", compression_opts=9, shuffle=True
    )
    data.attrs.update({"conversion": scale, "resolution": np.nan, "unit": np.bytes_(unit)})
    group["num_samples"] = len(values)


def _started(group: h5py.Group, start_s: float) -> None:
    start = group.create_dataset("starting_time", data=start_s)
    start.attrs.update({"rate": RATE_HZ, "unit": np.bytes_("Seconds")})


def _epoch(file: h5py.File, name: str, sweep: Sweep, first: int, count: int) -> None:
    epoch = file.create_group(f"epochs/{name}")
    epoch["description"] = np.bytes_(name)
    epoch["start_time"] = first / RATE_HZ
    epoch["stop_time"] = (first + count) / RATE_HZ
    places = {"stimulus": "/stimulus/presentation", "response": "/acquisition/timeseries"}
    for part, place in places.items():
        inner = epoch.create_group(part)
        inner["idx_start"], inner["count"] = first, count
        inner["timeseries"] = h5py.SoftLink(f"{place}/Sweep_{sweep.number}")


def write_nwb(path: Path) -> list[int]:
    """Write the recordings as NWB 1 of pipeline 1.1.0; return how many spikes each sweep has."""
    path.unlink(missing_ok=True)
    counts = []
    with h5py.File(path, "w") as file:
        _general(file)
        for n, sweep in enumerate(SWEEPS):
            current = sweep.current_pa()
            volts, spikes = simulated(current)
            counts.append(len(spikes))
            stimulus = file.create_group(f"stimulus/presentation/Sweep_{sweep.number}")
            _series(stimulus, current, unit="Amps", scale=1e-12)
            stimulus["aibs_stimulus_name"] = np.bytes_(sweep.stimulus)
            stimulus["aibs_stimulus_amplitude_pa"] = sweep.amplitude_pa
            stimulus["gain"] = 1.0
            stimulus["initial_access_resistance"], stimulus["seal"] = 12.5, 2.56
            response = file.create_group(f"acquisition/timeseries/Sweep_{sweep.number}")
            _series(response, volts, unit="Volts", scale=1e-3)
            kinds = {"CurrentClampStimulusSeries": stimulus, "CurrentClampSeries": response}
            for kind, group in kinds.items():
                group.attrs["ancestry"] = np.array(
                    ["TimeSeries", "PatchClampSeries", kind], dtype="S"
                )
                group.attrs["neurodata_type"] = np.bytes_("TimeSeries")
                _started(group, 10.0 * n)
            first = round(TEST_S * RATE_HZ)
            _epoch(file, f"Sweep_{sweep.number}", sweep, 0, len(current))
            _epoch(file, f"Experiment_{sweep.number}", sweep, first, len(current) - first)
            file[f"analysis/spike_times/Sweep_{sweep.number}"] = np.array(spikes)
    return counts


def _general(file: h5py.File) -> None:
    texts = {
        "nwb_version": "NWB-1.0.5",
        "identifier": f"openallen sample, cell {SPECIMEN}, simulated",
        "session_description": "simulated patch-clamp recordings: no signal here was measured",
        "session_start_time": "Thu Jan 01 09:30:00 2015",
        "general/session_id": str(SPECIMEN),
        "general/intracellular_ephys/Electrode 1/description": "simulated",
        "general/subject/species": DETAIL["donor__species"],
        "general/subject/genotype": DETAIL["line_name"],
        "general/aibs_specimen_name": DETAIL["specimen__name"],
    }
    for name, text in texts.items():
        file[name] = np.bytes_(text)
    told = ["pipeline", "simulated", "version", "1.1.0", "provenance", "openallen sample"]
    file["general/generated_by"] = np.array(told, dtype="S")
    file["general/aibs_specimen_id"] = SPECIMEN
    file["file_create_date"] = np.array(["Thu Jan 01 2015"], dtype="S")


def _sweep_row(n: int, sweep: Sweep, spikes: int) -> Row:
    return {
        "bridge_balance_mohm": 12.5,
        "id": 9000002000 + n,
        "leak_pa": 0.0,
        "num_spikes": spikes or None,
        "specimen_id": SPECIMEN,
        "stimulus_absolute_amplitude": sweep.amplitude_pa,
        "stimulus_description": "simulated",
        "stimulus_duration": round(sweep.end_s - sweep.begin_s, 6),
        "stimulus_interval": None,
        "stimulus_name": sweep.stimulus,
        "stimulus_start_time": sweep.begin_s,
        "stimulus_units": "Amps",
        "sweep_number": sweep.number,
    }


def _parameters() -> Row:
    """Return made-up parameters in the form of a fit of perisomatic conductances."""
    genome = {"g_pas": 5e-5, "gbar_Ih": 1e-4, "gbar_NaV": 0.05, "gbar_Kv3_1": 0.2}
    return {
        "simulated": "made up for the sample of openallen: no fit to any cell",
        "passive": [{"ra": 100.0, "e_pas": round(FEATURES["vrest"], 2)}],
        "conditions": [{"celsius": 34.0, "v_init": round(FEATURES["vrest"], 2)}],
        "genome": [
            {"section": "soma", "name": name, "value": value} for name, value in genome.items()
        ],
    }


def _write_model(files: Path, models: Path) -> None:
    fit = json.dumps(_parameters(), indent=1) + "\n"
    (files / f"{PARAMETERS}.json").write_text(fit, "utf-8")
    models.mkdir(exist_ok=True)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in {"fit_parameters.json": fit, "README": "simulated\n"}.items():
            packed.writestr(zipfile.ZipInfo(name, (2015, 1, 1, 0, 0, 0)), text)
    (models / f"{MODEL}.zip").write_bytes(body.getvalue())


def _file_row(file_id: int, kind: str, attached: int, type_id: int, path: str) -> Row:
    return {
        "attachable_id": attached,
        "attachable_type": kind,
        "download_link": f"/api/v2/well_known_file_download/{file_id}",
        "id": file_id,
        "path": path,
        "well_known_file_type_id": type_id,
    }


def _merge(name: str, rows: list[Row], key: str = "id") -> None:
    """Put rows into a table: those of the same key get the new values."""
    path = SAMPLE / "tables" / f"{name}.jsonl"
    known = (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )
    by_key = {row[key]: row for row in rows}
    merged = [row | by_key.pop(row[key], {}) for row in known] + list(by_key.values())
    texts = (json.dumps(dict(sorted(row.items()))) for row in merged)
    path.write_text("\n".join(texts) + "\n", "utf-8")


def _describe() -> None:
    path = SAMPLE / "archive.json"
    about = json.loads(path.read_text("utf-8"))
    about["notes"] = [
        f"Sample data: metadata are real (50 of the 627 planes of specimen {SPECIMEN}); pixels,"
        " volumes, recordings, models and members of the summary structure set are simulated, and"
        " the reconstruction is of another cell.",
    ]
    made = {f"{NWB}.nwb", f"{PARAMETERS}.json", f"{MODEL}.zip"}
    about["simulated_files"] = sorted({*about["simulated_files"], *made})
    path.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def main() -> None:
    """Write files and rows."""
    files = SAMPLE / "files"
    counts = write_nwb(files / f"{NWB}.nwb")
    _write_model(files, SAMPLE / "models")
    own = {"specimen__id": SPECIMEN, "erwkf__id": NWB}
    _merge("api_cell_types_specimen_details", [DETAIL | own], "specimen__id")
    _merge("ephys_features", [FEATURES])
    rows = [_sweep_row(n, s, c) for n, (s, c) in enumerate(zip(SWEEPS, counts, strict=True))]
    _merge("ephys_sweeps", rows)
    _merge("ephys_results", [{"id": EPHYS_RESULT, "failed": False}])
    name = DETAIL["specimen__name"]
    _merge("specimens", [{"id": SPECIMEN, "ephys_result_id": EPHYS_RESULT, "name": name}])
    _merge("neuronal_model_templates", [{"id": TEMPLATE, "name": "Biophysical - perisomatic"}])
    model = {
        "id": MODEL,
        "name": f"Biophysical - perisomatic_{name}",
        "neuron_reconstruction_id": 397905347,
        "neuronal_model_template_id": TEMPLATE,
        "specimen_id": SPECIMEN,
    }
    _merge("neuronal_models", [model])
    _merge("well_known_file_types", [{"id": k, "name": v} for k, v in TYPES.items()])
    nwb = f"/external/mousecelltypes/prod146/{SPECIMEN}_ephys.nwb"
    fit = f"/external/mousecelltypes/prod146/neuronal_model_{MODEL}/{SPECIMEN}_fit.json"
    _merge(
        "well_known_files",
        [
            _file_row(NWB, "EphysResult", EPHYS_RESULT, 481007198, nwb),
            _file_row(PARAMETERS, "NeuronalModel", MODEL, 329230374, fit),
        ],
    )
    _describe()


if __name__ == "__main__":
    main()
