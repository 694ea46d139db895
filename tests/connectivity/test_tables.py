"""Experiments and unionizes of a made-up archive: listed, filtered, kept, and what goes wrong."""

from __future__ import annotations

import json
from urllib.parse import unquote

import numpy as np
import pytest
from tracing import BARE, CRE, PLAIN, SUMMARY, THALAMUS, unionizes, write_archive

import openallen as oa
from openallen.address import Address
from openallen.archive.app import archive_app
from openallen.errors import (
    AnswerError,
    NotFoundError,
    OfflineError,
    ShortAnswerError,
    UnreachableError,
    UsageError,
)
from openallen.serving.server import serving
from openallen.sources.connectivity.frames import chosen_unionizes, matrix_of, unionizes_frame
from openallen.sources.connectivity.kept import kept_rows
from openallen.sources.connectivity.records import COLUMNS, experiment_row


def listed(*conditions: str, **options: object) -> list[int]:
    return [row["id"] for row in oa.list("connectivity:", *conditions, **options)]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("conditions", "options", "want"),
    [
        ((), {}, [PLAIN, CRE, THALAMUS, BARE]),
        (("injection_structure=Isocortex",), {}, [PLAIN, CRE, BARE]),
        (("injection_structure=VISp",), {}, [PLAIN, BARE]),
        (("injection_structure=385,170",), {}, [PLAIN, THALAMUS, BARE]),
        (("injection_structure=VISp",), {"any_injection": True}, [PLAIN, CRE, BARE]),
        (("injection_structure=lateral visual area",), {"any_injection": True}, [PLAIN, CRE]),
        (("cre=yes",), {}, [CRE]),
        (("cre=false",), {}, [PLAIN, THALAMUS, BARE]),
        (("cre=CUX2-ires-Cre",), {}, [CRE]),
        (("transgenic_line=Cux2-IRES-Cre",), {}, [CRE]),
        (("hemisphere=right",), {}, [PLAIN, CRE]),
        (("hemisphere=left",), {}, [THALAMUS]),
        (("product=31",), {}, [CRE]),
        (("injection_structures=409",), {}, [PLAIN]),
        (("injection_volume__gt=0.2", "cre=no"), {}, [PLAIN, THALAMUS]),
    ],
)
def test_filters(conditions, options, want):
    assert listed(*conditions, **options) == want


def test_columns_are_allensdks(traced):
    assert set(traced.experiments().columns) == set(COLUMNS)
    row = traced.experiment(CRE).facts
    assert row["transgenic_line"] == "Cux2-IRES-Cre"
    assert row["injection_structures"] == [973, 385, 385]
    assert row["primary_injection_structure"] == row["structure_id"] == 973
    assert not {"data_set_id", "storage_directory"} & set(row)


def test_columns_stand_where_no_experiment_is_left(traced):
    none = traced.experiments(cre=["nobody"])
    assert none.empty
    assert list(none.columns) == list(COLUMNS)


@pytest.mark.parametrize(
    ("condition", "error", "told"),
    [
        ("injection_structure=VISX", NotFoundError, "VISX"),
        ("injection_structure=15564", NotFoundError, "15564"),  # of the developing mouse
        ("injection_structure__ne=385", UsageError, "one value, or a list"),
        ("hemisphere=middle", UsageError, "middle"),
        ("injection_strucure=385", UsageError, "injection_structure"),
    ],
)
@pytest.mark.usefixtures("traced")
def test_filters_that_make_no_sense(condition, error, told):
    with pytest.raises(error, match=told):
        listed(condition)


@pytest.mark.usefixtures("traced")
def test_nothing_matches_says_so():
    with pytest.raises(NotFoundError, match="nothing matches"):
        raise oa.list("connectivity:", "strain=none-such").empty()


# --- unionizes ------------------------------------------------------------------------------------


def test_unionizes_are_the_rows_of_the_service(traced):
    found = traced.experiment(PLAIN).unionizes()
    own = [row for row in unionizes() if row["section_data_set_id"] == PLAIN]
    assert len(found) == len(own)
    assert found["projection_energy"].tolist() == [row["projection_energy"] for row in own]
    assert set(found["experiment_id"]) == {PLAIN}
    assert "section_data_set_id" not in found.columns


