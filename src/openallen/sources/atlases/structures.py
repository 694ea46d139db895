"""An ontology of brain structures: a tree, a table, a look-up that understands near misses."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from openallen.display import card, count_text, facts_text
from openallen.errors import AnswerError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Structure", "Structures"]


@dataclass(frozen=True, slots=True)
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
    """

    id: int
    acronym: str
    name: str
    parent_id: int | None
    color: str
    graph_order: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Structure:
        """Read a row of the model ``Structure``, or a node of a structure graph.

        Raises
        ------
        AnswerError
            If it lacks an id or a name.
        """
        try:
            parent = row.get("parent_structure_id")
            return cls(
                int(row["id"]),
                str(row["acronym"]).strip(),
                str(row["name"]).strip(),
                None if parent is None else int(parent),
                str(row.get("color_hex_triplet") or "AAAAAA"),
                int(row.get("graph_order") or 0),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError("this is no row of a structure", why=str(error)) from error


class Structures(Sequence[Structure]):
    """The structures of one graph, in the order of the atlas.

    Parameters
    ----------
    rows
        The structures.
    graph_id
        Their graph: 1 adult mouse, 10 human, 16 developing human, 17 developing mouse.

    Raises
    ------
    AnswerError
        If there are none, an id stands twice, a parent is missing, or the tree goes in a circle.
    """

    def __init__(self, rows: Iterable[Structure], graph_id: int = 0) -> None:
        self._rows = sorted(rows, key=lambda s: (s.graph_order, s.id))
        self.graph_id = graph_id
        self.by_id = {s.id: s for s in self._rows}
        self._check()

    def _check(self) -> None:
        if not self._rows:
            raise AnswerError("this ontology has no structures")
        if len(self.by_id) != len(self._rows):
            raise AnswerError("a structure stands twice in the ontology")
        for structure in self._rows:
            if structure.parent_id is not None and structure.parent_id not in self.by_id:
                raise AnswerError(
                    "a structure's parent is missing",
                    why=f"{structure.acronym} is part of {structure.parent_id}",
                )
        seen: set[int] = set()
        waiting = [s.id for s in self._rows if s.parent_id is None]
        while waiting:
            number = waiting.pop()
            seen.add(number)
            waiting.extend(self._children.get(number, ()))
        if len(seen) != len(self._rows):
            raise AnswerError("the ontology goes in a circle")

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], graph_id: int = 0) -> Structures:
        """Read rows of brain-map.org, or the nested nodes of a structure graph."""

        def flat(nodes: Iterable[Mapping[str, Any]]) -> Iterator[Structure]:
            for node in nodes:
                yield Structure.from_row(node)
                yield from flat(node.get("children") or ())

        return cls(flat(rows), graph_id)

    @classmethod
    def from_graph(cls, answer: bytes, graph_id: int = 0) -> Structures:
        """Read an answer of ``structure_graph_download``.

        Raises
        ------
        AnswerError
            If it is none.
        """
        try:
            told = json.loads(answer)
        except (UnicodeDecodeError, ValueError) as error:
            raise AnswerError("an ontology that is no JSON", why=str(error)) from error
        nodes = told.get("msg") if isinstance(told, dict) else told
        if not isinstance(nodes, list) or not all(isinstance(n, dict) for n in nodes):
            raise AnswerError("an ontology without structures", why=repr(nodes)[:80])
        return cls.from_rows(nodes, graph_id)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        return self._rows[at]

    @functools.cached_property
    def _children(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for structure in self._rows:
            if structure.parent_id is not None:
                found.setdefault(structure.parent_id, []).append(structure.id)
        return found

    @functools.cached_property
    def _by_word(self) -> dict[str, list[Structure]]:
        found: dict[str, list[Structure]] = {}
        for structure in self._rows:
            for word in {structure.acronym, structure.name.casefold()}:
                found.setdefault(word, []).append(structure)
        return found

    def find(self, what: int | str) -> Structure:
        """Give one structure by id, acronym (as written) or name (in any case).

        Raises
        ------
        NotFoundError
            If there is none, with what was perhaps meant, or several are called so.
        """
        text = str(what).strip()
        if text.isdigit() and int(text) in self.by_id:
            return self.by_id[int(text)]
        found = self._by_word.get(text) or self._by_word.get(text.casefold(), [])
        if not found:  # an acronym in another case, where that is no other acronym
            folded = text.casefold()
            found = [s for s in self._rows if s.acronym.casefold() == folded]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(f"{s.id} ({s.name})" for s in found)
            raise NotFoundError(f"several structures are called '{text}'", why=ids)
        words = [s.acronym for s in self._rows] + [s.name for s in self._rows]
        near = get_close_matches(text, words, 3, 0.6)
        raise NotFoundError(f"there is no structure '{text}'", hint=", ".join(near))

    def ancestors(self, what: int | str) -> tuple[Structure, ...]:
        """Give what a structure is part of, from the nearest to the root."""
        found = []
        parent = self.find(what).parent_id
        while parent is not None:
            found.append(self.by_id[parent])
            parent = found[-1].parent_id
        return tuple(found)

    def children(self, what: int | str) -> tuple[Structure, ...]:
        """Give the direct parts of a structure, in the order of the atlas."""
        return tuple(self.by_id[i] for i in self._children.get(self.find(what).id, ()))

    def descendants(self, what: int | str) -> tuple[Structure, ...]:
        """Give all parts of a structure and their parts, in the order of the atlas."""
        found: set[int] = set()
        waiting = [self.find(what).id]
        while waiting:
            more = self._children.get(waiting.pop(), [])
            found.update(more)
            waiting.extend(more)
        return tuple(s for s in self._rows if s.id in found)

    def table(self) -> pd.DataFrame:
        """Give a table; index ``id``, ``depth`` counted from the root."""
        import pandas as pd

        rows = [
            {
                "id": s.id,
                "acronym": s.acronym,
                "name": s.name,
                "parent_id": s.parent_id,
                "color": s.color,
                "graph_order": s.graph_order,
                "depth": len(self.ancestors(s.id)),
            }
            for s in self._rows
        ]
        return pd.DataFrame(rows).astype({"parent_id": "Int64"}).set_index("id")

    def tree(self, what: int | str | None = None, depth: int = 2) -> str:
        """Draw the tree as text.

        Parameters
        ----------
        what
            Where to begin; at the roots where None.
        depth
            Levels below that.
        """
        begin = (
            [s for s in self._rows if s.parent_id is None] if what is None else [self.find(what)]
        )
        lines: list[str] = []

        def draw(structure: Structure, level: int) -> None:
            lines.append(f"{'  ' * level}{structure.acronym}  {structure.name}  ({structure.id})")
            if level < depth:
                for child in self.children(structure.id):
                    draw(child, level + 1)

        for structure in begin:
            draw(structure, 0)
        return "\n".join(lines)

    def _facts(self) -> dict[str, object]:
        roots = [s for s in self._rows if s.parent_id is None]
        return {
            "structures": len(self),
            "roots": ", ".join(f"{s.name} ({s.id})" for s in roots[:5]),
            "leaves": count_text(sum(s.id not in self._children for s in self._rows), "structure"),
        }

    def __repr__(self) -> str:
        return facts_text(f"ontology {self.graph_id}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"ontology {self.graph_id}", self._facts())
