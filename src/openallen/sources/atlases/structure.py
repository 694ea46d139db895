"""One brain structure, read from any of the rows that tell of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from openallen.display import card
from openallen.errors import AnswerError

__all__ = ["Structure", "StructureLike", "sets_of"]

_COLOR: Final = re.compile(r"#?([0-9A-Fa-f]{6})")
_GREY: Final = "AAAAAA"


@dataclass(frozen=True, slots=True, repr=False)
class Structure:
    """One structure.

    Parameters
    ----------
    id
        Its id, which annotation volumes hold.
    acronym, name
        What it is called.
    parent_id
        The structure it is part of; None for a root.
    color
        Six hex digits of its colour in the atlas.
    graph_order
        Its place when the tree is read from the top.
    structure_set_ids
        The sets it is in (see `Structures.set`); empty where that was not asked for.
    """

    id: int
    acronym: str
    name: str
    parent_id: int | None
    color: str
    graph_order: int
    structure_set_ids: tuple[int, ...] = field(default=(), compare=False)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Structure:
        """Read a row of the model ``Structure``, or a node of a structure graph.

        Raises
        ------
        AnswerError
            If it lacks an id or a name.
        """
        try:
            return cls(
                int(row["id"]),
                str(row["acronym"]).strip(),
                str(row["name"]).strip(),
                _parent(row),
                _color(row),
                int(row.get("graph_order") or 0),
                tuple(sets_of(row)),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AnswerError("not a row of a structure", why=str(error)[:200]) from error

    def __repr__(self) -> str:
        return f"{self.acronym} (id {self.id}) {self.name}"

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {
            "id": self.id,
            "name": self.name,
            "part of": self.parent_id,
            "color": f"#{self.color}",
        }
        return card(self.acronym, facts)


def sets_of(row: Mapping[str, Any]) -> dict[int, str]:
    """Return the sets a row's structure is in: names by id, empty where only the id is told.

    The service nests whole rows of sets; files of AllenSDK hold their ids.

    Raises
    ------
    TypeError, ValueError
        If they are no sets.
    """
    told = [*(row.get("structure_sets") or ()), *(row.get("structure_set_ids") or ())]
    found: dict[int, str] = {}
    for one in told:
        number, name = (one["id"], one.get("name")) if isinstance(one, Mapping) else (one, "")
        found[int(number)] = found.get(int(number)) or str(name or "").strip()
    return found


def _parent(row: Mapping[str, Any]) -> int | None:
    """Return the id of what a row's structure is part of: said, or the last but one of its path.

    Tables of AllenSDK and BrainGlobe have the path only, as a list or as ``/997/8/``.
    """
    if "parent_structure_id" in row:
        said = row["parent_structure_id"]
        none = said is None or said == "" or said != said  # noqa: PLR0124 - NaN, as tables have it
        return None if none or int(said) < 0 else int(said)
    path: Any = row.get("structure_id_path") or ()
    if isinstance(path, str):
        path = [word for word in path.split("/") if word]
    return int(path[-2]) if len(path) > 1 else None


def _color(row: Mapping[str, Any]) -> str:
    """Return six hex digits; grey if the row has no colour that can be read."""
    rgb = row.get("rgb_triplet")
    if isinstance(rgb, list) and len(rgb) == 3:
        return "".join(f"{min(max(int(part), 0), 255):02X}" for part in rgb)
    match = _COLOR.fullmatch(str(row.get("color_hex_triplet") or ""))
    return match[1] if match else _GREY


StructureLike: TypeAlias = int | str | Structure
"""What names a structure: its id, its acronym or name, or the structure itself."""
