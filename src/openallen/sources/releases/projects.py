"""The known projects, and those that settings add."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from openallen.errors import NotFoundError, UsageError
from openallen.sources.releases.models import FileKind, Project
from openallen.transport.s3 import S3Location

__all__ = ["PROJECTS", "TERMS", "find_project", "project_from"]

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
        citation=_OBSERVATORY,
    ),
    Project(
        name="visual-coding-neuropixels",
        title="Visual Coding, Neuropixels (no versions)",
        bucket="allen-brain-observatory",
        form="listing",
        prefix="visual-coding-neuropixels/ecephys-cache/",
        kinds=(
            FileKind("ecephys_session", r"session_\d+/session_(?P<id>\d+)\.nwb", "sessions"),
            FileKind("probe", r"session_\d+/probe_(?P<id>\d+)_lfp\.nwb", "probes"),
        ),
        tables={"sessions": "id", "probes": "id", "channels": "id", "units": "id"},
        citation=_OBSERVATORY,
    ),
)
_EYES: Final = Project(
    name="visual-coding-ophys",
    title="Visual Coding, eye tracking (no versions)",
    bucket="visual-coding-ophys-data",
    form="listing",
    citation=_LISTED[0].citation,
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
