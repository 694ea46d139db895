"""What was shown in a Visual Coding Neuropixels session: presentations, conditions, epochs.

Values, names and gaps are those that AllenSDK 2.16.2 gives. In these tables ``"null"`` stands for
what does not apply, since pandas leaves rows with gaps out of groups.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError
from openallen.sessions.stimuli import as_truth, concatenated

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = [
    "DETAILS",
    "NULL",
    "condition_table",
    "epochs",
    "intervals_between",
    "condition_ids",
    "masked",
    "parameter_values",
    "presentation_table",
    "without_details",
    "without_unused",
]

NULL: Final = "null"
INVALID: Final = "invalid_presentation"
DETAILS: Final = frozenset({
    "colorSpace", "flipHoriz", "flipVert", "depth", "interpolate", "mask", "opacity", "rgbPedestal",
    "tex", "texRes", "units", "rgb", "signalDots", "noiseDots", "fieldSize", "fieldShape",
    "fieldPos", "nDots", "dotSize", "dotLife", "color_triplet",
})  # fmt: skip
"""Parameters that say how a stimulus was drawn rather than what was shown."""

_FIRST: Final = ("stimulus_block", "start_time", "stop_time", "stimulus_name")
_NOT_OF_CONDITIONS: Final = frozenset({"start_time", "stop_time", "duration", "stimulus_block"})
_NOT_PARAMETERS: Final = _NOT_OF_CONDITIONS | {"stimulus_name", "stimulus_condition_id"}
_STIMULI: Final = {
    "": "spontaneous",
    "Natural Images": "natural_scenes",
    "Natural_Images_Shuffled": "natural_scenes_shuffled",
    "Natural_Images_Sequential": "natural_scenes_sequential",
    "flash_250ms": "flashes",
    "gabor_20_deg_250ms": "gabors",
    "contrast_response": "drifting_gratings_contrast",
    "drifting_gratings_more_repeats": "drifting_gratings_75_repeats",
    "motion_stimulus": "dot_motion",
    "signal_noise_test_0_200_repeats": "test_movie_one",
    "signal_noise_test_0": "test_movie_one",
    "signal_noise_test_1": "test_movie_two",
    "signal_noise_session_1": "dense_movie_one",
    "signal_noise_session_2": "dense_movie_two",
    "signal_noise_session_3": "dense_movie_three",
    "signal_noise_session_4": "dense_movie_four",
    "signal_noise_session_5": "dense_movie_five",
    "signal_noise_session_6": "dense_movie_six",
}
_COLUMNS: Final = {
    "Contrast": "contrast",
    "Ori": "orientation",
    "SF": "spatial_frequency",
    "TF": "temporal_frequency",
    "Phase": "phase",
    "Color": "color",
    "Image": "frame",
    "Pos_x": "x_position",
    "Pos_y": "y_position",
}
_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT: Final = re.compile(r"(natural_movie_)([1-9])(?!\d)")
_NUMBERED: Final = re.compile(rf"natural_movie_({'|'.join(_NUMBERS)})(?![a-z])")
_SHUFFLED: Final = "natural_movie_shuffled"


def presentation_table(tree: Tree) -> pd.DataFrame:
    """Read what was shown, in order of time, with all parameters.

    Returns
    -------
    DataFrame
        Index ``stimulus_presentation_id``; ``start_time``, ``stop_time`` and ``duration`` in s,
        ``stimulus_condition_id``, a column for each parameter. ``"null"`` where one does not apply.
        Columns between the first four and the last two come in alphabetical order (AllenSDK
        changes theirs from run to run).

    Raises
    ------
    CorruptError
        If presentations have no times.
    """
    made = concatenated(tree).drop(columns="stimulus_index", errors="ignore")
    if "stimulus_name" not in made:
        made["stimulus_name"] = _series([NULL] * len(made), made.index)
    for name in ("start_time", "stop_time"):
        if name not in made or made[name].dtype.kind not in "fiu":
            what = f"presentations without {name}"
            raise CorruptError(what, address=tree.name, why="there is no such column of numbers")
    for name in made.columns:
        if name not in {"start_time", "stop_time", "stimulus_name"}:
            made[name] = as_truth(made[name])
    made = made.sort_values("start_time", kind="stable", ignore_index=True)
    made.index.name = "stimulus_presentation_id"
    made = _renamed(made)
    made["stimulus_name"] = _stimulus_names(made["stimulus_name"])
    if "color" in made:
        made["color"], three = _colours(made["color"])
        if "color_triplet" in made:
            three = three.where(three != "", made["color_triplet"])
        made["color_triplet"] = three
    for name in made.columns:
        if name not in {"start_time", "stop_time"}:
            made[name] = _filled(made[name])
    made["duration"] = made["stop_time"] - made["start_time"]
    first = [name for name in _FIRST if name in made]
    rest = sorted(set(made.columns) - {*first, "duration"})
    made = made[[*first, *rest, "duration"]]
    made["stimulus_condition_id"] = condition_ids(made)
    return made


def _renamed(made: pd.DataFrame) -> pd.DataFrame:
    """Rename columns of older files; a name that is there already has its gaps filled instead."""
    for old in list(made.columns):
        spelled = next((n for n in _COLUMNS.values() if n == old.lower() and n in made), None)
        new = _COLUMNS.get(old, spelled)
        if new is None or new == old:
            continue
        if new not in made:
            made = made.rename(columns={old: new})
            continue
        cells = made[new].to_numpy(dtype=object, copy=True)
        gaps = _gaps(cells)
        cells[gaps] = made[old].to_numpy(dtype=object)[gaps]
        made = made.drop(columns=old)
        made[new] = _series(cells, made.index)
    return made


def _stimulus_names(column: pd.Series) -> pd.Series:
    """Give stimuli the names of the publications; movies are numbered in words."""
    # A table without names, beside others that have them, is one of spontaneous activity.
    told = [name if isinstance(name, str) else "" for name in column]
    spelled = {name: _DIGIT.sub(_in_words, name) for name in dict.fromkeys(told)}
    numbers = {found[1] for name in spelled.values() if (found := _NUMBERED.search(name))}
    known = dict(_STIMULI)
    if len(numbers) == 1:  # which movie was shuffled is not in its name
        shuffled = f"natural_movie_{numbers.pop()}_shuffled"
        known |= {name: shuffled for name in spelled.values() if _SHUFFLED in name}
    return _series([known.get(spelled[name], spelled[name]) for name in told], column.index)


def _in_words(found: re.Match[str]) -> str:
    return f"{found[1]}{_NUMBERS[int(found[2]) - 1]}"


def _colours(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return colours as numbers, gray levels from -1 to 1, and those of three parts as text."""
    if column.dtype != object:
        return column, _series([""] * len(column), column.index)
    told = {text: _colour(text) for text in dict.fromkeys(v for v in column if isinstance(v, str))}
    gray, three = [], []
    for value in column:
        found = told.get(value, value) if isinstance(value, str) else value
        gray.append("" if isinstance(found, list) else found)
        three.append(value if isinstance(found, list) else "")
    return _series(gray, column.index), _series(three, column.index)


