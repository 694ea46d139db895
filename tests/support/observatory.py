"""Made-up tables of Visual Coding: a cache of Neuropixels, and rows of the two-photon service.

Every number is made up. Rows have what real ones have, and what goes wrong in them: units without
values, channels whose probe is nowhere, animals without lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from buckets import connect
from loopback import Handler, Reply, Request

BUCKET = "allen-brain-observatory"
PREFIX = "visual-coding-neuropixels/ecephys-cache/"

SESSIONS = """\
id,date_of_acquisition,published_at,specimen_id,session_type,isi_experiment_id,age_in_days,sex,genotype,has_nwb
11,2019-01-08T00:26:20Z,2019-10-03T00:00:00Z,91,brain_observatory_1.1,51,125.0,M,wt/wt,True
12,2019-01-09T00:26:20Z,2019-10-03T00:00:00Z,92,functional_connectivity,,133.0,F,Pvalb-IRES-Cre/wt,True
13,2019-01-10T00:26:20Z,2019-10-03T00:00:00Z,93,brain_observatory_1.1,53,118.0,M,,False
"""
PROBES = """\
id,air_channel_index,ecephys_session_id,lfp_sampling_rate,name,phase,sampling_rate,surface_channel_index,has_lfp_data,lfp_temporal_subsampling_factor
101,372.0,11,2500.0,probeA,3a,30000.0,340.0,True,2.0
102,372.0,11,,probeB,3a,30000.0,340.0,False,2.0
103,372.0,12,2500.0,probeA,3a,30000.0,340.0,True,
104,372.0,99,2500.0,probeA,3a,30000.0,340.0,True,2.0
"""
CHANNELS = """\
id,ecephys_probe_id,local_index,probe_horizontal_position,probe_vertical_position,anterior_posterior_ccf_coordinate,dorsal_ventral_ccf_coordinate,left_right_ccf_coordinate,ecephys_structure_id,ecephys_structure_acronym
1003,102,2,43,20,7560.0,1440.0,7980.0,385.0,VISp
1001,101,1,43,20,7560.0,1440.0,7980.0,394.0,VISam
1002,101,5,11,60,-1.0,-1.0,-1.0,,
1004,103,1,43,20,7560.0,1440.0,7980.0,382.0,CA1
1005,104,1,43,20,7560.0,1440.0,7980.0,382.0,CA1
1006,101,9,43,20,7560.0,1440.0,7980.0,394.0,VISam
"""
UNITS = """\
id,PT_ratio,amplitude,amplitude_cutoff,isi_violations,l_ratio,presence_ratio,snr,ecephys_channel_id,local_index,quality,epoch_name_quality_metrics,epoch_name_waveform_metrics
5,0.5,100.0,0.05,0.1,0.2,0.99,2.0,1004,3,good,complete_session,complete_session
1,0.5,110.0,0.1,0.5,0.2,0.95,2.5,1001,0,good,complete_session,complete_session
2,0.5,120.0,0.2,0.1,0.2,0.99,3.0,1001,1,good,complete_session,complete_session
3,0.5,130.0,0.05,0.1,0.2,0.90,3.5,1002,2,good,complete_session,complete_session
4,0.5,140.0,0.05,0.9,0.2,0.99,4.0,1003,3,good,complete_session,complete_session
6,0.5,150.0,0.05,0.1,0.2,0.99,4.5,1003,4,noise,complete_session,complete_session
7,0.5,160.0,,0.1,0.2,0.99,5.0,1001,5,good,complete_session,complete_session
8,0.5,170.0,0.05,0.1,0.2,0.99,5.5,7777,6,good,complete_session,complete_session
9,0.5,180.0,0.05,0.1,0.2,0.99,6.0,1005,7,good,complete_session,complete_session
10,0.5,190.0,0.05,0.1,0.2,0.99,6.5,1002,8,good,complete_session,complete_session
"""
METRICS = """\
ecephys_unit_id,pref_ori_dg,on_screen_rf,p_value_rf
2,90.0,True,0.5
1,45.0,False,0.25
10,,True,0.125
"""
SWAPPED = """\
ecephys_unit_id,pref_ori_dg,on_screen_rf,p_value_rf
5,90.0,0.5,True
"""
FILES = {
    "sessions.csv": SESSIONS,
    "probes.csv": PROBES,
    "channels.csv": CHANNELS,
    "units.csv": UNITS,
    "brain_observatory_1.1_analysis_metrics.csv": METRICS,
    "functional_connectivity_analysis_metrics.csv": SWAPPED,
    "session_11/session_11_analysis_metrics.csv": "\n".join(METRICS.splitlines()[:3]) + "\n",
}
_KEYS = ("BASEDIR", "sessions", "probes", "channels", "units", "session_data")


def write_cache(folder: Path, **changed: str) -> Path:
    """Write what AllenSDK's cache of Neuropixels holds; `changed` are other texts, by table."""
    import numpy as np
    from PIL import Image

    told = {"manifest": [{"key": key, "type": "file", "spec": f"{key}.csv"} for key in _KEYS]}
    texts = {"manifest.json": json.dumps(told), **FILES}
    texts |= {f"{name}.csv": text for name, text in changed.items()}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    movie, scene = folder / "natural_movie_templates", folder / "natural_scene_templates"
    movie.mkdir()
    scene.mkdir()
    with (movie / "natural_movie_1.h5").open("wb") as file:
        np.save(file, np.arange(24, dtype="uint8").reshape(2, 3, 4))
    Image.fromarray(np.arange(12, dtype="uint8").reshape(3, 4)).save(scene / "natural_scene_5.tiff")
    return folder


