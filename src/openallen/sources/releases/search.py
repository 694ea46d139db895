"""Which files of a version an address names."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote

from openallen.address import Address, Condition, path_text
from openallen.display import count_text
from openallen.errors import NotFoundError, UsageError
from openallen.near import suggest_from_rows
from openallen.sources.filters import check_columns, matches
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.data_sets import directories, is_abc, named
from openallen.sources.releases.made import MadeRows
from openallen.sources.releases.models import Manifest, ReleaseFile
from openallen.sources.releases.rows import read_rows

__all__ = [
    "Choice",
    "Fetch",
    "Made",
    "by_file_id",
    "choose",
    "FILES",
    "file_address",
    "file_rows",
    "files_of",
    "parts_of",
    "path_address",
    "recorded",
    "some",
    "table_of",
]

_NAMED: Final = 12
FILES: Final = "files"
"""What stands before the path of a file in addresses."""

Fetch = Callable[[ReleaseCache, Manifest, Sequence[ReleaseFile]], None]
"""Fetches files of a version into their places, verified; or raises."""

Made = Callable[[str, Sequence[Condition]], MadeRows | None]
"""Returns the rows of a table that is made, by its name; None for one that is published."""


@dataclass(frozen=True)
class Choice:
    """The files an address names.

    Parameters
    ----------
    files
        The files themselves, as far as the manifest alone says.
    table
        A table that has to be here before conditions can be applied; None where none are.
    """

    files: tuple[ReleaseFile, ...]
    table: ReleaseFile | None = None


def choose(manifest: Manifest, address: Address) -> Choice:
    """Return the files an address names: all, one table, a kind, one session or experiment.

    Every part of the path counts: what is not there is an error that says what is.

    Raises
    ------
    NotFoundError
        If the version has no such file.
    UsageError
        If conditions do not go with what is named.
    """
    if address.path and is_abc(manifest):
        found = named(manifest, address.path)
        if found:
            _no_conditions(address)
            return Choice(found)
    kind, _, wanted = "/".join(address.path).partition("/")
    tables = manifest.by_kind.get("table", {})
    if not wanted:
        return _whole(manifest, kind, address)
    if kind == FILES:
        return Choice((_by_path(manifest, wanted, address),))
    _no_conditions(address)
    if kind == "resources":
        return Choice((_resource(manifest, wanted, address),))
    if kind in {"table", "tables"}:
        return Choice((_table(manifest, wanted, address),))
    files = manifest.by_kind.get(kind)
    if files is None and kind in tables:
        raise NotFoundError(
            f"the table '{kind}' has no part '{wanted}'",
            address=str(address),
            why="one table is one file",
            hint=f"openallen list {manifest.address}/{kind}",
        )
    if files is None:
        raise _no_kind(manifest, kind, address)
    if wanted not in files:
        raise _no_file(manifest, kind, wanted, address)
    return Choice((files[wanted],))


def _whole(manifest: Manifest, kind: str, address: Address) -> Choice:
    """Return all files, all tables, one table, or all files of a kind."""
    tables = manifest.by_kind.get("table", {})
    named = {"": manifest.files, FILES: manifest.files, "tables": tuple(tables.values())}
    named |= {"table": named["tables"]} | {name: (file,) for name, file in tables.items()}
    if kind in named:
        _no_conditions(address)
        if not named[kind] and kind in {"table", "tables"}:
            raise NotFoundError(
                "this release has no tables",
                address=str(address),
                why=f"it has {some(parts_of(manifest))}",
            )
        return Choice(named[kind])
    files = manifest.by_kind.get(kind)
    if files is None:
        raise _no_kind(manifest, kind, address)
    known = next((k.table for k in manifest.project.kinds if k.name == kind), "")
    table = tables.get(known) if address.conditions else None
    if address.conditions and table is None:
        raise UsageError("these files have no table to filter by", address=str(address))
    return Choice(tuple(files.values()), table)


def parts_of(manifest: Manifest) -> list[str]:
    """Return what may follow the name of a release in an address: tables, kinds, words."""
    kinds = [kind for kind in manifest.by_kind if kind not in {"table", "file"}]
    tables = list(manifest.by_kind.get("table", {}))
    if is_abc(manifest):
        tables = directories(manifest)
    words = [*(["tables"] if tables else []), *_resources(manifest), FILES]
    return list(dict.fromkeys([*kinds, *tables, *words]))


def some(names: Iterable[str], most: int = _NAMED) -> str:
    """Return names with commas; of very many the first, and how many more there are."""
    known = list(names)
    text = ", ".join(known[:most])
    return f"{text} and {len(known) - most:,} more" if len(known) > most else text


def _no_kind(manifest: Manifest, kind: str, address: Address) -> NotFoundError:
    if kind in _resources(manifest):
        names = list(manifest.project.resources)
        return NotFoundError(
            "no resource named",
            address=str(address),
            why=f"resources: {', '.join(names)}",
            hint=f"openallen fetch {_shell(manifest, f'resources/{names[0]}')} --dry-run",
        )
    near = get_close_matches(kind, parts_of(manifest), 1)
    hint = f"openallen fetch {_shell(manifest, near[0])} --dry-run" if near else ""
    return NotFoundError(
        f"this release has no '{kind}'",
        address=str(address),
        why=f"it has {some(parts_of(manifest))}",
        hint=hint or f"openallen list {_shell(manifest, 'files')}",
    )


def _no_file(manifest: Manifest, kind: str, wanted: str, address: Address) -> NotFoundError:
    files = manifest.by_kind[kind]
    near = get_close_matches(wanted, files, 1, 0.8)
    return NotFoundError(
        f"this release has no {kind} '{wanted}'",
        address=str(address),
        why=f"it has {count_text(len(files), 'file')} of that kind"
        + (f"; did you mean {near[0]}?" if near else "; not every row of a table has a file"),
        hint=f"openallen list {_shell(manifest, 'files')} {shlex.quote(f'kind={kind}')}",
    )


def _table(manifest: Manifest, name: str, address: Address) -> ReleaseFile:
    tables = manifest.by_kind.get("table", {})
    if name not in tables:
        raise NotFoundError(
            f"this release has no table '{name}'",
            address=str(address),
            why=f"it has {', '.join(tables)}" if tables else "it has no tables",
        )
    return tables[name]


def _shell(manifest: Manifest, part: str) -> str:
    """Return the address of a part of a release, quoted for a shell."""
    whole = Address.parse(manifest.address)
    return shlex.quote(str(replace(whole, path=tuple(part.split("/")))))


def _by_path(manifest: Manifest, path: str, address: Address) -> ReleaseFile:
    """Return a file by its path in the release or its key in the bucket.

    A version of the object that the address names has to be that of the manifest.
    """
    if any(c.field != "version_id" or c.op != "eq" for c in address.conditions):
        _no_conditions(address)
    wanted = address.option("version_id")
    found = manifest.by_path.get(path) or _by_key(manifest, path)
    if found is not None and wanted in {None, found.at.version_id}:
        return found
    inside = sum(f.path.startswith(f"{path}/") for f in manifest.files)
    near = get_close_matches(path, manifest.by_path, 1, 0.8)
    raise NotFoundError(
        "this version of the release has no such file",
        address=str(address),
        why="it has another version of this file"
        if found
        else f"a folder with {inside:,} files"
        if inside
        else f"did you mean {near[0]}?"
        if near
        else f"it has {len(manifest.files):,} files",
        hint=f"openallen list {_shell(manifest, 'files')}",
    )


def _by_key(manifest: Manifest, path: str) -> ReleaseFile | None:
    """Return a file by its key, with or without the project's name before it.

    A key that was typed as listed, with a percent sign that reads as an encoded character, is
    found too.
    """
    keys = {path, f"{manifest.project.name}/{path}"}
    for file in manifest.files:
        if file.at.key in keys:
            return file
    return next((f for f in manifest.files if unquote(f.path) == path), None)


def _no_conditions(address: Address) -> None:
    if address.conditions:
        raise UsageError(
            "conditions need one kind of file",
            address=str(address),
            why=f"as in release:{address.name}/ophys_experiment?targeted_structure=VISp",
        )


def _resources(manifest: Manifest) -> list[str]:
    return ["resources"] if manifest.project.resources else []


def _resource(manifest: Manifest, name: str, address: Address) -> ReleaseFile:
    known = manifest.project.resources
    if name not in known:
        raise NotFoundError(
            f"this project has no resource '{name}'",
            address=str(address),
            why=f"it has {', '.join(known)}" if known else "it has no resources",
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
    cache: ReleaseCache,
    manifest: Manifest,
    address: Address,
    fetch: Fetch,
    made: Made | None = None,
) -> tuple[ReleaseFile, ...]:
    """Return the files an address names; a table its conditions need is fetched, or `made`, first.

    A behavior session that was imaged has no file of its own: its data are in the file of each of
    its experiments, and the first of these is returned; of one that was recorded with probes, the
    file of that session.

    Raises
    ------
    NotFoundError
        If the version has no such file, or no row matches the conditions.
    UsageError
        If a condition does not go with what is named.
    """
    kind = next((k for k in manifest.project.kinds if address.path == (k.name,)), None)
    if kind is not None and kind.table and address.conditions and made is not None:
        rows = made(kind.table, address.conditions)
        if rows is not None:
            return _made_ones(manifest, rows, address)
    try:
        choice = choose(manifest, address)
    except NotFoundError:
        found = _told(cache, manifest, address, fetch) or _imaged(cache, manifest, address, fetch)
        if found is None:
            raise
        return (found,)
    if choice.table is None:
        return choice.files
    fetch(cache, manifest, [choice.table])
    return _narrowed(cache, manifest, choice, address)


def _made_ones(manifest: Manifest, made: MadeRows, address: Address) -> tuple[ReleaseFile, ...]:
    """Return the files of one kind whose rows of a made table match the address's conditions."""
    files = choose(manifest, replace(address, conditions=())).files
    rows = list(made.rows())
    left = replace(address, conditions=made.conditions)
    check_columns(list(rows[0]) if rows else [], left.conditions, str(address))
    ids = {str(row.get(made.index)) for row in rows if matches(row, left.conditions)}
    found = tuple(file for file in files if file.id in ids)
    if ids and not found:
        raise NotFoundError(
            "no file here is of a row that matches",
            address=str(address),
            why=f"{len(ids):,} rows match; the release has {len(files):,} files of this kind",
        )
    if not found:
        raise _nothing(rows, left if left.conditions else address)
    return found