def _colour(text: str) -> Any:
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    if isinstance(found, (int, float)):
        return float(found)
    return found if isinstance(found, list) and len(found) > 1 else text


def _gaps(cells: Any) -> np.ndarray[Any, Any]:
    """Return where nothing is: gaps, and empty text."""
    import numpy as np
    import pandas as pd

    found: np.ndarray[Any, Any] = np.array(pd.isna(cells))
    if cells.dtype != object:
        return found
    blank = np.fromiter((isinstance(v, str) and not v for v in cells), bool, len(cells))
    found |= blank
    return found


def _filled(column: pd.Series) -> pd.Series:
    """Put ``"null"`` where nothing is; columns without gaps keep their type."""
    import numpy as np

    gaps = _gaps(column)
    if column.dtype == object and any(isinstance(v, (np.ndarray, list)) for v in column):
        # Rows of several values are compared and counted like others.
        column = _series(
            [tuple(np.ravel(v).tolist()) if np.ndim(v) else v for v in column], column.index
        )
    if not gaps.any():
        return column.astype(bool) if str(column.dtype) == "boolean" else column
    cells = column.to_numpy(dtype=object, copy=True)
    cells[gaps] = NULL
    return _series(cells, column.index)


def _series(cells: Any, index: pd.Index) -> pd.Series:
    import pandas as pd

    return pd.Series(cells, index=index, dtype=object)


