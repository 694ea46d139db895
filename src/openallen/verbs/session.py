"""Sessions by address: the file that is here, else the one that is far away."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings
from openallen.verbs.release import cache, read_release, release_url
from openallen.verbs.source import connected

if TYPE_CHECKING:
    from openallen.formats.nwb import H5Tree, Tree
    from openallen.sessions import BehaviorSession
    from openallen.sessions.base import NwbSession, Opener
    from openallen.sources.releases import Release, ReleaseFile

__all__ = [
    "KINDS",
    "open_any",
    "open_local",
    "open_release",
    "open_session",
    "open_url",
    "url_tree",
]

KINDS = ("behavior_session", "ophys_experiment", "ecephys_session")


def open_release(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    settings: Settings | None = None,
) -> Release:
    """Open a version of a release: its files, addresses, tables and sessions.

    The manifest is asked for if it is not here; tables and files when they are wanted.

    Parameters
    ----------
    address
        ``release:visual-behavior-ophys``, with ``@1.0.1`` for one version. Without, the version
        last used is, and on an empty store the newest.
    to
        The folder of the project; the store's own where None. May be a cache AllenSDK made.
    source
        ``live`` (the default), or the URL of an archive.
    settings
        What to go by; read afresh where None.

    Raises
    ------
    NotFoundError
        If there is no such project or version.
    """
    found = read_release(address, to, settings or Settings.load(source=source))
    found.opening = functools.partial(_again, None if to is None else str(to), source)
    return found


def _again(to: str | None, source: str | None, address: str) -> BehaviorSession:
    """Open a session by its address alone; a plain function, for other processes."""
    return open_session(address, to, source=source)


def open_session(
    address: Address | str,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    remote: bool | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> BehaviorSession:
    """Open a session of a release.

    Parameters
    ----------
    address
        ``release:visual-behavior-ophys/ophys_experiment/951980471``.
    to
        The folder of the project; the store's own where None.
    source
        ``live`` (the default), or the URL of an archive.
    remote
        True reads the far-away file even if it is here; False fetches it first; None takes the
        file that is here, else reads the far-away one, only the ranges that are touched, which
        are remembered. A file that is here is compared with its published digest, once.
    settings
        What to go by; read afresh where None.
    **options
        As for `openallen.sessions.BehaviorSession`.

    Raises
    ------
    NotFoundError
        If the release has no such session.
    CorruptError
        If the file that is here is not the published one.
    """
    where = Address.parse(address)
    if where.scheme != "release" or len(where.path) != 2:
        raise UsageError("this names no session", address=str(where), hint=_EXAMPLE)
    settings = settings or Settings.load(source=source)
    release = read_release(_release_of(where), to, settings)
    kind, number = where.path
    file, as_behavior = _file(release, kind, number)
    place = release.path(file.kind, file.id)
    if remote is False:
        release.fetch(file.kind, file.id)
    if remote is not True and place.exists():
        _vouch(release, file, place, settings)
        opened = open_local(place, **options)
    else:
        lfp = _lfp_of(release, file, settings) if kind == "ecephys_session" else None
        more = options | ({"lfp": lfp} if lfp is not None else {})
        url = release_url(release, file, settings)
        opened = _far(settings, url, str(where), more, immutable=bool(file.at.version_id))
    if as_behavior:
        opened = _as_behavior(opened, options)
    again = functools.partial(open_session, source=source, remote=remote, **options)
    opened.reopen = (again, (str(where), None if to is None else str(to)))
    return opened


_EXAMPLE = "release:visual-behavior-ophys/ophys_experiment/951980471"


def _release_of(where: Address) -> Address:
    return Address(where.scheme, where.name, where.version)


def _file(release: Release, kind: str, number: str) -> tuple[ReleaseFile, bool]:
    """Find the file of a session; behavior of an imaging session is in its experiments' files."""
    try:
        return release.file(kind, number), False
    except NotFoundError:
        if kind != "behavior_session" or "ophys_experiment_table" not in release.tables:
            raise
        row = next(
            (
                r
                for r in release.rows("ophys_experiment_table")
                if str(r.get("behavior_session_id")) == number
            ),
            None,
        )
        if row is None:
            raise
        return release.file("ophys_experiment", str(row["ophys_experiment_id"])), True


def _vouch(release: Release, file: ReleaseFile, place: Path, settings: Settings) -> None:
    """See that a file that is here is the published one: by the index, else by its digest, once."""
    from openallen.errors import CorruptError
    from openallen.sources.releases.plan import remote_file
    from openallen.store import Store
    from openallen.transfer.status import intact

    with connected(settings) as client:
        name = release.manifest.project.name
        told = remote_file(cache(client, name, settings), release.manifest, file)
    with Store(settings.store).index() as index:
        if intact(told, place, index, verify=not settings.verify_later) is None:
            raise CorruptError(
                "the file that is here is damaged",
                address=str(place),
                why="it is not what was published",
                hint=told.retry,
            )


def _as_behavior(opened: BehaviorSession, options: dict[str, Any]) -> BehaviorSession:
    from openallen.sessions import BehaviorSession

    return BehaviorSession(lambda: opened.tree, opened.name, opened.path, **options)


def _lfp_of(release: Release, file: ReleaseFile, settings: Settings) -> Any:
    """Find the LFP files of a session among the release's."""
    folder = file.path.rpartition("/")[0]

    def lfp(probe_id: int, name: str) -> Opener | None:
        del probe_id
        end = f"probe_{name}_lfp.nwb"
        found = next(
            (f for f in release.files if f.path.endswith(end) and f.path.startswith(folder)), None
        )
        if found is None:
            return None
        place = release.path(found.kind, found.id)
        url = release_url(release, found, settings)

        def opener() -> Tree:
            from openallen.formats.nwb import open_h5

            if place.exists():
                return open_h5(place, str(place))
            return url_tree(settings, url, url, immutable=bool(found.at.version_id))

        return opener

    return lfp


def url_tree(settings: Settings, url: str, name: str, *, immutable: bool) -> H5Tree:
    """Open HDF5 behind a web address by ranges, which are remembered in the store."""
    from openallen.sessions.remote import remote_tree
    from openallen.store import Store
    from openallen.transport import Retry
    from openallen.transport.configured import http_for

    return remote_tree(
        http_for(settings),
        url,
        name,
        blocks=Store(settings.store).root / "ranges",
        immutable=immutable,
        retry=Retry(attempts=settings.attempts),
    )


def _far(
    settings: Settings, url: str, name: str, options: dict[str, Any], *, immutable: bool
) -> BehaviorSession:
    from openallen.sessions.read import session_of

    return session_of(lambda: url_tree(settings, url, name, immutable=immutable), name, **options)


def open_url(url: str, *, settings: Settings | None = None, **options: Any) -> NwbSession:
    """Open a session behind any web address that answers ranges.

    Raises
    ------
    AnswerError
        If the service does not answer ranges.
    """
    from openallen.sessions.read import any_session_of

    settings, immutable = settings or Settings.load(), "versionId=" in url
    opened = any_session_of(
        lambda: url_tree(settings, url, url, immutable=immutable), url, **options
    )
    opened.reopen = (functools.partial(open_url, **options), (url,))
    return opened


def open_any(place: Path, **options: Any) -> NwbSession:
    """Open an NWB file of any kind on this machine."""
    from openallen.sessions import open_nwb

    return open_nwb(place, **options)


def open_local(place: Path, **options: Any) -> BehaviorSession:
    """Open a session from a file on this machine."""
    from openallen.sessions import open_session as open_file

    return open_file(place, **options)
