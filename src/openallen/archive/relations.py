"""Relations between tables: from the name of an association to columns that match.

The service's own description names associations and the models they lead to, not the columns.
The columns follow from its naming rules; the few exceptions are listed.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from openallen.archive.holdings import Holdings
from openallen.brainmap.naming import model_of, singular, snake
from openallen.brainmap.schema import schema

__all__ = ["Refusal", "Relation", "matching", "model_filter", "relate"]


class Refusal(Exception):  # noqa: N818 - the message of the service, not an error of ours
    """A request the service cannot answer; the text becomes ``msg``."""


@dataclass(frozen=True, slots=True)
class Relation:
    """An association as columns that match.

    Parameters
    ----------
    model, table
        Where it leads.
    own, other
        Columns that match, here and there; empty when the archive has no rows of it.
    through
        The table in between, with its two columns, for many-to-many.
    attached_to
        The model named in ``attachable_type``, for files.
    many
        Whether it leads to a list.
    """

    model: str
    table: str
    own: str = ""
    other: str = ""
    through: tuple[str, str, str] | None = None
    attached_to: str = ""
    many: bool = True


_IRREGULAR: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("specimens", "children"): ("id", "parent_id"),
    ("structures", "child_structures"): ("id", "parent_structure_id"),
    ("data_sets", "alignment3d"): ("id", "aligned_id"),
    ("sub_images", "alignment2d"): ("id", "section_image_id"),
    ("sub_images", "section_data_set"): ("data_set_id", "id"),
    ("sub_images", "atlas_data_set"): ("data_set_id", "id"),
}


def relate(holdings: Holdings, model: str, name: str) -> Relation:
    """Return the relation of an association of a model in an archive.

    Raises
    ------
    Refusal
        For a name that no model or table has.
    """
    known = schema().get(model)
    hint = known.associations.get(name) if known else None
    table = schema().table_of(model)
    here = holdings.columns.get(table, {})
    target = hint.model if hint else model_of(name)
    there_table = schema().table_of(target)
    there = holdings.columns.get(there_table, {})
    many = hint.kind in {"has_many", "has_and_belongs_to_many"} if hint else name.endswith("s")
    empty = Relation(target, there_table, many=many)
    if not there:
        if hint is None and schema().get(target) is None:
            raise Refusal(f"Association named '{name}' was not found on {model}")
        return empty
    own, other = matching(table, here, there, model, name)
    between = None if own else _between(holdings, table, there_table)
    if between:
        return Relation(target, there_table, "id", "id", through=between, many=True)
    if not own:
        return empty
    attached = model if other == "attachable_id" else ""
    return Relation(
        target, there_table, own, other, attached_to=attached, many=many and own == "id"
    )


def matching(
    table: str, here: Container[str], there: Container[str], model: str, name: str
) -> tuple[str, str]:
    """Return the columns that match, here and there; two empty texts where none do.

    Parameters
    ----------
    table, here
        A table and its columns.
    there
        Columns of the table where the association leads.
    model, name
        The model, and the name of its association.
    """
    irregular = _IRREGULAR.get((table, name))
    if irregular:
        return irregular
    if f"{name}_id" in here:
        return f"{name}_id", "id"
    for column in (f"{snake(model)}_id", f"{singular(table)}_id", "attachable_id"):
        if column in there:
            return "id", column
    return "", ""


def model_filter(holdings: Holdings, model: str) -> str:
    """Return the value of ``_type`` that rows of a model have; empty where all rows are of it."""
    table = schema().table_of(model)
    shared = "_type" in holdings.columns.get(table, {})
    return model if shared and snake(model) != singular(table) else ""


def _between(holdings: Holdings, one: str, other: str) -> tuple[str, str, str] | None:
    first, second = f"{singular(one)}_id", f"{singular(other)}_id"
    for name in (f"{one}_{other}", f"{other}_{one}"):
        columns = holdings.columns.get(name, {})
        if first in columns and second in columns:
            return name, first, second
    return None
