"""Releases and their sessions by address, with their types; see also `openallen.open`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import AddressLike
from openallen.errors import UsageError
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.releases.access import release_of
from openallen.sources.releases.opening import open_part
from openallen.sources.releases.source import ReleaseSource

if TYPE_CHECKING:
    from openallen.sessions import BehaviorSession
    from openallen.sources.releases.read import Release

__all__ = ["open_release", "open_session"]

_SESSION: Final = "release:visual-behavior-ophys/ophys_experiment/951980471"


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
        ``live`` (the default), or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.

    Raises
    ------
    NotFoundError
        If there is no such project or version.
    UsageError
        If the address names a part of a release, or no release.
    """
    where = ReleaseSource.parse(address)
    if where.path or where.conditions:
        raise UsageError(
            "this names a part of a release",
            address=str(where),
            hint=f"oa.open({str(where)!r})",
        )
    with Context(settings or Settings.load(source=source)) as context:
        return release_of(context, where, to, use=True)[1]


def open_session(
    address: AddressLike,
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
        ``live`` (the default), or the folder or URL of an archive.
    remote
        True reads the remote file even if it is here; False fetches it first; None takes the file
        that is here, else reads the remote one, only the ranges that are touched, which stay in
        the store. A file that is here is compared with its published digest, once.
    settings
        Settings to use; loaded from the environment and files if None.
    **options
        As for `openallen.sessions.BehaviorSession`.

    Raises
    ------
    NotFoundError
        If the release has no such session.
    CorruptError
        If the file that is here is not the published one.
    """
    where = ReleaseSource.parse(address)
    if len(where.path) != 2:
        raise UsageError("not a session", address=str(where), hint=_SESSION)
    with Context(settings or Settings.load(source=source)) as context:
        found: BehaviorSession = open_part(context, where, to, remote, options)
        return found
