"""Calls nobody should make: each ends in an error of openallen, which says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import openallen as oa
from openallen import verbs
from openallen.cli.app import run
from openallen.errors import AddressError, NotFoundError, UsageError

NOT_ADDRESSES = [None, 313862022, 1.5, b"stack:313862022", True, [], ["stack:1"], {}]
VERBS = [oa.list, oa.search, oa.show, oa.plan, oa.fetch, oa.open, verbs.views]


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
@pytest.mark.parametrize("value", NOT_ADDRESSES, ids=repr)
def test_what_is_not_text_is_not_an_address(verb, value):
    with pytest.raises(AddressError, match="an address is text"):
        verb(value, source="sample")


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
@pytest.mark.parametrize("text", ["http://[::1/", "https://127.0.0.1:99999/a.nwb", "s3://[/a"])
def test_a_malformed_web_address_is_a_wrong_use(verb, text):
    with pytest.raises(UsageError):
        verb(text, source="sample")


@pytest.mark.parametrize("verb", [oa.show, oa.open])
@pytest.mark.parametrize("text", ["x" * 5000, "~nobody-of-that-name/x", "a\0b", "/" + "y" * 300])
def test_a_path_no_file_can_have_is_not_found(verb, text):
    with pytest.raises((NotFoundError, AddressError)):
        verb(text, source="sample")
    with pytest.raises((NotFoundError, AddressError)):
        verb(f"stack:{text}", source="sample")


@pytest.mark.parametrize("limit", [-1, "3", 2.5, b"1", [1]], ids=repr)
def test_a_limit_is_a_number_of_rows(limit):
    with pytest.raises(UsageError, match="limit is a number of rows"):
        oa.list("stack:", source="sample", limit=limit)


@pytest.mark.parametrize("limit", [-1, 0, "3", 2.5, b"1", [1]], ids=repr)
def test_a_limit_of_grids_is_a_number_of_data_sets(limit):
    with pytest.raises(UsageError):
        oa.grids(gene="Pdyn", source="sample", limit=limit)


@pytest.mark.parametrize("kind", [None, 3, b"energy", [], "energie"], ids=repr)
def test_a_kind_of_grids_is_one_there_is(kind):
    with pytest.raises(UsageError, match="no such volume of expression"):
        oa.grids(gene="Pdyn", source="sample", kind=kind)


@pytest.mark.parametrize("chunks", [0, 3.5, "x", [], float("nan"), 10**30], ids=repr)
def test_chunks_that_do_not_fit_are_named(chunks):
    with pytest.raises(UsageError, match="chunks do not fit"):
        oa.grids(gene="Pdyn", source="sample", chunks=chunks)


@pytest.mark.parametrize("value", [None, 313862022, 1.5, b"id", ["id"], {}], ids=repr)
@pytest.mark.parametrize(
    "name", ["where", "include", "order", "only", "exclude", "tabular", "model", "service"]
)
def test_what_a_query_is_made_of_is_text(name, value):
    with pytest.raises(UsageError):
        getattr(oa.query("ProjectionImage"), name)(value)
    with pytest.raises(UsageError, match="a query is named as text"):
        oa.query(value)


def test_a_huge_limit_limits_nothing():
    assert len(oa.list("stack:", source="sample", limit=10**30)) == 21


@pytest.mark.parametrize("condition", [None, 3, b"id=1", ["id=1"], Path("id=1")], ids=repr)
def test_a_filter_is_text(condition):
    with pytest.raises(AddressError, match="a filter is text"):
        oa.list("stack:", condition, source="sample")


@pytest.mark.parametrize("settings", ["x", 3, {}, ["a"]], ids=repr)
def test_settings_are_settings(settings):
    with pytest.raises(UsageError, match="settings are a Settings"):
        oa.plan("stack:313862022", settings=settings)


@pytest.mark.parametrize("to", ["", 3, b"x", ["x"], "a\0b", "~nobody-of-that-name/x"], ids=repr)
def test_a_destination_is_a_path(to):
    with pytest.raises(UsageError):
        oa.plan("stack:313862022", to, source="sample")
    with pytest.raises(UsageError):
        oa.show("stack:313862022", picture=to, source="sample")


def test_planes_have_a_step():
    with pytest.raises(UsageError, match="step"):
        oa.plan("stack:313862022", planes=slice(None, None, 0), source="sample")


@pytest.mark.parametrize(
    "words",
    [
        ["show", "stack:\x1b[31mred"],
        ["list", "\x1b[31mred"],
        ["fetch", "stack:1", "--\x1b[31mred"],
        ["\x1b[31mred"],
    ],
    ids=repr,
)
def test_no_message_carries_control_characters_to_the_terminal(words, capsys):
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\\x1b[31mred" in err


def test_verify_of_a_name_too_long_is_not_found(capsys):
    assert run(["verify", "x" * 5000]) == 3
    assert "no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["structures:", "atlas:", "rma:"])
def test_a_command_in_a_note_asks_the_same_service(address):
    notes = oa.list(address, source="sample").notes
    commands = [note for note in notes if "openallen " in note]
    assert commands
    assert all(note.endswith("--source sample") for note in commands)


def test_messages_name_a_server_of_its_own_as_it_was_named(loopback):
    server = loopback({"/a/x.zarr/zarr.json": lambda q, r: r.send(b"{")})
    with pytest.raises(oa.errors.OpenAllenError) as raised:
        oa.open(f"{server.url}/a/x.zarr")
    assert "s3://" not in str(raised.value)
