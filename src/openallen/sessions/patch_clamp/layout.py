"""Where the sweeps of a patch-clamp file lie: which series is a response, which its stimulus.

Three layouts have sweeps. Cell Types (NWB 1) names them ``Sweep_N`` in ``acquisition/timeseries``
and ``stimulus/presentation``. MIES (NWB 2) names them ``data_N_AD0`` and ``data_N_DA0``. Others
(NWB 2) tell the number in the attribute ``sweep_number``, in a table of sweeps, or in one of
recordings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import IntegrityError, NotFoundError

if TYPE_CHECKING:
    from openallen.formats.nwb import Tree

__all__ = [
    "ELECTRODES",
    "Place",
    "SweepPlace",
    "electrode_name",
    "holds_sweeps",
    "is_cell_types",
    "numbers_in",
    "own_number",
    "place_of",
    "sweep_places",
]

ELECTRODES: Final = "general/intracellular_ephys"
_RECORDINGS: Final = f"{ELECTRODES}/intracellular_recordings"
_TOGETHER: Final = f"{ELECTRODES}/simultaneous_recordings"
_TABLE: Final = f"{ELECTRODES}/sweep_table"
_ACQUIRED: Final = "acquisition/timeseries"
_PRESENTED: Final = "stimulus/presentation"
_FOLDERS: Final = {"response": ("acquisition", _ACQUIRED), "stimulus": (_PRESENTED,)}
_SWEEP: Final = re.compile(r"Sweep_([0-9]{1,9})")
_MIES: Final = re.compile(r"data_([0-9]{1,9})_(?:AD|DA)([0-9]{1,4})")
_ENDING: Final = re.compile(r"([0-9]{1,9})$")
_FAMILY: Final = re.compile(r"(?:Current|Voltage|IZero|Patch)Clamp(?:Stimulus)?Series")
_LIKELY: Final = re.compile(rf"{_FAMILY.pattern}|{_MIES.pattern}")
_MOST: Final = 10**9
_LIKELY_FIRST: Final = 12
_CHANNELS: Final = 8


@dataclass(frozen=True)
class Place:
    """A series over time, or part of one.

    Parameters
    ----------
    path
        Where the series is in the file.
    span
        First sample and number of samples; None for all.
    """

    path: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class SweepPlace:
    """One sweep of one electrode.

    Parameters
    ----------
    number
        Number of the sweep.
    name
        Name of its response, else of its stimulus.
    response, stimulus
        Where they are; None for what is not there.
    """

    number: int
    name: str
    response: Place | None = None
    stimulus: Place | None = None

    @property
    def any_path(self) -> str:
        """Path of the response, else of the stimulus."""
        return (self.response or self.stimulus or Place("")).path


@dataclass(frozen=True)
class _Series:
    role: str
    path: str
    number: int | None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def is_cell_types(tree: Tree) -> bool:
    """Return whether a file has the layout of the Cell Types Database: ``Sweep_N`` in NWB 1.

    The names of a group lie all over a file, so that listing those of one far away costs dozens
    of requests: the names that most files have are looked up first.
    """
    if not tree.has(_ACQUIRED):
        return False
    for number in range(_LIKELY_FIRST):
        if tree.has(f"{_ACQUIRED}/Sweep_{number}"):
            # Of a damaged file every name counts as there; what is, can be read.
            tree.attrs(f"{_ACQUIRED}/Sweep_{number}")
            return True
    return any(_SWEEP.fullmatch(name) for name in tree.names(_ACQUIRED))


def holds_sweeps(tree: Tree) -> bool:
    """Return whether a file has sweeps of a patched cell."""
    if is_cell_types(tree):
        return True
    if tree.has(ELECTRODES) and any(
        tree.has(f"acquisition/data_00000_AD{channel}") for channel in range(_CHANNELS)
    ):
        return True
    acquired = tree.names("acquisition")
    if tree.has(ELECTRODES) or "timeseries" in acquired or any(map(_LIKELY.search, acquired)):
        return next(_found(tree, "response"), None) is not None
    return False


def place_of(tree: Tree, number: int, *, cell_types: bool) -> tuple[SweepPlace, ...]:
    """Return where one sweep is, by the names that files of Cell Types and MIES give its series.

    Nothing where these are not there: then `sweep_places` tells it, by the names of all.

    Parameters
    ----------
    tree
        The file.
    number
        Number of the sweep.
    cell_types
        Whether the file is one of Cell Types.
    """
    if not 0 <= number < _MOST:
        return ()
    if cell_types:
        paths = {"response": f"{_ACQUIRED}/Sweep_{number}",
                 "stimulus": f"{_PRESENTED}/Sweep_{number}"}  # fmt: skip
        there = {role: Place(path) for role, path in paths.items() if tree.has(path)}
        return (SweepPlace(number, f"Sweep_{number}", **there),) if len(there) == 2 else ()
    found = []
    for role, folder, kind in (("response", "acquisition", "AD"), ("stimulus", _PRESENTED, "DA")):
        for channel in range(_CHANNELS):
            path = f"{folder}/data_{number:05}_{kind}{channel}"
            if tree.has(path):
                found.append((number, _Series(role, path, number)))
    return tuple(_paired(tree, found)) if {one.role for _, one in found} >= {"response"} else ()


def sweep_places(tree: Tree) -> dict[int, tuple[SweepPlace, ...]]:
    """Return where each sweep is, in the order of their numbers; several for several electrodes."""
    if is_cell_types(tree):
        return _cell_types(tree)
    recorded = _recorded(tree)
    if recorded is not None:
        return _in_order(recorded)
    series = [*_found(tree, "response"), *_found(tree, "stimulus")]
    return _in_order(_paired(tree, _numbered(tree, series)))


def _in_order(places: Iterable[SweepPlace]) -> dict[int, tuple[SweepPlace, ...]]:
    made: dict[int, list[SweepPlace]] = {}
    for place in places:
        made.setdefault(place.number, []).append(place)
    return {number: tuple(made[number]) for number in sorted(made)}


# --- Cell Types -----------------------------------------------------------------------------------


def numbers_in(tree: Tree, folder: str, word: str = "Sweep") -> dict[int, str]:
    """Return the names ``WORD_N`` in a group by their numbers, in the order of the file."""
    wanted = re.compile(rf"{word}_([0-9]{{1,9}})")
    found: dict[int, str] = {}
    for name in tree.names(folder):
        told = wanted.fullmatch(name)
        if told is not None and (int(told[1]) not in found or name == f"{word}_{int(told[1])}"):
            found[int(told[1])] = name
    return found


def _cell_types(tree: Tree) -> dict[int, tuple[SweepPlace, ...]]:
    responses, stimuli = numbers_in(tree, _ACQUIRED), numbers_in(tree, _PRESENTED)
    epochs = numbers_in(tree, "epochs")
    made = []
    for number in sorted({*responses, *stimuli, *epochs}):
        there = {
            role: Place(f"{folder}/{names[number]}") if number in names else None
            for role, folder, names in (
                ("response", _ACQUIRED, responses),
                ("stimulus", _PRESENTED, stimuli),
            )
        }
        for role in ("response", "stimulus"):
            link = f"epochs/{epochs.get(number)}/{role}/timeseries"
            if there[role] is None and number in epochs and tree.has(link):
                there[role] = Place(link)
        made.append(SweepPlace(number, f"Sweep_{number}", **there))
    return _in_order(made)


# --- others ---------------------------------------------------------------------------------------


def _found(tree: Tree, role: str) -> Iterator[_Series]:
    """Walk through the patch-clamp series of a role, with the numbers they tell themselves."""
    for folder in _FOLDERS[role]:
        for name in tree.groups(folder):
            path = f"{folder}/{name}"
            told = _attrs(tree, path)
            if _FAMILY.search(f"{told.get('neurodata_type', '')} {told.get('ancestry', '')}"):
                yield _Series(role, path, _own_number(tree, path, told))


def own_number(tree: Tree, path: str) -> int | None:
    """Return the number of a sweep that a series tells itself; None where it tells none."""
    return _own_number(tree, path, _attrs(tree, path))


def _own_number(tree: Tree, path: str, told: Mapping[str, Any]) -> int | None:
    raw = told.get("sweep_number")
    if raw is None and tree.has(f"{path}/sweep_number"):
        try:
            raw = tree.value(f"{path}/sweep_number")
        except (IntegrityError, NotFoundError):
            return None
    return _whole(raw)


def _whole(raw: Any) -> int | None:
    """Return a number of a sweep; None for what is none (NaN, text, negative, beyond all sense)."""
    try:
        found = int(raw)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if 0 <= found < _MOST and found == raw else None


def _attrs(tree: Tree, path: str) -> Mapping[str, Any]:
    try:
        return tree.attrs(path)
    except (IntegrityError, NotFoundError):
        return {}


def _numbered(tree: Tree, series: list[_Series]) -> list[tuple[int, _Series]]:
    """Return series with their numbers: their own, the table's, the name's, or their order."""
    listed = _listed(tree) if any(one.number is None for one in series) else {}
    made: list[tuple[int, _Series]] = []
    order = {"response": 0, "stimulus": 0}
    for one in series:
        name = _MIES.fullmatch(one.name) or _ENDING.search(one.name)
        guesses = (one.number, listed.get(one.path), int(name[1]) if name else None)
        number = next((n for n in guesses if n is not None), order[one.role])
        order[one.role] = max(order[one.role], number) + 1
        made.append((number, one))
    return made


def _listed(tree: Tree) -> dict[str, int]:
    """Return the numbers of series by the table of sweeps."""
    from openallen.formats.nwb import frame

    if not tree.has(f"{_TABLE}/series"):
        return {}
    try:
        table = frame(tree, _TABLE, set(), "id")
        rows = zip(table["series"], table["sweep_number"], strict=True)
    except (IntegrityError, NotFoundError, KeyError, ValueError):
        return {}
    found: dict[str, int] = {}
    for several, raw in rows:
        number = _whole(raw)
        paths = [several] if isinstance(several, str) else several
        found |= {str(path).strip("/"): number for path in paths or () if number is not None}
    return found


def _paired(tree: Tree, series: list[tuple[int, _Series]]) -> Iterator[SweepPlace]:
    for number in dict.fromkeys(number for number, _ in series):
        mine = [one for told, one in series if told == number]
        responses = [one for one in mine if one.role == "response"]
        stimuli = [one for one in mine if one.role == "stimulus"]
        for response in responses:
            alone = len(responses) == 1 and len(stimuli) == 1
            stimulus = stimuli[0] if alone else _partner(tree, response, stimuli)
            if stimulus is not None:
                stimuli.remove(stimulus)
            given = Place(stimulus.path) if stimulus else None
            yield SweepPlace(number, response.name, Place(response.path), given)
        for one in stimuli:
            yield SweepPlace(number, one.name, None, Place(one.path))


def _partner(tree: Tree, response: _Series, stimuli: list[_Series]) -> _Series | None:
    """Return the stimulus of the same electrode, else of the same channel."""
    mine = _electrode(tree, response.path)
    if mine is not None:
        alike = [one for one in stimuli if _electrode(tree, one.path) == mine]
        if len(alike) == 1:
            return alike[0]
    channel = _ENDING.search(response.name)
    alike = [one for one in stimuli if channel and (told := _ENDING.search(one.name)) and
             told[1] == channel[1]]  # fmt: skip
    return alike[0] if len(alike) == 1 else None


def _electrode(tree: Tree, path: str) -> object:
    try:
        return tree.identity(f"{path}/electrode") if tree.has(f"{path}/electrode") else None
    except (IntegrityError, NotFoundError):
        return None


def electrode_name(tree: Tree, place: SweepPlace) -> str:
    """Return the name of the electrode of a sweep; empty where the file does not say it."""
    mine = _electrode(tree, place.any_path)
    if mine is None:
        return ""
    try:
        names = tree.groups(ELECTRODES)
        return next((n for n in names if tree.identity(f"{ELECTRODES}/{n}") == mine), "")
    except (IntegrityError, NotFoundError):
        return ""


# --- tables of recordings -------------------------------------------------------------------------


def _recorded(tree: Tree) -> list[SweepPlace] | None:
    """Return sweeps by the table of recordings, where the series alone do not tell them apart.

    A row of it points at parts of series, which may be longer than one sweep. Recordings made at
    the same time have one number: the id of their row in the table of those.
    """
    if not tree.has(f"{_RECORDINGS}/responses/response"):
        return None
    responses = list(_found(tree, "response"))
    try:
        rows = tree.shape(f"{_RECORDINGS}/id")[0]
        if rows <= len(responses) and all(one.number is not None for one in responses):
            return None
        told = {r: _references(tree, f"{_RECORDINGS}/{where}") for r, where in
                (("response", "responses/response"), ("stimulus", "stimuli/stimulus"))}  # fmt: skip
        numbers = _recording_numbers(tree, rows)
    except (IntegrityError, NotFoundError, IndexError):
        return None
    made = []
    for row, number in enumerate(numbers):
        there = {r: part[row] if row < len(part) else None for r, part in told.items()}
        first = there["response"] or there["stimulus"]
        if first is not None:
            made.append(SweepPlace(number, first.path.rpartition("/")[2], **there))
    return made or None


def _references(tree: Tree, path: str) -> list[Place | None]:
    if not tree.has(path):
        return []
    made: list[Place | None] = []
    for one in tree.array(path).tolist():
        start, count, where = one if isinstance(one, tuple) and len(one) == 3 else (-1, -1, None)
        first, number = _whole(start), _whole(count)
        if not isinstance(where, str) or first is None or not number:
            made.append(None)
        else:
            made.append(Place(where.strip("/"), (first, number)))
    return made


def _recording_numbers(tree: Tree, rows: int) -> list[int]:
    ids = [_whole(raw) for raw in tree.array(f"{_RECORDINGS}/id").tolist()]
    numbers = [row if told is None else told for row, told in enumerate(ids)]
    if not tree.has(f"{_TOGETHER}/recordings_index"):
        return numbers
    ends = tree.array(f"{_TOGETHER}/recordings_index").tolist()
    members = tree.array(f"{_TOGETHER}/recordings").tolist()
    together = tree.array(f"{_TOGETHER}/id").tolist()
    begin = 0
    for end, raw in zip(ends, together, strict=False):
        stop, number = _whole(end), _whole(raw)
        if stop is None:
            break
        for row in map(_whole, members[begin:stop]):
            if number is not None and row is not None and row < rows:
                numbers[row] = number
        begin = stop
    return numbers
