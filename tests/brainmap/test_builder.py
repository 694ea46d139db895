from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.address import Condition
from openallen.brainmap import Search, parse
from openallen.brainmap.language import ModelStage, Variable, Word
from openallen.errors import UsageError


def rma(search: Search) -> str:
    assert parse(str(search.query)) == search.query
    return str(search.query)


X = Search.of("X")


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"specimen_id": 313862022}, "[specimen_id$eq313862022]"),
        ({"id__gt": 5, "id__le": 9}, "[id$gt5][id$le9]"),
        ({"name__ilike": "*vis*"}, "[name$il*vis*]"),
        ({"name__like": "Primary visual*"}, "[name$li'Primary visual*']"),
        ({"section_number__in": [1, 2]}, "[section_number$in1,2]"),
        ({"id": (1, 2)}, "[id$in1,2]"),
        ({"path__exists": True}, "[path]"),
        ({"path__exists": False}, "[path$eqnull]"),
        ({"failed": False}, "[failed$eqfalse]"),
        ({"axes": None}, "[axes$eqnull]"),
        ({"axes__ne": None}, "[axes$nenull]"),
        ({"day__ge": date(2015, 6, 18)}, "[day$ge2015-06-18]"),
        ({"specimen__id": 5}, "[specimen__id$eq5]"),
        ({"x": 0.1144}, "[x$eq0.1144]"),
        ({"x": "a.b"}, "[x$eq'a.b']"),
    ],
)
def test_keywords_become_filters(filters, text):
    assert rma(X.where(**filters)) == f"model::X,rma::criteria,{text}"


def test_the_chain_of_the_issue():
    search = (
        Search.of("ProjectionImage")
        .where(specimen_id=313862022)
        .include("specimen")
        .order("id", "-section_number")
        .only("id", "path")
        .limit(10, 20)
    )
    assert rma(search) == (
        "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022],rma::include,specimen,"
        "rma::options[only$eq'id,path'][order$eq'id$asc,section_number$desc'][num_rows$eq10]"
        "[start_row$eq20]"
    )


def test_filters_on_associations_gather_along_their_path():
    search = (
        X.where("data_set", specimen_id=1)
        .where("data_set.products", id=2)
        .where("data_set", failed=False)
    )
    assert rma(search) == (
        "model::X,rma::criteria,data_set[specimen_id$eq1][failed$eqfalse](products[id$eq2])"
    )


def test_includes_dotted_and_nested():
    assert rma(X.include("a.b", "a.c", "d(e[f$eq1],g)")) == (
        "model::X,rma::include,a(b,c),d(e[f$eq1],g)"
    )


def test_conditions_typed_elsewhere_are_filters_too():
    typed = [Condition.parse(t) for t in ("a=1", "b__in=x y,z", "c__like=P*", "d")]
    assert rma(X.where(*typed)) == "model::X,rma::criteria,[a$eq1][b$in'x y',z][c$liP*][d]"


def test_tables_pipes_models_and_services():
    assert rma(X.tabular("x.id", distinct=True, gene="genes.acronym")) == (
        "model::X,rma::options[tabular$eq'distinct x.id,genes.acronym as gene']"
    )
    piped = X.where(id=1).pipe(xids="id").model("T").where(id__in=[Variable("xids")])
    assert rma(piped) == (
        "model::X,rma::criteria,[id$eq1],pipe::list[xids$eqid],model::T,rma::criteria,[id$in$xids]"
    )
    served = X.pipe(x="id").service("differential_rows", set="P56", domain1=8, threshold=[0, 50])
    assert rma(served).endswith(
        "service::differential_rows[set$eqP56][domain1$eq8][threshold$in0,50]"
    )
    with pytest.raises(UsageError):
        served.where(a=1)


def test_each_step_is_a_new_search():
    narrowed = X.where(a=1)
    assert rma(X) == "model::X"
    assert narrowed != X


@pytest.mark.parametrize(
    "filters",
    [
        {"a": "it's"},
        {"a": object()},
        {"a__gt": [1]},
        {"a__in": 5},
        {"a__in": []},
        {"a b": 1},
        {"a]": 1},
    ],
)
def test_what_cannot_be_said_is_refused(filters):
    with pytest.raises(UsageError):
        X.where(**filters)


@given(st.text(), st.sampled_from(["a", "a__like", "a__ne"]))
def test_no_value_changes_the_meaning_of_a_query(text, name):
    try:
        search = X.where(**{name: text})
    except UsageError:
        assert "'" in text
        return
    stage = parse(str(search.query)).stages
    assert len(stage) == 1
    assert isinstance(stage[0], ModelStage)
    assert len(stage[0].filters) == 1
    assert stage[0].filters[0].values == (Word(text),)
    assert parse(search.url()) == search.query


def test_a_search_shows_what_it_will_ask_and_asks_nothing():
    shown = repr(X.where(a=1))
    assert "[a$eq1]" in shown
    assert "https://api.brain-map.org" in shown
    assert "<script" not in X.where(a="<script>")._repr_html_()
    with pytest.raises(UsageError, match="not connected to a service"):
        X.rows()


def test_two_associations_at_once_are_refused():
    with pytest.raises(UsageError, match="one association"):
        X.where("a", "b", c=1)
