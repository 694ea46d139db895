"""``openallen list asset:`` and ``show asset:NAME``: the catalogue, and one asset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen import verbs
from openallen.address import Address, Condition
from openallen.cli.options import Call, same_command
from openallen.cli.progress import counting
from openallen.display import bytes_text, count_text, facts_text
from openallen.errors import ExitCode, NotFoundError, OpenAllenError

if TYPE_CHECKING:
    from openallen.sources.assets.content import Content

__all__ = ["list_assets", "list_recordings", "show_asset"]

_COLUMNS = ("name", "level", "modalities", "subject_id", "acquired", "project", "public")
_NAMED = 40
_SHOWN = 8


def list_assets(
    call: Call,
    where: Address,
    conditions: list[Condition],
    limit: int | None,
    *,
    refresh: bool,
) -> int:
    """List assets of the catalogue, or with a name the files of one asset.

    Raises
    ------
    NotFoundError
        If nothing matches.
    """
    from openallen.sources.assets import catalogue

    wanted = [*where.conditions, *conditions]
    if where.name:
        return _files(call, where, limit)
    found = catalogue(refresh=refresh, settings=call.settings, tell=call.out.say)
    rows = found.select(wanted, limit)
    shown = [_plain(row) for row in rows]
    if not call.out.as_json:
        shown = [row | {"modalities": ", ".join(row["modalities"] or [])} for row in shown]
    call.out.rows(
        shown,
        _COLUMNS,
        id_column="name",
        noun="asset",
        total=found.count(wanted) if limit is not None else None,
        more=same_command("--all"),
    )
    if not rows:
        raise NotFoundError(
            "no asset matches",
            address=str(where),
            why=" ".join(map(str, wanted)),
            hint="openallen list asset:",
        )
    call.out.say(f"  from {found.about.get('source')}, asked {found.about.get('asked')}")
    return 0


def list_recordings(call: Call, where: Address) -> int:
    """List the recordings of the compression benchmark, or the kinds of them."""
    rows = verbs.recordings_of(where, call.settings)
    first = next(iter(rows[0]), "kind") if rows else "kind"
    call.out.rows(rows, (first, "address"), id_column="address", noun=first)
    if not rows:
        raise NotFoundError("the bucket holds none", address=str(where))
    return 0


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}


def _files(call: Call, where: Address, limit: int | None) -> int:
    from openallen.sources.assets import open_asset

    asset = open_asset(where.name, call.settings)
    rows: list[dict[str, Any]] = []
    total = size = 0
    for entry in asset.files("/".join(where.path)):
        total += 1
        size += entry.size_bytes
        if limit is None or len(rows) < limit:
            path = entry.key.removeprefix(asset.prefix)
            rows.append({"path": path, "size_bytes": entry.size_bytes, "etag": entry.etag})
    if not total and not asset.exists():
        raise asset.missing()
    if not total:
        hint = f"openallen list asset:{where.name}"
        raise NotFoundError("no file matches", address=str(where), hint=hint)
    call.out.rows(
        rows,
        ("path", "size_bytes"),
        id_column="path",
        noun="file",
        total=total,
        more=same_command("--all"),
    )
    call.out.say(f"  {bytes_text(size)} in {count_text(total, 'file')}")
    return 0


def show_asset(
    call: Call, where: Address, graph: Path | None, *, with_graph: bool, strictly: bool = False
) -> int:
    """Show an asset: its metadata, its folders with sizes, and what it was made from and into.

    Raises
    ------
    NotFoundError
        If there is no such asset.
    """
    from openallen.sources.assets import open_asset
    from openallen.sources.assets.read import folders_text

    if where.path:
        return _part(call, where)
    asset = open_asset(where.name, call.settings)
    record = asset.record
    if strictly:
        return _validated(call, where, record)
    call.out.say(f"listing the files of {where.name}")
    with counting(None, "files", quiet=call.out.quiet) as step:
        folders = asset.folders(seen=step)
    opens = verbs.open_asset(where.name, call.settings).contents()
    lines = [repr(record), "", folders_text(_shortened(folders))]
    if opens:
        lines += ["", facts_text("opens where it lies", _opening(opens))]
    document: dict[str, Any] = {
        "address": str(where),
        **record.to_row(),
        "acquired": _iso(record.acquired[0]),
        "versions": record.versions,
        "steps": [step.name for step in record.steps],
        "quality": record.quality or None,
        "problems": list(record.problems),
        "folders": {n: {"files": f, "size_bytes": s} for n, (f, s) in folders.items()},
        "opens": [{"path": one.path, "kind": one.kind} for one in opens],
        "notes": asset.notes,
    }
    if with_graph or graph is not None:
        family = _family(call, where.name, record.subject_id)
        document["family"] = family.to_rows()
        lines += ["", "made from and into (* is the one asked for)", str(family)]
        if graph is not None:
            graph.write_text(family.to_dot(), "utf-8")
            lines.append(f"  {graph}")
    total = sum(size for _, size in folders.values())
    lines += ["", f"  fetch it ({bytes_text(total)}): openallen fetch {where} --to {where.name}"]
    call.out.document(document, "\n".join([*lines, *asset.notes]), ids=(where.name,))
    return 0


def _validated(call: Call, where: Address, record: Any) -> int:
    """Hold core files against the schema, strictly."""
    from openallen.sources.assets import validate

    found = validate(record, settings=call.settings)
    if not found:
        raise NotFoundError("there are no core files", address=str(where))
    document = {"address": str(where), "validation": [one.to_dict() for one in found]}
    call.out.document(document, "\n".join(map(str, found)), ids=(where.name,))
    return ExitCode.INTEGRITY if any(one.valid is False for one in found) else ExitCode.DONE


def _part(call: Call, where: Address) -> int:
    """Show what lies at a place inside an asset, without fetching it."""
    found = verbs.open_part(where, settings=call.settings)
    text = repr(found)
    facts = getattr(found, "_facts", None)
    told = {k: str(v) for k, v in facts().items() if v is not None} if facts is not None else {}
    document = {"address": str(where), "kind": type(found).__name__, **told}
    if not told:
        text = f"{type(found).__name__}\n{text}"
    call.out.document(document, text, ids=(str(where),))
    return 0


def _iso(value: Any) -> str | None:
    return value.isoformat() if value is not None else None


def _opening(opens: list[Content]) -> dict[str, str]:
    """Give paths by kind: the first of each, and how many more."""
    found: dict[str, str] = {}
    for kind in dict.fromkeys(one.kind for one in opens):
        paths = [one.path for one in opens if one.kind == kind]
        more = f"\nand {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        found[kind] = "\n".join(paths[:_SHOWN]) + more
    return found


def _shortened(folders: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    kept = dict(list(folders.items())[:_NAMED])
    if len(folders) > len(kept):
        rest = list(folders.values())[_NAMED:]
        kept[f"{len(rest)} more"] = sum(f for f, _ in rest), sum(s for _, s in rest)
    return kept


def _family(call: Call, name: str, subject_id: str) -> Any:
    from openallen.sources.assets import catalogue
    from openallen.sources.assets.provenance import family_of

    rows: list[dict[str, Any]] = []
    try:
        found = catalogue(settings=call.settings, tell=call.out.say)
        of_subject = Condition("subject_id", "eq", subject_id)
        rows = found.select([of_subject]) if subject_id else []
    except OpenAllenError as error:
        call.out.warn(f"without the catalogue only names tell what was made from what: {error}")
    family = family_of(name, rows)
    public = {member.name for member in family.members if member.row.get("public")}
    return family.told_apart(lambda one: _inside(call, one) if one in public else ())


def _inside(call: Call, name: str) -> tuple[str, ...]:
    from openallen.sources.assets import open_asset

    try:
        return open_asset(name, call.settings).top()
    except OpenAllenError as error:
        call.out.warn(f"what is in {name} cannot be seen: {error.what}")
        return ()
