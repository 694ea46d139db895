"""What was shown: presentations and templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError
from openallen.formats.nwb import columns
from openallen.formats.nwb.tables import as_series

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["as_truth", "concatenated", "presentations", "templates"]

_SKIP: Final = ("tags", "timeseries", "image_set", "index")
_FILLED: Final = (
    "flashes_since_change",
    "image_index",
    "movie_repeat",
    "movie_frame_index",
    "repeat",
    "stimulus_index",
)
_FIRST: Final = (
    "stimulus_block",
    "stimulus_block_name",
    "image_index",
    "image_name",
    "movie_frame_index",
    "duration",
    "start_time",
    "stop_time",
    "start_frame",
    "end_frame",
    "is_change",
    "is_image_novel",
    "omitted",
    "movie_repeat",
    "flashes_since_change",
    "trials_id",
)
_NOTHING: Final = -99


def presentations(tree: Tree, trials: pd.DataFrame, *, recompute: bool) -> pd.DataFrame:
    """Read what was shown, in order of time.

    Parameters
    ----------
    tree
        The file.
    trials
        Its trials.
    recompute
        Whether ``is_change`` and ``flashes_since_change`` are found anew, as the ophys releases
        do; the Neuropixels ones keep what is stored.

    Returns
    -------
    DataFrame
        Index ``stimulus_presentations_id``; times in s with the display's delay, frames counted
        from 0, -99 where a whole number does not apply. Columns behind ``trials_id`` come in
        alphabetical order (AllenSDK changes theirs from run to run).
    """
    made = concatenated(tree)
    for name in made.columns:
        made[name] = as_truth(made[name])
    made = made.sort_values("start_time", kind="stable", ignore_index=True)
    made.index.name = "stimulus_presentations_id"
    if recompute and "image_name" in made:
        made["is_change"] = _is_change(made)
        made["flashes_since_change"] = _flashes_since_change(made)
    for name in _FILLED:
        if name in made:
            made[name] = made[name].fillna(_NOTHING).astype("int64")
    _add_missing(made, trials)
    if "trials_id" in made:
        made["trials_id"] = made["trials_id"].fillna(_NOTHING).astype("int64")
    first = [name for name in _FIRST if name in made]
    rest = sorted(set(made.columns) - set(first))
    return made[[*first, *rest]].rename(columns={"stop_time": "end_time"})


def concatenated(tree: Tree) -> pd.DataFrame:
    """Return the presentations of all stimuli below each other; ``N/A`` is empty text."""
    import pandas as pd

    parts = []
    for name in tree.names("intervals"):
        if name.endswith("_presentations"):
            found = columns(tree, f"intervals/{name}", _SKIP)
            part = pd.DataFrame({n: as_series(c) for n, c in found.items()}, columns=list(found))
            parts.append(part.apply(_without_words_for_none))
    if not parts:
        return pd.DataFrame({"start_time": [], "stop_time": []}, dtype="float64")
    made = parts[0] if len(parts) == 1 else _stacked(parts)
    small = [n for n in made if made[n].dtype.kind in "iu" and made[n].dtype != "int64"]
    return made.astype(dict.fromkeys(small, "int64"))


def _without_words_for_none(column: pd.Series) -> pd.Series:
    """Return a column with empty text for ``N/A``; cells may be arrays, which compare as such."""
    if column.dtype != object:
        return column
    cells = column.to_numpy(copy=True)
    for at, value in enumerate(cells):
        if isinstance(value, str) and value == "N/A":
            cells[at] = ""
    return type(column)(cells, index=column.index, name=column.name, dtype=object)


def _stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below each other; a whole number that is missing somewhere becomes a float."""
    import numpy as np
    import pandas as pd

    names = list(dict.fromkeys(n for part in parts for n in part.columns))
    made = {}
    for name in names:
        kinds = {part[name].dtype.kind for part in parts if name in part}
        whole = all(name in part for part in parts)
        if kinds <= {"i", "u", "f"} and not (whole and len(kinds) == 1):
            dtype: Any = "float64"
        elif whole and len(kinds) == 1 and "O" not in kinds:
            dtype = None
        else:
            dtype = object
        cells = [
            part[name].to_numpy()
            if name in part
            else np.full(len(part), np.nan, dtype="float64" if dtype == "float64" else object)
            for part in parts
        ]
        made[name] = pd.Series(np.concatenate(cells), dtype=dtype)
    return pd.DataFrame(made)


def as_truth(column: pd.Series) -> pd.Series:
    """Turn a float column of zeros, ones and nothing into truth values with gaps."""
    import numpy as np
    import pandas as pd

    if str(column.name).endswith("_index"):
        return column
    if column.dtype == object:
        cells = column.to_numpy()
        known = ~pd.isna(cells)
        if not known.any() or not all(isinstance(v, (bool, np.bool_)) for v in cells[known]):
            return column
        return column.astype("boolean")
    if column.dtype.kind != "f":
        return column
    values = column.to_numpy()
    known = values[~np.isnan(values)]
    return column.astype("boolean") if bool(np.isin(known, (0.0, 1.0)).all()) else column


