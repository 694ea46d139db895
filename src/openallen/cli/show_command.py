"""``openallen show``: one thing, its facts and what fetching it would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.atlas_show import show_atlas, show_grid
from openallen.cli.options import Call, common
from openallen.cli.session_show import names_session, show_session
from openallen.display import bytes_text, facts_text
from openallen.errors import NotFoundError, UsageError

__all__ = ["command"]

EXAMPLES = (
    ("openallen show stack:313862022 --source sample", "a cell's stack: facts, sizes, a plan"),
    ("openallen show rma:Specimen", "fields and associations of a model"),
    ("openallen show image:321549654 --source sample", "the row of one image"),
    ("openallen show structures:1/VISp --source sample", "a structure and its parts"),
    ("openallen show grid:69855739 --plot energy.png --source sample", "three slices of a grid"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("address")
@click.option("--downsample", type=click.IntRange(0, 20), default=0, help="Plan for this size.")
@click.option(
    "--picture",
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw a session, a grid or an atlas into this file (png, svg, pdf).",
)
@click.option("--at", metavar="AP,DV,ML", help="The point slices go through, in µm.")
@click.option("--include", metavar="WORD", help="The volume of a grid that is drawn.")
@click.option("--resolution", type=int, help="Its voxels, for connectivity, in µm.")
@click.option("--graph", is_flag=True, help="Show what an asset was made from and into.")
@click.option(
    "--dot", type=click.Path(path_type=Path, dir_okay=False), help="Write that graph for Graphviz."
)
@click.option("--validate", is_flag=True, help="Hold an asset's metadata against the schema.")
@common
def command(
    call: Call,
    address: str,
    downsample: int,
    picture: Path | None,
    at: str | None,
    include: str | None,
    resolution: int | None,
    graph: bool,
    dot: Path | None,
    validate: bool,
) -> int:
    """Show what ADDRESS names, without fetching it. ADDRESS may be an NWB file."""
    if names_session(address):
        return show_session(call, address, picture)
    given = {"include": include, "resolution": resolution}
    where = verbs.with_options(Address.parse(address), given)
    if where.scheme in {"grid", "atlas"} and where.name:
        return (show_grid if where.scheme == "grid" else show_atlas)(call, where, picture, at)
    if at is not None:
        raise UsageError("--at goes with grids and atlases only")
    if picture is not None:
        raise UsageError("--picture goes with sessions, grids and atlases only")
    if where.scheme in {"asset", "recording"} and where.name:
        from openallen.cli.asset_show import show_asset

        return show_asset(call, where, dot, with_graph=graph, strictly=validate)
    if graph or dot is not None or validate:
        raise UsageError("--graph, --dot and --validate go with assets only")
    if where.scheme == "stack":
        return _stack(call, where, downsample)
    return _other(call, where)


def _other(call: Call, where: Address) -> int:
    models = {"image": "SubImage", "file": "WellKnownFile"}
    if where.scheme in models:
        return _row(call, models[where.scheme], where)
    if where.scheme == "rma":
        return _model(call, where)
    if where.scheme == "release":
        from openallen.cli.release_lists import show_release

        return show_release(call, where)
    if where.scheme == "structures":
        return _structures(call, where)
    raise UsageError(
        f"'{where.scheme}:' cannot be shown" + (" yet" if where.name else " as a whole"),
        address=str(where),
        hint="stack:, grid:, atlas:, structures:, release:, image:, file:, rma:"
        if where.name
        else f"openallen list {where.scheme}:",
    )


def _stack(call: Call, where: Address, downsample: int) -> int:
    from openallen.sources.stacks import Options, StackJob, describe
    from openallen.transfer import with_status

    to = verbs.destination(where, None, call.settings)
    with verbs.connected(call.settings) as client:
        facts = describe(client, where.id)
        job = StackJob.of(client, facts, Options(downsample=downsample), to)
    plan = with_status(job.plan)
    first = facts.planes[0]
    z_um = facts.planes[-1].z_um
    document: dict[str, Any] = {
        "address": str(where),
        "specimen_id": facts.specimen_id,
        "specimen": dict(facts.specimen),
        "data_set_id": facts.data_set_id,
        "planes": len(facts.planes),
        "width_px": first.width_px,
        "height_px": first.height_px,
        "resolution_um_per_px": facts.resolution_um_per_px,
        "z_step_um": facts.z_step.um,
        "z_step_source": facts.z_step.source,
        "decoded_bytes": facts.raw_bytes,
        "projections": [f"{p.function} {p.axes}" for p in facts.projections],
        "reconstructions": [{"id": r.id, "kind": r.kind} for r in facts.reconstructions],
        "queries": dict(facts.queries),
        "notes": list(facts.notes),
        "plan": plan.to_dict(),
    }
    res = facts.resolution_um_per_px
    text = facts_text(
        f"Image stack of specimen {facts.specimen_id}",
        {
            "cell": _cell(facts.specimen),
            "data set": facts.data_set_id,
            "planes": f"{len(facts.planes)}, sections {first.section_number} to "
            f"{facts.planes[-1].section_number}",
            "size": f"{first.width_px} x {first.height_px} px, {first.width_px * res:.0f} x "
            f"{first.height_px * res:.0f} x {z_um:.1f} µm (x, y, z)",
            "pixel": f"{res:g} µm (x, y), {facts.z_step.um:g} µm (z: {facts.z_step.source})",
            "decoded": bytes_text(facts.raw_bytes),
            "projections": ", ".join(document["projections"]) or "none",
            "reconstruction": ", ".join(f"{r.id} ({r.kind})" for r in facts.reconstructions)
            or "none",
        },
    )
    call.out.document(document, f"{text}\n\n{plan}", ids=(p.id for p in facts.planes))
    return 0


def _cell(specimen: Any) -> str | None:
    names = ("specimen__name", "donor__species", "structure__name", "line_name")
    return ", ".join(str(specimen[n]) for n in names if specimen.get(n)) or None


def _structures(call: Call, where: Address) -> int:
    """Show an ontology, or one structure of it: ``structures:1/VISp``."""
    found = verbs.open_structures(where, settings=call.settings)
    chosen = found.find(where.path[0]) if where.path else None
    listed = found if chosen is None else (chosen, *found.descendants(chosen.id))
    document: dict[str, Any] = {
        "address": str(where),
        "graph_id": found.graph_id,
        "structures": [
            {
                "id": s.id,
                "acronym": s.acronym,
                "name": s.name,
                "parent_id": s.parent_id,
                "color": s.color,
            }
            for s in listed
        ],
    }
    text = repr(found) + "\n\n" + found.tree(depth=3)
    if chosen is not None:
        above = [s.acronym for s in found.ancestors(chosen.id)]
        document["ancestors"] = above
        text = f"part of {', '.join(above) or 'nothing'}\n{found.tree(chosen.id, 9)}"
    call.out.document(document, text, ids=(s.id for s in listed))
    return 0


def _model(call: Call, where: Address) -> int:
    from openallen.brainmap import schema

    if where.conditions or not where.name:
        raise UsageError(
            "one model is shown, rows are listed",
            address=str(where),
            hint=f"openallen list {where}",
        )
    known = schema().get(where.name)
    if known is None:
        meant = schema().meant(where.name)
        raise NotFoundError(
            f"no model '{where.name}' is known here",
            why="the service may have it all the same",
            hint=f"openallen show rma:{meant}" if meant else f"openallen query {where.name}",
        )
    fields = {f.name: f.type for f in known.fields.values()}
    relations = {a.name: f"{a.model} ({a.kind})" for a in known.associations.values()}
    document = {
        "model": known.name,
        "table": known.table,
        "fields": fields,
        "associations": {
            a.name: {"kind": a.kind, "model": a.model} for a in known.associations.values()
        },
    }
    text = "\n".join(
        [
            facts_text(f"{known.name}, table {known.table}", {}),
            facts_text("fields", fields),
            facts_text("associations", relations),
        ]
    )
    call.out.document(document, text, ids=fields)
    return 0


def _row(call: Call, model: str, where: Address) -> int:
    from openallen.brainmap import Search

    with verbs.connected(call.settings) as client:
        search = Search.of(model).where(id=where.id)
        if model == "WellKnownFile":
            search = search.include("well_known_file_type")
        rows = list(client.rows(search.query, 1))
    if not rows:
        raise NotFoundError(f"there is no such {where.scheme}", address=str(where))
    shown = {k: v for k, v in rows[0].items() if v is not None}
    call.out.document(rows[0], facts_text(str(where), shown), ids=(where.id,))
    return 0
