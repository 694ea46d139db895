"""Rows of releases: projects, versions, files, tables."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Final

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, UsageError
from openallen.sources.filters import check_columns, matches, no_rows
from openallen.sources.releases.abc import lists as abc_lists
from openallen.sources.releases.abc.release import AbcRelease
from openallen.sources.releases.access import cache_of, project_names, release_of, sampled
from openallen.sources.releases.projects import find_project
from openallen.sources.releases.rows import ABNORMAL, read_rows
from openallen.sources.releases.search import FILES, choose, file_rows, some
from openallen.sources.tables import Row, Rows, telling

if TYPE_CHECKING:
    from openallen.sources.context import Context
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.models import ReleaseFile
    from openallen.sources.releases.read import Release

__all__ = [
    "by_data_set",
    "list_data_sets",
    "list_files",
    "list_projects",
    "list_table",
    "list_versions",
]

PROJECT_COLUMNS: Final = ("address", "title", "bucket", "here")
VERSION_COLUMNS: Final = ("version", "address", "newest", "manifest_here", "used_last")
_FILE_SHOWN: Final = ("kind", "id", "size_bytes", "path")
_FILE_COLUMNS: Final = (*_FILE_SHOWN, "url", "version_id", "digest", "address")
_LOOKED_AT: Final = 50


@dataclass(frozen=True)
class Asked:
    """What a list is asked for.

    Parameters
    ----------
    address
        The address.
    conditions
        Filters, those of the address first.
    limit
        Rows at most; all where None.
    source_flag
        The option that asks the same service again.
    """

    address: Address
    conditions: tuple[Condition, ...]
    limit: int | None
    source_flag: str = ""

    @property
    def plain(self) -> str:
        """The address without conditions."""
        return str(replace(self.address, conditions=()))

    @property
    def command(self) -> str:
        """The command that lists, which conditions are put behind."""
        return f"openallen list {shlex.quote(self.plain)}{self.source_flag}"

    def check(self, columns: Sequence[str]) -> None:
        """Check that every condition is on a column.

        Raises
        ------
        UsageError
            With the nearest column.
        """
        check_columns(columns, self.conditions, self.plain, self.command)


def list_projects(context: Context, asked: Asked) -> Rows:
    """Return one row for each project: those that are known, and those of the settings."""
    asked.check(PROJECT_COLUMNS)
    names = sampled(context) if context.in_sample else project_names(context)
    projects = (find_project(n, context.settings.projects) for n in names)
    rows = [
        {
            "address": f"release:{p.name}",
            "title": p.title,
            "bucket": p.bucket,
            "here": context.folder(Address("release", p.name)).is_dir(),
        }
        for p in projects
    ]
    return _filtered(rows, asked, PROJECT_COLUMNS, id_column="address", noun="project")


def list_versions(context: Context, asked: Asked) -> Rows:
    """Return one row for each version of a project, the newest first."""
    asked.check(VERSION_COLUMNS)
    name = asked.address.name
    cache = cache_of(context, name)
    versions = cache.versions()
    here, last = cache.here(), cache.last_used
    rows = [
        {
            "version": str(v),
            "address": f"release:{name}@{v}",
            "newest": v == versions[0],
            "manifest_here": v in here,
            "used_last": v == last,
        }
        for v in versions
    ]
    return _filtered(rows, asked, VERSION_COLUMNS, id_column="address", noun="version")


def list_files(context: Context, asked: Asked) -> Rows:
    """Return one row for each file of a version, with its size as far as it can be learned."""
    asked.check(_FILE_COLUMNS)
    cache, release = release_of(context, asked.address)
    manifest = release.manifest
    # Sizes are listed by the bucket: only those of the files that are wanted are asked for.
    early = [c for c in asked.conditions if c.field != "size_bytes"]
    rows = [row for row in file_rows(manifest) if matches(row, early)]
    rows = list(_sized(cache, release, rows))
    return _filtered(
        rows, asked, _FILE_SHOWN, id_column="url", noun="file", notes=release.notes,
        whole=lambda: file_rows(manifest),
    )  # fmt: skip


def _sized(cache: ReleaseCache, release: Release, rows: Sequence[Row]) -> Iterator[Row]:
    by_path = {f.path: f for f in release.files}
    files = cache.sized(by_path[row["path"]] for row in rows)
    for row, file in zip(rows, files, strict=True):
        yield row | {"size_bytes": file.size_bytes}


def list_table(context: Context, asked: Asked) -> Rows:
    """Return the rows of a table that match all conditions, as plain values.

    Raises
    ------
    NotFoundError
        If the version has no such table, with what there is.
    UsageError
        If a condition is on no column.
    """
    _, release = release_of(context, asked.address)
    if isinstance(release, AbcRelease):
        return _list_abc(release, asked)
    name = asked.address.path[0]
    if not release.table_named(asked.address.path):
        raise _no_table(context, release, asked.address)
    if name in release.made:
        return _list_made(release, asked)
    path = release.csv(name)
    every = functools.partial(read_rows, path, release.manifest.project.name)
    first = list(islice(every(), _LOOKED_AT))
    asked.check(list(first[0]) if first else [])
    rows = (row for row in every() if matches(row, asked.conditions))
    index = _index(release, name, first)
    return _filtered(
        rows, asked, _telling(first, index, asked.conditions),
        id_column=index,
        noun="row", notes=(*release.notes, *_abnormal(first, every, asked)),
        whole=every, matched=True,
        address=_file_of_a_row(release, name, index),
    )  # fmt: skip


def by_data_set(context: Context, name: str) -> bool:
    """Return whether a project lists its data sets rather than its versions."""
    return find_project(name, context.settings.projects).form == "abc-atlas"


def list_data_sets(context: Context, asked: Asked) -> Rows:
    """Return one row for each data set of a version of the ABC Atlas."""
    asked.check(abc_lists.DATA_SET_COLUMNS)
    cache, release = release_of(context, asked.address)
    assert isinstance(release, AbcRelease)
    told = cache.here() if context.settings.offline else cache.versions()
    versions = f"versions: {some(map(str, told))}; one of them: release:{asked.address.name}@…"
    return _filtered(
        abc_lists.data_set_rows(release), asked, abc_lists.DATA_SET_COLUMNS,
        id_column="data_set", noun="data set",
        notes=(*release.notes, f"of version {release.version}; {versions}"),
    )  # fmt: skip


def _list_abc(release: AbcRelease, asked: Asked) -> Rows:
    """Return the rows of a table of the ABC Atlas, or the names of a data set."""
    path = asked.address.path
    table = release.table_named(path)
    if table:
        return abc_lists.table_rows(
            release,
            table,
            asked.conditions,
            limit=asked.limit,
            plain=asked.plain,
            command=asked.command,
        )
    asked.check(abc_lists.NAME_COLUMNS)
    kinds = release.manifest.by_kind
    kind, rest = (path[0], path[1:]) if path[0] in kinds else ("", path)
    if len(rest) == 2 and rest[1] in kinds:
        kind, rest = rest[1], rest[:1]
    if len(rest) != 1:
        files = choose(release.manifest, replace(asked.address, conditions=())).files
        raise _no_rows_in(files, asked)
    return _filtered(
        abc_lists.name_rows(release, rest[0], kind), asked, abc_lists.NAME_COLUMNS,
        id_column="name", noun="file", notes=release.notes,
    )  # fmt: skip


def _no_rows_in(files: Sequence[ReleaseFile], asked: Asked) -> UsageError:
    """Return the error for what has no rows: matrices, volumes, a whole kind of files."""
    named = shlex.quote(asked.plain)
    return UsageError(
        "this is no table",
        address=asked.plain,
        why=f"{files[0].path}" if len(files) == 1 else f"{len(files):,} files",
        hint=f"openallen show {named}",
    )


def _list_made(release: Release, asked: Asked) -> Rows:
    """Return the rows of a table that is made of others, or of rows of a service."""
    made = release.made_rows(asked.address.path[0], asked.conditions)
    asked = replace(asked, conditions=made.conditions)
    first = list(islice(made.rows(), _LOOKED_AT))
    if first:
        asked.check(list(first[0]))
    return _filtered(
        (row for row in made.rows() if matches(row, asked.conditions)), asked,
        _telling(first, made.index, asked.conditions),
        id_column=made.index, noun="row", notes=(*release.notes, *made.notes), whole=made.rows,
        matched=True, address=made.address,
    )  # fmt: skip


def _file_of_a_row(release: Release, table: str, index: str) -> Callable[[Row], str | None]:
    """Return what names the file of a row: of ``ophys_experiment_id``, that of the experiment."""
    kind = index.removesuffix("_id")
    files = release.manifest.by_kind.get(kind, {})
    # Of some kinds no name says which row a file is of: the table does.
    by_row = next((k.name for k in release.manifest.project.kinds if k.table == table), "")
    by_file_id, column = release.manifest.by_file_id, release.manifest.file_id_column

    def address(row: Row) -> str | None:
        name = str(row.get(index))
        if name in files:
            return f"{release.address}/{kind}/{name}"
        known = by_row and kind != by_row and str(row.get(column)) in by_file_id
        return f"{release.address}/{by_row}/{name}" if known else None

    return address


def _abnormal(
    first: Sequence[Row], every: Callable[[], Iterable[Row]], asked: Asked
) -> tuple[str, ...]:
    """Return a note where a list has rows that tables leave out by default."""
    if not first or not set(ABNORMAL) <= set(first[0]):
        return ()
    if any(c.field in ABNORMAL for c in asked.conditions):
        return ()  # whoever filters by it knows
    rows = [row for row in every() if matches(row, asked.conditions)]
    odd = sum(any(row[name] is not None for name in ABNORMAL) for row in rows)
    told = " ".join(f"{name}=null" for name in ABNORMAL)
    note = (
        f"{odd:,} of these {len(rows):,} sessions have abnormal histology or activity, and are "
        f"left out by Release.table and AllenSDK; without them: {asked.command} {told}"
    )
    return (note,) if odd else ()


def _index(release: Release, table: str, rows: Sequence[Row]) -> str:
    """Return the column that names a row of a table: its index, else the first."""
    index = release.manifest.project.tables.get(table, "")
    if not rows or index in rows[0]:
        return index or "id"
    return next(iter(rows[0]))


def _telling(rows: Sequence[Row], index: str, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """Return columns for people: the one that names a row, those asked for, those not empty."""
    if not rows:
        return ()
    return tuple(dict.fromkeys([index, *(c.field for c in conditions), *telling(rows)]))


def _no_table(context: Context, release: Release, where: Address) -> NotFoundError:
    wanted = "/".join(where.path)
    kinds = release.manifest.by_kind
    known = [*release.tables, FILES]
    base = release.address
    if wanted in kinds and wanted != "table":
        command = [f"{base}/{FILES}", f"kind={wanted}"]
    else:
        near = get_close_matches(wanted, known, 1)
        command = [f"{base}/{near[0] if near else known[0]}"]
    return NotFoundError(
        f"this release has no table '{wanted}'",
        address=str(where),
        why=f"it has {some(release.tables)}, and files"
        if release.tables
        else f"it has no tables; kinds of files: {some(kinds)}",
        hint=f"openallen list {shlex.join(command)}{context.source_flag}",
    )


def _filtered(
    rows: Iterable[Row],
    asked: Asked,
    shown: Sequence[str],
    *,
    id_column: str,
    noun: str,
    notes: Sequence[str] = (),
    whole: Callable[[], Iterable[Row]] | None = None,
    matched: bool = False,
    address: Callable[[Row], str | None] | None = None,
) -> Rows:
    """Return the rows that match, and why there are none."""
    everything = list(rows) if whole is None else ()
    kept: Iterable[Row] = rows if whole is not None else everything
    if not matched:
        kept = (row for row in kept if matches(row, asked.conditions))
    total = None
    if asked.limit is not None:
        kept = iter(kept)
        first = list(islice(kept, asked.limit))
        total = len(first) + sum(1 for _ in kept)
        kept = first
    return Rows(
        kept, shown, id_column=id_column, noun=noun, total=total, notes=notes,
        empty=lambda: no_rows(
            list(whole()) if whole is not None else everything,
            asked.conditions, asked.plain, asked.command,
        ),
        address=address,
    )  # fmt: skip
