"""The ABC Atlas on a made-up release: data sets by name, tables, genes of cells, what is wrong."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from h5adfiles import (
    BUCKET,
    GENES,
    LABELS,
    ORDER,
    cell_metadata,
    h5ad,
    publish_atlas,
    values_of,
    write_atlas,
    write_manifest,
)

import openallen as oa
from openallen.errors import (
    CorruptError,
    MissingExtraError,
    NotFoundError,
    OpenAllenError,
    UsageError,
)
from openallen.formats.h5ad import H5ad
from openallen.plans import IncompleteError
from openallen.sources.releases.abc.release import AbcRelease

NAME = "release:abc-atlas"
CELLS = f"{NAME}/M/cell_metadata"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture
def local(folder, tmp_path, monkeypatch):
    """A copy of the folder, and no network."""
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    return shutil.copytree(folder, tmp_path / "atlas")


@pytest.fixture
def bucket(published, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", published.endpoint)
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    remove = publish_atlas(published.endpoint, folder)
    yield published
    remove()


def expected(genes, cells=ORDER, kind="log2"):
    """Return what genes of cells are, by the matrices themselves."""
    columns = [list(GENES.values()).index(g) if g in GENES.values() else list(GENES).index(g)
               for g in genes]  # fmt: skip
    rows = []
    for cell in cells:
        label = f"M-v2-{cell[0].upper()}"
        rows.append(values_of(label, kind)[LABELS[label].index(cell), columns])
    return np.array(rows)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("M-v2/M-v2-A/log2", "expression_matrices/M-v2/20230630/M-v2-A-log2.h5ad"),
        ("M-v2/M-v2-A/log2/h5ad", "expression_matrices/M-v2/20230630/M-v2-A-log2.h5ad"),
        ("M-v2/M-v2-A-log2.h5ad", "expression_matrices/M-v2/20230630/M-v2-A-log2.h5ad"),
        ("expression_matrices/M-v2/M-v2-A/raw", "expression_matrices/M-v2/20230630/M-v2-A-raw.h5ad"),
        ("expression_matrices/M-v2/M-v2-A/raw/h5ad", "expression_matrices/M-v2/20230630/M-v2-A-raw.h5ad"),
        ("M/gene", "metadata/M/20231215/gene.csv"),
        ("metadata/M/gene/csv", "metadata/M/20231215/gene.csv"),
        ("CCF/annotation_10", "image_volumes/CCF/20230630/annotation_10.nii.gz"),
    ],
)  # fmt: skip
def test_a_file_is_named_as_people_call_it(bucket, path, file):
    plan = oa.plan(f"{NAME}/{path}")
    assert [f.path.partition("/")[2] for f in plan.files] == [file]
    facts = oa.show(f"{NAME}/{path}")
    assert next(f.value for f in facts.fields if f.name == "path") == file


@pytest.mark.parametrize(
    ("path", "count"),
    [("M-v2", 4), ("M-v2/M-v2-A", 2), ("M-v2/expression_matrices", 4), ("M", 2), ("metadata/M", 2),
     ("expression_matrices", 4), ("", 7)],
)  # fmt: skip
def test_a_data_set_is_all_its_files(bucket, path, count):
    where = f"{NAME}/{path}".rstrip("/")
    assert len(oa.plan(where).files) == count
    facts = oa.show(where)
    assert next(f.value for f in facts.fields if f.name == "files") == count


@pytest.mark.parametrize("path", ["M-v2", "M-v2/M-v2-A"])
def test_several_files_are_not_opened_as_one(bucket, path):
    with pytest.raises(UsageError, match="files, not one"):
        oa.open(f"{NAME}/{path}")


@pytest.mark.parametrize(
    ("path", "why", "hint"),
    [
        ("M-v3", "has M, M-v2|it has", ""),
        ("M/cel_metadata", "it has cell_metadata, gene", "openallen show {}/M/cell_metadata"),
        ("M-v2/M-v2-A/log", "M-v2-A/log2", "openallen show {}/M-v2/M-v2-A/log2"),
    ],
)
def test_what_is_not_there_is_told_with_what_is_near(bucket, path, why, hint):
    for call in (oa.open, oa.show, oa.plan):
        with pytest.raises(NotFoundError, match=why) as caught:
            call(f"{NAME}/{path}")
        if hint:
            assert caught.value.hint == hint.format(f"{NAME}@20240330")
            oa.show(caught.value.hint.removeprefix("openallen show "))


def test_lists_show_data_sets_then_names_then_rows(bucket):
    sets = oa.list(NAME)
    assert [r["data_set"] for r in sets] == ["CCF", "M", "M-v2"]
    assert (sets[2]["expression_matrices"], sets[1]["metadata"]) == (4, 2)
    assert any("20240330" in note for note in sets.notes)
    names = oa.list(sets[2]["address"])
    assert [r["name"] for r in names] == ["M-v2-A/log2", "M-v2-A/raw", "M-v2-B/log2", "M-v2-B/raw"]
    assert oa.plan(names[0]["address"]).files
    assert [r["name"] for r in oa.list(f"{NAME}/M-v2", name__like="*raw")] == [
        "M-v2-A/raw",
        "M-v2-B/raw",
    ]
    assert [r["name"] for r in oa.list(f"{NAME}@20240330/metadata/M")] == ["cell_metadata", "gene"]
    rows = oa.list(CELLS)
    assert [r["cell_label"] for r in rows] == ORDER
    assert rows[0] == {"cell_label": "b1", "feature_matrix_label": "M-v2-B", "dataset_label": "M-v2",
                       "donor_genotype": "wt/wt", "x": 0.0, "cluster_alias": 0}  # fmt: skip
    some = oa.list(CELLS, feature_matrix_label="M-v2-A", limit=2)
    assert [r["cell_label"] for r in some] == ["a3", "a0"]
    assert some.total == 4


def test_lists_say_what_is_wrong(bucket):
    with pytest.raises(UsageError, match="no column 'cel_label'"):
        oa.list(CELLS, cel_label="a1")
    with pytest.raises(UsageError, match="this is no table"):
        oa.list(f"{NAME}/M-v2/M-v2-A/log2")
    with pytest.raises(UsageError, match="'abc' is not a number"):
        oa.list(CELLS, x__lt="abc")
    none = oa.list(CELLS, feature_matrix_label="M-v2-a")
    assert not none
    assert "M-v2-A" in str(none.empty())


# --- tables ---------------------------------------------------------------------------------------


def test_a_table_is_what_pandas_reads(local):
    release = oa.open(local)
    assert isinstance(release, AbcRelease)
    assert release.tables == ("M/cell_metadata", "M/gene")
    found = release.table("M/cell_metadata")
    told = pd.read_csv(local / "metadata/M/20231215/cell_metadata.csv")
    for name in told.columns:
        assert found[name].isna().tolist() == told[name].isna().tolist()
        assert found[name].dropna().tolist() == told[name].dropna().tolist()
    assert found.dtypes.map(str).tolist() == ["object"] * 4 + ["float64", "int64"]
    assert list(release.rows("M/gene"))[2]["gene_symbol"] == "Pdyn"
    assert release.csv("M/gene").read_text().startswith("gene_identifier")
    assert oa.open(f"{local}").table("metadata/M/gene/csv").shape == (5, 3)


FILTERS = [
    {"feature_matrix_label": "M-v2-A"},
    {"feature_matrix_label__ne": "M-v2-A"},
    {"cell_label": ["a1", "b0", "zz"]},
    {"x__lt": 1.5},
    {"x__ge": 2, "cluster_alias__in": [4, 5, 6]},
    {"cell_label__like": "a?"},
    {"feature_matrix_label__ilike": "*-a"},
    {"donor_genotype": "null"},
    {"donor_genotype__ne": "null"},
    {"donor_genotype__ne": "wt/wt"},
    {"donor_genotype__exists": True},
    {"cluster_alias": 3},
    {"cluster_alias": "3.0"},
    {"cluster_alias": "three"},
    {"cluster_alias__ne": 3},
    {"cell_label__gt": "a5"},
    {"x__like": "0*"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_filters_mean_what_they_do_in_other_lists(local, filters):
    """They are applied while reading, and by plain Python to the same rows."""
    from openallen.address import Condition
    from openallen.sources.filters import matches
    from openallen.sources.releases.rows import read_rows

    release = oa.open(local)
    conditions = [Condition.of(n, v) for n, v in filters.items()]
    plain = read_rows(local / "metadata/M/20231215/cell_metadata.csv")
    want = [row["cell_label"] for row in plain if matches(row, conditions)]
    found = release.table("M/cell_metadata", columns=["x", "cell_label"], **filters)
    assert list(found.columns) == ["x", "cell_label"]
    assert found["cell_label"].tolist() == want
    assert [r["cell_label"] for r in release.rows("M/cell_metadata", *conditions)] == want


NUMBERS = {
    "id": ["20000000", "300000001", "9007199254740993"],
    "gaps": ["9007199254740993", "", "-20000001"],
    "large": ["1", "20000001", "18446744073709551615"],
    "part": ["0.5", "inf", "20000001.25"],
    "flag": ["True", "", "False"],
}


@pytest.mark.parametrize("column", NUMBERS)
def test_numbers_are_compared_exactly(tmp_path, column):
    """Ids need more digits than the type that Arrow takes by itself, which refused them."""
    from openallen.address import Condition
    from openallen.sources.filters import matches
    from openallen.sources.releases.abc.tables import KeptTable

    path = tmp_path / "t.csv"
    path.write_text(f"n,{column}\n" + "".join(f"{n},{v}\n" for n, v in enumerate(NUMBERS[column])))
    read = {"flag": {"True": True, "False": False}.get, "part": float}.get(column, int)
    plain = [read(value) if value else None for value in NUMBERS[column]]
    table = KeptTable(lambda: path, "", tmp_path / "kept", "release:x/t")
    for wanted in ("1.5", "-1", "-20000001.5", "300000001.0", "9007199254740993", "9007199254740992",
                   "18446744073709551615", "1" * 30, "-" + "1" * 30, "1e400", "True", "false",
                   "0.5", "inf"):  # fmt: skip
        for op in ("eq", "ne", "lt", "le", "gt", "ge", "in", "like"):
            if column == "flag" and op in {"lt", "le", "gt", "ge"}:
                continue
            if wanted in {"True", "false", "inf"} and op in {"lt", "le", "gt", "ge"}:
                continue
            if op == "like" and column != "flag":
                continue
            one = Condition("v", op, (wanted,) if op == "in" else wanted)
            want = [n for n, v in enumerate(plain) if matches({"v": v}, [one])]
            own = Condition(column, op, one.value)
            assert table.frame(["n"], [own])["n"].tolist() == want, (op, wanted)
            assert table.count([own]) == len(want)


def test_the_copy_is_made_once_and_again_where_it_is_damaged(local, tmp_path):
    release = oa.open(local)
    want = release.table("M/cell_metadata")
    (copy,) = (tmp_path / "store" / "tables").glob("*.parquet")
    made = copy.stat().st_mtime_ns
    assert copy.name.startswith(release.file("metadata", "M/cell_metadata/csv").digest[4:])
    assert release.table("M/cell_metadata").equals(want)
    assert copy.stat().st_mtime_ns == made
    body = copy.read_bytes()
    for damaged in (body[:50] + b"\x00\x01\x02\x03" + body[54:], body[: len(body) // 2], b"", None):
        copy.write_bytes(damaged) if damaged is not None else copy.unlink()
        assert release.table("M/cell_metadata").equals(want)
    copy.with_name(copy.name + ".json").write_text("{}")
    assert release.table("M/cell_metadata").equals(want)
    assert [p.suffix for p in copy.parent.iterdir() if ".part" in p.name] == []


def test_a_store_that_cannot_be_written_to_is_no_hindrance(local, tmp_path):
    (tmp_path / "store").mkdir(exist_ok=True)
    (tmp_path / "store" / "tables").write_text("a file where the folder goes")
    assert len(oa.open(local).table("M/cell_metadata")) == 7


def test_unknown_tables_and_columns_are_told(local):
    release = oa.open(local)
    with pytest.raises(NotFoundError, match="no table 'cell_metadata'") as caught:
        release.table("cell_metadata")
    assert caught.value.hint.endswith("/M/cell_metadata")
    with pytest.raises(UsageError, match="no column 'cel_label'"):
        release.table("M/cell_metadata", columns=["cel_label"])
    with pytest.raises(UsageError, match="columns are a list"):
        release.table("M/cell_metadata", columns="x")
    with pytest.raises(UsageError, match="no column 'y'"):
        release.table("M/cell_metadata", y=3)


def test_a_broken_table_is_told(local):
    """Its digest is right, so it was published so."""
    path = local / "metadata/M/20231215/cell_metadata.csv"
    path.write_text(cell_metadata() + "a1,too,few\n")
    write_manifest(local)
    with pytest.raises(CorruptError, match="malformed line") as caught:
        oa.open(local).table("M/cell_metadata")
    assert caught.value.address == str(path)


def test_a_table_is_opened_by_its_address(bucket):
    found = oa.open(CELLS)
    assert found["cell_label"].tolist() == ORDER
    by_path = oa.open(f"{NAME}/files/metadata/M/20231215/cell_metadata.csv")
    assert by_path.equals(found)
    assert oa.open(CELLS, columns=["x"]).shape == (7, 1)


# --- genes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log2", "raw"])
def test_genes_are_in_the_order_of_the_table_of_cells(local, kind):
    found = oa.open(local).genes(["Pdyn", "ENSMUSG00000000001"], kind=kind)
    assert (found.index.name, list(found.index)) == ("cell_label", ORDER)
    assert list(found.columns) == ["Pdyn", "ENSMUSG00000000001"]
    assert found.dtypes.tolist() == [np.dtype("float32")] * 2
    assert np.array_equal(found.to_numpy(), expected(["Pdyn", "Gnai3"], kind=kind))


CHOICES = [
    ({"cells": ["b0", "a6", "a3"]}, ["b0", "a6", "a3"]),
    ({"feature_matrices": "M-v2-B"}, ["b1", "b4", "b0"]),
    ({"data_sets": "M"}, ORDER),
    ({"data_sets": ["M-v2"]}, ORDER),
    ({"data_sets": "M-v2", "feature_matrices": ["M-v2-A"]}, ["a3", "a0", "a6", "a1"]),
    ({"cells": {"x__lt": 1.5}}, ["b1", "a3", "a0"]),
    ({"cells": {"cell_label": ["a1"]}}, ["a1"]),
]


@pytest.mark.parametrize(("options", "cells"), CHOICES, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
def test_cells_are_chosen(local, options, cells, sparse):
    found = oa.open(local).genes("Cdc45", sparse=sparse, **options)
    assert list(found.index) == cells
    dense = found.sparse.to_dense() if sparse else found
    assert np.array_equal(dense.to_numpy(), expected(["Cdc45"], cells))


def test_cells_as_a_table_need_no_other(local):
    release = oa.open(local)
    table = release.table("M/cell_metadata").iloc[::-1]
    found = release.genes("Pdyn", table.set_index("cell_label"))
    assert list(found.index) == ORDER[::-1]
    assert np.array_equal(found.to_numpy(), expected(["Pdyn"], ORDER[::-1]))
    labels = release.genes("Pdyn", table[["cell_label"]])
    assert labels.equals(found)


def second_data_set(folder):
    """Add a data set with a matrix whose cells have labels that are numbers, or are elsewhere too."""
    h5ad(folder / "expression_matrices/N-v1/20230630/N-v1-A-log2.h5ad",
         values_of("M-v2-A", "log2"), ["7", "8", "a0", "a3", "a4", "a5", "a6"])  # fmt: skip
    write_manifest(folder)
    return oa.open(folder)


def test_a_matrix_of_another_data_set_is_told(local):
    release = second_data_set(local)
    assert len(release.genes("Pdyn", data_sets="N-v1", feature_matrices="N-v1-A")) == 7
    with pytest.raises(UsageError, match="its data set is 'M-v2'") as caught:
        release.genes("Pdyn", data_sets="N-v1", feature_matrices="M-v2-A")
    assert caught.value.hint == "data_sets='M-v2'"


def test_a_cell_of_several_matrices_is_told(local):
    release = second_data_set(local)
    for file in local.glob("metadata/M/*/cell_metadata.csv"):
        file.unlink()
    write_manifest(local)
    release = oa.open(local)
    both = ["M-v2-A", "N-v1-A"]
    assert len(release.genes("Pdyn", ["7", "a1"], feature_matrices=both)) == 2
    with pytest.raises(UsageError, match=r"several matrices have a cell 'a0' \(M-v2-A, N-v1-A"):
        release.genes("Pdyn", ["7", "a0"], feature_matrices=both)


def test_labels_that_pandas_read_as_numbers_are_cells_too(local):
    release = second_data_set(local)
    cells = pd.DataFrame({"cell_label": [8, 7], "feature_matrix_label": "N-v1-A"})
    found = release.genes("Pdyn", cells)
    assert found.index.tolist() == ["8", "7"]
    assert np.array_equal(found["Pdyn"], values_of("M-v2-A", "log2")[[1, 0], 2])
    assert found.attrs == {}


def test_what_a_matrix_lacks_is_missing_and_told(local, caplog):
    place = local / "expression_matrices/M-v2/20230630"
    fewer = {k: v for k, v in GENES.items() if v != "Pdyn"}
    label = "M-v2-B"
    h5ad(place / f"{label}-log2.h5ad", values_of(label, "log2")[1:, :4], LABELS[label][1:], fewer)
    write_manifest(local)
    found = oa.open(local).genes(["Pdyn", "Gnai3"])
    assert found["Pdyn"].isna().tolist() == [c[0] == "b" for c in ORDER]
    assert found["Gnai3"].isna().tolist() == [c == "b0" for c in ORDER]
    assert found.attrs["notes"] == [
        "the matrix 'M-v2-B' has no gene Pdyn", "1 cell not in the matrix 'M-v2-B'",
    ]  # fmt: skip
    assert "has no gene Pdyn" in caplog.text


def test_symbols_of_the_table_of_genes_where_a_matrix_has_none(local):
    for path in (local / "expression_matrices").rglob("*-log2.h5ad"):
        with h5py.File(path, "a") as file:
            del file["var/gene_symbol"]
            file["var"].attrs["column-order"] = np.array([], dtype=h5py.string_dtype())
    write_manifest(local)
    found = oa.open(local).genes("Pdyn")
    assert np.array_equal(found.to_numpy(), expected(["Pdyn"]))


@pytest.mark.parametrize(
    ("call", "error", "why"),
    [
        (lambda r: r.genes("Pdin"), NotFoundError, "no gene 'Pdin'.*Pdyn"),
        (lambda r: r.genes("Twin"), UsageError, "2 genes have the symbol 'Twin'"),
        (lambda r: r.genes([]), UsageError, "no gene named"),
        (lambda r: r.genes([3]), UsageError, "named by text, not int"),
        (lambda r: r.genes("Pdyn", ["a1", "zz"]), NotFoundError, "no cell 'zz'"),
        (
            lambda r: r.genes("Pdyn", kind="log10"),
            NotFoundError,
            "not published as 'log10'.*log2, raw",
        ),
        (lambda r: r.genes("Pdyn", data_sets="M-v3"), NotFoundError, "no data set 'M-v3'"),
        (lambda r: r.genes("Pdyn", feature_matrices="M-v2-C"), NotFoundError, "no matrix 'M-v2-C'"),
        (lambda r: r.matrix("M-v2", "M-v2-C/log2"), NotFoundError, "has no 'M-v2-C/log2'"),
    ],
)
def test_wrong_genes_are_told(local, call, error, why):
    with pytest.raises(error, match=why) as caught:
        call(oa.open(local))
    assert caught.value.hint or "zz" in why or "int" in why


def test_which_data_set_is_asked_for_where_there_are_several(local):
    other = local / "metadata/N/20231215"
    other.mkdir(parents=True)
    (other / "cell_metadata.csv").write_text(cell_metadata())
    write_manifest(local)
    release = oa.open(local)
    with pytest.raises(UsageError, match="which data set is not said") as caught:
        release.genes("Pdyn")
    assert caught.value.hint == "data_sets='M'"
    assert list(release.genes("Pdyn", data_sets="M").index) == ORDER


def test_matrices_without_a_table_of_cells_have_their_own(local):
    shutil.rmtree(local / "metadata/M")
    write_manifest(local)
    release = oa.open(local)
    found = release.genes("Pdyn", feature_matrices="M-v2-B")
    assert list(found.index) == LABELS["M-v2-B"]
    with pytest.raises(NotFoundError, match="no table says which matrix"):
        release.genes("Pdyn")


def test_a_cell_of_no_matrix_is_damage(local):
    path = local / "metadata/M/20231215/cell_metadata.csv"
    path.write_text(cell_metadata() + "a2,,M-v2,wt/wt,1.0,5\n")
    write_manifest(local)
    with pytest.raises(CorruptError, match="which matrix a cell is in"):
        oa.open(local).genes("Pdyn")


def test_damaged_matrices_are_told(local):
    path = local / "expression_matrices/M-v2/20230630/M-v2-A-log2.h5ad"
    with h5py.File(path, "a") as file:
        file["X/indptr"][2] = 10_000
    write_manifest(local)
    with pytest.raises(CorruptError, match="does not ascend") as caught:
        oa.open(local).genes("Pdyn")
    assert "M-v2-A-log2" in caught.value.address
    path.write_bytes(path.read_bytes()[:900])  # and now it is not what was published
    with pytest.raises(CorruptError, match="damaged"):
        oa.open(local).genes("Pdyn")


def test_matrices_are_read_remotely_and_nothing_is_fetched(bucket):
    release = oa.open(NAME)
    found = release.genes(["Pdyn"])
    assert np.array_equal(found.to_numpy(), expected(["Pdyn"]))
    opened = oa.open(f"{NAME}/M-v2/M-v2-A/log2")
    assert isinstance(opened, H5ad)
    assert opened.path is None
    assert opened.shape == (7, 5)
    assert not any(release.has(f) for f in release.files if f.kind == "expression_matrices")
    oa.fetch(f"{NAME}/M-v2/M-v2-A/log2")
    assert oa.open(f"{NAME}/M-v2/M-v2-A/log2").path is not None


def test_only_what_is_needed_of_a_remote_matrix_is_requested(published, bucket, folder, tmp_path):
    """A gene of a matrix by columns is a few ranges, however large the matrix is."""
    cells = [f"c{i}" for i in range(4000)]
    genes = {f"g{i:03}": f"S{i}" for i in range(200)}
    values = np.random.default_rng(5).random((4000, 200)).astype("float32")
    path = h5ad(tmp_path / "large.h5ad", values, cells, genes, kind="csc")
    key = "expression_matrices/M-v2/20230630/M-v2-A-log2.h5ad"
    published.s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
    opened = oa.open(f"{NAME}/M-v2/M-v2-A/log2")
    found = opened.genes("S77")
    assert np.array_equal(found["S77"].to_numpy(), values[:, 77])
    raw = opened.tree._ranges
    assert raw.bytes_received < 0.4 * path.stat().st_size
    opened.close()


def test_anndata_is_asked_for_by_name(local, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "anndata", None)
    with pytest.raises(MissingExtraError, match="anndata"):
        oa.open(local).anndata("M-v2", "M-v2-A/log2")


def test_a_volume_opens_with_its_axes(bucket):
    address = f"{NAME}/CCF/annotation_10"
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        oa.open(address)
    assert caught.value.hint == f"openallen fetch {address}"
    oa.fetch(address)
    found = oa.open(address)
    assert found.dims == ("AP", "DV", "ML")
    assert sorted(found.shape) == [2, 3, 4]
    assert sorted(found.values.ravel()) == list(range(24))
    assert np.allclose(np.diff(found["AP"]), 10.0)


# --- abc_atlas_access's names ---------------------------------------------------------------------


def test_the_names_of_abc_atlas_access(local):
    cache = oa.open(local)
    assert cache.list_directories == ["CCF", "M", "M-v2"]
    assert cache.list_metadata_files("M") == ["cell_metadata", "gene"]
    matrices = ["M-v2-A/log2", "M-v2-A/raw", "M-v2-B/log2", "M-v2-B/raw"]
    assert cache.list_expression_matrix_files("M-v2") == matrices
    assert cache.list_data_files("M-v2") == matrices
    assert cache.list_image_volume_files("CCF") == ["annotation_10"]
    assert cache.list_mapmycells_files("M") == []
    path = local / "expression_matrices/M-v2/20230630/M-v2-B-raw.h5ad"
    assert cache.get_data_path("M-v2", "M-v2-B/raw", force_download=False) == path
    assert cache.get_file_path("M-v2", "M-v2-B/raw") == path
    assert cache.get_metadata_path("M", "gene").name == "gene.csv"
    assert len(cache.get_directory_expression_matrices("M-v2")) == 4
    assert len(cache.get_directory_data("M-v2")) == 4
    assert [p.name for p in cache.get_directory_metadata("M")] == ["cell_metadata.csv", "gene.csv"]
    assert [p.suffix for p in cache.get_directory_image_volumes("CCF")] == [".gz"]
    assert cache.get_directory_mapmycells("M") == []
    assert cache.get_directory_metadata_size("M").endswith("bytes")
    assert cache.current_manifest == "releases/20240330/manifest.json"
    assert cache.list_all_downloaded_manifests == ["releases/20240330/manifest.json"]
    assert cache.latest_downloaded_manifest_file == "releases/20240330/manifest.json"
    with pytest.raises(UsageError, match="no such option 'force'"):
        cache.get_file_path("M", "gene", force=True)
    with pytest.raises(NotFoundError, match="no data set 'WMB'"):
        cache.list_metadata_files("WMB")
    with pytest.raises(NotFoundError, match="has no 'genes'"):
        cache.get_file_path("M", "genes")
    with pytest.raises(NotFoundError, match="2 files 'M-v2-A', not one"):
        cache.get_file_path("M-v2", "M-v2-A")


def test_a_table_by_the_name_of_abc_atlas_access(local):
    cache = oa.open(local)
    usual = cache.get_metadata_dataframe("M", "cell_metadata", dtype={"cell_label": str})
    assert usual.equals(cache.table("M/cell_metadata"))
    assert usual.equals(cache.get_metadata_dataframe(directory="M", file_name="cell_metadata"))
    found = cache.get_metadata_dataframe("M", "cell_metadata", usecols=["x", "cell_label"], nrows=3)
    assert found.shape == (3, 2)
    typed = cache.get_metadata_dataframe("M", "gene", dtype={"comment": "float32"})
    assert str(typed["comment"].dtype) == "float32"
    with pytest.raises(NotFoundError):
        cache.get_metadata_dataframe("M-v2", "M-v2-A/log2")


def test_manifests_are_compared_and_chosen_by_version(bucket, folder, tmp_path):
    older = shutil.copytree(folder, tmp_path / "older")
    (older / "metadata/M/20231215/gene.csv").write_text("gene_identifier,gene_symbol\nE1,A\n")
    path = write_manifest(older, "20231215", lacking="CCF")
    key = "releases/20231215/manifest.json"
    bucket.s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
    try:
        cache = oa.open(NAME)
        names = ["releases/20231215/manifest.json", "releases/20240330/manifest.json"]
        assert cache.list_manifest_file_names == names
        assert cache.latest_manifest_file == names[1]
        assert cache.compare_manifests(names[1], names[0]) == {
            "added": ["CCF/annotation_10"], "removed": [], "changed": ["M/gene"],
        }  # fmt: skip
        cache.load_manifest(names[1])
        cache.load_latest_manifest()
        with pytest.raises(UsageError, match="a release is of one version") as caught:
            cache.load_manifest(names[0])
        assert caught.value.hint == f"oa.open('{NAME}@20231215')"
        assert oa.open(f"{NAME}@20231215").list_directories == ["M", "M-v2"]
        assert len(oa.list(f"{NAME}@20231215")) == 2
    finally:
        bucket.s3.delete_object(Bucket=BUCKET, Key=key)


# --- what is wrong --------------------------------------------------------------------------------


def test_what_may_not_be_read_is_told(bucket, loopback, monkeypatch):
    """A bucket that denies a matrix and a table: 403."""
    keys = ("expression_matrices/M-v2/20230630/M-v2-A-log2.h5ad", "metadata/M/20231215/gene.csv")
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    routes = dict.fromkeys(
        (f"/{BUCKET}/{key}" for key in keys),
        lambda request, reply: reply.send(denied, "403 Forbidden"),
    )
    oa.open(NAME)  # the manifest is here from now on
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", loopback(routes).url)
    pinned = f"{NAME}@20240330"
    with pytest.raises(OpenAllenError, match="403"):
        oa.open(f"{pinned}/M-v2/M-v2-A/log2")
    with pytest.raises(OpenAllenError, match="403"):
        oa.open(pinned).table("M/gene")


def test_a_missing_object_is_told(bucket):
    key = "metadata/M/20231215/gene.csv"
    bucket.s3.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises((IncompleteError, NotFoundError), match=r"gene\.csv|404|no such"):
        oa.open(NAME).table("M/gene")


def test_a_manifest_without_lists_is_refused(local):
    path = local / "releases/20240330/manifest.json"
    told = json.loads(path.read_text())
    del told["file_listing"]
    path.write_text(json.dumps(told))
    with pytest.raises(OpenAllenError):
        oa.open(local)


def test_a_project_of_the_settings_in_this_form_is_such_a_release(bucket, monkeypatch):
    mine = {"mine": {"bucket": BUCKET, "form": "abc-atlas"}}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(mine))
    release = oa.open("release:mine")
    assert isinstance(release, AbcRelease)
    assert release.table("M/gene").shape == (5, 3)
    assert [r["data_set"] for r in oa.list("release:mine")] == ["CCF", "M", "M-v2"]


def test_cells_of_other_matrices_that_are_left_out_are_told(local, caplog):
    release = second_data_set(local)
    cells = pd.DataFrame({"cell_label": ["a0", "7"], "feature_matrix_label": ["M-v2-A", "N-v1-A"]})
    assert len(release.genes("Pdyn", cells, feature_matrices="N-v1-A")) == 1
    assert "1 of 2 cells are in other matrices" in caplog.text
