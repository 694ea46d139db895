"""Lists of cells: short names, filters that the service evaluates and those it cannot."""

from __future__ import annotations

import itertools

import pytest
from cellfiles import details
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import openallen as oa
from openallen.address import Condition
from openallen.brainmap.schema import schema
from openallen.errors import UsageError
from openallen.sources.cells.columns import COLUMNS, MADE, MODEL, asked, short_row
from openallen.verbs import listing


def ids(*conditions: str, **filters) -> list[int]:
    return [row["specimen_id"] for row in oa.list("cell:", *conditions, **filters)]


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("species=Mus musculus", [101, 102, 103]),
        ("species=Homo Sapiens", [104]),
        ("line=Sst-IRES-Cre", [101]),
        ("line__like=*IRES*", [101, 102]),
        ("area=VISp", [101, 102, 103]),
        ("structure=VISp5", [101]),
        ("layer=2/3", [102]),
        ("layer__in=2/3,3", [102, 104]),
        ("hemisphere=left", [101]),
        ("dendrite_type=aspiny", [101, 102]),
        ("reporter_status=negative", [102]),
        ("reconstruction_type=full", [101]),
        ("donor=Sst-IRES-Cre;Ai14-1", [101, 103]),
        ("donor=7", [101, 103]),
        ("donor__in=7,8", [101, 102, 103]),
        ("ri_mohm>150", [101]),
        ("has_reconstruction", [101, 103]),
        ("has_reconstruction=no", [102, 104]),
        ("has_reconstruction!=no", [101, 103]),
        ("has_images=true", [101, 103]),
        ("has_images=0", [102, 104]),
        ("has_models", [101, 103, 104]),
        ("has_models=no", [102]),
        ("has_models=glif", [101, 104]),
        ("has_models!=glif", [102, 103]),
        ("has_models=biophysical", [101, 103]),
        ("has_models=perisomatic", [101]),
        ("has_models=all-active", [103]),
        ("specimen__id=102", [102]),
        ("m__glif__gt=0", [101, 104]),
    ],
)
def test_filters_choose_cells(cells, condition, wanted):
    assert ids(condition) == wanted


def test_filters_are_keywords_too(cells):
    assert ids(species="Mus musculus", has_models=False) == [102]
    assert ids(has_reconstruction=True, layer="5") == [101]


def test_what_the_service_can_evaluate_is_left_to_it():
    told = {
        "has_images": "[si__path]",
        "has_images=no": "[si__path$eqnull]",
        "has_reconstruction": "[nr__reconstruction_type]",
        "has_models=glif": "[m__glif$gt0]",
        "layer=5": "[structure__layer$eq5]",
        "donor=7": "[donor__id$eq7]",
    }
    for text, rma in told.items():
        found = asked([Condition.parse(text)])
        assert str(found.query) == f"model::{MODEL},rma::criteria,{rma}", text
        assert not found.kept
    for text in ("has_models", "has_models=no", "has_models!=glif"):
        found = asked([Condition.parse(text), Condition.parse("layer=5")])
        assert str(found.query) == f"model::{MODEL},rma::criteria,[structure__layer$eq5]"
        assert len(found.kept) == 1


RULES = {
    "has_models": lambda row: bool(row["m__glif"] or row["m__biophys"]),
    "has_models=no": lambda row: not (row["m__glif"] or row["m__biophys"]),
    "has_models=glif": lambda row: bool(row["m__glif"]),
    "has_models!=biophysical": lambda row: not row["m__biophys"],
    "has_images=no": lambda row: row["si__path"] is None,
    "has_reconstruction": lambda row: row["nr__reconstruction_type"] is not None,
    "species=Mus musculus": lambda row: row["donor__species"] == "Mus musculus",
    "layer=5": lambda row: row["structure__layer"] == "5",
    "dendrite_type=aspiny": lambda row: row["tag__dendrite_type"] == "aspiny",
    "donor=7": lambda row: row["donor__id"] == 7,
}
"""Filters, and what they mean on a row of the service."""


@given(st.sets(st.sampled_from(tuple(RULES)), max_size=4))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
def test_it_does_not_matter_who_evaluates_a_filter(cells, chosen):
    wanted = [r["specimen__id"] for r in details() if all(RULES[text](r) for text in chosen)]
    assert ids(*chosen) == wanted


def test_a_limit_counts_what_passes(cells):
    rows = oa.list("cell:", "has_models", limit=2)
    assert [row["specimen_id"] for row in rows] == [101, 103]
    assert rows.total == 3
    rows = oa.list("cell:", limit=1)
    assert (len(rows), rows.total) == (1, 4)


def test_names_are_short_or_those_of_the_service(cells):
    short = oa.list("cell:").to_pandas()
    assert set(short.columns) == {*COLUMNS, *MADE}
    assert short.set_index("specimen_id").loc[101, "line"] == "Sst-IRES-Cre"
    whole = oa.list("cell:", service_names=True).to_pandas()
    known = schema().get(MODEL)
    assert set(whole.columns) == set(known.fields)
    assert len(known.fields) == 54
    assert oa.list("cell:", service_names=True).id_column == "specimen__id"


def test_rows_lead_to_their_cells(cells):
    rows = oa.list("cell:", limit=1)
    assert rows.address_of(rows[0]) == "cell:101"
    rows = oa.list("cell:", limit=1, service_names=True)
    assert rows.address_of(rows[0]) == "cell:101"


def test_every_short_name_is_a_column_of_the_service():
    known = schema().get(MODEL)
    assert set(COLUMNS.values()) <= set(known.fields)
    assert len(set(COLUMNS.values())) == len(COLUMNS)
    assert not set(MADE) & set(known.fields)
    nothing = short_row(dict.fromkeys(known.fields))
    assert [nothing[name] for name in MADE] == [False] * 3


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("dendrite=spiny", "openallen list cell: dendrite_type=spiny"),
        ("has_model=yes", "openallen list cell: has_models=yes"),
        ("has_models=glyf", "openallen list cell: has_models=glif"),
        ("has_images=maybe", "openallen list cell: has_images=yes"),
        ("has_models__in=glif,biophysical", "openallen list cell: has_models=yes"),
        ("has_images>1", "openallen list cell: has_images=yes"),
    ],
)
def test_near_misses_of_names_and_words_are_told(cells, text, hint):
    with pytest.raises(UsageError) as caught:
        oa.list("cell:", text)
    assert caught.value.hint == hint


def test_near_misses_of_values_are_told(cells):
    with listing("cell:", "dendrite_type=aspinny", "has_models") as rows:
        error = rows.empty()
    assert "aspiny, spiny" in error.why
    assert "dendrite_type=aspiny has_models" in error.hint


def test_what_nothing_matches_is_not_found(cells):
    for both in itertools.permutations(["has_models=no", "has_images"]):
        assert len(oa.list("cell:", *both)) == 0
        with listing("cell:", *both) as rows:
            assert "nothing matches" in str(rows.empty())
