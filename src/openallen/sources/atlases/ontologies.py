"""Ontologies as files: what fetching one takes, and how a fetched one is read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.brainmap.builder import Search
from openallen.errors import AnswerError, NotFoundError, RefusedError
from openallen.plans import Plan, RemoteFile, Report, fetch_command
from openallen.sources.atlases.atlas import graph_name
from openallen.sources.atlases.checks import OntologyCheck
from openallen.sources.atlases.facts_file import write_facts
from openallen.sources.atlases.structures import Structures
from openallen.store.disk import read_object

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.transfer.job import Means

__all__ = [
    "GRAPHS",
    "StructuresJob",
    "fetched_structures",
    "no_ontology",
    "ontology_file",
    "plan_structures",
]

GRAPHS: Final[Mapping[int, str]] = {
    1: "adult mouse",
    10: "human",
    16: "developing human",
    17: "developing mouse",
}
"""Ontologies of brain-map.org by their graph id."""


def ontology_file(client: Client, graph_id: int, retry: str) -> RemoteFile:
    """Return the file of an ontology, as the service writes it."""
    return RemoteFile(
        address=f"structures:{graph_id}",
        url=f"{client.base_url}/api/v2/structure_graph_download/{graph_id}.json",
        path=graph_name(graph_id),
        kind="ontology",
        expects=frozenset({"json"}),
        check=OntologyCheck(),
        retry=retry,
    )


def no_ontology(graph_id: int) -> NotFoundError:
    """Return the error for an ontology that does not exist."""
    known = ", ".join(f"{number} {name}" for number, name in GRAPHS.items())
    why = f"known: {known}"
    if graph_id in GRAPHS:
        why = f"{GRAPHS[graph_id]}: this service does not have it"
    return NotFoundError("no such ontology", address=f"structures:{graph_id}", why=why)


@dataclass(frozen=True)
class StructuresJob:
    """A job that fetches an ontology, and opens it.

    Parameters
    ----------
    plan
        What it takes.
    graph_id
        The ontology.
    facts
        Where it came from, kept beside its file.
    """

    plan: Plan
    graph_id: int
    facts: Mapping[str, Any]

    def run(self, means: Means) -> Report:
        """Fetch it; failures are in the report."""
        report = means.run(self.plan)
        if report.fetched or report.here:
            write_facts(self.plan.to / _facts_name(self.graph_id), self.facts)
        return report

    def result(self) -> object:
        """Open the ontology."""
        path = self.plan.to / graph_name(self.graph_id)
        return Structures.from_graph(path.read_bytes(), self.graph_id)


def plan_structures(client: Client, graph_id: int, to: Path) -> StructuresJob:
    """Plan the file of an ontology.

    Raises
    ------
    NotFoundError
        If the service has no such ontology.
    RefusedError
        If the folder holds the same ontology of another source.
    """
    there = read_object(to / _facts_name(graph_id)).get("source", client.source)
    if there != client.source:
        raise RefusedError(
            "this folder holds something else",
            address=str(to),
            why=f"it holds this ontology from another source ({there}, not {client.source})",
            hint="choose another folder with --to DIR",
        )
    asked = Search.of("Structure").where(graph_id=graph_id).query
    if graph_id not in GRAPHS and not client.count(asked):
        raise no_ontology(graph_id)
    address = f"structures:{graph_id}"
    retry = fetch_command(address, to=to, source=client.source)
    plan = Plan(
        address=address,
        title=f"Ontology {graph_id}" + (f", {GRAPHS[graph_id]}" if graph_id in GRAPHS else ""),
        source=client.source,
        to=to,
        files=(ontology_file(client, graph_id, retry),),
        notes=client.notes,
        connections=1,
    )
    return StructuresJob(plan, graph_id, {"graph_id": graph_id, "source": client.source})


def _facts_name(graph_id: int) -> str:
    return f"ontology_{graph_id}.json"


def fetched_structures(folder: Path, graph_id: int, source: str) -> Structures | None:
    """Return an ontology that was fetched from a source into a folder; None where none was.

    In the folder of an atlas, the facts of the atlas say where it came from.
    """
    told = read_object(folder / _facts_name(graph_id)) or read_object(folder / "atlas.json")
    if told.get("source") != source:
        return None
    with suppress(OSError, AnswerError):
        return Structures.from_graph((folder / graph_name(graph_id)).read_bytes(), graph_id)
    return None
