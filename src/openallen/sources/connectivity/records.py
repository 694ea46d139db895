"""Rows of experiments: what AllenSDK makes of a row of ``ApiConnectivity``, and which to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openallen.address import Condition
from openallen.errors import AnswerError, UsageError
from openallen.near import unknown_column
from openallen.sources.filters import matches

__all__ = ["COLUMNS", "MADE", "Chosen", "below", "chosen_by", "experiment_row", "side_of"]

Row = dict[str, Any]

COLUMNS: Final = (
    "id",
    "gender",
    "injection_structures",
    "injection_volume",
    "injection_x",
    "injection_y",
    "injection_z",
    "product_id",
    "specimen_name",
    "strain",
    "structure_abbrev",
    "structure_id",
    "structure_name",
    "transgenic_line",
    "transgenic_line_id",
    "primary_injection_structure",
)
"""Columns of experiments, as AllenSDK's ``get_experiments`` has them."""

MADE: Final = ("cre", "hemisphere", "injection_structure", "product")
"""Filters that are made of columns."""

_LEFT_OUT: Final = frozenset({"data_set_id", "storage_directory"})
_MIDLINE_UM: Final = 5700
"""Half the width of the Common Coordinate Framework; ML counts from the left."""
_LIST: Final = "openallen list connectivity:"
_YES: Final = frozenset({"true", "yes"})
_NO: Final = frozenset({"false", "no"})


def experiment_row(row: Mapping[str, Any]) -> Row:
    """Return an experiment as AllenSDK shows it.

    ``data_set_id`` becomes ``id``; a transgenic line its name, the structures of the injection a
    list of ids, and the main one of them ``primary_injection_structure``.

    Parameters
    ----------
    row
        A row of ``ApiConnectivity``.

    Raises
    ------
    AnswerError
        If it has no id, or its structures are not ids.
    """
    number = row.get("data_set_id", row.get("id"))
    if not isinstance(number, int) or isinstance(number, bool):
        raise AnswerError("an experiment without an id", why=repr(dict(row))[:120])
    found = {name: value for name, value in row.items() if name not in _LEFT_OUT}
    found["id"] = number
    line = row.get("transgenic_line")
    if line:
        found["transgenic_line"] = line.get("name") if isinstance(line, Mapping) else line
    found["injection_structures"] = _ids(row.get("injection_structures"), number)
    found["primary_injection_structure"] = row.get("structure_id")
    return found


def _ids(told: object, number: int) -> list[int]:
    """Return ids that the service writes as ``385/409``."""
    words = told.split("/") if isinstance(told, str) else told
    try:
        return [int(word) for word in (words if isinstance(words, list) else ()) if word != ""]
    except (TypeError, ValueError):
        why = f"injection_structures is {str(told)[:60]!r}"
        raise AnswerError(f"experiment {number} has odd structures", why=why) from None


def side_of(row: Mapping[str, Any]) -> str | None:
    """Return the hemisphere of an injection, ``left`` or ``right``; None where it is not known."""
    at_um = row.get("injection_z")
    if not isinstance(at_um, (int, float)) or math.isnan(at_um):
        return None
    return "right" if at_um > _MIDLINE_UM else "left"


def below(structures: Any, wanted: Iterable[Any]) -> set[int]:
    """Return the ids of structures and of all their parts.

    Parameters
    ----------
    structures
        The ontology.
    wanted
        Ids, acronyms or names.

    Raises
    ------
    NotFoundError
        If one is not in the ontology.
    """
    found: set[int] = set()
    for what in wanted:
        known = structures.find(what)
        found.add(known.id)
        found.update(part.id for part in structures.descendants(known.id))
    return found


@dataclass(frozen=True)
class Chosen:
    """Which experiments are taken.

    Parameters
    ----------
    cre
        True takes those with a transgenic line, False those without, names those of these lines,
        in any case.
    structure_ids
        Structures that the injection is in.
    primary_only
        Whether that is its main structure; else any that it reached.
    hemisphere
        ``left`` or ``right``.
    product_ids
        Products.
    """

    cre: bool | Sequence[str] | None = None
    structure_ids: Collection[int] | None = None
    primary_only: bool = True
    hemisphere: str | None = None
    product_ids: Collection[int] | None = None

    def __post_init__(self) -> None:
        if self.hemisphere not in {None, "left", "right"}:
            raise UsageError(f"no hemisphere '{self.hemisphere}'", hint="left or right")
        if isinstance(self.cre, str):
            object.__setattr__(self, "cre", (self.cre,))

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Return whether an experiment is one of them."""
        return (
            self._line(row)
            and self._structure(row)
            and (self.hemisphere is None or side_of(row) == self.hemisphere)
            and (self.product_ids is None or row.get("product_id") in self.product_ids)
        )

    def _line(self, row: Mapping[str, Any]) -> bool:
        line = row.get("transgenic_line")
        if self.cre is None:
            return True
        if line is not None and line != line:  # noqa: PLR0124 - NaN: a row of a DataFrame
            line = None
        if isinstance(self.cre, bool):
            return bool(line) is self.cre
        return bool(line) and str(line).lower() in {str(name).lower() for name in self.cre}

    def _structure(self, row: Mapping[str, Any]) -> bool:
        if self.structure_ids is None:
            return True
        if self.primary_only:
            return row.get("structure_id") in self.structure_ids
        reached = {row.get("structure_id"), *row.get("injection_structures", ())}
        return not reached.isdisjoint(self.structure_ids)


def chosen_by(
    conditions: Sequence[Condition], structures: Callable[[], Any], *, primary_only: bool
) -> Callable[[Mapping[str, Any]], bool]:
    """Return the test of rows that conditions make; asks for the ontology only where one needs it.

    Parameters
    ----------
    conditions
        On `COLUMNS` and `MADE`.
    structures
        Returns the ontology.
    primary_only
        Whether an injection counts for its main structure alone.

    Raises
    ------
    UsageError
        If there is no such column, or a value is none of it.
    NotFoundError
        If there is no such structure.
    """
    plain: list[Condition] = []
    tests: list[Chosen] = []
    for one in conditions:
        if one.field not in {*COLUMNS, *MADE}:
            names = (*COLUMNS, *MADE)
            raise unknown_column(one, names, address="connectivity:", command=_LIST)
        if one.field not in MADE:
            plain.append(one)
            continue
        if one.field == "product":
            plain.append(Condition("product_id", one.op, one.value))
            continue
        values = _values(one)
        if one.field == "injection_structure":
            known = structures()
            whole = one.value in known  # names have commas, too
            ids = below(known, (one.value,) if whole else values)
            tests.append(Chosen(structure_ids=ids, primary_only=primary_only))
        elif one.field == "hemisphere":
            tests += [Chosen(hemisphere=values[0].lower())] if len(values) == 1 else []
        else:
            tests.append(Chosen(cre=_cre(values)))
    return lambda row: matches(row, plain) and all(test.takes(row) for test in tests)


def _values(condition: Condition) -> tuple[str, ...]:
    if condition.op not in {"eq", "in"}:
        raise UsageError(
            f"'{condition}' is no filter",
            address="connectivity:",
            why=f"{condition.field} is one value, or a list",
            hint=f"{_LIST} {condition.field}=VALUE",
        )
    if isinstance(condition.value, tuple):
        return condition.value
    return tuple(filter(None, map(str.strip, str(condition.value).split(",")))) or ("",)


def _cre(values: Sequence[str]) -> bool | Sequence[str]:
    word = values[0].lower() if len(values) == 1 else ""
    return word in _YES if word in _YES | _NO else values
