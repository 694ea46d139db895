"""A cache of Visual Behavior Neuropixels as AllenSDK lays it out, with made-up rows."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

NAME = "visual-behavior-neuropixels"
SESSION = "1053941483"
BUCKET = f"https://{NAME}-data.s3.us-west-2.amazonaws.com/{NAME}"
PACKED = Path(__file__).parents[1] / "data" / "nwb" / "sessions.tar.xz"

TABLES = {
    # Of four sessions one has abnormal histology, one abnormal activity.
    "ecephys_sessions": (
        "ecephys_session_id,behavior_session_id,mouse_id,unit_count,structure_acronyms,"
        "prior_exposures_to_image_set,file_id,abnormal_histology,abnormal_activity\n"
        f"{SESSION},1053960987,533537,2179,\"['CA1', 'VISp']\",30,0,,\n"
        "1044594870,1044624428,524761,2103,\"['CA1']\",,1,\"['VISp']\",\n"
        '1047969464,1048005547,509808,2438,[],62,2,,"[1.5, 2]"\n'
        "1047977240,1048009327,524925,1933,[],0,3,,\n"
    ),
    "behavior_sessions": (
        "behavior_session_id,ecephys_session_id,mouse_id,prior_exposures_to_image_set,file_id\n"
        f"1053960987,{SESSION}.0,533537,30.0,-999\n"
        "1048009327,1047977240.0,524925,,-999\n"
        "1022,,533537,,4\n"
    ),
    "probes": (
        "ecephys_probe_id,ecephys_session_id,name,has_lfp_data,lfp_sampling_rate,unit_count\n"
        f"10,{SESSION},probeA,False,,5\n"
    ),
    "channels": f"ecephys_channel_id,ecephys_session_id,structure_acronym\n20,{SESSION},CA1\n",
    "units": f"unit_id,ecephys_session_id,snr\n30,{SESSION},1.5\n",
}


def write_cache(root: Path, version: str = "0.4.0") -> Path:
    """Write one version with its tables and two files: a recorded and a behavior session."""
    folder = root / f"{NAME}-{version}"
    (folder / "project_metadata").mkdir(parents=True)
    for name, text in TABLES.items():
        (folder / "project_metadata" / f"{name}.csv").write_text(text)
    files = {
        "0": f"behavior_ecephys_sessions/{SESSION}/ecephys_session_{SESSION}.nwb",
        "4": "behavior_only_sessions/1022/behavior_session_1022.nwb",
    }
    stored = {"0": f"ecephys_session_{SESSION}.nwb", "4": "behavior_session_883986743.nwb"}
    with tarfile.open(PACKED) as packed:
        for key, place in files.items():
            (folder / place).parent.mkdir(parents=True)
            inside = packed.extractfile(f"setA/{stored[key]}")
            assert inside is not None
            (folder / place).write_bytes(inside.read())

    def entry(path: str) -> dict[str, str]:
        digest = hashlib.blake2b((folder / path).read_bytes()).hexdigest()
        return {"url": f"{BUCKET}/{path}", "version_id": "v", "file_hash": digest}

    manifest = {
        "project_name": NAME,
        "manifest_version": version,
        "data_pipeline": [{"name": "AllenSDK", "version": "2.14.0", "comment": ""}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {n: entry(f"project_metadata/{n}.csv") for n in TABLES},
        "data_files": {key: entry(place) for key, place in files.items()},
    }
    (root / f"{NAME}_project_manifest_v{version}.json").write_text(json.dumps(manifest))
    return root