def _is_change(made: pd.DataFrame) -> Any:
    """Return where an image differs from the one before; omissions are ignored."""
    import numpy as np

    found = np.zeros(len(made), dtype=bool)
    if "omitted" not in made:
        return found
    shown = made["omitted"].astype("boolean").fillna(True).to_numpy(bool)
    at = np.flatnonzero(~shown)
    names = made["image_name"].to_numpy(object)[at]
    found[at[1:]] = names[1:] != names[:-1]
    return found


def _flashes_since_change(made: pd.DataFrame) -> Any:
    """Count flashes since the last change; gray screens and movies count on, as published."""
    import numpy as np

    omitted = np.array(made["image_name"] == "omitted", dtype=bool)
    if "omitted" in made:
        omitted |= made["omitted"].astype("boolean").fillna(False).to_numpy(bool)
    change = made["is_change"].to_numpy(bool)
    found = np.zeros(len(made), dtype="int64")
    last = 0
    for at in range(len(made)):
        if at == 0 or (change[at] and not omitted[at]):
            last = 0
        elif not omitted[at]:
            last += 1
        found[at] = last
    return found


# --- what older files do not have ---------------------------------------------------------------


def _add_missing(made: pd.DataFrame, trials: pd.DataFrame) -> None:
    """Add ``active``, ``trials_id`` and ``is_sham_change`` where the file has none."""
    if not len(trials) or "image_name" not in made:
        return
    if "active" not in made:
        made["active"] = _active(made, trials)
    if "trials_id" not in made:
        made["trials_id"] = _trials_id(made, trials)
    if "is_sham_change" not in made and "stimulus_block" in made:
        made["is_sham_change"] = _sham(made, trials)


def _active(made: pd.DataFrame, trials: pd.DataFrame) -> Any:
    start = made["start_time"].to_numpy()
    first, last = trials["start_time"].iloc[0], trials["stop_time"].iloc[-1]
    found = (start > first) & (start < last) & made["image_name"].notna().to_numpy()
    if "stimulus_block" in made:
        blocks = made["stimulus_block"].to_numpy()
        found = made["stimulus_block"].isin(blocks[found]).to_numpy()
    return found


def _trials_id(made: pd.DataFrame, trials: pd.DataFrame) -> Any:
    import numpy as np

    start = made["start_time"].to_numpy()
    at = np.searchsorted(trials["start_time"].to_numpy(), start, side="left") - 1
    ids = trials.index.to_numpy()
    inside = (at >= 0) & (start < trials["stop_time"].iloc[-1])
    inside &= made["image_name"].notna().to_numpy()
    found = np.where(inside, ids[np.maximum(at, 0)], _NOTHING)
    _copy_to_replay(made, found)
    return found


def _sham(made: pd.DataFrame, trials: pd.DataFrame) -> Any:
    import numpy as np

    there = set(made["trials_id"])
    catch = trials[trials["catch"].astype(bool)]
    frames = {f for i, f in catch["change_frame"].items() if i in there and f != _NOTHING}
    found = made["start_frame"].isin(frames).to_numpy() & made["active"].to_numpy(bool)
    _copy_to_replay(made, found)
    return np.asarray(found, dtype=bool)


def _copy_to_replay(made: pd.DataFrame, found: Any) -> None:
    """Fill a block that replays the images of an active one with what was found of that."""
    if "stimulus_block" not in made or "active" not in made:
        return
    rows = made.groupby("stimulus_block").indices
    active = made["active"].to_numpy(bool)
    names = made["image_name"].to_numpy(object)
    for at in rows.values():
        if active[at].any():
            continue
        for other in rows.values():
            same = len(other) == len(at) and active[other].any()
            if same and list(names[other]) == list(names[at]):
                found[at] = found[other]


# --- templates ----------------------------------------------------------------------------------


def templates(tree: Tree) -> pd.DataFrame | None:
    """Read the images that were shown.

    Returns
    -------
    DataFrame or None
        Index ``image_name``; ``unwarped`` (2-D float, NaN outside what the animal saw) and
        ``warped`` (2-D uint8, as sent to the monitor), rows x columns in px. ``attrs["name"]``
        is the image set. None where only movies were shown.

    Raises
    ------
    CorruptError
        If there are several sets of images.
    """
    import pandas as pd

    names = [n for n in tree.names("stimulus/templates") if "movie" not in n]
    if not names:
        return None
    if len(names) > 1:
        raise CorruptError(
            "several sets of images where one is expected", address=tree.name, why=", ".join(names)
        )
    place = f"stimulus/templates/{names[0]}"
    made = pd.DataFrame(
        {
            "unwarped": as_series(tree.array(f"{place}/unwarped")),
            "warped": as_series(tree.array(f"{place}/data")),
        }
    )
    made.index = pd.Index(tree.array(f"{place}/control_description"), dtype=object)
    made.index.name = "image_name"
    made.attrs["name"] = names[0]
    return made