def test_unionizes_by_structure_hemisphere_pixels_and_threshold(traced):
    one = traced.experiment(PLAIN)
    found = one.unionizes("VIS", include_descendants=True, hemisphere_ids=[1, 2])
    assert set(found["structure_id"]) == {669, 385, 409, 821}
    assert set(found["hemisphere_id"]) == {1, 2}
    assert set(one.unionizes("VIS")["structure_id"]) == {669}
    assert not one.unionizes(is_injection=False)["is_injection"].any()
    strong = one.unionizes(threshold=0.5)
    assert (strong["normalized_projection_volume"] > 0.5).all()
    assert 0 < len(strong) < len(one.unionizes())


def test_a_threshold_that_leaves_nothing_keeps_the_columns(traced):
    found = traced.experiment(PLAIN).unionizes(threshold=1e9)
    assert found.empty
    assert "projection_density" in found.columns
    assert traced.rank_structures([PLAIN], False, threshold=1e9) == [[]]


def test_a_table_of_ones_own_can_be_changed(traced):
    one = traced.experiment(PLAIN)
    mine = one.unionizes()
    mine["volume"] = -1.0
    assert (one.unionizes()["volume"] > 0).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hemisphere_id": 4}, "hemisphere_id is 4"),
        ({"hemisphere_id": None}, "no hemisphere"),
        ({"structure_id": ...}, "without structure_id"),
        ({"is_injection": ...}, "without is_injection"),
    ],
)
def test_rows_that_are_no_unionizes(change, told):
    row = {"section_data_set_id": 1, "structure_id": 385, "hemisphere_id": 1, "is_injection": True}
    rows = [{k: v for k, v in (row | change).items() if v is not ...}]
    with pytest.raises(AnswerError, match=told):
        unionizes_frame(rows)
    frame = unionizes_frame([row])
    assert next(iter(frame.columns)) == "experiment_id"
    with pytest.raises(UsageError, match="normalized_projection_volume"):
        chosen_unionizes(frame, threshold=0.1)


def test_rows_of_a_table_are_chosen_as_its_experiments_are(traced):
    """A table says NaN where the service has nothing: neither a line, nor a side."""
    rows = traced.experiments().to_dict("records")
    for cre in (True, False):
        wanted = traced.experiments(cre=cre).index.tolist()
        assert [row["id"] for row in traced.filter_experiments(rows, cre=cre)] == wanted
    assert traced.filter_experiments(rows, cre=["nan"]) == []
    unplaced = [row | {"injection_z": np.nan, "transgenic_line": np.nan} for row in rows]
    assert traced.filter_experiments(unplaced, hemisphere="left") == []
    assert traced.filter_experiments(unplaced, cre=True) == []


def test_a_number_that_no_row_has_is_nan():
    row = {"section_data_set_id": 1, "structure_id": 385, "hemisphere_id": 1, "is_injection": False}
    table = unionizes_frame([row | {"projection_volume": None, "volume": 1.0}])
    found = matrix_of(table, [1], {385: "VISp"}, "projection_volume")
    assert found["target"].values.tolist() == ["VISp-L"]
    assert np.isnan(found).all()
    assert chosen_unionizes(table.assign(normalized_projection_volume=np.nan), threshold=0).empty


# --- matrices -------------------------------------------------------------------------------------


def test_a_matrix_is_labelled_and_its_gaps_are_nan(traced):
    found = traced.projection_matrix([CRE, PLAIN])
    assert found.dims == ("experiment", "target")
    assert found["experiment"].values.tolist() == [CRE, PLAIN]
    assert set(found["structure_id"].values.tolist()) == set(SUMMARY)
    assert found["hemisphere_id"].values.tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert np.isnan(found.sel(experiment=CRE, target="LP-R"))
    told = next(
        row
        for row in unionizes()
        if row["section_data_set_id"] == PLAIN
        and (row["structure_id"], row["hemisphere_id"]) == (385, 2)
        and not row["is_injection"]
    )
    assert found.sel(experiment=PLAIN, target="VISp-R") == told["projection_volume"]
    assert found.sel(experiment=PLAIN).sel(target="VISp").ndim == 0  # both hemispheres


