"""An archive of cells, written by the tests: rows and files as the Cell Types Database has them.

All numbers are made up. Cell 101 has everything, 102 recordings alone, 103 rows whose files are
gone, 104 (human) no file at all; 900 is the slice that 101 was taken from.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from openallen.brainmap.schema import schema

Row = dict[str, Any]

SWC = b"# made up\n1 1 10.0 20.0 5.0 4.0 -1\n2 3 12.0 30.0 5.0 1.0 1\n3 3 20.0 40.0 6.0 0.5 2\n"
MARKER = (
    b"##x,y,z,radius,shape,name,comment, color_r,color_g,color_b\n20.0,40.0,6.0,0.0,1,10,,0,0,0\n"
)
GLIF = {"El": -0.07, "C": 6e-11}
TYPES = {
    481007198: "NWBDownload",
    478840678: "NWBUncompressed",
    303941301: "3DNeuronReconstruction",
    486753749: "3DNeuronMarker",
    480715721: "MorphologyThumbnail",
    329230374: "NeuronalModelParameters",
    292178729: "BiophysicalModelDescription",
}


def _detail(specimen: int, **told: Any) -> Row:
    known = schema().get("ApiCellTypesSpecimenDetail")
    assert known is not None
    return dict.fromkeys(known.fields) | {"specimen__id": specimen} | told


def details() -> list[Row]:
    mouse = {"donor__species": "Mus musculus", "structure_parent__acronym": "VISp"}
    full = {
        "specimen__name": "Sst-IRES-Cre;Ai14-1.01", "line_name": "Sst-IRES-Cre",
        "structure__acronym": "VISp5", "structure__layer": "5", "specimen__hemisphere": "left",
        "tag__dendrite_type": "aspiny", "tag__apical": "NA", "cell_reporter_status": "positive",
        "donor__id": 7, "donor__name": "Sst-IRES-Cre;Ai14-1", "nr__reconstruction_type": "full",
        "nrwkf__id": 12, "erwkf__id": 11, "si__path": "/x/min_xy_101.aff", "si__width": 100,
        "si__height": 90, "m__glif": 5, "m__biophys": 1, "m__biophys_perisomatic": 1,
        "m__biophys_all_active": 0, "ef__ri": 200.0, "ef__tau": 20.0, "ef__vrest": -70.5,
        "ef__threshold_i_long_square": 70.0,
    }  # fmt: skip
    none = {"m__glif": 0, "m__biophys": 0, "m__biophys_perisomatic": 0, "m__biophys_all_active": 0}
    return [
        _detail(101, **mouse, **full),
        _detail(
            102, **mouse, **none, specimen__name="Pvalb-IRES-Cre;Ai14-2.01", erwkf__id=21,
            line_name="Pvalb-IRES-Cre", structure__layer="2/3", tag__dendrite_type="aspiny",
            specimen__hemisphere="right", cell_reporter_status="negative", donor__id=8,
            donor__name="Pvalb-IRES-Cre;Ai14-2",
        ),
        _detail(
            103, **mouse, **(none | {"m__biophys": 2, "m__biophys_all_active": 1}), erwkf__id=31,
            nr__reconstruction_type="dendrite-only", nrwkf__id=32, structure__layer="4",
            tag__dendrite_type="spiny", si__path="/x/min_xy_103.aff", donor__id=7,
            donor__name="Sst-IRES-Cre;Ai14-1",
        ),
        _detail(104, donor__species="Homo Sapiens", structure__layer="3", m__glif=2),
    ]  # fmt: skip


def _sweeps() -> list[Row]:
    rows = [
        (3, "Long Square", "Amps", -50.0, None),
        (4, "Long Square", "Amps", 90.0, 2),
        (5, "Ramp", "Amps", None, None),  # some rows have no amplitude
        (6, "Test", "Volts", None, None),
        (7, None, None, None, None),
    ]
    return [
        {
            "id": 1000 + number, "specimen_id": 101, "sweep_number": number, "stimulus_name": name,
            "stimulus_units": unit, "stimulus_absolute_amplitude": amplitude, "num_spikes": spikes,
        }
        for number, name, unit, amplitude, spikes in reversed(rows)
    ]  # fmt: skip


def write_nwb(path: Path, *, sweeps: tuple[int, ...] = (3, 4), samples: int = 400) -> None:
    """Write recordings as NWB 1 of pipeline 1.1: pA and mV, with conversions."""
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
        file["identifier"] = np.bytes_("made up")
        file["session_description"] = np.bytes_("made up")
        file["session_start_time"] = np.bytes_("Thu Jan 01 09:30:00 2015")
        file["general/generated_by"] = np.array(["version", "1.1.0"], dtype="S")
        for number in sweeps:
            places = {
                f"stimulus/presentation/Sweep_{number}": ("Amps", 1e-12, "CurrentClampStimulus"),
                f"acquisition/timeseries/Sweep_{number}": ("Volts", 1e-3, "CurrentClamp"),
            }
            for place, (unit, scale, kind) in places.items():
                group = file.create_group(place)
                values = np.linspace(-70, -60, samples) if unit == "Volts" else np.zeros(samples)
                data = group.create_dataset("data", data=values.astype("float32"))
                data.attrs.update({"conversion": scale, "unit": np.bytes_(unit)})
                group.attrs["neurodata_type"] = np.bytes_("TimeSeries")
                kinds = ["TimeSeries", "PatchClampSeries", f"{kind}Series"]
                group.attrs["ancestry"] = np.array(kinds, dtype="S")
                start = group.create_dataset("starting_time", data=float(number))
                start.attrs.update({"rate": 1000.0, "unit": np.bytes_("Seconds")})
                group["num_samples"] = samples
            file[f"stimulus/presentation/Sweep_{number}/aibs_stimulus_name"] = np.bytes_(
                "Long Square"
            )
            file[f"stimulus/presentation/Sweep_{number}/aibs_stimulus_amplitude_pa"] = 90.0
            for name in (f"Sweep_{number}", f"Experiment_{number}"):
                for part, place in zip(("stimulus", "response"), places, strict=True):
                    inner = file.create_group(f"epochs/{name}/{part}")
                    first = 100 if name.startswith("Exp") else 0
                    inner["idx_start"], inner["count"] = first, samples - first
                    inner["timeseries"] = h5py.SoftLink(f"/{place}")
            file[f"analysis/spike_times/Sweep_{number}"] = np.array([0.1, 0.2])


def _known(file_id: int, kind: str, attached: int, type_id: int, name: str) -> Row:
    return {
        "id": file_id, "attachable_type": kind, "attachable_id": attached,
        "well_known_file_type_id": type_id, "path": f"/external/x/{name}",
        "download_link": f"/api/v2/well_known_file_download/{file_id}",
    }  # fmt: skip


def _package() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as packed:
        packed.writestr("manifest.json", "{}")
    return body.getvalue()


def _files() -> list[Row]:
    return [
        _known(11, "EphysResult", 201, 481007198, "101_ephys.nwb"),
        _known(10, "EphysResult", 201, 478840678, "101_uncompressed.nwb"),
        _known(12, "NeuronReconstruction", 301, 303941301, "cell_m.swc"),
        _known(13, "NeuronReconstruction", 301, 486753749, "cell_marker_m.swc"),
        _known(14, "NeuronalModel", 401, 329230374, "401_neuron_config.json"),
        _known(15, "NeuronalModel", 402, 329230374, "101_fit.json"),
        _known(16, "NeuronalModelTemplate", 502, 292178729, "SK.mod"),
        _known(21, "EphysResult", 202, 481007198, "102_ephys.nwb"),
        _known(31, "EphysResult", 203, 481007198, "103_ephys.nwb"),
        _known(32, "NeuronReconstruction", 303, 303941301, "gone_m.swc"),
    ]


def _tables() -> dict[str, list[Row]]:
    cell = {"is_cell_specimen": True}
    model = {"specimen_id": 101, "neuron_reconstruction_id": 301}
    return {
        "api_cell_types_specimen_details": details(),
        "ephys_features": [
            {"id": 1, "specimen_id": 101, "ri": 200.0, "tau": 20.0, "vrest": -70.5, "sag": 0.1,
             "threshold_i_long_square": 70.0, "latency": 0.02, "adaptation": None},
        ],
        "ephys_sweeps": _sweeps(),
        "ephys_results": [{"id": n, "failed": False} for n in (201, 202, 203)],
        "neuron_reconstructions": [
            {"id": 301, "specimen_id": 101, "neuron_reconstruction_type": "full",
             "total_length": 25.5, "superseded": False},
            {"id": 303, "specimen_id": 103, "neuron_reconstruction_type": "dendrite-only",
             "total_length": 9.5, "superseded": False},
        ],
        "neuronal_model_templates": [
            {"id": 501, "name": "Leaky Integrate and Fire (LIF)"},
            {"id": 502, "name": "Biophysical - perisomatic"},
        ],
        "neuronal_models": [
            {"id": 402, "name": "Biophysical - perisomatic_x", "neuronal_model_template_id": 502} | model,
            {"id": 401, "name": "1 LIF_x", "neuronal_model_template_id": 501} | model,
        ],
        "specimens": [
            {"id": 101, "name": "Sst-IRES-Cre;Ai14-1.01", "ephys_result_id": 201, "parent_id": 900} | cell,
            {"id": 102, "name": "Pvalb-IRES-Cre;Ai14-2.01", "ephys_result_id": 202, "parent_id": None} | cell,
            {"id": 103, "name": "x", "ephys_result_id": 203, "parent_id": None} | cell,
            {"id": 104, "name": "human", "ephys_result_id": None, "parent_id": None} | cell,
            {"id": 900, "name": "slice 1", "ephys_result_id": None, "parent_id": None, "is_cell_specimen": False},
        ],
        "well_known_file_types": [{"id": n, "name": name} for n, name in TYPES.items()],
        "well_known_files": _files(),
    }  # fmt: skip


def write_archive(root: Path, **instead: bytes) -> Path:
    """Write the archive; `instead` replaces files by their names without ending: ``f12=b"…"``."""
    (root / "tables").mkdir(parents=True)
    (root / "files").mkdir()
    (root / "models").mkdir()
    about = {"name": "cells", "notes": ["all of it made up"], "simulated_files": ["11.nwb"]}
    (root / "archive.json").write_text(json.dumps(about))
    for name, rows in _tables().items():
        text = "\n".join(json.dumps(row) for row in rows)
        (root / "tables" / f"{name}.jsonl").write_text(text + "\n")
    for number in (11, 21):
        write_nwb(root / "files" / f"{number}.nwb")
    bodies = {
        "12.swc": SWC, "13.swc": MARKER, "14.json": json.dumps(GLIF).encode(),
        "15.json": b'{"genome": []}', "16.mod": b"NEURON { SUFFIX SK }\n",
    }  # fmt: skip
    for name, body in bodies.items():
        (root / "files" / name).write_bytes(body)
    for name, body in instead.items():
        number = name.removeprefix("f")
        [path] = (root / "files").glob(f"{number}.*")
        path.write_bytes(body)
    for number in (401, 402):
        (root / "models" / f"{number}.zip").write_bytes(_package())
    return root
