"""Lists and facts of releases, for ``openallen list`` and ``openallen show``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from openallen import verbs
from openallen.address import Address, Condition
from openallen.cli.options import Call, same_command
from openallen.display import bytes_text, count_text, facts_text
from openallen.errors import NotFoundError, OpenAllenError, UsageError

__all__ = ["list_releases", "show_release"]

_FILES = ("kind", "id", "size_bytes", "path")
_LONGEST_NOTES = 40


def list_releases(
    call: Call, where: Address, conditions: Sequence[Condition], limit: int | None
) -> int:
    """List projects, versions, files, or rows of a table.

    Raises
    ------
    NotFoundError
        If nothing matches.
    """
    if not where.name:
        return _projects(call, conditions)
    if not where.path:
        return _versions(call, where, conditions)
    release = verbs.open_release(
        Address("release", where.name, where.version), settings=call.settings
    )
    for note in release.notes:
        call.out.say(note)
    given = [*where.conditions, *conditions]
    if where.path == ("files",):
        return _files(call, release, given, limit)
    if len(where.path) > 1 or where.path[0] not in release.tables:
        raise NotFoundError(
            "this is no table of the release",
            address=str(where),
            why=f"it has {', '.join(release.tables)}, and files",
            hint=f"openallen list {release.address}/{release.tables[0]}",
        )
    rows = list(release.rows(where.path[0], *given))
    full = [name for name in (rows[0] if rows else {}) if any(r[name] is not None for r in rows)]
    asked = [c.field for c in given if c.field in full]
    columns = list(dict.fromkeys([*full[:1], *asked, *full]))
    return _shown(call, rows, columns, limit, id_column=columns[0] if columns else "id")


def _shown(
    call: Call,
    rows: list[dict[str, Any]],
    columns: Sequence[str],
    limit: int | None,
    *,
    id_column: str,
    noun: str = "row",
) -> int:
    if not rows:
        raise NotFoundError("nothing matches")
    call.out.rows(
        islice(rows, limit),
        columns,
        id_column=id_column,
        noun=noun,
        total=len(rows),
        more=same_command("--all"),
    )
    return 0


def _projects(call: Call, conditions: Sequence[Condition]) -> int:
    from openallen.sources.releases.projects import PROJECTS, find_project

    if conditions:
        raise UsageError("projects are listed all", why=str(conditions[0]))
    names = [*PROJECTS, *(n for n in call.settings.projects if n not in PROJECTS)]
    found = [find_project(name, call.settings.projects) for name in names]
    rows = [
        {
            "address": f"release:{p.name}",
            "title": p.title,
            "bucket": p.bucket,
            "here": (verbs.destination(Address("release", p.name), None, call.settings)).is_dir(),
        }
        for p in found
    ]
    call.out.rows(rows, ("address", "title", "bucket", "here"), id_column="address", noun="project")
    return 0


def _versions(call: Call, where: Address, conditions: Sequence[Condition]) -> int:
    if conditions or where.version:
        raise UsageError(
            "versions are listed all", address=str(where), hint=f"openallen show {where}"
        )
    with verbs.connected(call.settings) as client:
        cache = verbs.cache(client, where.name, call.settings)
        versions = cache.versions()
        here, last = cache.here(), cache.last_used
    rows = [
        {
            "version": str(v),
            "address": f"release:{where.name}@{v}",
            "newest": v == versions[0],
            "manifest_here": v in here,
            "used_last": v == last,
        }
        for v in versions
    ]
    columns = ("version", "address", "newest", "manifest_here", "used_last")
    call.out.rows(rows, columns, id_column="address", noun="version")
    return 0


def _files(call: Call, release: Any, given: Sequence[Condition], limit: int | None) -> int:
    from openallen.sources.releases.rows import check_fields, matches
    from openallen.sources.releases.search import file_rows

    rows = file_rows(release.sized())
    check_fields(list(rows[0]) if rows else [], given, release.address)
    rows = [row for row in rows if matches(row, given)]
    return _shown(call, rows, _FILES, limit, id_column="url", noun="file")


def show_release(call: Call, where: Address) -> int:
    """Show one version: tables, files, bytes by kind, notes, what is here, how to cite it.

    Raises
    ------
    NotFoundError
        If there is no such project or version.
    """
    if not where.name:
        raise UsageError("which project?", address=str(where), hint="openallen list release:")
    with verbs.connected(call.settings) as client:
        work: Any = verbs.job(client, where, verbs.destination(where, None, call.settings))
        newest = _newest(work.cache)
        notes = work.cache.notes()
    from openallen.sources.releases.projects import TERMS
    from openallen.transfer import with_status

    plan = with_status(work.plan)
    manifest = work.manifest
    kinds: dict[str, dict[str, int | None]] = {}
    for file in work.files:
        kind = kinds.setdefault(file.kind, {"files": 0, "size_bytes": 0})
        kind["files"] = (kind["files"] or 0) + 1
        known = None not in (kind["size_bytes"], file.size_bytes)
        kind["size_bytes"] = (kind["size_bytes"] or 0) + (file.size_bytes or 0) if known else None
    document = {
        "address": manifest.address,
        "title": manifest.project.title,
        "version": str(manifest.version),
        "newest": newest,
        "tables": [f.id for f in manifest.files if f.kind == "table"],
        "kinds": kinds,
        "files": len(work.files),
        "files_here": len(plan.here),
        "bytes_missing": plan.missing_bytes,
        "bytes_exact": plan.exact,
        "opens_in_allensdk": manifest.project.opens_in_allensdk(manifest.version),
        "pipeline": [{"name": p.name, "version": p.version} for p in manifest.pipeline],
        "release_notes": notes,
        "folder": str(work.cache.folder / manifest.folder),
        "citation": manifest.project.citation,
        "terms": TERMS,
    }
    shown = {
        name: count_text(k["files"] or 0, "file")
        + (f", {bytes_text(k['size_bytes'])}" if k["size_bytes"] is not None else "")
        for name, k in kinds.items()
    }
    facts = {
        "address": manifest.address,
        "newest": newest if newest != str(manifest.version) else None,
        **shown,
        "here": count_text(len(plan.here), "file") if plan.here else None,
        "to fetch": f"{count_text(len(plan.missing), 'file')}, {bytes_text(plan.missing_bytes)}",
        "folder": document["folder"],
        "AllenSDK": _allensdk(manifest),
        "made with": ", ".join(f"{p.name} {p.version}" for p in manifest.pipeline) or None,
        "cite": manifest.project.citation or None,
        "terms": TERMS,
    }
    lines = (notes or "").splitlines()[:_LONGEST_NOTES]
    text = facts_text(f"{manifest.project.title}, version {manifest.version}", facts)
    told = "".join(f"\n  {line}" for line in lines)
    call.out.document(document, text + (f"\n\nrelease notes{told}" if told else ""), ids=())
    return 0


def _allensdk(manifest: Any) -> str | None:
    known = manifest.project.allensdk
    if not known or manifest.project.opens_in_allensdk(manifest.version):
        return None
    return f"does not open this version (2.16 takes {known[0]} up to {known[1]}); openallen does"


def _newest(cache: Any) -> str | None:
    try:
        return str(cache.versions()[0])
    except OpenAllenError:
        return None  # a version that is here can be shown all the same
