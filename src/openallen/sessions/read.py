"""Opening a session: which kind a file holds, and how it is read."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from openallen.errors import NotFoundError, UsageError
from openallen.paths import existing
from openallen.sessions.base import NwbSession, Offer, Opener

if TYPE_CHECKING:
    from openallen.formats.nwb import Tree
    from openallen.sessions.behavior import BehaviorSession

__all__ = ["any_session_of", "open_nwb", "open_session", "session_of"]

_SIGNS: Final = {
    "ecephys_session": "units",
    "ophys_experiment": "general/optophysiology",
    "behavior_session": "general/metadata",
}

_KINDS: Final[tuple[tuple[str, str], ...]] = (
    # First those that look up names; others list all of a group, which costs more from afar.
    ("openallen.sessions.patch_clamp.session", "PatchClampSession"),
    ("openallen.sessions.lfp", "ProbeLfp"),
    ("openallen.sessions.visual_coding.ophys", "VisualCodingOphysExperiment"),
    ("openallen.sessions.visual_coding.ophys_files", "AnalysisFile"),
    ("openallen.sessions.visual_coding.ecephys", "EcephysSession"),
)
"""Modules and classes of files that are no session of Visual Behavior: each is asked whether it
knows a file, in this order."""


def open_session(path: Path | str, **options: Any) -> BehaviorSession:
    """Open a session from a file on this machine: HDF5, or a folder of Zarr.

    Parameters
    ----------
    path
        The file.
    **options
        As for `BehaviorSession`.

    Raises
    ------
    NotFoundError
        If there is no such file, or it is an NWB of another kind, naming what is missing.
    TruncatedError, CorruptError
        If it is not a whole HDF5 file.
    """
    place, opener = _here(path)
    opened = session_of(opener, str(place), place, **options)
    opened.reopen = (functools.partial(open_session, **options), (place,))
    return opened


def open_nwb(path: Path | str, **options: Any) -> NwbSession:
    """Open an NWB file of any kind on this machine: HDF5, or a folder of Zarr.

    Returns
    -------
    NwbSession
        A Visual Behavior session, `ProbeLfp` for the LFP file of a probe, `PatchClampSession` for
        sweeps of a patched cell, or `NwbTables` for every other kind.

    Raises
    ------
    As `open_session` does.
    """
    place, opener = _here(path)
    opened = any_session_of(opener, str(place), place, **options)
    opened.reopen = (functools.partial(open_nwb, **options), (place,))
    return opened


def _here(path: Path | str) -> tuple[Path, Opener]:
    place = existing(path)
    if place is None:
        raise NotFoundError("no such file", address=str(path))
    place = place.absolute()

    def opener() -> Tree:
        from openallen.formats.nwb import open_h5, open_zarr

        return open_zarr(place, str(place)) if place.is_dir() else open_h5(place, str(place))

    return place, opener


_OPTIONS = (
    "allensdk_compatible",
    "eye_tracking_dilation_frames",
    "eye_tracking_z_threshold",
    "events_filter_n_time_steps",
    "events_filter_scale_seconds",
    "exclude_invalid_rois",
    "lfp",
)


def _known_options(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in _OPTIONS and not isinstance(value, Offer):
            near = get_close_matches(name, _OPTIONS, 1)
            raise UsageError(
                f"no such option '{name}'", hint=near[0] if near else ", ".join(_OPTIONS)
            )


def session_of(
    opener: Opener, name: str, path: Path | None = None, **options: Any
) -> BehaviorSession:
    """Return the session a file holds, by what is in it."""
    _known_options(options)
    tree = opener()
    with _closing_on_error(tree):
        return _session_in(tree, name, path, options)


@contextmanager
def _closing_on_error(tree: Tree) -> Iterator[None]:
    """Close a file where it turns out to be no session: nobody else can."""
    try:
        yield
    except BaseException:
        tree.close()
        raise


def _session_in(
    tree: Tree, name: str, path: Path | None, options: dict[str, Any]
) -> BehaviorSession:
    from openallen.sessions.behavior import BehaviorSession
    from openallen.sessions.ecephys import BehaviorEcephysSession
    from openallen.sessions.lfp import lfp_probe
    from openallen.sessions.ophys import BehaviorOphysExperiment

    probe_id = lfp_probe(tree)
    if probe_id is not None:
        raise NotFoundError(
            "not a session, but the LFP file of a probe",
            address=name,
            why=f"it holds the LFP of probe {probe_id} alone",
            hint="openallen.sessions.open_nwb opens an NWB file of any kind",
        )
    kinds: dict[str, type[BehaviorSession]] = {
        "ecephys_session": BehaviorEcephysSession,
        "ophys_experiment": BehaviorOphysExperiment,
        "behavior_session": BehaviorSession,
    }
    for kind, made in kinds.items():
        if tree.has("general/metadata") and tree.has(_SIGNS[kind]):
            return _holding(made(lambda: tree, name, path, **_taken(made, options)), tree)
    tree_names = ", ".join(tree.names("/")) or "nothing"
    raise NotFoundError(
        "this is not a Visual Behavior session",
        address=name,
        why=f"no general/metadata; it holds {tree_names}",
        hint="openallen.sessions.open_nwb opens an NWB file of any kind",
    )


def any_session_of(
    opener: Opener, name: str, path: Path | None = None, **options: Any
) -> NwbSession:
    """Return the session a file holds, of whatever kind."""
    tree = opener()
    with _closing_on_error(tree):
        return _any_in(tree, name, path, options)


def _any_in(tree: Tree, name: str, path: Path | None, options: dict[str, Any]) -> NwbSession:
    from openallen.sessions.general import NwbTables

    made = next((kind for kind in _kinds() if kind.knows(tree)), None)
    behavior = tree.has("general/metadata") and any(tree.has(sign) for sign in _SIGNS.values())
    is_nwb = "nwb_version" in tree.attrs("/") or tree.has("session_start_time")
    if made is None and (behavior or not is_nwb):
        return session_of(lambda: tree, name, path, **options)
    made = made or NwbTables
    options = _taken(made, options)
    for option in options:
        if option not in made.takes:
            near = get_close_matches(option, made.takes, 1)
            raise UsageError(
                f"'{option}' is not an option of this kind of file",
                address=name,
                why=f"it opens as {made.__name__}, which takes {', '.join(made.takes) or 'none'}",
                hint=near[0] if near else "",
            )
    return _holding(made(lambda: tree, name, path, **options), tree)


def _taken(made: type[NwbSession], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a kind of file: those given, and those offered that it takes."""
    return {
        name: value.value if isinstance(value, Offer) else value
        for name, value in options.items()
        if not isinstance(value, Offer) or name in made.takes
    }


_Opened = TypeVar("_Opened", bound=NwbSession)


def _holding(session: _Opened, tree: Tree) -> _Opened:
    """Return a session that has the file it was told by, so that closing closes it, used or not."""
    session.__dict__["tree"] = tree
    return session


def _kinds() -> Iterator[type[NwbSession]]:
    for module, name in _KINDS:
        kind: type[NwbSession] = getattr(import_module(module), name)
        yield kind
