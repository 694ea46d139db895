"""Small ``.h5ad`` files as anndata lays them out, and a made-up ABC Atlas; every number is made up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from buckets import connect

BUCKET = "allen-brain-cell-atlas"
VERSION = "20240330"
GENES = {
    "ENSMUSG00000000001": "Gnai3",
    "ENSMUSG00000000028": "Cdc45",
    "ENSMUSG00000000031": "Pdyn",
    "ENSMUSG00000000037": "Twin",
    "ENSMUSG00000000049": "Twin",
}


def text(file: h5py.Group, path: str, values: Sequence[str]) -> None:
    """Write an array of text."""
    made = file.create_dataset(path, data=list(values), dtype=h5py.string_dtype())
    made.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def categories(file: h5py.Group, path: str, values: Sequence[str | None]) -> None:
    """Write a column of categories; None is no value."""
    known = sorted({value for value in values if value is not None})
    group = file.create_group(path)
    group.attrs.update(
        {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
    )
    text(group, "categories", known)
    group["codes"] = np.array([-1 if v is None else known.index(v) for v in values], "int16")


def frame(
    file: h5py.Group, path: str, index: Mapping[str, Sequence[str]], columns: Mapping[str, Any]
) -> None:
    """Write a table: text as categories, everything else as it is."""
    ((name, labels),) = index.items()
    group = file.create_group(path)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": name})
    group.attrs["column-order"] = np.array(list(columns), dtype=h5py.string_dtype())
    text(group, name, labels)
    for column, values in columns.items():
        if isinstance(values, np.ndarray):
            group[column] = values
            group[column].attrs["encoding-type"] = "array"
        else:
            categories(group, column, values)


def sparse(
    file: h5py.Group, path: str, values: np.ndarray, kind: str = "csr", **options: Any
) -> h5py.Group:
    """Write a sparse matrix, by rows (``csr``) or by columns (``csc``)."""
    majors = values if kind == "csr" else values.T
    places = [np.flatnonzero(line) for line in majors]
    group = file.create_group(path)
    group.attrs.update({"encoding-type": f"{kind}_matrix", "encoding-version": "0.1.0"})
    group.attrs["shape"] = np.array(values.shape, "int64")
    kept = [line[at] for line, at in zip(majors, places, strict=True)]
    group.create_dataset("data", data=np.concatenate(kept).astype(values.dtype), **options)
    group.create_dataset("indices", data=np.concatenate(places).astype("int32"), **options)
    group["indptr"] = np.cumsum([0, *(len(at) for at in places)]).astype("int32")
    return group


def h5ad(
    path: Path,
    values: np.ndarray,
    cells: Sequence[str],
    genes: Mapping[str, str] = GENES,
    *,
    kind: str = "csr",
    change: Callable[[h5py.File], object] | None = None,
    **options: Any,
) -> Path:
    """Write a matrix of cells x genes with its tables.

    Parameters
    ----------
    path, values
        Where, and the matrix.
    cells, genes
        Labels of cells; symbols of genes by identifier.
    kind
        ``csr``, ``csc``, or ``dense``.
    change
        Changes the file before it is closed.
    **options
        As for `h5py.Group.create_dataset`, of the values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        if kind == "dense":
            file.create_dataset("X", data=values, **options).attrs["encoding-type"] = "array"
        else:
            sparse(file, "X", values, kind, **options)
        letters = [label[:1] for label in cells]
        frame(file, "obs", {"cell_label": cells}, {"library_label": letters})
        frame(file, "var", {"gene_identifier": list(genes)}, {"gene_symbol": list(genes.values())})
        if change is not None:
            change(file)
    return path


def random_matrix(rows: int, columns: int, seed: int, filled: float = 0.4) -> np.ndarray:
    """Return a matrix of which a part is not zero."""
    chance = np.random.default_rng(seed)
    values = chance.integers(1, 1000, (rows, columns)).astype("float32") / 8
    return np.where(chance.random((rows, columns)) < filled, values, 0).astype("float32")


# --- an atlas -------------------------------------------------------------------------------------

