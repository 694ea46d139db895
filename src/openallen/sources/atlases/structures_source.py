"""The door of ontologies: ``structures:1/VISp``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, OfflineError, UsageError
from openallen.sources.atlases.options import StructuresOptions
from openallen.sources.base import Example, Facts, Field, Place, Rows, Section, Source

if TYPE_CHECKING:
    from openallen.sources.atlases.structure_sets import StructureSet
    from openallen.sources.atlases.structures import Structure, Structures
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["StructuresSource"]

_COLUMNS = ("id", "acronym", "name", "parent_id", "depth", "color", "graph_order", "address")
_GRAPH_COLUMNS = ("graph_id", "title", "address")


class StructuresSource(Source):
    """An ontology of brain structures: which there are, and what is part of what."""

    scheme: ClassVar[str] = "structures"
    title: ClassVar[str] = "ontologies of brain structures"
    numeric: ClassVar[bool] = True
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "structures"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "structures:1",
            "the structures of the adult mouse",
            sample=True,
            web=("http://api.brain-map.org/api/v2/structure_graph_download/1.json",),
        ),
        Example("structures:1/VISp", "a structure and its parts", sample=True),
        Example("structures:1?set=summary", "the structures of a structure set", sample=True),
    )
    show_options: ClassVar[type] = StructuresOptions
    columns: ClassVar[tuple[str, ...]] = ("id", "acronym", "name", "parent_id", "depth")

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address an ontology is downloaded from."""
        from openallen.sources.atlases.web import structures_address

        return structures_address(web)

    @classmethod
    def canonical(cls, address: Address) -> Address:
        """Write a structure as one part: the slash of ``VISp2/3`` is of its acronym."""
        return replace(address, path=("/".join(address.path),) if address.path else ())

    # --- list -------------------------------------------------------------------------------------

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return the structures of an ontology."""
        return () if address.path else (replace(address, conditions=()),)

    def rows(
        self, address: Address, conditions: Sequence[Condition], options: Any, limit: int | None
    ) -> Rows:
        """Return the ontologies that are known, or the structures of one."""
        from openallen.sources.filters import check_columns, matches, no_rows

        del options
        wanted = [*address.conditions, *conditions]
        plain = replace(self.canonical(address), conditions=())
        chosen, wanted = _set_in(wanted, address)
        columns = _COLUMNS if address.name else _GRAPH_COLUMNS
        command = f"openallen list {plain}{self.context.source_flag}"
        check_columns(columns, wanted, str(plain), command)
        rows: list[dict[str, Any]] = self._structures(plain, chosen) if address.name else _graphs()
        found = [row for row in rows if matches(row, wanted)]
        return Rows(
            found[:limit],
            self.columns if address.name else ("graph_id", "title"),
            id_column="id" if address.name else "graph_id",
            noun="structure" if address.name else "structure graph",
            total=len(found),
            notes=()
            if address.name
            else (f"one of them: openallen list structures:1{self.context.source_flag}",),
            empty=lambda: no_rows(rows, wanted, str(plain), command),
        )

    def _structures(self, address: Address, sets: Sequence[str]) -> list[dict[str, Any]]:
        found, chosen = self._load(address, sets=bool(sets))
        kept = [set(self._set(found, name).ids) for name in sets]
        return [
            {
                "id": one.id,
                "acronym": one.acronym,
                "name": one.name,
                "parent_id": one.parent_id,
                "depth": len(found.ancestors(one.id)),
                "color": one.color,
                "graph_order": one.graph_order,
                "address": f"structures:{address.name}/{one.id}",
            }
            for one in _listed(found, chosen)
            if all(one.id in ids for ids in kept)
        ]

    def _set(self, found: Structures, name: str) -> StructureSet:
        """Return a set of an ontology; commands in the errors work on this source."""
        try:
            return found.set(name)
        except NotFoundError as error:
            hint = f"{error.hint}{self.context.source_flag}" if error.hint else ""
            raise NotFoundError(
                error.what, address=error.address, why=error.why, hint=hint
            ) from error

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: StructuresOptions) -> Facts:
        """Return an ontology as a tree, a structure with its parts, or what is in a set."""
        if not address.name:
            raise self.cannot("shown as a whole", address, f"openallen list {self.scheme}:")
        address = self.canonical(address)
        if options.set is not None:
            told = replace(address, conditions=(Condition("set", "eq", options.set),))
            return _set_facts(self._chosen(address, options.set), str(told))
        return _facts(*self._load(address), str(address))

    def _chosen(self, address: Address, name: str) -> StructureSet:
        """Return a set; of the structures below the one that an address names."""
        found, below = self._load(address, sets=True)
        chosen = self._set(found, name)
        ids = {one.id for one in _listed(found, below)}
        return replace(chosen, structures=tuple(one for one in chosen if one.id in ids))

    def _load(self, address: Address, *, sets: bool = False) -> tuple[Structures, Structure | None]:
        """Return an ontology (with its sets, if wanted), and the structure an address names."""
        from openallen.sources.atlases.search import load_structures

        address = self.canonical(address)
        plain = replace(address, path=(), conditions=())
        folder = self.context.folder(plain)
        try:
            found = load_structures(self.context.client, address.id, folder, sets=sets)
        except OfflineError:
            kept = self._beside_an_atlas(address.id)
            if kept is None:
                raise
            found = kept
        if not address.path:
            return found, None
        try:
            return found, found.find(address.path[0])
        except NotFoundError as error:
            flag = self.context.source_flag
            command = error.hint if error.hint.startswith("openallen ") else ""
            near = f"near are {error.hint}" if error.hint and not command else ""
            raise NotFoundError(
                error.what,
                address=str(address),
                why=error.why or near,
                hint=f"{command or f'openallen list {plain}'}{flag}",
            ) from error

    def _beside_an_atlas(self, graph_id: int) -> Structures | None:
        """Return an ontology that was fetched with an atlas; None where there is none."""
        from openallen.sources.atlases.ontologies import fetched_structures

        source = self.context.client.source
        for folder in sorted((self.context.settings.store / "atlases").glob("*/")):
            found = fetched_structures(folder, graph_id, source)
            if found is not None:
                return found
        return None

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Any) -> Job:
        """Return the job that fetches the file of an ontology."""
        from openallen.sources.atlases.ontologies import plan_structures

        del options
        if not address.name:
            raise self.cannot("fetched as a whole", address, f"openallen list {self.scheme}:")
        if address.path:
            raise UsageError(
                "an ontology is fetched whole",
                address=str(address),
                why=f"'{'/'.join(address.path)}' is in it",
                hint=f"openallen fetch structures:{address.name}{self.context.source_flag}",
            )
        return plan_structures(self.context.client, address.id, to)

    def open(self, address: Address, **options: Any) -> Structures | Structure | StructureSet:
        """Open an ontology, requested once and then stored; a structure of it, or a set."""
        read, plain = self.options(StructuresOptions, address, options)
        if read.set is not None:
            return self._chosen(self.canonical(plain), read.set)
        found, chosen = self._load(plain)
        return found if chosen is None else chosen

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise an ontology by the name of its file."""
        from openallen.sources.atlases.places import ontology_sureness

        return ontology_sureness(place)

    def open_place(self, place: Place, **options: Any) -> Structures | StructureSet:
        """Open the file of an ontology, or the folder it was fetched to."""
        from openallen.sources.atlases.places import open_ontology
        from openallen.sources.options import read_options

        read = read_options(StructuresOptions, options, place.name)
        assert place.path is not None
        found = open_ontology(place.path)
        return found if read.set is None else found.set(read.set)

    def place_facts(self, place: Place, options: Any) -> Facts:
        """Return the tree of an ontology that lies in a file or folder."""
        from openallen.sources.atlases.places import open_ontology

        assert place.path is not None
        found = open_ontology(place.path)
        if options.set is not None:
            return _set_facts(found.set(options.set), place.name)
        return _facts(found, None, place.name)


