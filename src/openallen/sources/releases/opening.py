"""Opening parts of releases: sessions, tables, any file; the one that is here, else remotely."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.sources.context import Context
from openallen.sources.place import Place
from openallen.sources.releases.access import fetcher, release_of, renewed
from openallen.sources.releases.chosen import one_file
from openallen.sources.releases.models import Manifest, ReleaseFile
from openallen.sources.releases.offers import offered
from openallen.sources.releases.remote import remote_place
from openallen.sources.releases.search import by_file_id, recorded, table_of

if TYPE_CHECKING:
    from openallen.sessions import BehaviorSession
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.read import Release

__all__ = ["open_part"]

_BEHAVIOR: Final = "behavior_session"


def open_part(
    context: Context,
    where: Address,
    to: Path | str | None,
    remote: bool | None,
    options: dict[str, Any],
    *,
    use: bool = True,
) -> Any:
    """Open what the path of an address names: a table, a session, a file.

    Parameters
    ----------
    context
        Settings and clients; what is opened can be used beyond it.
    where
        The address; it has a path.
    to
        The folder of the project; the store's own where None.
    remote
        As for `open_session`.
    options
        What opening this kind of file takes.
    use
        Whether this is from now on the version that addresses without a version mean.

    Returns
    -------
    DataFrame, BehaviorSession, NwbTables, ndarray, dict
        A table as `Release.table` returns it; everything else by what the file holds.

    Raises
    ------
    NotFoundError
        If there is no such part, with what there is instead.
    UsageError
        If the path names several files, or the file is of no kind that opens.
    CorruptError
        If the file that is here is not the published one.
    """
    cache, release = release_of(context, where, to, use=use)
    table = release.table_named(where.path)
    if table:
        return _table(release, table, where, remote, options)
    part, is_behavior = _part(release, cache, where)
    own = None if options else release.opened(part.file)
    if own is not None:
        return own
    if remote is False and not part.cache.flat:
        fetcher(context)(part.cache, part.manifest, [part.file])
    place = _place(context, part, where, to, remote)
    offers = offered(context.settings, release, part.cache, part.file)
    if context.recognise(place) is None:
        raise _unknown(context, place, where)
    opened = context.open_place(place, **(offers | options))
    if is_behavior:
        opened = _as_behavior(opened, options)
    if hasattr(opened, "reopen"):
        target = None if to is None else str(to)
        told = (str(where), target, context.settings.to_dict(), remote, options)
        opened.reopen = (_reopened, told)
    return opened


def _reopened(
    address: str,
    to: str | None,
    settings: dict[str, Any],
    remote: bool | None,
    options: dict[str, Any],
) -> Any:
    """Open a part again, in another process too."""
    with Context(renewed(settings)) as context:
        return open_part(context, Address.parse(address), to, remote, options)


def _table(
    release: Release, name: str, where: Address, remote: bool | None, options: dict[str, Any]
) -> Any:
    if where.conditions:
        raise UsageError(
            "a table is opened whole",
            address=str(where),
            why=f"'{where.conditions[0]}' chooses rows of a list",
            hint=f"openallen list {shlex.quote(str(where))}",
        )
    if remote is not None:
        raise UsageError("no such option 'remote' of tables", address=str(where))
    return release.table(name, **options)


@dataclass(frozen=True)
class _Part:
    """One file of a version, and the folder and bucket it is in."""

    cache: ReleaseCache
    manifest: Manifest
    file: ReleaseFile

    @property
    def path(self) -> Path:
        return self.cache.path(self.manifest, self.file)


def _part(release: Release, cache: ReleaseCache, where: Address) -> tuple[_Part, bool]:
    """Return the one file an address names, and whether only behavior of it is wanted.

    Behavior of an imaged session has no file of its own: it is in those of its experiments.
    """
    try:
        return _Part(cache, *one_file(cache, release.manifest, where)), False
    except NotFoundError:
        table = table_of(release.manifest, where)
        if table and release.manifest.project.form == "cloud-cache":
            told = by_file_id(release.manifest, where, release.rows(table))
            if told is not None:
                return _Part(cache, release.manifest, told), False
        if where.path[0] != _BEHAVIOR or len(where.path) != 2:
            raise
        if "behavior_sessions" in release.tables:
            told = recorded(release.manifest, where.path[1], release.rows("behavior_sessions"))
            if told is not None:
                return _Part(cache, release.manifest, told), True
        if "ophys_experiment_table" not in release.tables:
            raise
        found = next(
            (
                row["ophys_experiment_id"]
                for row in release.rows("ophys_experiment_table")
                if str(row.get("behavior_session_id")) == where.path[1]
            ),
            None,
        )
        if found is None:
            raise
        file = release.file("ophys_experiment", str(found))
        return _Part(cache, release.manifest, file), True


def _place(
    context: Context, part: _Part, where: Address, to: Path | str | None, remote: bool | None
) -> Place:
    """Return where a file is read from: here, if it is the published one, else its bucket."""
    if remote is not True and part.path.exists():
        if not part.cache.flat:  # of these no digests were published
            _vouch(context, part, where, to)
        return Place.here(part.path)
    return remote_place(part.cache, part.file, str(where), context.settings.store / "ranges")


def _vouch(context: Context, part: _Part, where: Address, to: Path | str | None) -> None:
    """Check that a local file is the published one: by the index, else by its digest, once."""
    from openallen.sources.releases.plan import remote_file
    from openallen.store import Store
    from openallen.transfer.status import intact

    told = remote_file(part.cache, part.manifest, part.file)
    with Store(context.settings.store).index() as index:
        if intact(told, part.path, index, verify=not context.settings.verify_later) is None:
            elsewhere = "" if to is None else f" --to {shlex.quote(str(to))}"
            raise CorruptError(
                "the local file is damaged",
                address=str(part.path),
                why="it is not what was published",
                hint=f"openallen fetch {shlex.quote(str(where))}{elsewhere}{context.source_flag}",
            )


def _as_behavior(opened: Any, options: dict[str, Any]) -> BehaviorSession:
    from openallen.sessions import BehaviorSession

    return BehaviorSession(lambda: opened.tree, opened.name, opened.path, **options)


def _unknown(context: Context, place: Place, where: Address) -> UsageError:
    plain = replace(where, conditions=())
    suffix = Path(place.file).suffix or place.file
    here = f"; it is at {place.path}" if place.path is not None else ""
    return UsageError(
        f"'{suffix}' files cannot be opened",
        address=str(where),
        why=f"openallen fetches and verifies them{here}",
        hint=f"openallen fetch {shlex.quote(str(plain))}{context.source_flag}",
    )
