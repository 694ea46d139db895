"""The known projects, and those that settings add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from openallen.address import Address
from openallen.errors import NotFoundError, UsageError
from openallen.sources.releases.models import FileKind, Project
from openallen.transport.s3 import S3Location

__all__ = ["PROJECTS", "TERMS", "find_project", "meant", "project_from"]

TERMS: Final = "Allen Institute Terms of Use: https://alleninstitute.org/terms-of-use"

# Files are known by their names: folders changed from version to version, as that of the sessions
# of Visual Behavior Neuropixels did after 0.3.0.
_BEHAVIOR: Final = FileKind(
    "behavior_session",
    r"(?:.+/)?behavior_session_(?P<id>\d+)\.nwb",
    "behavior_session_table",
)
_OPHYS: Final = Project(
    name="visual-behavior-ophys",
    title="Visual Behavior, two-photon calcium imaging",
    bucket="visual-behavior-ophys-data",
    kinds=(
        _BEHAVIOR,
        FileKind(
            "ophys_experiment",
            r"(?:.+/)?behavior_ophys_experiment_(?P<id>\d+)\.nwb",
            "ophys_experiment_table",
        ),
    ),
    tables={
        "behavior_session_table": "behavior_session_id",
        "ophys_session_table": "ophys_session_id",
        "ophys_experiment_table": "ophys_experiment_id",
        "ophys_cells_table": "cell_roi_id",
    },
    citation="Allen Institute for Brain Science. Visual Behavior Ophys. "
    "https://portal.brain-map.org/explore/circuits/visual-behavior-2p",
    allensdk=("1.0.0", "2.0.0"),
    resources={
        "natural_movie": S3Location(
            "visual-behavior-ophys-data", "visual-behavior-ophys/resources/Movie_TOE1.npy"
        )
    },
)
_NEUROPIXELS: Final = Project(
    name="visual-behavior-neuropixels",
    title="Visual Behavior, Neuropixels",
    allensdk=("0.1.0", "10.0.0"),
    bucket="visual-behavior-neuropixels-data",
    kinds=(
        FileKind("behavior_session", _BEHAVIOR.pattern, "behavior_sessions"),
        FileKind(
            "ecephys_session",
            r"(?:.+/)?ecephys_session_(?P<id>\d+)\.nwb",
            "ecephys_sessions",
        ),
        FileKind(
            "probe",
            r"behavior_ecephys_sessions/(?P<id>\d+/probe_\w+?)_lfp\.nwb",
            "probes",
        ),
    ),
    tables={
        "ecephys_sessions": "ecephys_session_id",
        "behavior_sessions": "behavior_session_id",
        "probes": "ecephys_probe_id",
        "channels": "ecephys_channel_id",
        "units": "unit_id",
    },
    citation="Allen Institute for Brain Science. Visual Behavior Neuropixels. "
    "https://portal.brain-map.org/explore/circuits/visual-behavior-neuropixels",
)
_ABC: Final = Project(
    name="abc-atlas",
    title="Allen Brain Cell Atlas",
    bucket="allen-brain-cell-atlas",
    form="abc-atlas",
    citation="Allen Institute for Brain Science. Allen Brain Cell Atlas. "
    "https://portal.brain-map.org/atlases-and-data/bkp/abc-atlas",
)

_OBSERVATORY: Final = (
    "Allen Institute for Brain Science. Allen Brain Observatory. "
    "https://observatory.brain-map.org/visualcoding"
)
_LISTED: Final = (
    Project(
        name="visual-coding-2p",
        title="Visual Coding, two-photon (no versions)",
        bucket="allen-brain-observatory",
        form="listing",
        prefix="visual-coding-2p/",
        # Folders and names as in AllenSDK's own cache, which the bucket was uploaded from.
        kinds=(
            FileKind(
                "ophys_experiment", r"ophys_experiment_data/(?P<id>\d+)\.nwb", "ophys_experiments"
            ),
            FileKind(
                "events",
                r"ophys_experiment_events/(?P<id>\d+)_events\.npz",
                "ophys_experiments",
            ),
            FileKind(
                "analysis",
                r"ophys_experiment_analysis/(?P<id>\d+)_\w+_analysis\.h5",
                "ophys_experiments",
            ),
            FileKind(
                "movie", r"ophys_movies/ophys_experiment_(?P<id>\d+)\.h5", "ophys_experiments"
            ),
        ),
        citation=_OBSERVATORY,
    ),
    Project(
        name="visual-coding-neuropixels",
        title="Visual Coding, Neuropixels (no versions)",
        bucket="allen-brain-observatory",
        form="listing",
        prefix="visual-coding-neuropixels/ecephys-cache/",
        kinds=(
            FileKind(
                "ecephys_session",
                r"session_\d+/session_(?P<id>\d+)\.nwb",
                "sessions",
                called=r"session_(?P<id>\d+)",
            ),
            FileKind("probe", r"session_\d+/probe_(?P<id>\d+)_lfp\.nwb", "probes"),
            FileKind(
                "analysis_metrics",
                r"session_\d+/session_(?P<id>\d+)_analysis_metrics\.csv",
                "sessions",
            ),
        ),
        tables={"sessions": "id", "probes": "id", "channels": "id", "units": "id"},
        citation=_OBSERVATORY,
    ),
)
# Which experiment a file is of is told by the table alone: names say nothing that is promised.
_EYES: Final = Project(
    name="visual-coding-ophys",
    title="Visual Coding, two-photon: eye tracking",
    bucket="visual-coding-ophys-data",
    kinds=(FileKind("eye_tracking", r"(?P<id>.+\.npy)", "metadata"),),
    tables={"metadata": "ophys_experiment_id"},
    citation=_OBSERVATORY,
    allensdk=("0", "1000"),  # its get_eye_tracking asks for no version
)

PROJECTS: Mapping[str, Project] = MappingProxyType(
    {project.name: project for project in (_OPHYS, _NEUROPIXELS, _ABC, *_LISTED, _EYES)}
)
"""Projects by name."""


def project_from(name: str, told: Mapping[str, Any]) -> Project:
    """Return the project that a table of the settings describes.

    Raises
    ------
    UsageError
        If a key is not known, or the bucket is left out.
    """
    known = {"bucket", "region", "title", "citation", "form", "prefix", "kinds", "tables"}
    strange = sorted(set(told) - known)
    if strange or not told.get("bucket"):
        raise UsageError(
            f"the project '{name}' cannot be read from the settings",
            why=f"unknown: {', '.join(strange)}" if strange else "no bucket is named",
            hint=", ".join(sorted(known)),
        )
    forms = ("cloud-cache", "abc-atlas", "listing")
    if told.get("form", forms[0]) not in forms:
        raise UsageError(f"the project '{name}' has an unknown form", hint=", ".join(forms))
    kinds = tuple(FileKind(kind, pattern) for kind, pattern in told.get("kinds", {}).items())
    return Project(
        name=name,
        title=str(told.get("title", name)),
        bucket=str(told["bucket"]),
        region=str(told.get("region", "us-west-2")),
        kinds=kinds,
        tables=dict(told.get("tables", {})),
        citation=str(told.get("citation", "")),
        form=str(told.get("form", "cloud-cache")),
        prefix=str(told.get("prefix", "")),
    )


def find_project(name: str, more: Mapping[str, Mapping[str, Any]] | None = None) -> Project:
    """Return the project of a name; settings come first.

    Raises
    ------
    NotFoundError
        If there is none, with the nearest name.
    """
    if more and name in more:
        return project_from(name, more[name])
    if name in PROJECTS:
        return PROJECTS[name]
    names = [*PROJECTS, *(more or {})]
    near = get_close_matches(name, names, 1)
    raise NotFoundError(
        "no such project",
        address=f"release:{name}",
        why=f"known: {', '.join(names)}",
        hint=f"openallen list release:{near[0]}" if near else "openallen list release:",
    )


def meant(where: Address, more: Mapping[str, Mapping[str, Any]] | None = None) -> Address:
    """Return the address of what the path of a file, or of its folder, stands for.

    ``session_715093703`` is ``ecephys_session/715093703``; a path in the release that a kind of
    file is known by, as ``ophys_experiment_data/501940850.nwb``, is the same below ``files``.

    Raises
    ------
    NotFoundError
        If there is no such project.
    """
    if not where.name or not where.path:
        return where
    project = find_project(where.name, more)
    kinds = project.kinds
    if len(where.path) == 1:
        return replace(where, path=_by_folder(project, where.path[0]))
    names = {kind.name for kind in kinds}
    if where.path[0] == "files" or where.path[0] in names:
        return where
    path = "/".join(where.path)
    known = any(kind.id_of(path) for kind in kinds)
    return replace(where, path=("files", *where.path)) if known else where


def _by_folder(project: Project, name: str) -> tuple[str, ...]:
    """Return what a folder of a listing is by kind, and by id if it is of one session."""
    for kind in project.kinds:
        called = re.fullmatch(kind.called, name) if kind.called else None
        if called:
            return (kind.name, called["id"])
        if project.form == "listing" and kind.pattern.partition("/")[0] == name:
            return (kind.name,)
    return (name,)
