"""Which keys of which buckets are of which project: what web addresses are read by.

This module loads nothing but the standard library: every web address is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["HELD", "Held", "held_by", "held_in_settings"]


@dataclass(frozen=True, slots=True)
class Held:
    """Where the files of a project are.

    Parameters
    ----------
    project
        Name of the project.
    bucket
        Name of the bucket.
    prefix
        What keys of its files begin with, up to the path that a release has them by.
    """

    project: str
    bucket: str
    prefix: str


_OBSERVATORY: Final = "allen-brain-observatory"

HELD: Final = (
    Held("visual-behavior-ophys", "visual-behavior-ophys-data", "visual-behavior-ophys/"),
    Held(
        "visual-behavior-neuropixels",
        "visual-behavior-neuropixels-data",
        "visual-behavior-neuropixels/",
    ),
    Held("abc-atlas", "allen-brain-cell-atlas", ""),
    Held("visual-coding-2p", _OBSERVATORY, "visual-coding-2p/"),
    Held("visual-coding-neuropixels", _OBSERVATORY, "visual-coding-neuropixels/ecephys-cache/"),
    Held("visual-coding-ophys", "visual-coding-ophys-data", "visual-coding-ophys/"),
)
"""Where the projects that are known have their files."""


def held_in_settings(projects: Mapping[str, Mapping[str, Any]]) -> tuple[Held, ...]:
    """Return where the projects that settings add have their files."""
    found = []
    for name, told in projects.items():
        whole = told.get("form") == "abc-atlas"
        prefix = "" if whole else str(told.get("prefix") or f"{name}/")
        found.append(Held(name, str(told.get("bucket", "")), prefix))
    return tuple(found)


def held_by(bucket: str, key: str, held: Iterable[Held] = HELD) -> tuple[str, str] | None:
    """Return the project a key is of, and the path that a release has the file by.

    The path is empty for the bucket itself, or a prefix above the files of one project only.
    None for every other key.
    """
    here = [h for h in held if h.bucket == bucket]
    for one in here:
        if key.startswith(one.prefix):
            return one.project, key.removeprefix(one.prefix)
    above = f"{key.strip('/')}/" if key.strip("/") else ""
    below = [one for one in here if one.prefix.startswith(above)]
    return (below[0].project, "") if len(below) == 1 else None
