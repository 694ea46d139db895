"""What was meant by a name or value that does not exist."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openallen.address import Condition
from openallen.errors import UsageError
from openallen.near import (
    closest,
    condition_text,
    nothing_matches,
    suggest,
    suggest_from_rows,
    unknown_column,
)

P = Condition.parse
ROWS = [
    {"area": "VISp", "depth": 75, "active": True, "tags": ["a", "b"], "line": "Sst-IRES-Cre"},
    {"area": "VISl", "depth": 75, "active": False, "tags": ["c"], "line": "Vip-IRES-Cre"},
    {"area": None, "depth": 150, "active": False, "tags": [], "line": ""},
]


def matches(row, conditions):
    return all(str(row[c.field]) == c.value for c in conditions)


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("spcies", ["species", "structure"], ("species",)),
        ("visp", ["VISl", "VISpor", "VISp"], ("VISp", "VISpor", "VISl")),
        ("ephys", ["behavior", "ecephys"], ("ecephys",)),
        ("pvalb", ["Pvalb-IRES-Cre", "Sst"], ("Pvalb-IRES-Cre",)),
        ("xyz", ["species"], ()),
        ("", ["species"], ()),
    ],
)
def test_the_closest_words(word, known, expected):
    assert closest(word, known) == expected


@given(st.lists(st.text(), max_size=8), st.text())
def test_close_words_are_known_words(known, word):
    found = closest(word, known)
    assert set(found) <= set(known)
    assert len(found) <= 3


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@example("=\r0")
def test_a_condition_typed_in_a_shell_reads_back(value):
    # Filters are read without blanks around the value; "==" is a sign of its own.
    while value != (bare := value.strip().lstrip("=")):
        value = bare
    condition = Condition("species", "eq", value)
    (typed,) = shlex.split(condition_text(condition))
    assert P(typed) == condition


@pytest.mark.parametrize("text", ["a", "a=1", "a__in__eq=1", "a__in=1,2", "a__lt=5", "a__like=P*"])
def test_conditions_of_every_kind_read_back(text):
    (typed,) = shlex.split(condition_text(P(text)))
    assert P(typed) == P(text)


def test_an_unknown_column_has_the_nearest_in_a_command_and_all_in_the_reason():
    error = unknown_column(
        P("spcies=Homo Sapiens"), ["id", "species"],
        address="stack:", command="openallen list stack:",
    )  # fmt: skip
    assert str(error) == (
        "stack: no column 'spcies' (columns: id, species)\n"
        "  try: openallen list stack: species='Homo Sapiens'"
    )
    assert error.exit_code == 2
    assert unknown_column(P("zzz=1"), ["id"]).hint == ""


def test_few_values_are_all_said_and_many_are_not():
    few = suggest(P("area=visp"), ["VISp", "VISl"])
    assert str(few) == "values of area: VISl, VISp"
    assert few.instead == "area=VISp"
    many = suggest(P("gene=pdyn"), [*(f"Gene{i}" for i in range(50)), "Pdyn"])
    assert str(many) == "similar values of gene: Pdyn"
    assert suggest(P("gene=zzzz"), [f"Gene{i}" for i in range(50)]) is None
    assert suggest(P("area=VISp"), ["VISp", "VISl"]) is None
    assert suggest(P("area__in=x,VISp"), ["VISp", "VISl"]) is None
    assert suggest(P("depth__gt=1000"), ["75"]) is None
    assert suggest(P("area=x"), []) is None


def test_the_values_are_those_the_other_conditions_leave():
    found = suggest_from_rows(ROWS, [P("area=VISp"), P("depth=150")], matches)
    assert str(found) == "values of depth: 75"
    found = suggest_from_rows(ROWS, [P("area=visp"), P("depth=1")], matches)
    assert str(found) == "values of area: VISl, VISp"
    # Each is right by itself, and no two go together: no column explains it.
    apart = [P("area=VISp"), P("depth=150"), P("line=Vip-IRES-Cre")]
    assert suggest_from_rows(ROWS, apart, matches) is None
    assert suggest_from_rows([], apart, matches) is None


def test_the_error_puts_the_suggestion_in_the_place_of_the_condition():
    conditions = [P("area=visp"), P("depth__gt=5")]
    found = suggest(conditions[0], ["VISp", "VISl"])
    error = nothing_matches("t:", conditions, found, command="openallen list t:")
    assert str(error) == (
        "t: nothing matches (values of area: VISl, VISp)\n"
        "  try: openallen list t: area=VISp depth__gt=5"
    )
    error = nothing_matches("t:", conditions, None, command="openallen list t:")
    assert (error.why, error.hint) == ("area=visp depth__gt=5", "openallen list t:")


@pytest.mark.parametrize(
    ("hint", "label"),
    [
        ("openallen list stack:", "try"), ("pip install 'openallen[nwb]'", "try"),
        ("uv pip install --python /usr/bin/python3 x", "try"), ("/a/bin/python -m pip install x", "try"),
        ("'/with blank/python3.11' -m pip install x", "try"), ("energy, density", "hint"),
        ("openallens are not commands", "hint"), ("choose a folder with --to DIR", "hint"),
    ],
)  # fmt: skip
def test_only_commands_are_said_to_be_tried(hint, label):
    assert str(UsageError("wrong", hint=hint)) == f"wrong\n  {label}: {hint}"
