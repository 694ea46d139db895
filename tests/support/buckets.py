"""A versioned bucket on a real S3 server on loopback, with three versions of a small release.

Rows of its tables are real. Two of the data files are NWB files in the released layout (of another
experiment, with made-up signals); the bytes of the others are made up, and nothing reads them.
Addresses in the manifests are those of the real bucket.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUCKET = "visual-behavior-ophys-data"
PROJECT = "visual-behavior-ophys"
TABLES = ("behavior_session_table", "ophys_session_table", "ophys_experiment_table")


@dataclass
class Published:
    """What was put into the bucket."""

    endpoint: str
    s3: Any
    bucket: str = BUCKET
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, key: str, body: bytes) -> dict[str, str]:
        """Put an object; give its entry in a manifest."""
        done = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ACL="public-read")
        return {
            "url": f"https://{self.bucket}.s3.us-west-2.amazonaws.com/{key}",
            "version_id": done["VersionId"],
            "file_hash": hashlib.blake2b(body).hexdigest(),
        }

    def publish(self, version: str, tables: dict[str, Any], data: dict[str, Any]) -> None:
        """Put the manifest of a version."""
        manifest = {
            "project_name": PROJECT,
            "manifest_version": version,
            "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2", "comment": ""}],
            "metadata_file_id_column_name": "file_id",
            "metadata_files": tables,
            "data_files": data,
        }
        self.manifests[version] = manifest
        key = f"{PROJECT}/manifests/{PROJECT}_project_manifest_v{version}.json"
        self.put(key, json.dumps(manifest).encode())


def connect(endpoint: str) -> Any:
    """Return a client of the S3 server."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-west-2",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(s3={"addressing_style": "path"}),
    )


def empty_bucket(s3: Any, name: str) -> None:
    """Make a bucket that holds nothing. All S3 servers of a process have the same buckets."""
    if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        return
    for left in s3.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.delete_object(Bucket=name, Key=left["Key"])


@contextmanager
def serving_s3() -> Iterator[str]:
    """Run a real S3 server on loopback, and yield its endpoint."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def publish_release(endpoint: str, data: Path) -> Published:
    """Make the bucket and publish versions 0.1.0, 0.2.0 and 1.0.0."""
    s3 = connect(endpoint)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    made = Published(endpoint, s3)
    files = _data_files(data)
    entries = {i: made.put(key, _bytes(key)) for i, key in files.items()}
    made.publish("0.1.0", _tables(made, data, files, drop=2), dict(entries))
    made.publish("0.2.0", _tables(made, data, files), dict(entries))
    ids = list(entries)
    later = dict(entries)
    changed = files[ids[1]]
    later[ids[1]] = made.put(changed, _bytes(changed, b"mended"))
    del later[ids[2]]
    moved = files[ids[3]].replace(".nwb", "0.nwb")
    later[ids[3]] = made.put(moved, _bytes(files[ids[3]]))
    added = f"{PROJECT}/behavior_sessions/behavior_session_999.nwb"
    later["9999"] = made.put(added, _bytes(added))
    made.publish("1.0.0", _tables(made, data, files), later)
    made.put(f"{PROJECT}/resources/Movie_TOE1.npy", b"not a movie" * 100)
    return made


def _rows(data: Path, table: str) -> list[dict[str, str]]:
    with (data / "releases" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _data_files(data: Path) -> dict[str, str]:
    """Return keys by file id: one for each experiment, and each session that was not imaged."""
    keys = {}
    for row in _rows(data, "ophys_experiment_table"):
        name = f"behavior_ophys_experiment_{row['ophys_experiment_id']}.nwb"
        keys[str(1000 + len(keys))] = f"{PROJECT}/behavior_ophys_experiments/{name}"
    for row in _rows(data, "behavior_session_table"):
        if not row["ophys_session_id"]:
            name = f"behavior_session_{row['behavior_session_id']}.nwb"
            keys[str(1000 + len(keys))] = f"{PROJECT}/behavior_sessions/{name}"
    return keys


def _tables(
    made: Published, data: Path, files: dict[str, str], drop: int = 0
) -> dict[str, dict[str, str]]:
    found = {}
    ids = {key.rpartition("_")[2].removesuffix(".nwb"): i for i, key in files.items()}
    for table in TABLES:
        rows = _rows(data, table)
        own = table.replace("_table", "_id")
        text = io.StringIO()
        writer = csv.DictWriter(text, [*rows[0], "file_id"], lineterminator="\n")
        writer.writeheader()
        for row in rows[: len(rows) - drop]:
            writer.writerow(row | {"file_id": ids.get(row[own], "-999")})
        key = f"{PROJECT}/project_metadata/{table}.csv"
        found[table] = made.put(key, text.getvalue().encode())
    cells = b"cell_roi_id,cell_specimen_id,ophys_experiment_id\n1,11,951980471\n2,,951980471\n"
    key = f"{PROJECT}/project_metadata/ophys_cells_table.csv"
    found["ophys_cells_table"] = made.put(key, cells)
    return found


_NWB = {
    "behavior_ophys_experiment_951980471.nwb": "behavior_ophys_experiment_957759562.nwb",
    "behavior_session_883986743.nwb": "behavior_session_883986743.nwb",
}


@functools.cache
def _sessions() -> dict[str, bytes]:
    """Read the files that stand for two of the release's."""
    packed = Path(__file__).parents[1] / "data" / "nwb" / "sessions.tar.xz"
    with tarfile.open(packed) as files:
        return {
            name: files.extractfile(f"setA/{stored}").read()  # type: ignore[union-attr]
            for name, stored in _NWB.items()
        }


def _bytes(key: str, more: bytes = b"") -> bytes:
    name = key.rpartition("/")[2]
    if name in _NWB and not more:
        return _sessions()[name]
    seed = hashlib.sha256(key.encode() + more).digest()
    return seed * (200 + seed[0] * 8)
