"""Which files of a version an address names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, UsageError
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, ReleaseFile
from openallen.sources.releases.rows import check_fields, matches, read_rows

__all__ = ["Choice", "Fetch", "choose", "file_rows", "files_of"]

Fetch = Callable[[ReleaseCache, Manifest, Sequence[ReleaseFile]], None]
"""Fetches files of a version into their places, verified; or raises."""


@dataclass(frozen=True)
class Choice:
    """What an address chooses.

    Parameters
    ----------
    files
        The files themselves, as far as the manifest alone tells.
    table
        A table that has to be here before conditions can be applied; None where none are.
    """

    files: tuple[ReleaseFile, ...]
    table: ReleaseFile | None = None


def choose(manifest: Manifest, address: Address) -> Choice:
    """Give the files an address names: all, one table, a kind, one session or experiment.

    Raises
    ------
    NotFoundError
        If the version has no such file.
    UsageError
        If the path makes no sense.
    """
    kind, _, wanted = "/".join(address.path).partition("/")
    tables = manifest.by_kind.get("table", {})
    whole = {"": manifest.files, "tables": tuple(tables.values())}
    whole |= {name: (file,) for name, file in tables.items()}
    if not wanted and kind in whole:
        _none(address.conditions, address)
        return Choice(whole[kind])
    single = {"files": _by_path, "resources": _resource}
    if wanted and kind in single:
        return Choice((single[kind](manifest, wanted, address),))
    files = manifest.by_kind.get(kind)
    if files is None:
        names = [*manifest.by_kind, *tables, "tables", *_resources(manifest)]
        near = get_close_matches(kind, names, 1)
        raise NotFoundError(
            f"this release has no '{kind}'",
            address=str(address),
            why="there are " + ", ".join(n for n in names if n != "table"),
            hint=f"{manifest.address}/{near[0]}" if near else "",
        )
    if not wanted:
        known = next((k.table for k in manifest.project.kinds if k.name == kind), "")
        table = tables.get(known) if address.conditions else None
        if address.conditions and table is None:
            raise UsageError("these files have no table to filter by", address=str(address))
        return Choice(tuple(files.values()), table)
    _none(address.conditions, address)
    if wanted not in files:
        raise NotFoundError(
            f"this release has no {kind} {wanted}",
            address=str(address),
            why=f"it has {len(files):,} files of that kind; not every row of a table has its own",
            hint=f"openallen list {manifest.address}/files kind={kind}",
        )
    return Choice((files[wanted],))


def _by_path(manifest: Manifest, path: str, address: Address) -> ReleaseFile:
    """Find a file by its key, as web addresses name it; a version of it has to be this one's."""
    found = next((f for f in manifest.files if f.path == path), None)
    wanted = address.option("version_id")
    if found is None or (wanted and found.at.version_id != wanted):
        raise NotFoundError(
            "this version of the release has no such file",
            address=str(address),
            why="another version of the object" if found else f"{len(manifest.files):,} others",
            hint=f"openallen list release:{address.name}",
        )
    return found


def _none(conditions: Sequence[Condition], address: Address) -> None:
    if conditions:
        raise UsageError(
            "conditions choose among files of one kind",
            address=str(address),
            hint=f"release:{address.name}/ophys_experiment?targeted_structure=VISp",
        )


def _resources(manifest: Manifest) -> list[str]:
    return ["resources"] if manifest.project.resources else []


def _resource(manifest: Manifest, name: str, address: Address) -> ReleaseFile:
    known = manifest.project.resources
    if name not in known:
        raise NotFoundError(
            f"this project has no resource '{name}'",
            address=str(address),
            why=f"it has {', '.join(known) or 'none'}",
        )
    at = known[name]
    return ReleaseFile(
        kind="resources",
        id=name,
        file_id=name,
        at=at,
        path=at.key.partition("/")[2],
        digest="",
        url=f"https://{at.bucket}.s3.{manifest.project.region}.amazonaws.com/{at.key}",
    )


def files_of(
    cache: ReleaseCache, manifest: Manifest, address: Address, fetch: Fetch
) -> tuple[ReleaseFile, ...]:
    """Give the files an address names; a table its conditions need is fetched first.

    A behavior session that was imaged has no file of its own: its data are in the file of each of
    its experiments, and the first of these is given.

    Raises
    ------
    NotFoundError
        If the version has no such file, or no row matches the conditions.
    UsageError
        If the path or a condition makes no sense.
    """
    try:
        choice = choose(manifest, address)
    except NotFoundError:
        found = _imaged(cache, manifest, address, fetch)
        if found is None:
            raise
        return (found,)
    if choice.table is None:
        return choice.files
    fetch(cache, manifest, [choice.table])
    return _narrowed(cache, manifest, choice, address)


def _imaged(
    cache: ReleaseCache, manifest: Manifest, address: Address, fetch: Fetch
) -> ReleaseFile | None:
    experiments = manifest.by_kind.get("ophys_experiment", {})
    table = manifest.by_kind.get("table", {}).get("behavior_session_table")
    if len(address.path) != 2 or address.path[0] != "behavior_session" or not table:
        return None
    fetch(cache, manifest, [table])
    for row in read_rows(cache.path(manifest, table)):
        if str(row.get("behavior_session_id")) == address.path[1]:
            listed = row.get("ophys_experiment_id")
            ids = listed if isinstance(listed, list) else [listed]
            return next((experiments[str(i)] for i in ids if str(i) in experiments), None)
    return None


def _narrowed(
    cache: ReleaseCache, manifest: Manifest, choice: Choice, address: Address
) -> tuple[ReleaseFile, ...]:
    """Give the files of a choice whose rows match the address's conditions; its table is here."""
    assert choice.table is not None
    rows = list(read_rows(cache.path(manifest, choice.table)))
    check_fields(list(rows[0]) if rows else [], address.conditions, str(address))
    files = {f.id: f for f in choice.files}
    by_file_id = {f.file_id: f for f in choice.files}
    index = manifest.project.tables.get(choice.table.id, "")
    found: dict[str, ReleaseFile] = {}
    for row in rows:
        if matches(row, address.conditions):
            own = str(row.get(manifest.file_id_column))
            file = files.get(str(row.get(index))) or by_file_id.get(own)
            if file is not None:
                found[file.path] = file
    if not found:
        raise NotFoundError("no file matches these conditions", address=str(address))
    return tuple(found.values())


def file_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Give one row for each file of a version."""
    return [
        {
            "kind": f.kind,
            "id": f.id,
            "path": f.path,
            "size_bytes": f.size_bytes,
            "url": f.versioned_url(),
            "version_id": f.at.version_id,
            "digest": f.digest,
        }
        for f in manifest.files
    ]
