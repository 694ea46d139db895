"""What fetching grids and atlases takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address, Condition
from openallen.brainmap.builder import Search
from openallen.brainmap.client import LIVE_URL
from openallen.display import count_text
from openallen.errors import (
    NotFoundError,
    OfflineError,
    RefusedError,
    ServiceError,
    UsageError,
)
from openallen.formats.nrrd import NrrdCheck
from openallen.formats.obj import ObjCheck
from openallen.plans import Plan, RemoteFile, Report, fetch_command, safe_name
from openallen.sources.atlases.atlas import Atlas
from openallen.sources.atlases.atlas_files import FACTS_NAME
from openallen.sources.atlases.catalogue import AtlasFacts, find_atlas, nrrd_part, zip_named
from openallen.sources.atlases.checks import VolumesCheck
from openallen.sources.atlases.facts_file import write_facts
from openallen.sources.atlases.grids import facts_name, grid_name, open_grid
from openallen.sources.atlases.models import CONNECTIVITY, EXPRESSION, RESOLUTIONS_UM, DataSet
from openallen.sources.atlases.ontologies import fetched_structures, ontology_file
from openallen.sources.atlases.search import describe_data_set
from openallen.sources.atlases.structures import Structures
from openallen.store.disk import read_object
from openallen.transfer.job import Means

if TYPE_CHECKING:
    from openallen.brainmap import Client

__all__ = [
    "AtlasJob",
    "GridJob",
    "GridsJob",
    "check_expression",
    "data_set_row",
    "plan_atlas",
    "plan_grid",
    "plan_grids",
    "wanted_kinds",
]

_DOWNLOADS: Final = "https://download.alleninstitute.org/informatics-archive"
_CONNECTIONS: Final = 4


@dataclass(frozen=True)
class GridJob:
    """A job that gives the grid it fetched, opened.

    Parameters
    ----------
    plan
        What it takes.
    data_set_id
        The data set.
    facts
        What is known of it and where it came from, kept beside its files.
    """

    plan: Plan
    data_set_id: int
    facts: Mapping[str, Any]

    def run(self, means: Means) -> Report:
        """Fetch it; failures are in the report."""
        report = means.run(self.plan)
        if report.fetched or report.here:
            write_facts(self.plan.to / facts_name(self.data_set_id), self.facts)
        return report

    def result(self) -> object:
        """Open the grid."""
        return open_grid(self.plan.to)


@dataclass(frozen=True)
class AtlasJob:
    """A job that gives the atlas it fetched parts of, opened.

    Parameters
    ----------
    plan
        What it takes.
    facts
        What is known of the atlas, kept beside its files.
    """

    plan: Plan
    facts: Mapping[str, Any]

    def run(self, means: Means) -> Report:
        """Fetch it; failures are in the report."""
        report = means.run(self.plan)
        if report.fetched or report.here:
            write_facts(self.plan.to / FACTS_NAME, self.facts)
        return report

    def result(self) -> object:
        """Open the atlas."""
        return Atlas(self.plan.to)


# --- grids --------------------------------------------------------------------------------------


def _resolution(address: Address) -> int:
    told = address.option("resolution") or "25"
    if not told.isdigit() or int(told) not in RESOLUTIONS_UM:
        sizes = ", ".join(map(str, RESOLUTIONS_UM))
        raise UsageError(
            f"no such resolution '{told}'", address=str(address), why=f"sizes: {sizes} µm"
        )
    return int(told)


def wanted_kinds(address: Address, data_set: DataSet | None) -> tuple[str, ...]:
    """Return the kinds an address asks for: all of expression, or all of connectivity.

    Raises
    ------
    UsageError
        If they make no sense, for a data set that is not known yet (None), or for this one.
    """
    strange = [c.field for c in address.conditions if c.field not in {"include", "resolution"}]
    if strange:
        raise UsageError(
            f"grids have no option '{strange[0]}'",
            address=str(address),
            hint=f"openallen fetch grid:{address.name} --include energy",
        )
    told = address.option("include")
    connectivity = data_set is not None and data_set.connectivity
    usual = "projection_density" if connectivity else "energy"
    kinds = _known_kinds(usual if told is None else told)
    told_what = data_set is not None and (connectivity or data_set.gene)
    if data_set is not None and told_what and (kinds[0] in CONNECTIVITY) != connectivity:
        shows = "connectivity" if connectivity else f"the expression of {data_set.gene}"
        raise UsageError(
            f"this data set shows {shows}",
            address=str(address),
            hint=f"openallen fetch grid:{address.name} --include {usual}",
        )
    _resolution(address)
    if kinds[0] in EXPRESSION and address.option("resolution") and (told or data_set):
        raise UsageError(
            "expression grids come in one size",
            address=str(address),
            hint="resolution= is for connectivity: projection_density and others",
        )
    return kinds


def _known_kinds(told: str) -> tuple[str, ...]:
    """Return the kinds that words name, all of expression or all of connectivity."""
    kinds = tuple(dict.fromkeys(word.strip() for word in told.split(",") if word.strip()))
    for word in kinds:
        if word not in EXPRESSION and word not in CONNECTIVITY:
            raise UsageError(
                f"no such grid volume '{word}'", hint=", ".join((*EXPRESSION, *CONNECTIVITY))
            )
    if not kinds:
        raise UsageError("include= is empty", hint="include=energy")
    if len({word in EXPRESSION for word in kinds}) == 2:
        raise UsageError(
            "a data set is of expression or of connectivity, not of both", why=", ".join(kinds)
        )
    return kinds


def plan_grid(client: Client, address: Address, to: Path) -> GridJob:
    """Plan the grids of one section data set.

    ``grid:69855739?include=energy,density`` for expression,
    ``grid:181777177?include=projection_density,data_mask&resolution=50`` for connectivity.

    Raises
    ------
    UsageError
        If something is asked for that grids do not hold.
    """
    wanted_kinds(address, None)  # what makes no sense is said before anything is asked
    _own_grid_folder(to, address, client.source)
    retry = fetch_command(address, to=to, source=client.source)
    facts, notes = _data_set(client, address.id, to)
    kinds = wanted_kinds(address, DataSet.from_row(facts["row"]) if facts["row"] else None)
    if kinds[0] in EXPRESSION:
        files: tuple[RemoteFile, ...] = (_expression(client, address, kinds, retry),)
    else:
        files = tuple(_connectivity(client, address, kind, retry) for kind in kinds)
    plan = Plan(
        address=str(address),
        title=f"Section data set {address.id}: {', '.join(kinds)}",
        source=client.source,
        to=to,
        files=files,
        notes=notes,
        connections=_CONNECTIONS,
    )
    return GridJob(plan, address.id, facts)


@dataclass(frozen=True)
class GridsJob:
    """A job of many grids, a folder for each.

    Parameters
    ----------
    plan
        What it takes.
    rows
        What is known of each data set, kept beside its files.
    simulated
        Whether the service makes its volumes up.
    """

    plan: Plan
    rows: tuple[Mapping[str, Any], ...]
    simulated: bool = False

    def run(self, means: Means) -> Report:
        """Fetch them; failures are in the report."""
        report = means.run(self.plan)
        for row in self.rows:
            folder = self.plan.to / str(row["id"])
            if folder.is_dir():
                facts = {"row": row, "source": self.plan.source, "simulated": self.simulated}
                write_facts(folder / facts_name(int(row["id"])), facts)
        return report

    def result(self) -> list[Path]:
        """Return the folders."""
        return [self.plan.to / str(row["id"]) for row in self.rows]


def check_expression(kind: str) -> None:
    """Check that a kind is one of the volumes of expression.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not isinstance(kind, str) or kind not in EXPRESSION:
        raise UsageError(f"no such volume of expression '{kind}'", hint=", ".join(EXPRESSION))


