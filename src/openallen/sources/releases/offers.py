"""What a release knows of a session that the session's own file does not hold.

The LFP of a probe has a file of its own, and in Visual Coding the structures that channels lie in
are in a table. Both are offered to the kind of file that takes them, and read when they are wanted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, ReleaseFile

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.nwb import Tree
    from openallen.sessions.base import Opener
    from openallen.sources.releases.read import Release

__all__ = ["offered"]

_ECEPHYS: Final = "ecephys_session"
_CHANNELS: Final = "channels"
_STRUCTURES: Final = ("ecephys_structure_id", "ecephys_structure_acronym")
_PLACES: Final = (
    "anterior_posterior_ccf_coordinate",
    "dorsal_ventral_ccf_coordinate",
    "left_right_ccf_coordinate",
)


def offered(
    settings: Settings, release: Release, cache: ReleaseCache, file: ReleaseFile
) -> dict[str, Any]:
    """Return what a release offers to whatever kind of session a file of it holds.

    Parameters
    ----------
    settings
        Settings that files of the release are read with.
    release, cache
        The version the file is of, and where that is.
    file
        The file.

    Returns
    -------
    dict
        `openallen.sessions.base.Offer` by the name of the option; empty of other files.
    """
    from openallen.sessions.base import Offer

    if file.kind != _ECEPHYS:
        return {}
    manifest = release.manifest
    found: dict[str, Any] = {"lfp": Offer(_lfp_of(settings, cache, manifest, file))}
    if _CHANNELS in manifest.by_kind.get("table", {}):
        found["channels"] = Offer(functools.partial(_channels, release))
    return found


def _lfp_of(
    settings: Settings, cache: ReleaseCache, manifest: Manifest, session: ReleaseFile
) -> Callable[[int, str], Opener | None]:
    """Return what opens the LFP of a probe: a file of the release, here or remote."""

    def lfp(probe_id: int, name: str) -> Opener | None:
        found = _lfp_file(manifest, session, probe_id, name)
        if found is None:
            return None
        path, at = cache.path(manifest, found), found.at

        def opener() -> Tree:
            from openallen.formats.nwb import open_h5

            if path.exists():
                return open_h5(path, str(path))
            url = cache.bucket.url(at.key, at.version_id)
            with Context(settings) as later:
                return later.h5(url, url, immutable=bool(at.version_id))

        return opener

    return lfp


def _lfp_file(
    manifest: Manifest, session: ReleaseFile, probe_id: int, name: str
) -> ReleaseFile | None:
    """Return the LFP file of a probe: by the probe's id, or in the folder of its session."""
    by_id = manifest.by_kind.get("probe", {}).get(str(probe_id))
    folder = session.path.rpartition("/")[0] + "/"
    # Files called by letters lie in a folder of their session; one of all sessions says nothing.
    if by_id is not None or folder.rstrip("/").rpartition("/")[2] != session.id:
        return by_id
    ends = f"probe_{name}_lfp.nwb"
    inside = (f for f in manifest.files if f.path.startswith(folder))
    return next((f for f in inside if f.path.endswith(ends)), None)


def _channels(release: Release) -> pd.DataFrame:
    """Return the structures and CCF coordinates (µm) of channels by id, from a release's table.

    The table is fetched if it is not here.

    Raises
    ------
    CorruptError
        If it does not name structures.
    """
    from openallen.sources.releases.tables import read_table

    project, path = release.manifest.project, release.csv(_CHANNELS)
    frame = read_table(path, project.name, project.tables.get(_CHANNELS, ""))
    missing = [name for name in _STRUCTURES if name not in frame.columns]
    if missing:
        why = f"no column {', '.join(missing)}"
        raise CorruptError("not a table of channels with structures", address=str(path), why=why)
    return frame[[name for name in (*_STRUCTURES, *_PLACES) if name in frame.columns]]