def table_of(manifest: Manifest, address: Address) -> str:
    """Return the table whose rows have the ids of what is named; empty where none has."""
    kind = next((k for k in manifest.project.kinds if k.name == address.path[0]), None)
    known = kind is not None and kind.table in manifest.by_kind.get("table", {})
    return kind.table if kind is not None and known and len(address.path) == 2 else ""


def by_file_id(
    manifest: Manifest, address: Address, rows: Iterable[Mapping[str, Any]]
) -> ReleaseFile | None:
    """Return the file of a row of `table_of`, whatever it is called and wherever it lies."""
    kind, wanted = address.path
    column = manifest.project.tables.get(table_of(manifest, address), "")
    for row in rows:
        if column and str(row.get(column)) == wanted:
            file = manifest.by_file_id.get(str(row.get(manifest.file_id_column)))
            return None if file is None else replace(file, kind=kind, id=wanted)
    return None


def _rows(cache: ReleaseCache, manifest: Manifest, table: ReleaseFile) -> Iterator[dict[str, Any]]:
    return read_rows(cache.path(manifest, table), manifest.project.name)


def _told(
    cache: ReleaseCache, manifest: Manifest, address: Address, fetch: Fetch
) -> ReleaseFile | None:
    name = table_of(manifest, address)
    if not name or manifest.project.form != "cloud-cache":
        return None
    table = manifest.by_kind["table"][name]
    fetch(cache, manifest, [table])
    return by_file_id(manifest, address, _rows(cache, manifest, table))