def test_a_matrix_of_what_was_not_measured_has_no_columns(traced):
    found = traced.projection_matrix([PLAIN, CRE], ["CBX"])
    assert found.shape == (2, 0)
    assert found["target"].values.tolist() == []


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (([],), UsageError, "no experiments"),
        (([PLAIN, PLAIN],), UsageError, "named twice"),
        (([PLAIN], ["VISp", 385]), UsageError, "named twice"),
        ((["VISp"],), UsageError, "by their ids"),
        (([5],), NotFoundError, "connectivity:5"),
        (([BARE],), NotFoundError, "no structure unionizes"),
        (([PLAIN], ["VISX"]), NotFoundError, "VISX"),
        (([PLAIN], [385], [4]), UsageError, "no hemisphere 4"),
        (([PLAIN], [385], None, "projection_volum"), UsageError, "projection_volume"),
        (([PLAIN], [385], None, "is_injection"), UsageError, "is_injection"),
    ],
)
def test_matrices_that_make_no_sense(traced, arguments, error, told):
    with pytest.raises(error, match=told):
        traced.projection_matrix(*arguments)


def test_the_structures_are_those_named_or_the_summary_set(sample_url, monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    every = oa.open("connectivity:")
    whole = every.projection_matrix([181777177])
    assert whole.shape[0] == 1
    assert whole.shape[1] > 6
    assert every.projection_matrix([181777177], ["VISp", "LGd"]).shape == (1, 6)


def test_without_summary_structures_some_must_be_named(tmp_path, monkeypatch):
    root = write_archive(tmp_path / "archive")
    row = {"structure_set_id": 12, "structure_id": 385}
    (root / "tables" / "structure_sets_structures.jsonl").write_text(json.dumps(row), "utf-8")
    with serving(archive_app(root)) as url:
        monkeypatch.setenv("OPENALLEN_SOURCE", url)
        every = oa.open("connectivity:")
        with pytest.raises(NotFoundError, match="summary structures"):
            every.projection_matrix([PLAIN])
        assert every.projection_matrix([PLAIN], ["VISp", "LP"]).shape == (1, 6)


# --- rows stay in the store -----------------------------------------------------------------------


def test_what_was_asked_once_needs_no_network_again(monkeypatch, tmp_path):
    with serving(archive_app(write_archive(tmp_path / "archive"))) as url:
        monkeypatch.setenv("OPENALLEN_SOURCE", url)
        traced = oa.open("connectivity:")
        want, ranked, affine = answers(traced)
    # The server is gone.
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    again = oa.open("connectivity:")
    assert again.projection_matrix([PLAIN, CRE]).equals(want)
    assert again.rank_structures([PLAIN], False) == ranked
    assert (again.get_affine_parameters(PLAIN) == affine).all()
    assert listed("injection_structure=VISp") == [PLAIN, BARE]
    with pytest.raises((OfflineError, UnreachableError)):
        again.unionizes([THALAMUS])
    with pytest.raises((OfflineError, UnreachableError)):
        listed(fresh=True)


def answers(traced):
    """Return a matrix, ranks and an alignment, and have experiments and structures kept."""
    assert listed("injection_structure=VISp") == [PLAIN, BARE]
    matrix, ranked = traced.projection_matrix([PLAIN, CRE]), traced.rank_structures([PLAIN], False)
    return matrix, ranked, traced.get_affine_parameters(PLAIN)


def test_what_is_kept_of_one_service_is_not_anothers(traced, sample_url, monkeypatch):
    assert len(traced.experiments()) == 4
    monkeypatch.setenv("OPENALLEN_SOURCE", sample_url)
    assert len(oa.open("connectivity:").experiments()) == 3


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"source": 1}', b"\xff\xfe"])
def test_damaged_rows_are_asked_for_again(traced, damage):
    traced.unionizes([PLAIN])
    folder = traced._tables.folder
    for path in (folder / "experiments.json", folder / str(PLAIN) / "structure_unionizes.json"):
        path.write_bytes(damage)
        assert kept_rows(path, traced._tables.source) is None
    again = oa.open("connectivity:")
    assert len(again.experiments()) == 4
    assert len(again.unionizes([PLAIN])) == len(traced.unionizes([PLAIN]))


@pytest.mark.parametrize("rows", ["[[1]]", "[1]", "[]", '"x"', "[[1, 2, 3]]"])
def test_kept_rows_of_another_shape_are_none(tmp_path, rows):
    path = tmp_path / "rows.json"
    path.write_text(f'{{"source": "live", "columns": ["a", "b"], "rows": {rows}}}')
    assert kept_rows(path, "live") is None


