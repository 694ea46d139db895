"""What was likely meant by a column or value that does not exist: near names, real values."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from openallen.address import OPERATORS, Condition
from openallen.errors import NotFoundError, UsageError

__all__ = [
    "FEW",
    "Suggestion",
    "closest",
    "condition_text",
    "nothing_matches",
    "suggest",
    "suggest_from_rows",
    "unknown_column",
    "values_of",
]

FEW: Final = 12
"""A column with more values than these does not list them all in an error."""

_NAMED: Final = frozenset({"eq", "in", "like", "ilike"})


def closest(word: str, known: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return the known words nearest to one, nearest first, whatever their case.

    A word that differs in case alone comes first, then words spelled alike (``ephys`` and
    ``ecephys``), then words that contain it (``pvalb`` and ``Pvalb-IRES-Cre``).

    Parameters
    ----------
    word
        What was written.
    known
        What there is.
    most
        How many to return at most.
    """
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    text = word.casefold()
    near = [text] if text in folded else []
    near += get_close_matches(text, folded, most, 0.6)
    if len(text) > 2:
        near += sorted((name for name in folded if text in name), key=len)
    return tuple(folded[name] for name in dict.fromkeys(near))[:most]


def condition_text(condition: Condition) -> str:
    """Return a condition as it is typed in a shell: ``species='Homo Sapiens'``, ``id__lt=5``."""
    if condition.op == "exists":
        return shlex.quote(condition.field)
    several = isinstance(condition.value, tuple)
    value = ",".join(condition.value) if several else str(condition.value)
    # A field that ends like an operator word needs its own operator spelled out.
    bare = condition.op == "eq" and condition.field.rpartition("__")[2] not in OPERATORS
    name = condition.field if bare else f"{condition.field}__{condition.op}"
    return f"{name}={shlex.quote(value) if value else ''}"


def unknown_column(
    condition: Condition, columns: Iterable[str], *, address: str = "", command: str = ""
) -> UsageError:
    """Return the error for a condition on a column that does not exist.

    Parameters
    ----------
    condition
        The condition as it was given.
    columns
        The columns there are.
    address
        What was to be filtered.
    command
        The command that filters, such as ``openallen list stack:``. The hint is this command with
        the nearest column in place of the unknown one; without a command, that condition alone.
    """
    names = list(columns)
    near = closest(condition.field, names, 1)
    hint = condition_text(replace(condition, field=near[0])) if near else ""
    return UsageError(
        f"no column '{condition.field}'",
        address=address,
        why="columns: " + ", ".join(names),
        hint=f"{command} {hint}".strip() if hint else "",
    )


def values_of(
    rows: Iterable[Mapping[str, Any]], column: str, at_most: int = FEW
) -> tuple[str, ...]:
    """Return the values of a column as text, sorted; none if there are more than `at_most`.

    Parameters
    ----------
    rows
        The rows. A list in a row counts as several values; None is not a value.
    column
        Its name.
    at_most
        How many values are few.
    """
    found = _all_values(rows, column)
    return tuple(sorted(found)) if len(found) <= at_most else ()


def _all_values(rows: Iterable[Mapping[str, Any]], column: str) -> set[str]:
    found: set[str] = set()
    for row in rows:
        value = row.get(column)
        items = value if isinstance(value, (list, tuple)) else [value]
        found.update(str(item) for item in items if item is not None and item != "")
    return found


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What could have been meant by a condition that nothing matches.

    Parameters
    ----------
    condition
        The condition as it was given.
    values
        The values of its column where they are few, else those nearest to the one given.
    complete
        Whether these are all values.
    best
        The value nearest to the one given; empty where none is near.

    Examples
    --------
    >>> from openallen.address import Condition
    >>> found = suggest(Condition.parse("species=Homo sapiens"), ["Homo Sapiens", "Mus musculus"])
    >>> str(found)
    'values of species: Homo Sapiens, Mus musculus'
    >>> found.instead
    "species='Homo Sapiens'"
    """

    condition: Condition
    values: tuple[str, ...]
    complete: bool
    best: str = ""

    @property
    def instead(self) -> str:
        """The condition that was likely meant, as typed in a shell; empty where none is near."""
        if not self.best:
            return ""
        return condition_text(replace(self.condition, op="eq", value=self.best))

    def __str__(self) -> str:
        what = "values of" if self.complete else "similar values of"
        return f"{what} {self.condition.field}: {', '.join(self.values)}"


def suggest(condition: Condition, values: Iterable[str], at_most: int = FEW) -> Suggestion | None:
    """Return what could have been meant by a condition, given all values of its column.

    None where a value that was asked for is among them, or nothing helpful can be said.
    """
    known = sorted(values)
    given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.op not in _NAMED or not known:
        return None
    if condition.op in {"eq", "in"} and any(text in known for text in given):
        return None
    near = closest(given[0].strip("*"), known)
    few = len(known) <= at_most
    if not few and not near:
        return None
    return Suggestion(condition, tuple(known) if few else near, few, near[0] if near else "")


def nothing_matches(
    address: str,
    conditions: Sequence[Condition],
    suggestion: Suggestion | None,
    *,
    command: str = "",
) -> NotFoundError:
    """Return the error for conditions that nothing matches.

    Parameters
    ----------
    address
        What was filtered.
    conditions
        The conditions.
    suggestion
        What could have been meant by one of them.
    command
        The command that filters, such as ``openallen list stack:``. The hint is this command with
        the suggested condition in place of the one that matches nothing, or without conditions.
    """
    asked = " ".join(map(condition_text, conditions))
    if suggestion is None:
        return NotFoundError("nothing matches", address=address, why=asked, hint=command)
    texts = [
        suggestion.instead if c == suggestion.condition else condition_text(c) for c in conditions
    ]
    better = " ".join([command, *texts]).strip() if suggestion.instead else command
    return NotFoundError("nothing matches", address=address, why=str(suggestion), hint=better)


def suggest_from_rows(
    rows: Sequence[Mapping[str, Any]],
    conditions: Sequence[Condition],
    matches: Callable[[Mapping[str, Any], Sequence[Condition]], bool],
    at_most: int = FEW,
) -> Suggestion | None:
    """Return what could have been meant by conditions that match none of these rows.

    The values of a column are taken from the rows that match the other conditions; where there
    are none, from all rows.

    Parameters
    ----------
    rows
        All rows.
    conditions
        What none of them matches.
    matches
        Whether a row matches conditions.
    at_most
        How many values of a column are few enough to list.
    """
    for everything in (False, True):
        for condition in conditions:
            others = [c for c in conditions if c is not condition]
            kept = rows if everything else [row for row in rows if matches(row, others)]
            if any(matches(row, [condition]) for row in kept):
                continue
            found = suggest(condition, _all_values(kept, condition.field), at_most)
            if found is not None:
                return found
    return None