def _imaged(
    cache: ReleaseCache, manifest: Manifest, address: Address, fetch: Fetch
) -> ReleaseFile | None:
    experiments = manifest.by_kind.get("ophys_experiment", {})
    tables = manifest.by_kind.get("table", {})
    if len(address.path) != 2 or address.path[0] != "behavior_session":
        return None
    table = tables.get("behavior_session_table")
    if table is None and "behavior_sessions" in tables:
        told = tables["behavior_sessions"]
        fetch(cache, manifest, [told])
        return recorded(manifest, address.path[1], _rows(cache, manifest, told))
    if table is None:
        return None
    fetch(cache, manifest, [table])
    for row in _rows(cache, manifest, table):
        if str(row.get("behavior_session_id")) == address.path[1]:
            listed = row.get("ophys_experiment_id")
            ids = listed if isinstance(listed, list) else [listed]
            return next((experiments[str(i)] for i in ids if str(i) in experiments), None)
    return None


def recorded(
    manifest: Manifest, wanted: str, rows: Iterable[Mapping[str, Any]]
) -> ReleaseFile | None:
    """Return the file of the session recorded with probes that a behavior session is part of.

    Parameters
    ----------
    manifest
        The version.
    wanted
        The id of the behavior session.
    rows
        Rows of the table of behavior sessions.
    """
    sessions = manifest.by_kind.get("ecephys_session", {})
    for row in rows:
        if str(row.get("behavior_session_id")) == wanted:
            return sessions.get(str(row.get("ecephys_session_id")))
    return None


