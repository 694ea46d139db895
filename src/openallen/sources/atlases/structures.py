"""An ontology of brain structures: a tree, a table, look-up by id, acronym or name."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, count_text, facts_text
from openallen.errors import AnswerError, NotFoundError, UsageError, requiring
from openallen.json_text import load_json
from openallen.sources.atlases.structure import Structure, StructureLike, sets_of
from openallen.sources.atlases.structure_sets import StructureSet, find_set

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.visuals import Visual

__all__ = ["Structure", "StructureLike", "Structures"]

_MOST_NEAR: Final = 5
_PARENTS: Final = frozenset({"parent_structure_id", "structure_id_path"})
"""Where rows say what a structure is part of."""


def _flat(rows: Iterable[Mapping[str, Any]], sets: dict[int, str]) -> Iterator[Structure]:
    """Return the structures of rows, and of what is nested in them; names of sets go to `sets`.

    Raises
    ------
    AnswerError
        If a row is not one of a structure, or several say nothing of what they are part of.
    """
    waiting: list[tuple[Any, int | None]] = [(row, None) for row in rows]
    lone = 0
    while waiting:
        node, above = waiting.pop()
        if not isinstance(node, Mapping):
            raise AnswerError("not a row of a structure", why=repr(node)[:80])
        structure = Structure.from_row(node)
        sets.update((k, name) for k, name in sets_of(node).items() if name or k not in sets)
        if not _PARENTS.intersection(node):
            if above is None:
                lone += 1
            structure = replace(structure, parent_id=above)
        yield structure
        children = node.get("children")
        inner = children if isinstance(children, list) else ()
        waiting.extend((child, structure.id) for child in inner)
    if lone > 1:  # one may be a root
        raise AnswerError(
            "structures that do not say what they are part of",
            why=f"{lone} rows with neither {' nor '.join(sorted(_PARENTS))}",
        )


class Structures(Collection[Structure]):
    """The structures of one graph; iteration is in the order of the atlas.

    ``structures[385]`` is the structure with that id and ``structures["VISp"]`` the one with that
    acronym (see `find`); there is no access by position (``list(structures)[0]`` is the first).

    Parameters
    ----------
    rows
        The structures.
    graph_id
        Their graph: 1 adult mouse, 10 human, 16 developing human, 17 developing mouse.
    set_names
        Names of the sets that structures are in, by id, as far as they are told.

    Raises
    ------
    AnswerError
        If there are none, an id stands twice, a parent is missing, or the tree goes in a circle.
    """

    def __init__(
        self,
        rows: Iterable[Structure],
        graph_id: int = 0,
        set_names: Mapping[int, str] | None = None,
    ) -> None:
        self._rows = sorted(rows, key=lambda s: (s.graph_order, s.id))
        self._set_names = set_names or {}
        self.graph_id = graph_id
        self.by_id = {s.id: s for s in self._rows}
        self._check()

    def _check(self) -> None:
        if not self._rows:
            raise AnswerError("this ontology has no structures")
        if len(self.by_id) != len(self._rows):
            raise AnswerError("duplicate structure in the ontology")
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
            raise AnswerError("circular ontology")

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], graph_id: int = 0) -> Structures:
        """Read rows of brain-map.org, or the nested nodes of a structure graph.

        Raises
        ------
        AnswerError
            If a row is not one of a structure, they do not say what each is part of, or do not make
            a tree.
        """
        sets: dict[int, str] = {}
        return cls(list(_flat(rows, sets)), graph_id, sets)

    @classmethod
    def from_graph(cls, answer: bytes, graph_id: int = 0) -> Structures:
        """Read an answer of ``structure_graph_download``, or a list of structures in JSON.

        Raises
        ------
        AnswerError
            If it is none.
        """
        try:
            told = load_json(answer)
        except ValueError as error:
            raise AnswerError("an ontology that is not JSON", why=str(error)) from error
        nodes = told.get("msg") if isinstance(told, dict) else told
        if isinstance(told, dict) and "acronym" in told:  # the root itself, as older files have it
            nodes = [told]
        if not isinstance(nodes, list) or not all(isinstance(n, dict) for n in nodes):
            raise AnswerError("an ontology without structures", why=repr(nodes)[:80])
        return cls.from_rows(nodes, graph_id)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Structure]:
        return iter(self._rows)

    def __reversed__(self) -> Iterator[Structure]:
        return reversed(self._rows)

    def __contains__(self, what: object) -> bool:
        if isinstance(what, Structure):
            return self.by_id.get(what.id) == what
        if isinstance(what, str):
            return len(self._named(what)) == 1
        number = _number(what)
        return number is not None and number in self.by_id

    def __getitem__(self, what: StructureLike) -> Structure:
        """Return the structure with an id (whole number), acronym or name.

        Raises
        ------
        NotFoundError
            As `find` does.
        UsageError
            For a slice: structures have no positions.
        """
        return self.find(what)

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

    def find(self, what: StructureLike) -> Structure:
        """Return one structure by id, acronym (as written) or name (in any case).

        Raises
        ------
        NotFoundError
            If there is none, with what was perhaps meant, or several are called so.
        UsageError
            If it is of no kind that names a structure.
        """
        if isinstance(what, Structure):
            return self.find(what.id)
        number = _number(what)
        if number is None and not isinstance(what, str):
            raise UsageError(
                "a structure is named by id, acronym or name",
                why=f"not by {repr(what)[:60]}",
                hint="list(structures)[:10] for the first ten",
            )
        if number is not None and abs(number) >= 10**19:
            raise NotFoundError("no such structure", why="not a valid id")
        text = str(number if number is not None else what).strip()
        if text.isdecimal() and len(text) < 20 and int(text) in self.by_id:
            return self.by_id[int(text)]
        found = self._named(text)
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(f"{s.id} ({s.name})" for s in found)
            raise NotFoundError("ambiguous structure name", address=text, why=ids)
        text = text[:60]
        near = self._near(text)
        raise NotFoundError(
            "no such structure",
            address=text,
            why="similar: " + ", ".join(f"{s.acronym} ({s.name})" for s in near) if near else "",
            hint=self._command(near[0]) if near else "",
        )

    def _named(self, text: str) -> list[Structure]:
        """Return the structures with an acronym (in its own case first) or a name."""
        folded = text.strip().casefold()
        found = self._by_word.get(text.strip()) or self._by_word.get(folded, [])
        # An acronym in another case, if that is not another acronym.
        return found or [s for s in self._rows if s.acronym.casefold() == folded]

    def _near(self, text: str) -> list[Structure]:
        """Return what was perhaps meant: names that hold the words, acronyms and names like it."""
        folded = text.casefold()
        words = folded.split()
        holding = [s for s in self._rows if words and all(w in s.name.casefold() for w in words)]
        # What has most parts first: who writes "visual" means the visual areas.
        holding.sort(key=lambda s: (-len(self.descendants(s.id)), len(s.name)))
        by_word: dict[str, Structure] = {}
        for structure in self._rows:
            for word in (structure.name, structure.acronym):
                by_word.setdefault(word.casefold(), structure)
        alike = [by_word[word] for word in get_close_matches(folded, by_word, _MOST_NEAR, 0.6)]
        alike.sort(key=lambda s: not s.acronym.casefold().startswith(folded[:3]))
        first, second = (holding, alike) if len(folded) > 3 else (alike, holding)
        return list(dict.fromkeys([*first[:4], *second, *first]))[:_MOST_NEAR]

    def _command(self, structure: Structure) -> str:
        plain = re.fullmatch(r"[A-Za-z0-9-]+", structure.acronym)
        word = structure.acronym if plain and not structure.acronym.isdigit() else structure.id
        if self.graph_id:
            return f"openallen show structures:{self.graph_id}/{word}"
        return f"structures.find({word!r})"

    def acronyms(self, ids: Any) -> np.ndarray[Any, Any]:
        """Return the acronym of each id, as an array of str of the same shape.

        Parameters
        ----------
        ids
            Whole numbers: an array, a list, one number. 0, and ids that the ontology does not
            have, become ``""``.

        Raises
        ------
        UsageError
            If they are not whole numbers.
        """
        return self._words(ids, {s.id: s.acronym for s in self._rows})

    def names(self, ids: Any) -> np.ndarray[Any, Any]:
        """Return the name of each id, as an array of str of the same shape; see `acronyms`.

        Raises
        ------
        UsageError
            If they are not whole numbers.
        """
        return self._words(ids, {s.id: s.name for s in self._rows})

    @staticmethod
    @requiring("arrays of names", "atlas")
    def _words(ids: Any, words: Mapping[int, str]) -> np.ndarray[Any, Any]:
        import numpy as np

        try:
            values = np.asarray(ids)
        except (TypeError, ValueError):
            raise UsageError("ids are whole numbers", why=repr(ids)[:60]) from None
        if values.size and values.dtype.kind not in "iu":
            raise UsageError("ids are whole numbers", why=f"these are {values.dtype}")
        known, where = np.unique(values, return_inverse=True)
        found: np.ndarray[Any, Any] = np.array([words.get(int(i), "") for i in known] or [""])
        if not values.size:
            return np.empty(values.shape, found.dtype)
        return found[where.reshape(values.shape)]

    def ancestors(self, what: StructureLike) -> tuple[Structure, ...]:
        """Return what a structure is part of, from the nearest to the root."""
        found = []
        parent = self.find(what).parent_id
        while parent is not None:
            found.append(self.by_id[parent])
            parent = found[-1].parent_id
        return tuple(found)

    def children(self, what: StructureLike) -> tuple[Structure, ...]:
        """Return the direct parts of a structure, in the order of the atlas."""
        return tuple(self.by_id[i] for i in self._children.get(self.find(what).id, ()))

    def descendants(self, what: StructureLike) -> tuple[Structure, ...]:
        """Return all parts of a structure and their parts, in the order of the atlas."""
        found: set[int] = set()
        waiting = [self.find(what).id]
        while waiting:
            more = self._children.get(waiting.pop(), [])
            found.update(more)
            waiting.extend(more)
        return tuple(s for s in self._rows if s.id in found)

    @functools.cached_property
    def sets(self) -> dict[int, str]:
        """Names of the structure sets that structures here are in, by id; see `set`."""
        found = {number for s in self._rows for number in s.structure_set_ids}
        return {number: self._set_names.get(number, "") for number in sorted(found)}

    def set(self, what: int | str) -> StructureSet:
        """Return the structures of one set: ``summary``, ``brain-observatory``, ….

        Parameters
        ----------
        what
            Its id, its name (in any case), or one of the short names of
            `openallen.sources.atlases.structure_sets.SHORT_NAMES`.

        Raises
        ------
        NotFoundError
            If no structure here is in it, with the sets likely meant; or if this ontology was read
            from a file that does not say which sets its structures are in.
        """
        number, name = find_set(what, self.sets, self.graph_id)
        found = tuple(s for s in self._rows if number in s.structure_set_ids)
        return StructureSet(number, name, found)

    @requiring("a DataFrame", "tables")
    def table(self) -> pd.DataFrame:
        """Return a table; index ``id``, ``depth`` counted from the root."""
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

    def tree(self, what: StructureLike | None = None, depth: int = 2) -> str:
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

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.atlases.visuals import visuals_of_structures

        return visuals_of_structures(self)

    def __repr__(self) -> str:
        return facts_text(f"ontology {self.graph_id}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"ontology {self.graph_id}", self._facts())


def _number(what: object) -> int | None:
    """Return a whole number of any library as int; None for anything else, True included."""
    if isinstance(what, bool):
        return None
    try:
        return operator.index(what)  # type: ignore[arg-type]
    except TypeError:
        return None
