"""Structure sets: lists of structures that the institute chose for one purpose or another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from openallen.display import card, count_text, facts_text
from openallen.errors import NotFoundError, UsageError, requiring
from openallen.sources.atlases.structure import Structure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SET_NAMES", "SHORT_NAMES", "StructureSet", "find_set"]

SHORT_NAMES: Final[Mapping[str, int]] = {
    "summary": 167587189,
    "brain-observatory": 514166994,
    "connectivity-summary": 687527945,
    "major-divisions": 687527670,
    "coarse": 2,
    "areas": 3,
    "fine": 10,
    "mesh": 691663206,
    "cell-types": 396673091,
}
"""Short names of sets of the adult mouse, by the id that the service gives them."""

SET_NAMES: Final[Mapping[int, str]] = {
    2: "Mouse - Coarse",
    3: "Mouse - Areas",
    4: "Human - Coarse",
    5: "Human - Structures",
    6: "Human - Samples",
    10: "ABA - Fine Structure Search",
    12: "ABA - Differential Search",
    112905813: "Mouse Connectivity - BDA/AAV All Injection Structures",
    112905828: "Mouse Connectivity - Projection All Injection Structures",
    114512891: "Mouse Connectivity - Projection Primary Injection Structures",
    114512892: "Mouse Connectivity - BDA/AAV Primary Injection Structures",
    167587189: "Brain – Summary Structures",  # noqa: RUF001 - the dash is the service's
    184527634: "Mouse Connectivity - Target Search",
    396673091: "Mouse Cell Types - Structures",
    514166994: "Allen Brain Observatory targeted structure set",
    667481440: "Isocortex layer 1",
    667481441: "Isocortex layer 2/3",
    667481445: "Isocortex layer 4",
    667481446: "Isocortex layer 5",
    667481449: "Isocortex layer 6a",
    667481450: "Isocortex layer 6b",
    687527670: "Brain - Major Divisions",
    687527945: "Mouse Connectivity - Summary",
    691663206: "Mouse Brain - Has Surface Mesh",
}
"""Names of sets, for files that hold their ids alone."""

_MOST_NEAR: Final = 4


@dataclass(frozen=True, repr=False)
class StructureSet(Collection[Structure]):
    """The structures of one set; iteration is in the order of the atlas.

    Parameters
    ----------
    id, name
        Of the set.
    structures
        Its structures.
    """

    id: int
    name: str
    structures: tuple[Structure, ...]

    @property
    def ids(self) -> list[int]:
        """The ids of its structures."""
        return [structure.id for structure in self.structures]

    @property
    def acronyms(self) -> list[str]:
        """The acronyms of its structures."""
        return [structure.acronym for structure in self.structures]

    @requiring("a DataFrame", "tables")
    def table(self) -> pd.DataFrame:
        """Return a table of its structures; index ``id``."""
        import pandas as pd

        columns = ("id", "acronym", "name", "parent_id", "color", "graph_order")
        rows = [[getattr(s, column) for column in columns] for s in self.structures]
        made = pd.DataFrame(rows, columns=list(columns))
        return made.astype({"parent_id": "Int64"}).set_index("id")

    def __len__(self) -> int:
        return len(self.structures)

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.structures)

    def __contains__(self, what: object) -> bool:
        return what in self.structures

    def _facts(self) -> dict[str, object]:
        acronyms = self.acronyms
        first = ", ".join(acronyms[:12]) + (", …" if len(acronyms) > 12 else "")
        return {
            "name": self.name,
            "holds": count_text(len(self), "structure"),
            "structures": first,
        }

    def __repr__(self) -> str:
        return facts_text(f"structure set {self.id}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"structure set {self.id}", self._facts())


def _plain(name: str) -> str:
    """Return a name as it is compared: any case, any dash, single blanks."""
    dashes = name.replace("\u2013", "-").replace("\u2014", "-").casefold()
    return " ".join(dashes.split())


def find_set(what: int | str, known: Mapping[int, str], graph_id: int = 0) -> tuple[int, str]:
    """Return the id and the name of the set that is meant.

    Parameters
    ----------
    what
        Its id, its name in any case, or a short name.
    known
        Names of the sets there are, by id; empty names are looked up in `SET_NAMES`.
    graph_id
        The ontology, for messages.

    Raises
    ------
    NotFoundError
        If there is none of that name, with the sets likely meant.
    UsageError
        If it is neither a number nor a text.
    """
    if isinstance(what, bool) or not isinstance(what, (int, str)):
        raise UsageError("a structure set is named by id or name", why=f"not by {what!r:.60}")
    where = f"structures:{graph_id}" if graph_id else "structures"
    if not known:
        raise NotFoundError(
            "this ontology does not say which sets its structures are in",
            address=where,
            why="the file of an ontology holds the tree alone",
            hint=f"openallen list structures:{graph_id or 1} set={_quoted(str(what))}",
        )
    names = {number: name or SET_NAMES.get(number, "") for number, name in known.items()}
    text = _plain(str(what))
    wanted = int(text) if text.isdecimal() and len(text) < 20 else SHORT_NAMES.get(text)
    if wanted in names:
        return wanted, names[wanted]
    called = [number for number, name in names.items() if name and _plain(name) == text]
    if len(called) == 1:
        return called[0], names[called[0]]
    raise _no_set(str(what), text, names, where, called)


def _no_set(
    what: str, text: str, names: Mapping[int, str], where: str, called: list[int]
) -> NotFoundError:
    if called:
        told = ", ".join(f"{number} ({names[number]})" for number in called)
        return NotFoundError("ambiguous name of a structure set", address=what[:60], why=told)
    words = {_plain(name): number for number, name in names.items() if name}
    words |= {short: number for short, number in SHORT_NAMES.items() if number in names}
    holding = [word for word in words if len(text) > 2 and text in word]
    near = [*holding, *get_close_matches(text, words, _MOST_NEAR, 0.5)]
    numbers = list(dict.fromkeys(words[word] for word in near)) or list(names)
    told = ", ".join(f"{number} ({names[number] or 'no name'})" for number in numbers[:_MOST_NEAR])
    return NotFoundError(
        "no such structure set",
        address=f"{where}?set={what[:60]}",
        why=("similar: " if near else "known: ") + told,
        hint=f"openallen list {where} set={numbers[0]}" if near and ":" in where else "",
    )


def _quoted(text: str) -> str:
    return text if text.replace("-", "").isalnum() else f"'{text}'"
