"""What was shown in the sessions of Visual Coding, two-photon: stimuli by type of session."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from openallen.errors import UsageError

__all__ = ["STIMULI", "all_stimuli", "stimuli_of"]

STIMULI: Final[Mapping[str, tuple[str, ...]]] = {
    "three_session_A": (
        "drifting_gratings", "natural_movie_one", "natural_movie_three", "spontaneous",
    ),
    "three_session_B": ("static_gratings", "natural_scenes", "natural_movie_one", "spontaneous"),
    "three_session_C": (
        "locally_sparse_noise", "natural_movie_one", "natural_movie_two", "spontaneous",
    ),
    "three_session_C2": (
        "locally_sparse_noise_4deg", "locally_sparse_noise_8deg", "natural_movie_one",
        "natural_movie_two", "spontaneous",
    ),
}  # fmt: skip
"""Stimuli by type of session."""


def all_stimuli() -> list[str]:
    """Return every stimulus, sorted."""
    return sorted({name for shown in STIMULI.values() for name in shown})


def stimuli_of(session_type: str) -> list[str]:
    """Return what was shown in sessions of a type.

    Parameters
    ----------
    session_type
        ``three_session_A``, ``_B``, ``_C`` or ``_C2``.

    Raises
    ------
    UsageError
        If there is no such type, with the nearest.
    """
    if session_type in STIMULI:
        return list(STIMULI[session_type])
    near = get_close_matches(str(session_type), STIMULI, 1)
    raise UsageError(
        f"no such type of session '{session_type}'",
        why=f"there are {', '.join(STIMULI)}",
        hint=near[0] if near else "",
    )