def _set_in(conditions: Sequence[Condition], address: Address) -> tuple[list[str], list[Condition]]:
    """Return the sets that conditions name, and the other conditions.

    Raises
    ------
    UsageError
        If a set is compared in another way than by ``=``.
    """
    if not address.name:
        return [], list(conditions)
    asked = [one for one in conditions if one.field == "set"]
    for one in asked:
        if one.op != "eq":
            raise UsageError(
                f"'{one}' is not possible",
                address=str(address),
                why="structures are in a set or not",
                hint=f"openallen list {replace(address, conditions=())} set=summary",
            )
    return [str(one.value) for one in asked], [one for one in conditions if one.field != "set"]


def _graphs() -> list[dict[str, Any]]:
    from openallen.sources.atlases.ontologies import GRAPHS

    return [
        {"graph_id": number, "title": title, "address": f"structures:{number}"}
        for number, title in GRAPHS.items()
    ]


def _listed(found: Structures, chosen: Structure | None) -> Sequence[Structure]:
    """Return all structures, or one and its parts."""
    return tuple(found) if chosen is None else (chosen, *found.descendants(chosen.id))


def _facts(found: Structures, chosen: Structure | None, address: str) -> Facts:
    from openallen.sources.atlases.models import CITATION, TERMS
    from openallen.sources.atlases.ontologies import GRAPHS

    listed = _listed(found, chosen)
    fields = [Field("ontology", found.graph_id, key="graph_id")]
    if chosen is None:
        title = f"Ontology {found.graph_id}"
        title += f", {GRAPHS[found.graph_id]}" if found.graph_id in GRAPHS else ""
        tree = found.tree(depth=3)
        if found.sets:
            fields.append(Field("structure sets", found.sets, f"{len(found.sets)}", "sets"))
    else:
        above = [s.acronym for s in found.ancestors(chosen.id)]
        title = f"{chosen.name} ({chosen.acronym})"
        fields += [
            Field("id", chosen.id),
            Field("part of", above, ", ".join(above) or "nothing", "ancestors"),
        ]
        tree = found.tree(chosen.id, 9)
    fields.append(Field("structures", len(listed), f"{len(listed):,}", "count"))
    return Facts(
        address=address,
        title=title,
        kind="ontology" if chosen is None else "structure",
        fields=tuple(fields),
        sections=(Section("structures", "structures", [_document(s) for s in listed], tree),),
        citation=CITATION,
        terms=TERMS,
        ids=tuple(s.id for s in listed),
        thing=found if chosen is None else chosen,
    )


def _set_facts(chosen: StructureSet, address: str) -> Facts:
    from openallen.sources.atlases.models import CITATION, TERMS

    lines = "\n".join(f"{s.acronym}  {s.name}  ({s.id})" for s in chosen)
    return Facts(
        address=address,
        title=chosen.name or f"Structure set {chosen.id}",
        kind="structure set",
        fields=(
            Field("structure set", chosen.id, key="id"),
            Field("structures", len(chosen), f"{len(chosen):,}", "count"),
        ),
        sections=(Section("structures", "structures", [_document(s) for s in chosen], lines),),
        citation=CITATION,
        terms=TERMS,
        ids=tuple(chosen.ids),
        thing=chosen,
    )


def _document(structure: Structure) -> Mapping[str, Any]:
    return {
        "id": structure.id,
        "acronym": structure.acronym,
        "name": structure.name,
        "parent_id": structure.parent_id,
        "color": structure.color,
    }
