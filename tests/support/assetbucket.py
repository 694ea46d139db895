"""Buckets of AIND assets on a real S3 server on loopback, in the layouts of three generations."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buckets import connect

ASSETS = "aind-open-data"
VIEWS = "allen-data-views"
RAW = "ecephys_625749_2022-08-03_15-15-06"
SORTED = f"{RAW}_sorted-ks25_2022-08-12_06-07-08"
NWB = f"{RAW}_nwb_2023-05-16_16-34-55"
CURRENT = "801381_2025-06-05_14-57-42"
DERIVED = f"{CURRENT}_processed_2025-06-06_01-02-03"
ODD = "HCR_BL6-000_2023-06-1_00-00-00_fused_2024-02-09_13-28-49"
SPACED = "ecephys/ecephys_compressed/experiment1_Record Node 101#Neuropix-PXI-100.ProbeA-AP.zarr"


@dataclass
class Assets:
    """What was put where."""

    endpoint: str
    s3: Any

    def put(self, key: str, body: bytes, bucket: str = ASSETS) -> None:
        self.s3.put_object(Bucket=bucket, Key=key, Body=body, ACL="public-read")

    def sidecar(self, asset: str, name: str, told: Any) -> None:
        self.put(f"{asset}/{name}.json", json.dumps(told).encode())


def records(data: Path) -> list[dict[str, Any]]:
    """Read the real records kept with the tests."""
    text = gzip.decompress((data / "assets" / "records.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def description(version: str, name: str, **more: Any) -> dict[str, Any]:
    """Write a data_description as its generation did."""
    made: dict[str, Any] = {"schema_version": version, "name": name, "license": "CC-BY-4.0"}
    made["institution"] = "AIND" if version < "0.4" else {"abbreviation": "AIND", "name": "x"}
    return made | more


def fresh(s3: Any, name: str) -> None:
    """Make an empty bucket: servers of one process share theirs, also with tests that came before."""
    if name in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})


def publish_assets(endpoint: str) -> Assets:
    """Make the bucket of assets."""
    s3 = connect(endpoint)
    for bucket in (ASSETS, VIEWS):
        fresh(s3, bucket)
    made = Assets(endpoint, s3)
    _first(made)
    _current(made)
    made.put(f"{ODD}/fused.zarr/.zattrs", b"{}")
    made.put("README.txt", b"not an asset")
    made.put("scratch/x.txt", b"not an asset")
    return made


def _first(made: Assets) -> None:
    """The seed's layouts: raw ephys with video, and a spike sorting of it."""
    told = description(
        "0.3.0", RAW, data_level="raw data", modality="ecephys", subject_id="625749",
        creation_date="2022-08-03", creation_time="15:15:06", investigators=["A. Person"],
        funding_source=[{"funder": "AI", "grant_number": None, "fundee": None}],
    )  # fmt: skip
    made.sidecar(RAW, "data_description", told)
    made.sidecar(RAW, "subject", {"schema_version": "0.2.0", "subject_id": "625749", "species": "Mus musculus", "sex": "Female"})  # fmt: skip
    made.sidecar(RAW, "rig", {"schema_version": "0.5.0", "rig_id": "323_EPHYS1"})
    for name in ("procedures", "processing", "acquisition"):
        made.sidecar(RAW, name, {"schema_version": "0.1.0"})
    for chunk in range(3):
        made.put(f"{RAW}/{SPACED}/traces_seg0/{chunk}.0", bytes([chunk]) * 50_000)
    made.put(f"{RAW}/{SPACED}/.zattrs", b"{}")
    made.put(f"{RAW}/behavior/licks.csv", b"t\n1\n2\n")
    made.put(f"{RAW}/behavior/rewards.csv", b"t\n3\n")
    made.put(f"{RAW}/behavior/deep/more.csv", b"t\n4\n")
    made.put(f"{RAW}/behavior/video.avi", b"\0" * 1000)
    made.sidecar(SORTED, "data_description", description("0.3.0", RAW, data_level="raw data", modality="ecephys"))  # fmt: skip
    made.put(f"{SORTED}/sorted/spikes.npy", b"\x93NUMPY")
    made.put(f"{NWB}/nwb/{RAW}.nwb.zarr/.zgroup", b"{}")


def _current(made: Assets) -> None:
    """Schema 2: names without a platform, the combined record beside the core files."""
    modality = [{"name": "SLAP2", "abbreviation": "slap2"}, {"name": "Behavior", "abbreviation": "behavior"}]  # fmt: skip
    raw = description("2.3.3", CURRENT, data_level="raw", modalities=modality, project_name="Learning")  # fmt: skip
    made.sidecar(CURRENT, "data_description", raw)
    made.sidecar(CURRENT, "metadata.nd", {"name": CURRENT, "location": f"s3://{ASSETS}/{CURRENT}", "data_description": raw, "subject": {"subject_id": "801381", "schema_version": "2.0.0", "subject_details": {"sex": "Male", "species": {"name": "Mus musculus"}}}})  # fmt: skip
    made.put(f"{CURRENT}/slap2/a.tif", b"II*\0")
    derived = description("2.3.3", DERIVED, data_level="derived", modalities=modality, source_data=[CURRENT])  # fmt: skip
    made.sidecar(DERIVED, "data_description", derived)
    made.put(f"{DERIVED}/pophys/out.h5", b"\x89HDF")


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """Write a table as the public catalogue's are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def basics(name: str, **more: Any) -> dict[str, Any]:
    """Return a row of ``asset_basics``."""
    row = {
        "_id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "name": name, "modalities": ["ecephys"],
        "project_name": None, "data_level": None, "subject_id": None,
        "acquisition_start_time": None, "location": f"s3://{ASSETS}/{name}",
    }  # fmt: skip
    return row | more