def publish_cache(endpoint: str, folder: Path) -> Callable[[], None]:
    """Put the files of a folder where the project has them; return what removes them again."""
    s3 = connect(endpoint)
    if BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        where = {"LocationConstraint": "us-west-2"}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    keys = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"):
        keys.append(PREFIX + path.relative_to(folder).as_posix())
        s3.put_object(Bucket=BUCKET, Key=keys[-1], Body=path.read_bytes(), ACL="public-read")

    def remove() -> None:
        for key in keys:
            s3.delete_object(Bucket=BUCKET, Key=key)

    return remove


# --- two-photon -----------------------------------------------------------------------------------


def _specimen(number: int, *lines: tuple[str, str]) -> dict[str, Any]:
    told = [{"name": name, "transgenic_line_type_name": kind} for name, kind in lines]
    donor = {
        "external_donor_name": str(number),
        "date_of_birth": "2016-10-03T00:00:00Z",
        "age": {"days": 100.0},
        "transgenic_lines": told,
        "conditions": [{"name": "odd"}] if number == 3 else [],
    }
    return {"id": number, "name": f"mouse-{number}", "donor": donor}


_CUX = (("Camk2a-tTA", "driver"), ("Cux2-CreERT2", "driver"), ("Ai93(TITL-GCaMP6f)", "reporter"))
_RORB = (("Rorb-IRES2-Cre", "driver"), ("Ai93(TITL-GCaMP6f)-hyg", "reporter"))


def _container(number: int, area: str, depth: int, specimen: Any, failed: bool) -> dict[str, Any]:
    return {
        "id": number,
        "imaging_depth": depth,
        "failed": failed,
        "targeted_structure": {"acronym": area},
        "specimen": specimen,
        "ophys_experiments": [],
    }


CONTAINERS = [
    _container(70, "VISp", 175, _specimen(1, *_CUX), False),
    _container(71, "VISl", 275, _specimen(2, *_RORB), False),
    _container(72, "VISp", 275, _specimen(3), True),
]


def _experiment(number: int, kind: str, container: dict[str, Any], **more: Any) -> dict[str, Any]:
    shared = {k: v for k, v in container.items() if k not in {"id", "ophys_experiments", "failed"}}
    inner = {"id": container["id"], "failed": container["failed"]}
    return {
        "id": number,
        "stimulus_name": f"three_session_{kind}",
        "date_of_acquisition": "2017-02-08T21:57:10Z",
        "experiment_container_id": container["id"],
        "experiment_container": inner,
        "fail_eye_tracking": False,
        **shared,
        **more,
    }


EXPERIMENTS = [
    _experiment(801, "A", CONTAINERS[0]),
    _experiment(802, "B", CONTAINERS[0], fail_eye_tracking=True),
    _experiment(803, "C2", CONTAINERS[1]),
    _experiment(804, "C", CONTAINERS[2]),
]
CELLS = [
    {
        "cell_specimen_id": 1000 + n,
        "experiment_container_id": 72 if n == 9 else 70 + n % 2,
        "area": "VISp" if n % 2 == 0 else "VISl",
        "osi_dg": None if n == 4 else n / 10,
        "all_stim": n % 2 == 0,
        "tuning_small": 5000 + n,
        "failed_experiment_container": n == 9,
    }
    for n in range(10)
]
MAPPINGS = [
    {"id": 1, "item": "tuning_small", "item_type": "T", "level": "R", "stimulus_name": "x"},
    {"id": 2, "item": "osi_dg", "item_type": "M", "level": "R", "stimulus_name": "dg"},
]
COLUMNS = [{"id": 1, "name": "osi_dg", "description": "orientation selectivity"}]
EYES = [{"id": 1, "attachable_id": 901, "attachable_type": "OphysSession"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "ExperimentContainer": CONTAINERS,
    "OphysExperiment": EXPERIMENTS,
    "ApiCamCellMetric": CELLS,
    "ApiCamStimulusMapping": MAPPINGS,
    "ApiColumnDefinition": COLUMNS,
    "WellKnownFile": EYES,
}


def service(rows: dict[str, list[dict[str, Any]]]) -> Handler:
    """Return what answers queries with these rows, by model, page for page."""

    def answer(request: Request, reply: Reply) -> None:
        asked = unquote_plus(request.target)
        model = asked.partition("model::")[2].split(",")[0].split("[")[0]
        start, count = (_number(asked, word) for word in ("start_row", "num_rows"))
        found = rows.get(model, [])
        page = found[start : start + count]
        told = {"success": True, "id": 0, "start_row": start, "num_rows": len(page)}
        reply.send(json.dumps(told | {"total_rows": len(found), "msg": page}).encode())

    return answer


def _number(asked: str, word: str) -> int:
    found = re.search(rf"{word}\$eq(\d+)", asked)
    return int(found[1]) if found else 0
