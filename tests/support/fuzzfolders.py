"""Small whole inputs that are folders: of stacks, atlases, releases, assets, and the store's own."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from farstores import ramp, write_v2
from fuzzseeds import DATA, Seeds, lines_of, nrrd, obj, sample, stack_folder, tree


def stack(folder: Path) -> Seeds:
    return [tree(stack_folder(folder))]


def atlas_folder(folder: Path) -> Seeds:
    import openallen as oa

    def fetch(url: str) -> None:
        oa.fetch("structures:1", to=folder / "s", source=url)

    sample(fetch)
    graph = next(p for p in (folder / "s").rglob("structure_graph_1.json"))
    voxels = np.zeros((4, 3, 2), "<u4")
    voxels[1:] = 997
    head = (
        nrrd(Path())[1]["x.nrrd"].split(b"\n\n")[0].replace(b" 25", b" 100").replace(b"25", b"100")
        + b"\n\n"
    )
    facts = {
        "name": "ccf-2017",
        "graph_id": 1,
        "reference_space_id": 9,
        "title": "x",
        "source": "live",
    }
    return [
        {
            "ccf-2017/annotation_100.nrrd": head + gzip.compress(voxels.tobytes()),
            "ccf-2017/average_template_100.nrrd": head + gzip.compress(voxels.tobytes()),
            "ccf-2017/atlas.json": json.dumps(facts).encode(),
            "ccf-2017/structure_graph_1.json": _short_graph(graph.read_bytes()),
            "ccf-2017/structure_meshes/997.obj": obj(Path())[0]["x.obj"],
        }
    ]


def _short_graph(body: bytes) -> bytes:
    told = json.loads(body)

    def cut(node: Any, depth: int) -> Any:
        return node | {
            "children": [cut(c, depth - 1) for c in node.get("children", ())[:2]] if depth else []
        }

    if isinstance(told, dict) and isinstance(told.get("msg"), list):
        told["msg"] = (
            [cut(n, 3) for n in told["msg"][:2]]
            if "children" in told["msg"][0]
            else told["msg"][:12]
        )
    return json.dumps(told).encode()


def _structure_rows() -> list[dict[str, Any]]:
    told = json.loads(
        gzip.decompress((DATA / "atlases" / "structures_graph1.json.gz").read_bytes())
    )
    rows: list[dict[str, Any]] = told["msg"] if isinstance(told, dict) else told
    return rows


def structure_graph(_: Path) -> Seeds:
    rows, held = [], {None}
    for row in _structure_rows():
        if row.get("parent_structure_id") in held and len(rows) < 12:
            rows.append(row)
            held.add(row["id"])
    nested = {
        "id": 997, "acronym": "root", "name": "root", "color_hex_triplet": "FFFFFF", "graph_order": 0,
        "parent_structure_id": None, "children": [
            {"id": 8, "acronym": "grey", "name": "Grey", "color_hex_triplet": "BFDAE3", "graph_order": 1,
             "parent_structure_id": 997, "children": []}
        ],
    }  # fmt: skip
    return [
        {"structure_graph_1.json": json.dumps(told).encode()}
        for told in ({"success": True, "msg": rows}, {"success": True, "msg": [nested]}, nested)
    ]


def brainglobe(_: Path) -> Seeds:
    listed = [
        {
            "id": 997,
            "acronym": "root",
            "name": "root",
            "structure_id_path": [997],
            "rgb_triplet": [255, 255, 255],
        },
        {
            "id": 8,
            "acronym": "grey",
            "name": "Grey",
            "structure_id_path": [997, 8],
            "rgb_triplet": [1, 2, 3],
        },
    ]
    told = {
        "orientation": "asr",
        "resolution": [25, 25, 25],
        "metadata": {"name": "x"},
        "structures_list": listed,
    }
    return [{"x.json": json.dumps(told).encode()}]


_ENTRY = {
    "url": "https://b.s3.us-west-2.amazonaws.com/{}",
    "version_id": "v",
    "file_hash": "0" * 128,
}


def _cloud_cache(name: str, tables: Iterable[str]) -> dict[str, Any]:
    def entry(key: str) -> dict[str, str]:
        return {k: v.format(f"{name}/{key}") for k, v in _ENTRY.items()}

    return {
        "project_name": name, "manifest_version": "1.0.0", "metadata_file_id_column_name": "file_id",
        "data_pipeline": [{"name": "AllenSDK", "version": "2", "comment": "x"}],
        "metadata_files": {t: entry(f"project_metadata/{t}.csv") for t in tables},
        "data_files": {
            "1000": entry("behavior_ophys_experiments/behavior_ophys_experiment_951980471.nwb"),
            "1001": entry("behavior_sessions/behavior_session_883986743.nwb"),
        },
    }  # fmt: skip


_TABLES = ("behavior_session_table", "ophys_session_table", "ophys_experiment_table")


def manifests(_: Path) -> Seeds:
    from openallen.sources.releases.projects import PROJECTS

    leaf = {
        "version": "1",
        "relative_path": "a/b.csv",
        "url": "https://b.s3.us-west-2.amazonaws.com/a/b.csv",
        "size": 3,
        "file_hash": "0" * 32,
    }
    abc = {
        "version": "20240101",
        "file_listing": {"d": {"metadata": {"n": {"files": {"csv": leaf}}}}},
    }
    listing = {"version": "20240101", "listed": [["a/b.csv", 3, "0" * 32], ["x.csv", 4, "e-2"]]}
    of = {
        form: next((n for n, p in PROJECTS.items() if p.form == form), None)
        for form in ("cloud-cache", "abc-atlas", "listing")
    }
    found = {of["abc-atlas"]: abc, of["listing"]: listing}
    made: Seeds = [{f"{n}.json": json.dumps(told).encode()} for n, told in found.items() if n]
    name = "visual-behavior-ophys"
    return [*made, {f"{name}.json": json.dumps(_cloud_cache(name, _TABLES)).encode()}]


def release_tables(_: Path) -> Seeds:
    return [{f"{name}.csv": lines_of(DATA / "releases" / f"{name}.csv", 6)} for name in _TABLES]


def release_folder(_: Path) -> Seeds:
    import hashlib

    name = "visual-behavior-ophys"
    told = _cloud_cache(name, _TABLES)
    files: dict[str, bytes] = {}
    for table in _TABLES:
        body = lines_of(DATA / "releases" / f"{table}.csv", 6)
        files[f"x/{name}-1.0.0/project_metadata/{table}.csv"] = body
        told["metadata_files"][table]["file_hash"] = hashlib.blake2b(body).hexdigest()
    files[f"x/{name}_project_manifest_v1.0.0.json"] = json.dumps(told).encode()
    files["x/_manifest_last_used.txt"] = f"{name}_project_manifest_v1.0.0.json".encode()
    files["x/_downloaded_data.json"] = b"{}"
    files["x/_openallen.json"] = json.dumps({"versions": ["1.0.0"], "sizes": {}}).encode()
    return [files]


def records(_: Path) -> Seeds:
    text = gzip.decompress((DATA / "assets" / "records.jsonl.gz").read_bytes())
    lines = sorted(text.splitlines(), key=len)
    return [{"x.json": line} for line in lines[:24]]


def names(_: Path) -> Seeds:
    lines = gzip.decompress((DATA / "assets" / "names.txt.gz").read_bytes()).split(b"\n")
    return [{"x.txt": b"\n".join(lines[n : n + 8])} for n in range(0, 160, 8)]


def asset_folder(folder: Path) -> Seeds:
    name = "ecephys_625749_2022-08-03_15-15-06"
    record = json.loads(records(folder)[20]["x.json"])
    files = {f"{name}/metadata.nd.json": json.dumps(record).encode()}
    for core in ("data_description", "subject", "session", "processing", "quality_control"):
        files[f"{name}/{core}.json"] = json.dumps(
            record.get(core) or {"schema_version": "1.0"}
        ).encode()
    files[f"{name}/tables/t.csv"] = b"a,b\n1,2\n"
    write_v2(folder / "v2", [ramp((4, 8, 8))])
    files |= tree(folder / "v2", f"{name}/SPIM.ome.zarr/a.zarr")
    return [files]


def catalogue(folder: Path) -> Seeds:
    from openallen.sources.assets.catalogues import Catalogue, row_of_name

    listed = gzip.decompress((DATA / "assets" / "names.txt.gz").read_bytes()).decode().split()[:5]
    Catalogue.write(folder, [row_of_name(n) for n in listed], {"source": "x"})
    return [tree(folder)]


def archive_folder(folder: Path) -> Seeds:
    from openallen.archive.holdings import SAMPLE

    shutil.copytree(SAMPLE, folder / "a")
    for path in (folder / "a" / "tables").iterdir():
        path.write_bytes(lines_of(path, 3))
    (folder / "a" / "tables" / "others.csv").write_text("id,name\n1,a\n2,b\n")
    return [tree(folder / "a")]


# --- what the store keeps -------------------------------------------------------------------------


def store_index(folder: Path) -> Seeds:
    from openallen.store import Index, digest_of

    folder.mkdir(parents=True)
    with Index(folder) as index:
        for n in range(30):
            path = folder / f"{n}.txt"
            path.write_bytes(b"%d" % n)
            index.remember(
                path,
                digest=digest_of(path),
                source=f"http://x/{n}",
                address=f"file:{n}",
                command="x",
            )
    return [{n: b for n, b in tree(folder).items() if "sqlite" in n or n.endswith("/0.txt")}]


BLOCKS = np.random.default_rng(1).bytes(657)
BLOCKS_URL = "https://nowhere.invalid/x.nwb"


def blocks(folder: Path) -> Seeds:
    from openallen.store.blocks import Blocks

    memory = Blocks(folder, BLOCKS_URL, 64)
    memory.begin('"v"', len(BLOCKS), 64)
    for number in range(11):
        memory.put(number, BLOCKS[number * 64 :][:64])
    memory.close()
    return [tree(folder)]


def parts(folder: Path) -> Seeds:
    import os

    from openallen.store import Leases, Part, Progress

    folder.mkdir(parents=True)
    leases = Leases()
    lease = leases.take(folder / "a.nwb")
    assert lease is not None
    part = Part(lease, resumable=True)
    handle = part.start(Progress("http://x", '"v1"', 20))
    os.write(handle, b"0123456789")
    part.checkpoint(handle, 10)
    os.close(handle)
    held = tree(folder)
    leases.release(lease)
    free = tree(folder)
    leases.close()
    # The token is one of chance: inputs that are kept must have the names of those made anew.
    return [
        {
            n.replace(lease.token, "0badc0de"): b.replace(lease.token.encode(), b"0badc0de")
            for n, b in s.items()
        }
        for s in (free, held)
    ]


def cached_listing(folder: Path) -> Seeds:
    from openallen.sources.buckets.listing_cache import CachedListings
    from openallen.transport.s3 import Listed

    CachedListings(folder).put("http://x", "a/", [Listed("a/b", 3, "e"), Listed("a/c", 4, "f")])
    return [tree(folder)]


def settings(_: Path) -> Seeds:
    plain = b'store = "/tmp/x"\nsource = "live"\nattempts = 3\nconfirm_bytes = "1 GB"\noffline = false\nconnections = 4\n'
    more = b'silence_timeout_s = 2.5\nprojects = {mine = {bucket = "b", title = "t"}}\n[projects.other]\nbucket = "c"\n'
    return [
        {"x.toml": plain},
        {"x.toml": plain.replace(b"[", b"") + b"verify_later = true\n"},
        {"x.toml": more},
    ]
