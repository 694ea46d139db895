"""Facts of releases: versions, tables, kinds of files, sessions, single files."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import bytes_text, count_text
from openallen.errors import NotFoundError, OfflineError, OpenAllenError, UsageError
from openallen.sources.base import Facts, Field, Section, Source
from openallen.sources.context import Context
from openallen.sources.releases.abc.release import AbcRelease
from openallen.sources.releases.access import fetcher, job_of, release_in, release_of
from openallen.sources.releases.chosen import chosen, one_file
from openallen.sources.releases.opening import open_part
from openallen.sources.releases.projects import TERMS
from openallen.sources.releases.rows import read_rows
from openallen.sources.releases.search import choose, table_of

if TYPE_CHECKING:
    from openallen.address import Address
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.models import Manifest, ReleaseFile
    from openallen.sources.releases.plan import ReleaseJob
    from openallen.sources.releases.read import Release

__all__ = ["facts_of", "folder_facts"]

_LONGEST_NOTES: Final = 40


def facts_of(context: Context, where: Address) -> Facts:
    """Return what is known of what an address of a release names.

    Raises
    ------
    NotFoundError
        If there is no such project, version or part.
    UsageError
        If the path or a condition means nothing.
    """
    cache, release = release_of(context, where)
    if not where.path:
        return _version_facts(context, cache, release)
    published = release.manifest.by_kind.get("table", {})
    if len(where.path) == 1 and where.path[0] in set(release.made) - set(published):
        return _made_facts(release, where)
    several = len(where.path) == 1 and where.path[0] not in published
    if isinstance(release, AbcRelease) and not several:
        several = len(choose(release.manifest, where).files) > 1
    if several:
        return _group_facts(context, cache, release, where)
    by_row = where.path[0] == "behavior_session" or table_of(release.manifest, where)
    if by_row and len(where.path) == 2:
        return _session_facts(context, cache, release, where)  # it may have no file of its own
    manifest, file = one_file(cache, release.manifest, where)
    if file.path.lower().endswith(".nwb"):
        return _session_facts(context, cache, release, where)
    return _file_facts(context, cache, manifest, file, where)


# --- versions -------------------------------------------------------------------------------------


def folder_facts(context: Context, folder: Path) -> Facts:
    """Return what is known of the release in a folder, without a network."""
    with Context(replace(context.settings, offline=True)) as quiet:
        cache, release = release_in(quiet, folder)
        facts = _version_facts(quiet, cache, release)
    return replace(facts, address=str(folder), thing=release_in(context, folder)[1])


def _version_facts(context: Context, cache: ReleaseCache, release: Release) -> Facts:
    manifest = release.manifest
    project, version = manifest.project, manifest.version
    work = job_of(context, cache, manifest, manifest.files)
    plan = context.plan(work)
    newest = _newest(cache)
    size = _size(work.files)
    pipeline = [{"name": p.name, "version": p.version} for p in manifest.pipeline]
    made_with = ", ".join(f"{p.name} {p.version}" for p in manifest.pipeline) or "unknown"
    fields = (
        Field("version", str(version)),
        Field("newest", newest),
        Field("tables", list(release.tables), ", ".join(release.tables) or "none"),
        Field("files", len(work.files), f"{count_text(len(work.files), 'file')}, {_words(size)}"),
        Field("folder", str(release.folder)),
        Field(
            "AllenSDK",
            project.opens_in_allensdk(version),
            _allensdk(manifest),
            "opens_in_allensdk",
        ),
        Field("made with", pipeline, made_with, "pipeline"),
    )
    sections = (
        *(Section("", key, value, "") for key, value in _counted(work, plan).items()),
        _notes(cache),
    )
    return Facts(
        address=manifest.address,
        title=project.title,
        kind="release",
        fields=fields,
        sections=sections,
        plan=plan,
        notes=release.notes,
        citation=project.citation,
        terms=TERMS,
        ids=(manifest.address,),
        thing=release,
    )


def _counted(work: ReleaseJob, plan: Any) -> dict[str, object]:
    """Return what the plan says in words, as the numbers that JSON has always had."""
    return {
        "kinds": _kinds(work.files),
        "files_here": len(plan.here),
        "bytes_missing": plan.missing_bytes,
        "bytes_exact": plan.exact,
    }


def _kinds(files: tuple[ReleaseFile, ...]) -> dict[str, dict[str, int | None]]:
    grouped: dict[str, list[ReleaseFile]] = {}
    for file in files:
        grouped.setdefault(file.kind, []).append(file)
    return {
        kind: {"files": len(some), "size_bytes": _size(tuple(some))}
        for kind, some in grouped.items()
    }


def _size(files: tuple[ReleaseFile, ...]) -> int | None:
    """Return the bytes of files; None where the size of one is not known."""
    sizes = [f.size_bytes for f in files]
    return None if None in sizes else sum(s or 0 for s in sizes)


def _words(size_bytes: int | None) -> str:
    return "size unknown" if size_bytes is None else bytes_text(size_bytes)


def _notes(cache: ReleaseCache) -> Section:
    notes = cache.notes()
    lines = (notes or "").splitlines()[:_LONGEST_NOTES]
    return Section(
        "release notes", "release_notes", notes, "\n".join(f"  {line}" for line in lines)
    )


def _allensdk(manifest: Manifest) -> str | None:
    known = manifest.project.allensdk
    if not known:
        return "cannot open this project; openallen can"
    if manifest.project.opens_in_allensdk(manifest.version):
        return "can open it"
    return f"cannot open this version (2.16 accepts {known[0]} to {known[1]}); openallen can"


def _newest(cache: ReleaseCache) -> str | None:
    try:
        return str(cache.versions()[0])
    except OpenAllenError:
        return None  # a version that is here can be shown all the same


# --- parts ----------------------------------------------------------------------------------------


def _group_facts(context: Context, cache: ReleaseCache, release: Release, where: Address) -> Facts:
    """Return the facts of many files: all tables, or those of one kind that match conditions."""
    manifest, files = chosen(cache, release.manifest, where, fetcher(context), release.made_or_none)
    work = job_of(context, cache, manifest, files, address=str(where))
    plan = context.plan(work)
    size = _size(work.files)
    table = next((k.table for k in manifest.project.kinds if k.name == where.path[0]), "")
    return Facts(
        address=str(where),
        title=f"{'/'.join(where.path)} of {manifest.project.title}, version {manifest.version}",
        kind="files of a release",
        fields=(
            Field("release", manifest.address),
            Field("version", str(manifest.version)),
            Field("files", len(work.files), count_text(len(work.files), "file")),
            Field("size", size, _words(size), "size_bytes"),
            Field("table", table or None, f"{manifest.address}/{table}" if table else None),
        ),
        sections=tuple(Section("", k, v, "") for k, v in _counted(work, plan).items()),
        plan=plan,
        notes=release.notes,
        citation=manifest.project.citation,
        terms=TERMS,
        ids=tuple(f.id for f in work.files),
    )


def _made_facts(release: Release, where: Address) -> Facts:
    """Return the facts of a table that is no file: made of rows of a service."""
    if where.conditions:
        raise UsageError(
            "conditions choose rows of a list",
            address=str(where),
            hint=f"openallen list {shlex.quote(str(where))}",
        )
    made = release.made_rows(where.path[0], ())
    rows = list(made.rows())
    columns = list(rows[0]) if rows else []
    return Facts(
        address=str(where),
        title=f"{where.path[0]} of {release.manifest.project.title}",
        kind="table of a release",
        fields=(
            Field("release", release.address),
            Field("rows", len(rows), count_text(len(rows), "row")),
            Field("columns", columns, ", ".join(columns)),
        ),
        notes=(*release.notes, *made.notes),
        citation=release.manifest.project.citation,
        terms=TERMS,
        ids=(str(where),),
    )


def _session_facts(
    context: Context, cache: ReleaseCache, release: Release, where: Address
) -> Facts:
    """Open a session, remotely where it is not here, and return its facts."""
    try:
        opened = open_part(context, where, None, None, {}, use=False)
    except OfflineError:
        manifest, file = one_file(cache, release.manifest, where)
        facts = _file_facts(context, cache, manifest, file, where)
        note = "contents unknown: the file was never read, and there is no network"
        return replace(facts, notes=(*facts.notes, note))
    facts = Source.facts_of(opened, str(where))
    return replace(
        facts,
        plan=_plan(context, cache, release, where),
        notes=(*facts.notes, *release.notes),
        citation=release.manifest.project.citation,
        terms=TERMS,
    )


def _plan(context: Context, cache: ReleaseCache, release: Release, where: Address) -> Any:
    try:
        manifest, files = chosen(
            cache, release.manifest, where, fetcher(context), release.made_or_none
        )
    except (NotFoundError, OfflineError):
        return None  # behavior in the file of an experiment, whose table is not here
    return context.plan(job_of(context, cache, manifest, files, address=str(where)))


def _file_facts(
    context: Context, cache: ReleaseCache, manifest: Manifest, file: ReleaseFile, where: Address
) -> Facts:
    work = job_of(context, cache, manifest, [file], address=str(where))
    plan = context.plan(work)
    sized = work.files[0]
    path = cache.path(manifest, file)
    is_table = file.kind == "table"
    return Facts(
        address=str(where),
        title=f"{Path(file.path).name} of {manifest.project.title}, version {manifest.version}",
        kind="table of a release" if is_table else "file of a release",
        fields=(
            Field("release", manifest.address),
            Field("version", str(manifest.version)),
            Field("kind of file", file.kind),
            Field("id", file.id),
            Field("path", file.path),
            Field("size", sized.size_bytes, _words(sized.size_bytes), "size_bytes"),
            *_table_fields(path if is_table and path.is_file() else None, manifest, file),
            Field("here", bool(plan.here), str(path) if plan.here else "no"),
            Field("url", file.versioned_url()),
            Field("version id", file.at.version_id or None),
            Field("digest", file.digest or None),
        ),
        plan=plan,
        citation=manifest.project.citation,
        terms=TERMS,
        ids=(str(where),),
    )


def _table_fields(path: Path | None, manifest: Manifest, file: ReleaseFile) -> tuple[Field, ...]:
    """Return what a table holds, if it is here: showing fetches nothing."""
    if path is None:
        return ()
    index = manifest.project.tables.get(file.id)
    count, columns = 0, list[str]()
    try:
        for row in read_rows(path, manifest.project.name):
            columns = columns or list(row)
            count += 1
    except OpenAllenError:
        return ()  # damaged: fetching it says so
    return (
        Field("rows", count, f"{count:,}"),
        Field("index", index),
        Field("columns", columns, f"{len(columns)}: {', '.join(columns)}"),
    )