def condition_ids(made: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return the number of each row of parameters, in the order in which they were first shown."""
    import numpy as np
    import pandas as pd

    ids = np.zeros(len(made), dtype="int64")
    for name in made.columns.difference(list(_NOT_OF_CONDITIONS), sort=False):
        codes, values = pd.factorize(made[name])
        ids, _ = pd.factorize(ids * (len(values) + 1) + codes)
    return ids.astype("int64")


def condition_table(made: pd.DataFrame) -> pd.DataFrame:
    """Return each condition's parameters; index ``stimulus_condition_id``.

    Parameters
    ----------
    made
        As `presentation_table` returns it.
    """
    first = made.drop_duplicates("stimulus_condition_id").set_index("stimulus_condition_id")
    found = first.drop(columns=[n for n in _NOT_OF_CONDITIONS if n in first])
    for name in found.columns:
        column = found[name]
        if column.dtype == object and len(column) and all(isinstance(v, float) for v in column):
            found[name] = column.astype("float64")
    return found


def masked(made: pd.DataFrame, invalid: Iterable[tuple[float, float]]) -> pd.DataFrame:
    """Return presentations with those in invalid times named so, and their parameters left out.

    Parameters
    ----------
    made
        As `presentation_table` returns it.
    invalid
        From and to, in s; a presentation that touches one is invalid.
    """
    import numpy as np

    start, stop = made["start_time"].to_numpy(), made["stop_time"].to_numpy()
    bad = np.zeros(len(made), dtype=bool)
    for from_s, to_s in invalid:
        bad |= (start <= to_s) & (stop >= from_s)
    if not bad.any():
        return made
    found = made.copy()
    for name in found.columns.difference(["start_time", "stop_time", "stimulus_name"], sort=False):
        column = found[name]
        found[name] = column.astype(float if column.dtype.kind in "iuf" else object)
        found.loc[bad, name] = np.nan
    found.loc[bad, "stimulus_name"] = INVALID
    return found


def without_details(made: pd.DataFrame) -> pd.DataFrame:
    """Return presentations without the parameters of how stimuli were drawn (`DETAILS`)."""
    return made.drop(columns=[name for name in made.columns if name in DETAILS])


def without_unused(made: pd.DataFrame) -> pd.DataFrame:
    """Return presentations without the columns that apply to none of them."""
    return made[[name for name in made.columns if _used(made[name])]]


def _used(column: pd.Series) -> bool:
    if not len(column) or bool(column.isna().all()):
        return False
    return column.dtype != object or not bool((column == NULL).all())


def parameter_values(made: pd.DataFrame, *, drop_nulls: bool) -> dict[str, Any]:
    """Return the values of each parameter that applies, in the order in which they were shown.

    Parameters
    ----------
    made
        Presentations.
    drop_nulls
        Leave out ``"null"``; else it comes last where it is among them.
    """
    import pandas as pd

    found = {}
    for name in without_unused(without_details(made)).columns:
        if name in _NOT_PARAMETERS:
            continue
        values = pd.unique(made[name])
        if values.dtype == object:
            null = [isinstance(v, str) and v == NULL for v in values]
            kept = [v for v, gone in zip(values, null, strict=True) if not gone]
            rest = [NULL] if any(null) and not drop_nulls else []
            values = _objects([*kept, *rest])
        found[name] = values
    return found


def _objects(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def epochs(made: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """Return stretches of presentations of one block.

    Parameters
    ----------
    made
        Presentations.
    thresholds
        Stimuli by name, with the s that their epochs last at least; shorter ones are left out.

    Returns
    -------
    DataFrame
        ``start_time``, ``stop_time`` and ``duration`` in s, ``stimulus_name`` (of the first
        presentation) and ``stimulus_block``.
    """
    import numpy as np
    import pandas as pd

    names = ("start_time", "stop_time", "duration", "stimulus_name", "stimulus_block")
    if not len(made):
        return pd.DataFrame({n: pd.Series(dtype=_epoch_type(n)) for n in names})
    if "stimulus_block" not in made:
        made = made.assign(stimulus_block=_series([NULL] * len(made), made.index))
    codes, _ = pd.factorize(made["stimulus_block"], use_na_sentinel=False)
    first = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    last = np.r_[first[1:], len(made)] - 1
    found = made.iloc[first][["start_time", "stop_time", "stimulus_name", "stimulus_block"]]
    found = found.reset_index(drop=True)
    found["stop_time"] = made["stop_time"].to_numpy()[last]
    found["duration"] = found["stop_time"] - found["start_time"]
    for name, shortest_s in thresholds.items():
        found = found[(found["stimulus_name"] != name) | (found["duration"] >= shortest_s)]
    return found[list(names)]


def _epoch_type(name: str) -> str:
    return "object" if name.startswith("stimulus") else "float64"


def intervals_between(
    made: pd.DataFrame, kept: Callable[[Any], Any] | Collection[int] | None = None
) -> pd.DataFrame:
    """Return the s between the end of each presentation and the start of the next.

    Parameters
    ----------
    made
        All presentations.
    kept
        Ids of presentations both of which must be among these; all where None.

    Returns
    -------
    DataFrame
        ``interval`` in s; index ``from_presentation_id`` and ``to_presentation_id``.
    """
    import pandas as pd

    ids = made.index.to_numpy()
    index = pd.MultiIndex.from_arrays(
        [ids[:-1], ids[1:]], names=["from_presentation_id", "to_presentation_id"]
    )
    gaps = made["start_time"].to_numpy()[1:] - made["stop_time"].to_numpy()[:-1]
    found = pd.DataFrame({"interval": gaps}, index=index)
    if kept is None:
        return found
    inside = made.index.isin(list(kept)) if not callable(kept) else kept(made)
    return found[inside[:-1] & inside[1:]]