def _narrowed(
    cache: ReleaseCache, manifest: Manifest, choice: Choice, address: Address
) -> tuple[ReleaseFile, ...]:
    """Return the files of a choice whose rows match the address's conditions."""
    assert choice.table is not None
    rows = list(_rows(cache, manifest, choice.table))
    check_columns(list(rows[0]) if rows else [], address.conditions, str(address))
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
        raise _nothing(rows, address)
    return tuple(found.values())


def _nothing(rows: Sequence[Mapping[str, Any]], address: Address) -> NotFoundError:
    """Return the error for conditions that no row matches, with the values that may be meant."""
    meant = suggest_from_rows(rows, address.conditions, matches)
    hint = ""
    if meant is not None and meant.best:
        better = tuple(
            replace(c, op="eq", value=meant.best) if c == meant.condition else c
            for c in address.conditions
        )
        hint = f"openallen show {shlex.quote(str(replace(address, conditions=better)))}"
    why = str(meant) if meant is not None else ""
    return NotFoundError("nothing matches", address=str(address), why=why, hint=hint)


def file_address(manifest: Manifest, file: ReleaseFile) -> str:
    """Return the address of one file: ``release:NAME@VERSION/files/PATH``, percent-encoded."""
    if file.kind == "resources":
        whole = Address.parse(manifest.address)
        return str(replace(whole, path=("resources", file.id)))
    return path_address(manifest, file.path)


def path_address(manifest: Manifest, path: str) -> str:
    """Return the address of a file, or of a folder of files, by its path in a release."""
    return _canonical(manifest.address) + path_text((FILES, *path.split("/")))


@functools.lru_cache(maxsize=64)
def _canonical(address: str) -> str:
    return str(Address.parse(address))


def file_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Return one row for each file of a version.

    ``release:NAME@VERSION/files/PATH``, the address in a row, names that file.
    """
    return [
        {
            "kind": f.kind,
            "id": f.id,
            "address": file_address(manifest, f),
            "path": f.path,
            "size_bytes": f.size_bytes,
            "url": f.versioned_url(),
            "version_id": f.at.version_id,
            "digest": f.digest,
        }
        for f in manifest.files
    ]
