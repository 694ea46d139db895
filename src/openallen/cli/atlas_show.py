"""``openallen show`` and ``list`` of grids and atlases: facts, what is here, three slices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen import verbs
from openallen.address import Address, Condition
from openallen.cli.options import Call
from openallen.cli.pictures import checked, save
from openallen.display import facts_text
from openallen.errors import OpenAllenError, UsageError

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.sources.atlases import Atlas

__all__ = ["list_atlases", "show_atlas", "show_grid"]

_OUTLINED = {9: "P56", 10: "P56-sagittal"}
"""The atlas whose outlines go with grids of a reference space."""


def list_atlases(call: Call, conditions: list[Condition]) -> int:
    """List the atlases that are known."""
    from openallen.sources.atlases.catalogue import ATLASES

    if conditions:
        raise UsageError("atlases are listed all", why=str(conditions[0]))
    rows = [
        {
            "atlas": atlas.name,
            "title": atlas.title,
            "ontology": atlas.graph_id,
            "parts": ", ".join(atlas.parts),
        }
        for atlas in ATLASES.values()
    ]
    call.out.rows(rows, ("atlas", "title", "parts"), id_column="atlas", noun="row")
    call.out.say("  one of them: openallen show atlas:ccf-2017")
    return 0


def _point(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise UsageError(
            "--at takes AP,DV,ML in µm", why=text, hint="--at 6000,3000,5700"
        ) from None


def show_grid(call: Call, where: Address, picture: Path | None, at: str | None = None) -> int:
    """Show a section data set, and with a picture its grid.

    Raises
    ------
    NotFoundError
        If there is no such data set.
    """
    from openallen.sources.atlases.models import DataSet
    from openallen.sources.atlases.plan import data_set_row
    from openallen.transfer import with_status

    checked(picture)
    to = verbs.destination(where, None, call.settings)
    with verbs.connected(call.settings) as client:
        if picture is not None and not _here(to, where):
            _fetched(call, client, where)
        row, query = data_set_row(client, where.id, to)
        data_set = DataSet.from_row(row)
        plan = with_status(verbs.job(client, where, to).plan)
        space = _OUTLINED.get(data_set.reference_space_id or 0)
        atlas = Address("atlas", space or "P56", path=("gridAnnotation",))
        if picture is not None and space is not None:
            _fetched(call, client, atlas)
    document: dict[str, Any] = {"address": str(where), **data_set.to_dict(), "query": query}
    lines = [
        facts_text(
            f"Section data set {where.id}",
            {
                "gene": _gene(data_set),
                "plane of section": data_set.plane,
                "product": data_set.product,
                "age": data_set.age,
                "reference space": data_set.reference_space or data_set.reference_space_id,
                "specimen": data_set.specimen_id,
                "failed": data_set.failed or None,
            },
        )
    ]
    if picture is None:
        document["plan"] = plan.to_dict()
        lines += ["", str(plan)]
    else:
        document["picture"] = str(
            _draw_grid(call, where, atlas if space else None, picture, _point(at))
        )
        lines.append(f"  picture           {picture}")
    call.out.document(document, "\n".join(lines), ids=(where.id,))
    return 0


def _here(to: Path, where: Address) -> bool:
    """Tell whether what is to be drawn is here already, whichever fetch brought it."""
    from openallen.sources.atlases.grids import open_grid

    try:
        kinds = open_grid(to).kinds
    except OpenAllenError:
        return False
    wanted = where.option("include")
    return set(wanted.split(",")) <= set(kinds) if wanted else bool(kinds)


def _gene(data_set: Any) -> str | None:
    named = f", {data_set.gene_name}" if data_set.gene_name else ""
    return f"{data_set.gene}{named}" if data_set.gene else None


def _fetched(call: Call, client: Client, where: Address) -> None:
    """Fetch what a picture needs, where it is not here."""
    from openallen.transfer import with_status

    work = verbs.job(client, where, verbs.destination(where, None, call.settings))
    if with_status(work.plan).missing:
        verbs.run(client, work, call.settings).report.raise_if_failed()


def _draw_grid(
    call: Call, where: Address, atlas: Address | None, picture: Path, at_um: Any
) -> Path:
    from openallen.sources.atlases.frames import agree
    from openallen.sources.atlases.grids import open_grid
    from openallen.sources.atlases.plots import plot_slices

    grid = open_grid(verbs.destination(where, None, call.settings))
    usual = "energy" if "energy" in grid.kinds else grid.kinds[0]
    wanted = (where.option("include") or usual).partition(",")[0]
    volume = grid.volume(wanted)
    outlines = _open(call, atlas) if atlas is not None else None
    near = outlines.annotation_like(25.0) if outlines is not None else None
    if near is not None and not agree(volume, near):
        outlines = None  # connectivity grids lie in another frame than the space's own annotation
    return save(lambda: plot_slices(volume, at_um, atlas=outlines), picture)


def _open(call: Call, where: Address) -> Atlas | None:
    from openallen.sources.atlases import Atlas

    try:
        return Atlas(verbs.destination(where, None, call.settings))
    except OpenAllenError:
        return None  # a grid is drawn without outlines rather than not at all


def show_atlas(call: Call, where: Address, picture: Path | None, at: str | None = None) -> int:
    """Show an atlas: what it is, what of it is here, and with a picture three slices.

    Raises
    ------
    NotFoundError
        If there is no such atlas.
    """
    from openallen.sources.atlases.catalogue import find_atlas
    from openallen.transfer import with_status

    checked(picture)
    known = find_atlas(where.name)
    document: dict[str, Any] = {"address": str(where), **asdict(known)}
    with verbs.connected(call.settings) as client:
        if picture is not None and (where.path or _open(call, where) is None):
            _fetched(call, client, where)
        work = verbs.job(client, where, verbs.destination(where, None, call.settings))
        plan = with_status(work.plan)
    here = _open(call, where)
    if here is not None:
        document["here"] = list(here.parts)
    facts: dict[str, object] = {
        "name": known.name,
        "reference space": known.reference_space_id or known.age,
        "ontology": f"structures:{known.graph_id}",
        "here": ", ".join(here.parts) if here is not None else "nothing",
    }
    if picture is not None and here is not None:
        part = where.path or ()
        drawn = here.find(*part) if part else None
        document["picture"] = str(save(lambda: here.plot(_point(at), volume=drawn), picture))
        facts["picture"] = picture
    document["plan"] = plan.to_dict()
    text = f"{facts_text(known.title, facts)}\n\n{plan}"
    call.out.document(document, text, ids=(known.name,))
    return 0