LABELS = {"M-v2-A": [f"a{i}" for i in range(7)], "M-v2-B": [f"b{i}" for i in range(5)]}
ORDER = ["b1", "a3", "a0", "b4", "a6", "a1", "b0"]
"""Cells of the table of cells, in its order: some of the matrices are not among them."""


def values_of(label: str, kind: str) -> np.ndarray:
    """Return the matrix of a label and kind."""
    made = random_matrix(len(LABELS[label]), len(GENES), len(label) + ord(label[-1]))
    return made if kind == "raw" else np.log2(made + 1)


def cell_metadata() -> str:
    """Return the table of cells: labels that look like numbers, too."""
    lines = ["cell_label,feature_matrix_label,dataset_label,donor_genotype,x,cluster_alias"]
    for number, cell in enumerate(ORDER):
        matrix = f"M-v2-{cell[0].upper()}"
        genotype = "" if number == 2 else "wt/wt"
        lines.append(f"{cell},{matrix},M-v2,{genotype},{number * 0.5},{number}")
    return "\n".join(lines) + "\n"


def write_atlas(folder: Path) -> Path:
    """Write a release as the bucket has it: manifest, tables, matrices, a volume."""
    genes = "gene_identifier,gene_symbol,comment\n"
    genes += "".join(f"{name},{symbol},\n" for name, symbol in GENES.items())
    at = {"metadata/M": "20231215", "expression_matrices/M-v2": "20230630"}
    tables = folder / "metadata/M" / at["metadata/M"]
    tables.mkdir(parents=True)
    (tables / "cell_metadata.csv").write_text(cell_metadata())
    (tables / "gene.csv").write_text(genes)
    for label, cells in LABELS.items():
        for kind in ("log2", "raw"):
            place = folder / "expression_matrices/M-v2" / at["expression_matrices/M-v2"]
            h5ad(place / f"{label}-{kind}.h5ad", values_of(label, kind), cells)
    _volume(folder / "image_volumes/CCF/20230630/annotation_10.nii.gz")
    write_manifest(folder)
    return folder


def _volume(path: Path) -> None:
    import nibabel

    path.parent.mkdir(parents=True)
    made = nibabel.Nifti1Image(
        np.arange(24, dtype="int16").reshape(2, 3, 4), np.diag([0.01] * 3 + [1])
    )
    made.header.set_xyzt_units("mm")
    nibabel.save(made, path)


def write_manifest(folder: Path, version: str = VERSION, *, lacking: str = "") -> Path:
    """Write the manifest of what lies in a folder; without one data set where that is named."""
    listing: dict[str, Any] = {}
    every = sorted(p for p in folder.rglob("*") if p.is_file() and "releases" not in p.parts)
    for path in every:
        key = path.relative_to(folder).as_posix()
        kind, data_set, *_, name = key.split("/")
        stem, _, ending = name.partition(".")
        if data_set == lacking:
            continue
        body = path.read_bytes()
        leaf = {
            "version": key.split("/")[2],
            "relative_path": key,
            "url": f"https://{BUCKET}.s3.us-west-2.amazonaws.com/{key}",
            "size": len(body),
            "file_hash": hashlib.md5(body).hexdigest(),
        }
        label, _, form = stem.rpartition("-")
        inside = listing.setdefault(data_set, {}).setdefault(kind, {})
        if kind == "expression_matrices":
            inside.setdefault(label, {})[form] = {"files": {ending: leaf}}
        else:
            inside[stem] = {"files": {ending: leaf}}
    told = {
        "version": version,
        "resource_uri": f"s3://{BUCKET}/",
        "directory_listing": {name: {"directories": {}} for name in listing},
        "file_listing": listing,
    }
    path = folder / "releases" / version / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))
    return path


def publish_atlas(endpoint: str, folder: Path) -> Callable[[], None]:
    """Put a release where the project has it; return what removes it again."""
    s3 = connect(endpoint)
    if BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        where = {"LocationConstraint": "us-west-2"}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    keys = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    for key in keys:
        body = (folder / key).read_bytes()
        s3.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")

    def remove() -> None:
        for key in keys:
            s3.delete_object(Bucket=BUCKET, Key=key)

    return remove
