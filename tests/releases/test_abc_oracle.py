"""The ABC Atlas against what anndata and pandas read in the same files."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
from h5adfiles import publish_atlas

import openallen as oa

USUAL = Path(__file__).parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("OPENALLEN_TEST_SHARED", USUAL)) / "nwb_observatory"
ATLAS = FOLDER / "abc_atlas"
GENES = ["ENSMUSG00000009409", "ENSMUSG00000018780", "ENSMUSG00000093994"]
pytestmark = pytest.mark.shared


@pytest.fixture
def oracle():
    path = FOLDER / "oracle_io.py"
    if not path.is_file():
        pytest.skip("no real files here (OPENALLEN_TEST_SHARED names their folder)")
    spec = importlib.util.spec_from_file_location("oracle_io", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Oracle(str(FOLDER / "oracle" / "abc_atlas"))


def of_matrix(release, name, entry):
    """Return what an entry of a matrix asks for."""
    label, _, what = name.partition(".")
    stem, _, kind = label.rpartition("-")
    data_set = "-".join(stem.split("-")[:2])
    opened = release.matrix(data_set, f"{stem}/{kind}")
    if what == "genes":
        return opened.genes(GENES)
    if what == "cells":
        return opened.cells(eval(entry["call"].partition("[")[2].partition("]]")[0] + "]"))
    if what == "nnz":
        return opened.X.nnz
    if what.startswith("X."):
        return getattr(opened.X, what.removeprefix("X."))
    found = getattr(opened, what)
    if what == "uns":  # the oracle has its texts alone
        return {key: value for key, value in found.items() if isinstance(value, str)}
    if what == "obs":  # as it was recorded: categories as str
        found = found.astype(dict.fromkeys(found.columns, object))
    if what == "var":
        found = found.astype({"gene_symbol": object})
    return found


def answer(release, name, entry):
    if name == "manifest":
        cache = release._cache
        return json.loads(cache.manifest_path(release.version).read_text())
    if name.startswith("csv."):
        table, _, typed = name.removeprefix("csv.").partition("@")
        data_set = "WMB-taxonomy" if table.startswith("cluster") else "WMB-10X"
        dtype = {"cell_label": str} if typed else None
        return release.get_metadata_dataframe(data_set, table, dtype=dtype)
    if name.startswith("gene_data"):
        kind = name.partition("@")[2]
        found = release.genes(GENES, kind=kind)
        if "mean_by_donor" not in name:
            return found
        cells = release.table("WMB-10X/cell_metadata", columns=["cell_label", "donor_label"])
        means = found.groupby(cells.set_index("cell_label")["donor_label"]).mean()
        return means.set_axis(means.index.astype(object))  # pandas 3 makes a type of its own of it
    return of_matrix(release, name, entry)


def compare(oracle, release):
    """Return what differs, and how many entries are equal."""
    differs, equal = {}, 0
    for name, entry in oracle.entries.items():
        close = 1e-6 if "mean_by_donor" in name else 0.0  # sums of float32 have an order
        found = oracle.compare(name, answer(release, name, entry), rtol=close, strict=True)
        differs |= {name: found} if found else {}
        equal += not found
    return differs, equal


def test_a_folder_gives_what_anndata_and_pandas_read(oracle, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    differs, equal = compare(oracle, oa.open(ATLAS))
    assert differs == {}
    assert equal == len(oracle.entries) == 61


def test_the_bucket_gives_the_same_by_ranges(oracle, release, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    remove = publish_atlas(release.endpoint, ATLAS)
    try:
        opened = oa.open("release:abc-atlas")
        differs, equal = compare(oracle, opened)
        matrices = [f for f in opened.files if f.kind == "expression_matrices"]
        assert not any(opened.has(file) for file in matrices)  # nothing was fetched for them
    finally:
        remove()
    assert differs == {}
    assert equal == len(oracle.entries)
