from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.brainmap import LIVE_URL, parse
from openallen.brainmap.language import (
    OPERATORS,
    Association,
    Column,
    Filter,
    ModelStage,
    Options,
    Order,
    PipeStage,
    Query,
    Reference,
    ServiceStage,
    Variable,
    Word,
)
from openallen.errors import QueryError, UsageError

# --- whole queries, at random ---------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z_0-9]{0,11}", fullmatch=True).filter(
    lambda n: n not in {"asc", "desc", "as", "distinct"}
)
models = st.from_regex(r"[A-Z][A-Za-z0-9]{0,11}", fullmatch=True)
columns = st.one_of(names, st.builds("{}.{}".format, names, names))
words = st.one_of(
    st.builds(
        Word, st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), max_size=12)
    ),
    st.builds(
        Word,
        st.sampled_from(["5", "-0.5", "null", "all", "*vis*", "a b", "50%", "%5B", "&", "a+b"]),
    ),
)
values = st.one_of(
    words, st.builds(Variable, names), st.builds(Reference, st.builds("{}.{}".format, names, names))
)
filters = st.one_of(
    st.builds(Filter, columns),
    st.builds(
        Filter,
        columns,
        st.sampled_from(OPERATORS),
        st.lists(values, min_size=1, max_size=3).map(tuple),
    ),
)
many_filters = st.lists(filters, max_size=3).map(tuple)
associations = st.recursive(
    st.builds(Association, names, many_filters),
    lambda inner: st.builds(
        Association, names, many_filters, st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=6,
)
options = st.builds(
    Options,
    only=st.lists(columns, max_size=3).map(tuple),
    exclude=st.lists(columns, max_size=2).map(tuple),
    order=st.lists(st.builds(Order, columns, st.booleans()), max_size=2).map(tuple),
    num_rows=st.one_of(st.none(), st.just("all"), st.integers(0, 10**8)),
    start_row=st.one_of(st.none(), st.integers(0, 10**8)),
    count=st.one_of(st.none(), st.booleans()),
)
tabular = st.builds(
    Options,
    tabular=st.lists(
        st.builds(Column, columns, st.one_of(st.just(""), names)), min_size=1, max_size=3
    ).map(tuple),
    distinct=st.booleans(),
)
stages = st.one_of(
    st.builds(
        ModelStage,
        models,
        many_filters,
        st.lists(associations, max_size=2).map(tuple),
        st.lists(associations, max_size=2).map(tuple),
        st.one_of(options, tabular),
    ),
    st.builds(PipeStage, names, many_filters),
    st.builds(ServiceStage, names, many_filters),
)
queries = st.builds(
    Query,
    st.lists(stages, min_size=1, max_size=3).map(tuple),
    st.one_of(st.just(()), st.builds(lambda t: (("query", t),), st.text(min_size=1, max_size=8))),
)


@settings(max_examples=150, deadline=None)
@given(queries)
def test_canonical_text_reads_back_as_an_equal_query(query):
    assert parse(str(query)) == query
    assert str(parse(str(query))) == str(query)


def test_a_model_asked_twice_is_two_stages_and_one_named_in_the_path_too_is_one():
    assert len(parse("model::A,model::A").stages) == 2
    assert len(parse(f"{LIVE_URL}/api/v2/data/A/query.json?criteria=model::A").stages) == 1


@settings(max_examples=150, deadline=None)
@given(queries, st.sampled_from(["json", "xml", "csv"]))
def test_a_query_survives_its_own_url(query, form):
    url = query.url(LIVE_URL, form)
    assert url.isascii()
    assert not any(c in url for c in " []()'\"<>")
    assert parse(url) == query


# --- what the world writes ------------------------------------------------------------------------


def real_urls() -> list[str]:
    text = (Path(__file__).parents[1] / "data" / "rma" / "real_urls.txt").read_text()
    return [line for line in text.splitlines() if line]


def is_rows(url: str) -> bool:
    path = url.partition("?")[0]
    return "/query." in path or (
        "/data/" in path and path.rsplit("/", 1)[-1][0].isdigit() and "grid" not in path
    )


@pytest.mark.parametrize("url", [u for u in real_urls() if is_rows(u)])
def test_every_real_query_is_read(url):
    if "%5Bstructure_graph" in url:  # a bracket that never closes, as recorded
        with pytest.raises(QueryError) as caught:
            parse(url)
        assert caught.value.text == url
        assert "^" in str(caught.value)
        return
    query = parse(url)
    assert parse(str(query)) == query
    assert parse(query.url(LIVE_URL)) == query


@pytest.mark.parametrize("url", [u for u in real_urls() if not is_rows(u)])
def test_requests_for_other_things_are_told_apart(url):
    with pytest.raises(UsageError) as caught:
        parse(url)
    assert not isinstance(caught.value, QueryError)


def test_the_list_is_whole():
    rows = [u for u in real_urls() if is_rows(u)]
    assert len(real_urls()) == 180
    assert len(rows) == 114


CANONICAL = "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]"
TOLERATED = [
    "model::ProjectionImage[specimen_id$eq313862022]",
    "model::ProjectionImage,rma::criteria[specimen_id$eq313862022]",
    "model::ProjectionImage,rma::criteria,[specimen_id$eq'313862022']",
    'model::ProjectionImage,rma::criteria,[specimen_id$eq"313862022"]',
    "+model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]",
    "model::ProjectionImage, rma::criteria,\n [ specimen_id $eq 313862022 ]",
    "model::ProjectionImage,,rma::criteria,,[specimen_id$eq313862022],",
    "model::ProjectionImage%2Crma%3A%3Acriteria%2C%5Bspecimen_id%24eq313862022%5D",
    "criteria=model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]",
    "http://api.brain-map.org/api/v2/data/query.xml?q=model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]",
    "https://human.brain-map.org/api/v2/data/ProjectionImage/query.csv?criteria=[specimen_id$eq313862022]",
    "http://x/api/v2/data/ProjectionImage/query.json?criteria=model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]",
    "http://x/api/v2/data/query.json?&&criteria=model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]&",
]


@pytest.mark.parametrize("text", TOLERATED)
def test_liberties_mean_the_same(text):
    assert str(parse(text)) == CANONICAL


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("model::A,b(c[d$eq1])[e$in1,2],rma::include,f", "model::A,rma::criteria,b[e$in1,2](c[d$eq1]),rma::include,f"),
        ("model::A,rma::criteria,b,[x$eq1],rma::criteria,c", "model::A,rma::criteria,[x$eq1],b,c"),
        ("model::A,rma::options[num_rows$eqall],rma::include,b", "model::A,rma::include,b,rma::options[num_rows$eqall]"),
        ("model::A,rma::options,[only$eq'a,b.c'],[count$eqf]", "model::A,rma::options[only$eq'a,b.c'][count$eqfalse]"),
        ("model::A,rma::options[order$eqx+desc]", "model::A,rma::options[order$eq'x$desc']"),
        ("model::A,rma::options[order$eq'x$asc','y']", "model::A,rma::options[order$eq'x$asc,y$asc']"),
        (
            "model::G,rma::options[tabular$eq'g.id','g.name+as+n']",
            "model::G,rma::options[tabular$eq'g.id,g.name as n']",
        ),
        (
            "http://x/api/v2/data/G/query.csv?tabular=distinct g.id,g.a as b&num_rows=all&start_row=0",
            "model::G,rma::options[tabular$eq'distinct g.id,g.a as b'][num_rows$eqall][start_row$eq0]",
        ),
        ("http://x/api/v2/data/Structure/4005.xml?include=a(b)", "model::Structure,rma::criteria,[id$eq4005],rma::include,a(b)"),
        ("http://x/api/v2/data/query.json?criteria=model::A&num_rows=5&num_rows=7", "model::A,rma::options[num_rows$eq7]"),
        ("service::s[a$eq1][a$eq2]", "service::s[a$eq1][a$eq2]"),
        (
            "model::S,rma::criteria,a[id$eq2],pipe::list[x$eq'id'],model::T[id$in$x]",
            "model::S,rma::criteria,a[id$eq2],pipe::list[x$eqid],model::T,rma::criteria,[id$in$x]",
        ),
    ],
)  # fmt: skip
def test_meanings(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 0, "expected a query"),
        ("model:ProjectionImage", 0, "expected model::"),
        ("model::X,rma::criteria,[a$eq5", 23, "never closed"),
        ("model::X[a$eq'5]", 13, "quote is never closed"),
        ("model::X[a$xx5]", 10, "unknown operator '$xx'"),
        ("model::X[a=5]", 10, "expected an operator"),
        ("model::X[$eq5]", 9, "the name of a column"),
        ("model::X[a$eq]", 13, "expected a value"),
        ("model::X,b(c", 10, "'(' is never closed"),
        ("model::X,b)c", 10, "expected model::"),
        ("model::X,b c", 11, "expected a comma"),
        ("model::X,rma::includes,b", 9, "unknown rma::includes"),
        ("rma::criteria,[a$eq1]", 0, "without a model"),
        ("model::X,rma::include,[a$eq1]", 22, "not a filter"),
        ("model::X,rma::options[num_rows$eqmany]", 21, "not a number of rows"),
        ("model::X,rma::options[order$eq'a upward']", 21, "not a sort key"),
        ("model::X,rma::options[only$ne'a']", 21, "set with $eq"),
        ("model::X&colour=red", 9, "unknown parameter 'colour'"),
        ("http://x/api/v2/data/query.json?criteria=model::X%5Ba%24eq", 49, "never closed"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_where_it_is(text, at, says):
    with pytest.raises(QueryError, match=says.replace("$", r"\$").replace("(", r"\(")) as caught:
        parse(text)
    assert caught.value.position == at
    assert caught.value.text == text
    lines = str(caught.value).splitlines()
    assert lines[2].index("^") >= 2
    assert caught.value.exit_code == 2


def test_the_caret_points_at_the_place():
    text = "model::" + "X" * 60 + "[a?5]" + "y" * 60
    with pytest.raises(QueryError) as caught:
        parse(text)
    _, shown, caret = str(caught.value).splitlines()[:3]
    assert shown[caret.index("^")] == "?"


@given(st.text(max_size=200))
def test_any_text_is_a_query_or_a_clear_refusal(text):
    try:
        query = parse(text)
    except UsageError as error:
        assert error.what
    else:
        assert parse(str(query)) == query


@given(st.text("model::Xrma::criteria,[a$eq1]()'&%25 ", max_size=120))
def test_near_queries_are_queries_or_clear_refusals(text):
    try:
        parse(text)
    except UsageError as error:
        assert error.what


def test_deep_nesting_is_refused_before_it_hurts():
    with pytest.raises(QueryError, match="nested deeper"):
        parse("model::X," + "a(" * 5000)


@pytest.mark.parametrize("piece", ["[a$eq1]", "a,", "a[b$eq'c'],", "(", "'", "%5B", "&&"])
def test_long_input_takes_time_in_proportion(piece):
    # As long as is allowed: in proportion this takes a second, with the square of it an hour.
    with suppress(UsageError):
        parse("model::X," + piece * (990_000 // len(piece)))


def test_too_long_is_refused():
    with pytest.raises(UsageError, match="too long"):
        parse("model::X" + "x" * 1_000_001)


def test_a_single_quote_cannot_be_said():
    with pytest.raises(UsageError, match="single quote"):
        Word("it's")


def test_filters_without_an_operator_are_found_wherever_they_are():
    query = parse("model::A[x],b[y](c[z$eq1]),rma::include,d(e[w])")
    assert [f.field for f in query.filters_without_operator()] == ["x", "y", "w"]


def test_the_shell_trap_of_the_first_seed():
    # The shell made nothing of "$eq313862022": every projection of every cell was answered.
    query = parse(
        "http://api.brain-map.org/api/v2/data/query.xml?criteria=model::ProjectionImage,rma::criteria,[specimen_id]"
    )
    assert [str(f) for f in query.filters_without_operator()] == ["[specimen_id]"]


def test_pages_of_models_and_services():
    assert str(parse("model::X").with_page(50, 10)).endswith("[num_rows$eq10][start_row$eq50]")
    assert str(parse("service::s[num_rows$eq3000][a$eq1]").with_page(5, 7)) == (
        "service::s[a$eq1][start_row$eq5][num_rows$eq7]"
    )
    with pytest.raises(UsageError):
        parse("pipe::list[x$eqid]").with_options(Options())
