"""What a behavior session looks like: running, pupil, licks, rewards, trials, what was shown.

What a file does not have is left out. What it has is read when it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, OpenAllenError
from openallen.visuals import (
    EventTrack,
    IntervalTrack,
    TableVisual,
    TracesVisual,
    Track,
    Visual,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb import Tree
    from openallen.sessions.behavior import BehaviorSession

    Series = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

__all__ = [
    "behavior_events",
    "behavior_intervals",
    "behavior_tables",
    "behavior_tracks",
    "behavior_visuals",
    "span_of",
    "traces_visual",
]

_CLOCKS: Final = (
    "processing/stimulus/timestamps/timestamps",
    "processing/running/speed/timestamps",
    "processing/ophys/dff/traces/timestamps",
    "acquisition/EyeTracking/eye_tracking/timestamps",
)
_OUTCOMES: Final = (
    ("auto_rewarded", "auto-rewarded"),
    ("aborted", "aborted"),
    ("hit", "hit"),
    ("miss", "miss"),
    ("false_alarm", "false alarm"),
    ("correct_reject", "correct reject"),
)


def span_of(tree: Tree, paths: Sequence[str] = _CLOCKS) -> tuple[float, float]:
    """Return from when to when a file has something; zeros where it has nothing.

    Parameters
    ----------
    tree
        The file.
    paths
        Arrays of ascending times.
    """
    firsts, lasts = [], []
    for path in paths:
        try:
            if tree.has(path) and tree.shape(path)[0]:
                firsts.append(float(tree.item(path, 0)))
                lasts.append(float(tree.item(path, -1)))
        except (OpenAllenError, IndexError, TypeError, ValueError):
            continue  # one damaged clock does not cost the others
    return min(firsts, default=0.0), max(lasts, default=0.0)


def behavior_visuals(session: BehaviorSession) -> tuple[Visual, ...]:
    """Return the views of a behavior session.

    Parameters
    ----------
    session
        The session.
    """
    return (*traces_visual(session, ()), *behavior_tables(session))


def traces_visual(
    session: BehaviorSession, first: Sequence[Track], **more: Any
) -> tuple[TracesVisual, ...]:
    """Return the view of all that runs along time; none where there is nothing.

    Parameters
    ----------
    session
        The session.
    first
        Tracks that come before those of behavior.
    **more
        Further fields of `TracesVisual`.
    """
    from_s, to_s = span_of(session.tree)
    tracks = (*first, *behavior_tracks(session))
    intervals, events = behavior_intervals(session), behavior_events(session)
    if not tracks and not events and not intervals:
        return ()
    return (
        TracesVisual(
            name="traces",
            title="Traces",
            from_s=from_s,
            to_s=to_s,
            tracks=tracks,
            intervals=intervals,
            events=events,
            **more,
        ),
    )


def behavior_tracks(session: BehaviorSession) -> tuple[Track, ...]:
    """Return running speed and the area of the pupil, where the file has them."""
    found = []
    if session.tree.has("processing/running/speed/data"):
        read = _columns(lambda: session.running_speed, "timestamps", "speed")
        found.append(
            Track(name="running", title="running", unit="cm/s", group="running", read=read)
        )
    if session.tree.has("acquisition/EyeTracking"):
        read = _columns(lambda: session.eye_tracking, "timestamps", "pupil_area")
        found.append(Track(name="pupil", title="pupil area", unit="px²", group="pupil", read=read))
    return tuple(found)


def _columns(table: Callable[[], pd.DataFrame], x: str, y: str) -> Callable[[], Series]:
    def read() -> Series:
        found = table()
        return found[x].to_numpy("float64"), found[y].to_numpy("float64")

    return read


def behavior_events(session: BehaviorSession) -> tuple[EventTrack, ...]:
    """Return licks and rewards, where the file has them."""
    found = []
    if session.tree.has("processing/licking/licks"):
        found.append(EventTrack(name="licks", title="licks", read=lambda: _times(session.licks)))
    if session.tree.has("processing/rewards"):
        found.append(
            EventTrack(name="rewards", title="rewards", read=lambda: _times(session.rewards))
        )
    return tuple(found)


def _times(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = table["timestamps"].to_numpy("float64")
    return found


def behavior_intervals(session: BehaviorSession) -> tuple[IntervalTrack, ...]:
    """Return what was shown, changes of the image, and trials, where the file has them."""
    found = []
    if _shown(session.tree):
        found.append(
            IntervalTrack(
                name="stimuli",
                title="stimuli",
                table="stimulus_presentations",
                read=lambda: _presentations(session),
            )
        )
    if session.tree.has("intervals/trials"):
        found.append(
            IntervalTrack(
                name="trials", title="trials", table="trials", read=lambda: _outcomes(session)
            )
        )
        found.append(IntervalTrack(name="changes", title="changes", read=lambda: _changes(session)))
    return tuple(found)


def _shown(tree: Tree) -> bool:
    if not tree.has("intervals"):
        return False
    return any(name.endswith("_presentations") for name in tree.names("intervals"))


Stretches = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "list[str]"]


def _presentations(session: BehaviorSession) -> Stretches:
    table = session.stimulus_presentations
    names = [str(n) for n in table.get("stimulus_name", table.index)]
    images = table["image_name"] if "image_name" in table else [None] * len(table)
    labels = [
        image if isinstance(image, str) and image else name
        for image, name in zip(images, names, strict=True)
    ]
    return table["start_time"].to_numpy(float), table["end_time"].to_numpy(float), labels


def _outcomes(session: BehaviorSession) -> Stretches:
    table = session.trials
    labels = ["trial"] * len(table)
    for column, word in _OUTCOMES:
        if column in table:
            told = table[column].to_numpy()
            labels = [
                word if yes is True or yes == 1 else label
                for yes, label in zip(told, labels, strict=True)
            ]
    return table["start_time"].to_numpy(float), table["stop_time"].to_numpy(float), labels


def _changes(session: BehaviorSession) -> Stretches:
    table = session.trials
    for column in ("change_time", "change_time_no_display_delay"):
        if column in table:
            at = table[column].to_numpy(float)
            go = table["go"].to_numpy() if "go" in table else [False] * len(table)
            catch = table["catch"].to_numpy() if "catch" in table else [False] * len(table)
            labels = [
                "go" if g else "catch" if c else "other" for g, c in zip(go, catch, strict=True)
            ]
            return at, at, labels
    raise NotFoundError("no times of changes", address=session.name)


def behavior_tables(session: BehaviorSession) -> tuple[TableVisual, ...]:
    """Return the tables of a session that its file has."""
    tables = []
    if session.tree.has("intervals/trials"):
        tables.append(TableVisual(name="trials", title="Trials", table=lambda: session.trials))
    if _shown(session.tree):
        tables.append(
            TableVisual(
                name="stimulus_presentations",
                title="Stimulus presentations",
                table=lambda: session.stimulus_presentations,
            )
        )
    if session.tree.has("processing/rewards"):
        tables.append(TableVisual(name="rewards", title="Rewards", table=lambda: session.rewards))
    return tuple(tables)