# --- answers that are wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["html@Connectivity", "error@Connectivity", "message@Connect"])
def test_an_answer_that_is_none_is_an_error_and_not_kept(archive, monkeypatch, tmp_path, fault):
    monkeypatch.setenv("OPENALLEN_SOURCE", archive(fault))
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    with pytest.raises(oa.OpenAllenError):
        oa.list("connectivity:")
    assert not (oa.Settings.load().store / "connectivity").exists()


@pytest.mark.parametrize("what", ["ApiConnectivity", "Unionize"])
def test_fewer_rows_than_announced_are_an_error(archive, monkeypatch, what):
    monkeypatch.setenv("OPENALLEN_SOURCE", archive(f"over=2@{what}"))
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    with pytest.raises(ShortAnswerError):
        oa.open("connectivity:").unionizes([181777177]).size + len(oa.list("connectivity:"))


MANY = tuple(range(1, 31))
ROWS_EACH = 2000


def serve_many(loopback, wrong: int = 0):
    """Serve 60,000 rows of 30 experiments, a page at a time."""
    rows = [
        {
            "id": n, "section_data_set_id": wrong or MANY[n // ROWS_EACH], "structure_id": n % 900,
            "hemisphere_id": 1 + n % 3, "is_injection": False, "projection_volume": n / 7,
            "normalized_projection_volume": n / 3,
        }
        for n in range(len(MANY) * ROWS_EACH)
    ]  # fmt: skip

    def answer(request, reply):
        asked = unquote(request.target)
        names = asked.partition("section_data_set_id$in")[2].partition("]")[0]
        numbers = set(map(int, names.split(",")))
        of = [row for row in rows if wrong or row["section_data_set_id"] in numbers]
        start = int(asked.partition("start_row$eq")[2].partition("]")[0] or 0)
        page = of[start : start + int(asked.partition("num_rows$eq")[2].partition("]")[0])]
        told = {"success": True, "id": 0, "start_row": start, "num_rows": len(page)}
        body = json.dumps(told | {"total_rows": len(of), "msg": page}).encode()
        reply.send(body, headers={"Content-Type": "application/json"})

    return loopback({"/api/v2/data/query.json": answer})


def test_sixty_thousand_rows_come_in_pages_and_only_once(loopback, monkeypatch):
    server = serve_many(loopback)
    monkeypatch.setenv("OPENALLEN_SOURCE", server.url)
    found = oa.open("connectivity:").unionizes(MANY)
    assert len(found) == 60_000
    assert found["experiment_id"].tolist() == [n for n in MANY for _ in range(ROWS_EACH)]
    pages = [r for r in server.seen if "query.json" in r.target]
    assert len(pages) == 30  # 2,000 rows to a page, of 20 experiments and of 10
    again = oa.open("connectivity:").unionizes(MANY)
    assert again.equals(found)
    assert len([r for r in server.seen if "query.json" in r.target]) == 30
    # One that is missing is asked for alone.
    (oa.Settings.load().store / "connectivity" / "7" / "structure_unionizes.json").unlink()
    assert oa.open("connectivity:").unionizes(MANY).equals(found)
    assert len([r for r in server.seen if "query.json" in r.target]) == 31


def test_rows_of_another_experiment_are_an_error(loopback, monkeypatch):
    monkeypatch.setenv("OPENALLEN_SOURCE", serve_many(loopback, wrong=99).url)
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    with pytest.raises(AnswerError):
        oa.open("connectivity:").unionizes([1, 2])
    assert not (oa.Settings.load().store / "connectivity").exists()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "without an id"),
        ({"data_set_id": "5"}, "without an id"),
        ({"data_set_id": True}, "without an id"),
        ({"data_set_id": 5, "injection_structures": "385/x"}, "odd structures"),
        ({"data_set_id": 5, "injection_structures": [{}]}, "odd structures"),
    ],
)
def test_rows_that_are_no_experiments(row, told):
    with pytest.raises(AnswerError, match=told):
        experiment_row(row)


@pytest.mark.parametrize("structures", [None, "", [], "/"])
def test_an_experiment_without_structures_has_none(structures):
    found = experiment_row({"data_set_id": 5, "injection_structures": structures})
    assert found["injection_structures"] == []
    assert found["primary_injection_structure"] is None


# --- searches -------------------------------------------------------------------------------------