def plan_grids(
    client: Client, rows: Sequence[Mapping[str, Any]], kind: str, to: Path, address: str
) -> GridsJob:
    """Plan one volume of many section data sets.

    Raises
    ------
    UsageError
        If there is no such volume.
    """
    check_expression(kind)
    files = []
    for row in rows:
        one = Address("grid", str(row["id"]), conditions=(Condition("include", "eq", kind),))
        folder = to / one.name
        _own_grid_folder(folder, one, client.source)
        retry = fetch_command(one, to=folder, source=client.source)
        file = _expression(client, one, (kind,), retry)
        files.append(replace(file, path=f"{one.name}/{file.path}"))
    plan = Plan(
        address=address,
        title=f"{kind} of {count_text(len(rows), 'section data set')}",
        source=client.source,
        to=to,
        files=tuple(files),
        notes=client.notes,
        connections=_CONNECTIONS,
    )
    return GridsJob(plan, tuple(rows), client.simulated)


def _data_set(client: Client, number: int, to: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is known of a data set: what was kept beside its files, else what is told.

    Raises
    ------
    NotFoundError
        If the service knows no such data set.
    """
    told: dict[str, Any] = {"row": None, "source": client.source, "simulated": client.simulated}
    kept = _kept_row(client, number, to)
    if kept is not None:
        return kept, client.notes
    try:
        row, query = describe_data_set(client, number)
    except NotFoundError as error:
        if error.address.startswith("grid:"):  # said by the service, not by some page of it
            raise
        reason = error.what
    except (OfflineError, ServiceError) as error:
        reason = error.what
    else:
        return {**told, "row": row, "query": query}, client.notes
    return told, (*client.notes, f"the service does not describe this data set ({reason})")


def _kept_row(client: Client, number: int, to: Path) -> dict[str, Any] | None:
    kept = read_object(to / facts_name(number))
    same = kept.get("source") == client.source and (kept.get("row") or {}).get("id") == number
    return kept if same else None


def data_set_row(client: Client, number: int, to: Path) -> tuple[dict[str, Any], str]:
    """Return the row of a data set, kept or asked for, and the query.

    Raises
    ------
    NotFoundError
        If the service knows no such data set.
    ServiceError
        If it does not say.
    """
    kept = _kept_row(client, number, to)
    if kept is not None:
        return kept["row"], str(kept.get("query") or "")
    return describe_data_set(client, number)


def _own_grid_folder(to: Path, address: Address, source: str) -> None:
    """Check that a folder does not hold something else already, or this grid from another source.

    What is here is vouched for by its path alone: a sample's volumes would pass for the service's.

    Raises
    ------
    RefusedError
        If it does, with what.
    """
    others = {p.name.split("_")[1] for p in to.glob("grid_*_*")} - {address.name}
    holds = f"grid:{min(others)}" if others else ""
    if read_object(to / FACTS_NAME):
        holds = "an atlas"
    _own_folder(to, holds or _elsewhere("grid", read_object(to / facts_name(address.id)), source))


def _own_atlas_folder(to: Path, atlas: AtlasFacts, source: str) -> None:
    """Check that a folder does not hold something else already, or this atlas from another source.

    Raises
    ------
    RefusedError
        If it does, with what.
    """
    facts = read_object(to / FACTS_NAME)
    holds = ""
    if any(to.glob("grid_*_*")):
        holds = "grids"
    elif facts.get("name", atlas.name) != atlas.name:
        holds = f"atlas:{facts['name']}"
    _own_folder(to, holds or _elsewhere("atlas", facts, source))


def _elsewhere(kind: str, facts: Mapping[str, Any], source: str) -> str:
    """Return why a folder is not of this source, by its record; empty where it is."""
    before = facts.get("source", source)
    return f"this {kind} from another source ({before}, not {source})" if before != source else ""


def _own_folder(to: Path, holds: str) -> None:
    if (to / "manifest.json").exists():
        holds = "an image stack"
    if holds:
        raise RefusedError(
            "this folder holds something else",
            address=str(to),
            why=f"it holds {holds}",
            hint="choose another folder with --to DIR",
        )


def _expression(client: Client, address: Address, kinds: tuple[str, ...], retry: str) -> RemoteFile:
    include = ",".join(kinds)
    return RemoteFile(
        address=str(address),
        url=f"{client.base_url}/grid_data/download/{address.id}?include={include}",
        path=grid_name(address.id, "_".join(kinds)),
        kind="grids",
        expects=frozenset({"zip"}),
        check=VolumesCheck(),
        retry=retry,
    )


def _connectivity(client: Client, address: Address, kind: str, retry: str) -> RemoteFile:
    um = _resolution(address)
    asked = f"image={kind}&resolution={um}"
    return RemoteFile(
        address=f"grid:{address.id}?include={kind}&resolution={um}",
        url=f"{client.base_url}/grid_data/download_file/{address.id}?{asked}",
        path=grid_name(address.id, kind, um),
        kind="grids",
        expects=frozenset({"nrrd"}),
        check=NrrdCheck(),
        retry=retry,
    )


# --- atlases ------------------------------------------------------------------------------------


def plan_atlas(client: Client, address: Address, to: Path) -> AtlasJob:
    """Plan volumes of an atlas, with the ontology their ids are of.

    ``atlas:P56``, ``atlas:P56/gridAnnotation``, ``atlas:ccf-2017/annotation/25``,
    ``atlas:ccf-2017/mask/VISp/25``.

    Raises
    ------
    NotFoundError
        If there is no such atlas, or no file of that name.
    UsageError
        If there is no such part or voxel size.
    """
    atlas = find_atlas(address.name)
    _own_atlas_folder(to, atlas, client.source)
    if address.conditions:
        raise UsageError(
            f"atlases have no option '{address.conditions[0].field}'",
            address=str(address),
            hint=f"openallen fetch atlas:{atlas.name}/{atlas.parts[0]}",
        )
    retry = fetch_command(address, to=to, source=client.source)
    row: Mapping[str, Any] = {}
    if atlas.annotation:
        files = _archive_files(client, atlas, address, retry, to)
    else:
        row = read_object(to / FACTS_NAME).get("row") or {}
        if row.get("source") != client.source:
            row = {**_reference_space(client, atlas), "source": client.source}
        files = _space_files(client, atlas, row, address.path, retry)
    plan = Plan(
        address=str(address),
        title=atlas.title,
        source=client.source,
        to=to,
        files=(*files, ontology_file(client, atlas.graph_id, retry)),
        notes=client.notes,
        connections=_CONNECTIONS,
    )
    return AtlasJob(plan, _atlas_facts(client, atlas, row))


def _atlas_facts(client: Client, atlas: AtlasFacts, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept beside the files of an atlas."""
    return {
        "name": atlas.name,
        "title": atlas.title,
        "graph_id": atlas.graph_id,
        "reference_space_id": row.get("id", atlas.reference_space_id),
        "reference_space": row.get("name"),
        "row": dict(row) or None,
        "source": client.source,
        "simulated": client.simulated,
    }


def _archive_files(
    client: Client, atlas: AtlasFacts, address: Address, retry: str, to: Path
) -> tuple[RemoteFile, ...]:
    live = client.base_url == LIVE_URL
    root = _DOWNLOADS if live else f"{client.base_url}/informatics-archive"
    asked = [address.path] if address.path else [tuple(p.split("/")) for p in atlas.parts]
    files = []
    for parts in asked:
        part = nrrd_part(atlas, _by_id(client, atlas, parts, to))
        mesh = part.file.endswith(".obj")
        files.append(
            RemoteFile(
                address=f"atlas:{atlas.name}/{part.part}",
                url=f"{root}/{part.path}",
                path=part.file,
                kind="meshes" if mesh else "volumes",
                expects=frozenset({"text"} if mesh else {"nrrd"}),
                check=ObjCheck() if mesh else NrrdCheck(),
                retry=retry,
            )
        )
    return tuple(files)


def _by_id(client: Client, atlas: AtlasFacts, parts: tuple[str, ...], to: Path) -> tuple[str, ...]:
    """Write the structure of a mask or mesh as its id, which is what its file is called by."""
    if len(parts) < 2 or parts[0] not in {"mask", "mesh"} or parts[1].isdigit():
        return parts
    known = fetched_structures(to, atlas.graph_id, client.source)  # needs no network
    if known is None:
        rows = client.rows(Search.of("Structure").where(graph_id=atlas.graph_id).query)
        known = Structures.from_rows(rows, atlas.graph_id)
    return (parts[0], str(known.find(parts[1]).id), *parts[2:])


def _reference_space(client: Client, atlas: AtlasFacts) -> Mapping[str, Any]:
    """Ask for the row of a reference space, with its well-known files."""
    search = Search.of("ReferenceSpace").include("well_known_files", "age")
    if atlas.reference_space_id is not None:
        search = search.where(id=atlas.reference_space_id)
    else:
        search = search.where("age", name=atlas.age)
    rows = [dict(row) for row in client.rows(search.query)]
    if len(rows) != 1:
        ids = ", ".join(f"{row.get('id')} ({row.get('name')})" for row in rows)
        raise NotFoundError(
            "several reference spaces match" if rows else "no such reference space",
            address=f"atlas:{atlas.name}",
            why=ids,
            hint=f"openallen fetch atlas:{rows[0].get('id')}"
            if rows
            else "openallen list rma:ReferenceSpace",
        )
    return rows[0]


def _space_files(
    client: Client,
    atlas: AtlasFacts,
    row: Mapping[str, Any],
    asked: tuple[str, ...],
    retry: str,
) -> tuple[RemoteFile, ...]:
    known = list(row.get("well_known_files") or ())
    if len(asked) > 1:
        raise UsageError(
            "files of a reference space have one name",
            address=f"atlas:{atlas.name}/{'/'.join(asked)}",
            hint=f"openallen fetch atlas:{atlas.name}/{asked[0]}",
        )
    files = []
    for part in asked or atlas.parts:
        found = zip_named(known, part, atlas.name)
        path = safe_name(str(found["path"]), f"{part}.zip")
        files.append(
            RemoteFile(
                address=f"atlas:{atlas.name}/{path.removesuffix('.zip')}",
                url=f"{client.base_url}/api/v2/well_known_file_download/{found['id']}",
                path=path,
                kind="volumes",
                expects=frozenset({"zip"}),
                check=VolumesCheck(),
                retry=retry,
            )
        )
    return tuple(files)
