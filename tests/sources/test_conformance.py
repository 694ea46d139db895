"""The same questions to every source that is registered: what one answers, all must."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.address import SCHEMES, Address
from openallen.errors import ExitCode, NotFoundError, OfflineError, OpenAllenError, UsageError
from openallen.sources.buckets.patterns import is_pattern
from openallen.sources.options import describe, json_schema, read_options
from openallen.sources.registry import source_classes

SOURCES = tuple(source_classes())
EXAMPLES = [(s, e) for s in SOURCES for e in s.examples]
KINDS = ("list_options", "show_options", "fetch_options")
SMALL = {
    "stack:313862022": {"downsample": 5, "planes": ":2"},
    "sections:69855739": {"downsample": 5, "planes": ":3"},
    "release:visual-behavior-ophys@1.0.0": {},
}
"""How much of an example is fetched here; all of it where nothing is said."""
FETCHED = (
    "stack:313862022",
    "sections:69855739",
    "cell:313862022",
    "model:9000000911",
    "grid:69855739",
    "atlas:P56/gridAnnotation",
    "image:321549654?downsample=5",
    "release:visual-behavior-ophys@1.0.0/ophys_experiment/951980471",
    "release:visual-behavior-ophys@1.0.0/tables",
    "asset:ecephys_625749_2022-08-03_15-15-06/behavior/*.csv",
    "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB",
)
"""One address of each source that fetches."""


def ids(values):
    return [str(getattr(v, "scheme", v)) for v in values]


def unknown_name(source) -> str:
    return "999999999999" if source.numeric else "no-such-thing"


def answered(work) -> object:
    """Return what a call returns or raises; only errors of ours may be raised."""
    try:
        return work()
    except OpenAllenError as error:
        return error


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_every_source_says_what_it_is(source):
    assert SCHEMES[source.scheme] is source
    assert source.title
    assert source.examples
    for example in source.examples:
        assert Address.parse(example.address).scheme == source.scheme
        assert example.meaning


@pytest.mark.parametrize(("source", "example"), EXAMPLES, ids=[e.address for _, e in EXAMPLES])
def test_examples_round_trip_and_web_addresses_mean_them(source, example):
    where = Address.parse(example.address)
    assert Address.parse(str(where)) == where
    for web in example.web:
        found = Address.parse(web)
        assert source.canonical(found) == source.canonical(where), web
    del source


@given(st.data())
def test_any_address_of_any_source_round_trips(data):
    source = data.draw(st.sampled_from(SOURCES))
    text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
    part = text.filter(lambda t: t not in {".", ".."})
    name = data.draw(st.integers(0, 10**12).map(str) if source.numeric else part)
    path = tuple(data.draw(st.lists(part, max_size=3))) if source.parts else ()
    where = Address(source.scheme, name, path=path)
    assert Address.parse(str(where)) == where


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
@pytest.mark.parametrize("verb", ["show", "fetch", "open"])
def test_a_name_that_does_not_exist_is_an_error(world, source, verb):
    where = f"{source.scheme}:{unknown_name(source)}"
    found = answered(lambda: getattr(oa, verb)(where))
    assert isinstance(found, (NotFoundError, UsageError)), found
    assert where.partition(":")[2] in str(found)


@pytest.mark.parametrize(("source", "example"), EXAMPLES, ids=[e.address for _, e in EXAMPLES])
@pytest.mark.parametrize("verb", ["show", "plan", "open", "list"])
def test_a_part_that_does_not_exist_is_an_error_and_never_something_else(
    world, source, example, verb
):
    whole = replace(Address.parse(example.address), conditions=())
    where = replace(whole, path=(*whole.path, "no-such-part", "zzz"))
    found = answered(lambda: getattr(oa, verb)(where))
    if verb == "list" and not isinstance(found, OpenAllenError):
        assert not found  # a prefix below which there is nothing
        return
    assert isinstance(found, (NotFoundError, UsageError)), found
    assert found.exit_code in {ExitCode.USAGE, ExitCode.NOT_FOUND}
    del source


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
@pytest.mark.parametrize("verb", ["show", "plan", "open"])
def test_a_version_that_does_not_exist_is_an_error(world, source, verb):
    where = replace(Address.parse(source.example()), version="99.99.99", conditions=())
    assert isinstance(answered(lambda: getattr(oa, verb)(where)), (NotFoundError, UsageError))


# --- options and columns --------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
@pytest.mark.parametrize("kind", KINDS)
def test_options_are_typed_and_explained(source, kind):
    options = getattr(source, kind)
    told = describe(options)
    schema = json_schema(options)
    assert set(schema["properties"]) == {d.name for d in told}
    for one in told:
        assert one.option.help.endswith("."), one.name
        assert one.option.help[0].isupper(), one.name
        if not one.is_switch and not one.option.choices and one.kind is not Path:
            assert one.option.example, f"{one.name} has no example"
            read_options(options, {one.name: one.option.example})
    read_options(options, {})


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
@pytest.mark.parametrize(
    ("command", "kind"), [("list", KINDS[0]), ("show", KINDS[1]), ("fetch", KINDS[2])]
)
def test_flags_stand_in_the_help_of_the_scheme(cli, source, command, kind):
    said = cli(command, f"{source.scheme}:", "--help")
    assert said.code == 0
    for one in describe(getattr(source, kind)):
        assert one.flag in said.out


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_an_unknown_option_is_told_with_the_nearest(world, cli, source):
    where = source.example()
    with pytest.raises(UsageError) as caught:
        oa.plan(where, no_such_option=1)
    assert "no_such_option" in str(caught.value)
    names = [d.name for d in describe(source.fetch_options)]
    if names:
        with pytest.raises(UsageError) as caught:
            oa.plan(where, **{names[0] + "x": 1})
        assert caught.value.hint == names[0]
    said = cli("fetch", where, "--no-such-option")
    assert said.code == ExitCode.USAGE
    assert "--no-such-option" in said.err


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_an_unknown_column_is_told_before_anything_is_listed(world, cli, source):
    if isinstance(answered(lambda: oa.list(f"{source.scheme}:", limit=1)), UsageError):
        pytest.skip("it cannot be listed as a whole, and says so")
    said = cli("list", f"{source.scheme}:", "no_such_column=1")
    assert said.code == ExitCode.USAGE, said
    assert "no_such_column" in said.err
    assert said.out == ""


# --- rows and facts -------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_rows_are_the_same_in_every_form(world, cli, source):
    rows = answered(lambda: oa.list(f"{source.scheme}:", limit=5))
    said = cli("list", f"{source.scheme}:", "--limit", 5, "--json")
    if isinstance(rows, OpenAllenError):
        assert said.code == rows.exit_code
        assert json.loads(said.out)["error"]["what"] == rows.what
        return
    assert said.code == 0, said.err
    assert [json.loads(line) for line in said.out.splitlines()] == json.loads(
        json.dumps(rows.to_dicts(), default=str)
    )
    assert rows.id_column in rows.columns
    assert list(rows.to_pandas().columns) == list(rows.columns)
    assert rows.to_arrow().num_rows == len(rows)
    for row in rows:
        assert str(row[rows.id_column]) in rows._repr_html_().replace("&#x27;", "'")
    listed = cli("list", f"{source.scheme}:", "--limit", 5, "--ids")
    assert listed.out.splitlines() == [str(row[rows.id_column]) for row in rows]


@pytest.mark.parametrize(("source", "example"), EXAMPLES, ids=[e.address for _, e in EXAMPLES])
def test_facts_are_the_same_in_text_html_and_json(world, cli, source, example):
    facts = answered(lambda: oa.show(example.address))
    said = cli("show", example.address, "--json")
    if isinstance(facts, OpenAllenError):
        assert isinstance(facts, (NotFoundError, UsageError)), facts
        assert said.code == facts.exit_code
        return
    assert said.code == 0, said.err
    document = json.loads(said.out)
    again = facts.to_dict()
    assert set(document) == set(again)
    text, html = str(facts), facts._repr_html_()
    for field in facts.fields:
        assert field.name in document
        if field.words is None:
            continue
        assert field.label in text
        assert escape(field.label) in html
        for line in field.words.splitlines():
            assert line.strip() in text
            assert escape(line) in html
    for section in facts.sections:
        assert section.key in document
    assert facts.title in text
    assert escape(facts.title) in html
    assert cli("show", example.address).out.strip()
    del source


def test_control_characters_and_markup_of_a_service_are_harmless(hostile, cli, monkeypatch):
    url, text = hostile
    monkeypatch.setenv("OPENALLEN_SOURCE", url)
    for command in (
        ("list", "stack:"),
        ("list", "stack:", "--ids"),
        ("show", "stack:313862022"),
        ("list", "cell:"),
        ("show", "cell:313862022"),
        ("list", "rma:Specimen"),
        ("list", "grid:"),
        ("show", "grid:69855739"),
        ("list", "sections:"),
        ("show", "sections:69855739"),
        ("query", "ApiCellTypesSpecimenDetail", "--limit", "3"),
    ):
        said = cli(*command)
        shown = said.out + said.err
        assert "\x1b" not in shown, command
        assert "\u202e" not in shown, command
    rows = oa.list("stack:", limit=3)
    facts = oa.show("stack:313862022")
    assert any(text in str(value) for row in rows for value in row.values())
    assert "\x1b" not in repr(rows) + str(facts)
    assert "<script>" not in rows._repr_html_() + facts._repr_html_()


# --- offline, and stores that cannot be written ---------------------------------------------------


def fetched(where: str) -> None:
    oa.fetch(where, **SMALL.get(where, {}))


@pytest.mark.parametrize("where", FETCHED)
def test_offline_with_everything_here(switch, cli, monkeypatch, where):
    fetched(where)
    switch.off()
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.delenv("OPENALLEN_S3_ENDPOINT")
    works_offline(cli, where)


def works_offline(cli, where: str) -> None:
    flags = [f"--{n}={v}" for n, v in SMALL.get(where, {}).items()]
    said = cli("fetch", where, *flags)
    assert said.code == 0, said.err
    opened = answered(lambda: oa.open(where))
    assert not isinstance(opened, OfflineError), opened
    said = cli("show", where)
    if is_pattern(where.partition("?")[0]):  # one thing is opened and shown at a time
        assert isinstance(opened, (NotFoundError, UsageError)), opened
        assert said.code in {ExitCode.NOT_FOUND, ExitCode.USAGE}, said
        listed = cli("list", where)
        assert listed.code == 0, listed.err
        where = where.partition("/")[0]
        assert not isinstance(answered(lambda: oa.open(where)), OpenAllenError)
        said = cli("show", where)
    assert said.code == 0, said.err
    said = cli("store", "verify")
    assert said.code == 0, said.err + said.out
    assert "intact" in said.out
    assert cli("store", "ls", "--json").out.strip()


@pytest.mark.parametrize("where", FETCHED)
@pytest.mark.parametrize("command", ["show", "fetch"])
def test_offline_with_nothing_here(cli, monkeypatch, where, command):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    said = cli(command, where)
    if command == "show" and said.code == 0:  # what comes with the package is known offline
        assert "offline" in said.out
        return
    assert said.code in {ExitCode.OFFLINE, ExitCode.NOT_FOUND}, said
    assert "error: " in said.err


@pytest.mark.parametrize("where", FETCHED)
def test_a_store_that_cannot_be_written(world, cli, monkeypatch, read_only, where):
    fetched(where)
    with read_only(Path(os.environ["OPENALLEN_STORE"])) as store:
        monkeypatch.setenv("OPENALLEN_STORE", str(store))
        works_offline(cli, where)


# --- hints ----------------------------------------------------------------------------------------


def unhappy(source) -> list[list[str]]:
    example = source.example()
    name = unknown_name(source)
    return [
        ["list", f"{source.scheme}:"],
        ["show", f"{source.scheme}:{name}"],
        ["fetch", f"{source.scheme}:{name}"],
        ["list", f"{source.scheme}:", "no_such_column=1"],
        ["show", f"{example.partition('?')[0]}/no-such-part"],
        ["show", f"{source.scheme}:"],
        ["fetch", f"{source.scheme}:"],
        ["show", example.partition("?")[0] + "@99.99.99"],
        ["view", example, "--links"],
    ]


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_every_hint_works_as_typed(world, cli, source):
    for command in unhappy(source):
        said = cli(*command)
        for hint in said.hints:
            words = shlex.split(hint)[1:]
            if "--limit" not in words and words[0] == "list" and "--all" not in words:
                words += ["--limit", "2"]
            again = cli(*words)
            assert again.code == 0, (command, hint, again.err)


# --- weight ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_reading_an_address_loads_no_library(source):
    code = (
        "import sys, json; from openallen.address import Address;"
        f"Address.parse({source.example()!r}); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "numpy", "pandas", "pyarrow", "duckdb", "PIL", "zarr", "h5py", "xarray", "matplotlib",
        "rich", "msgspec", "ssl", "sqlite3", "asyncio", "starlette",
    }  # fmt: skip
    assert not heavy & set(json.loads(done.stdout))


# --- the embedded sample --------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_the_sample_has_something_of_a_source_or_says_that_it_has_nothing(cli, monkeypatch, source):
    monkeypatch.setenv("OPENALLEN_SOURCE", "sample")
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    found = answered(lambda: oa.list(f"{source.scheme}:", limit=3))
    said = cli("list", f"{source.scheme}:", "--limit", 3)
    if source.no_sample:
        assert isinstance(found, NotFoundError)
        assert source.no_sample in str(found)
        assert said.code == ExitCode.NOT_FOUND
        assert said.hints == [f"openallen list {source.scheme}: --source live"]
        return
    if isinstance(found, UsageError):  # it is not listed as a whole
        assert said.code == ExitCode.USAGE
        return
    assert len(found) > 0
    assert said.code == 0, said.err
    # What is known of the live service alone is said to be missing, never asked for.
    known = answered(lambda: oa.show(source.example()))
    assert not isinstance(known, OfflineError), known