def serve_services(loopback):
    rows = [{"id": 5, "distance": 1.5}, {"id": 6, "distance": 20.0}]

    def answer(request, reply):
        told = {"success": True, "id": 0, "start_row": 0, "num_rows": 2, "total_rows": 2}
        reply.send(json.dumps(told | {"msg": rows}).encode())

    return loopback({"/api/v2/data/query.json": answer})


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (
            lambda c: c.by_injection_structure(["Isocortex", 385], primary_structure_only=True),
            "injection_structure[injection_structures$eqIsocortex,385]"
            "[primary_structure_only$eqtrue]",
        ),
        (
            lambda c: c.by_target((6900, 5050, 6450), product_ids=[5, 31]),
            "target_spatial[seed_point$eq6900.0,5050.0,6450.0][product_ids$eq5,31]",
        ),
        (
            lambda c: c.by_injection_coordinate([6900, 5050, 6450.5]),
            "injection_coordinate[seed_point$eq6900.0,5050.0,6450.5]",
        ),
        (
            lambda c: c.correlated(112670853, structures="TH", hemisphere="right"),
            "correlation[row$eq112670853][structures$eqTH][hemisphere$eqright]",
        ),
    ],
)
def test_searches_of_the_service(loopback, monkeypatch, call, asked):
    server = serve_services(loopback)
    monkeypatch.setenv("OPENALLEN_SOURCE", server.url)
    found = call(oa.open("connectivity:"))
    assert [row["id"] for row in found] == [5, 6]
    assert found.address_of(found[0]) == "connectivity:5"
    targets = [unquote(r.target) for r in server.seen if "query.json" in r.target]
    assert [t.partition("service::mouse_connectivity_")[2] for t in targets] == [
        asked.replace("'", "") + "[start_row$eq0][num_rows$eq2000]"
    ]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda c: c.correlated(1, structure="TH"), "no parameter 'structure'"),
        (lambda c: c.correlated(1, hemisphere="both"), "'both' is no value of hemisphere"),
        (lambda c: c.by_target((1, 2)), "AP, DV, ML"),
        (lambda c: c.by_injection_coordinate((1, 2, float("nan"))), "AP, DV, ML"),
        (lambda c: c.by_injection_structure([]), "no value"),
    ],
)
def test_searches_that_make_no_sense_ask_nothing(loopback, monkeypatch, call, told):
    server = serve_services(loopback)
    monkeypatch.setenv("OPENALLEN_SOURCE", server.url)
    with pytest.raises(UsageError, match=told):
        call(oa.open("connectivity:"))
    assert not [r for r in server.seen if "query.json" in r.target]


# --- the door -------------------------------------------------------------------------------------


def test_what_an_experiment_says_of_itself(traced):
    one = oa.open(f"connectivity:{PLAIN}")
    assert one.hemisphere == "right"
    assert one.injection_um == (9000, 1500, 8400)
    assert "Primary visual area (VISp)" in repr(one)
    assert "4" in repr(traced)
    bare = oa.open(f"connectivity:{BARE}")  # no volume, no place: the rest is there
    assert bare.hemisphere is None
    assert "VISp" in repr(bare)
    with pytest.raises(NotFoundError, match="no injection coordinates"):
        bare.injection_um  # noqa: B018
    assert oa.show(f"connectivity:{BARE}").to_dict()["injection_um"] == [9000, 1500, None]


def test_views_are_tables_and_what_the_grid_shows(traced):
    from openallen.visuals import visuals_of

    assert [v.name for v in visuals_of(traced)] == ["experiments"]
    one = traced.experiment(PLAIN)
    assert [v.kind for v in visuals_of(one)] == ["table"]
    one.grid("projection_density", 100)
    assert [v.kind for v in visuals_of(one)] == ["table", "slices"]


def test_an_address_with_conditions_is_listed_not_opened(traced):
    del traced
    with pytest.raises(UsageError, match="conditions"):
        oa.open(Address.parse("connectivity:?cre=yes"))


@pytest.mark.usefixtures("traced")
def test_fetching_an_experiment_says_what_is_fetched_instead():
    with pytest.raises(UsageError, match="its volumes are grids") as caught:
        oa.plan(f"connectivity:{PLAIN}")
    assert f"grid:{PLAIN}?include=projection_density" in caught.value.hint
    with pytest.raises(NotFoundError, match="no such experiment"):
        oa.plan("connectivity:5")
    with pytest.raises(UsageError, match="not a single item"):
        oa.plan("connectivity:")
