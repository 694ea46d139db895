"""A release's tables as pandas frames, with types for computing.

Numbers that may be missing are ``Int64``, dates are UTC, lists are lists, and texts are ``object``
columns under pandas 2 and 3 alike. The same columns come in the same order at every run: those of
`ORDER` first, then the others as the file has them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, OpenAllenError, UsageError, requiring
from openallen.formats.csv_tables import read_csv
from openallen.sources.releases.rows import ABNORMAL, TEXT_COLUMNS, abnormal_note, literal_list
from openallen.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["ORDER", "arrow_table", "read_table", "without_abnormal"]

_LOG: Final = logging.getLogger("openallen.releases")

ORDER: Final = (
    "behavior_session_id", "ophys_session_id", "ophys_container_id", "mouse_id", "indicator",
    "full_genotype", "driver_line", "cre_line", "reporter_line", "sex", "age_in_days",
    "imaging_depth", "targeted_structure", "targeted_imaging_depth", "imaging_plane_group_count",
    "imaging_plane_group", "project_code", "session_type", "session_number", "image_set",
    "behavior_type", "passive", "experience_level", "prior_exposures_to_session_type",
    "prior_exposures_to_image_set", "prior_exposures_to_omissions", "date_of_acquisition",
    "equipment_name", "num_depths_per_area", "ophys_experiment_id", "num_targeted_structures",
    "published_at", "isi_experiment_id",
)  # fmt: skip
"""Columns of the ophys tables, in their order."""

_CELLS: Final = "cell_roi_id"
"""Index of the table of cells, whose columns stay as they are."""
_SESSIONS: Final = ("ecephys_session_id", "behavior_session_id")
"""Indices of the tables of Visual Behavior Neuropixels that have numbers with gaps."""
_LISTS: Final = ("ophys_experiment_id", "ophys_container_id", "driver_line")
_WHOLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "visual-behavior-ophys": (
            "session_number", "age_in_days", "prior_exposures_to_image_set",
            "prior_exposures_to_session_type", "prior_exposures_to_omissions", "ophys_session_id",
            "imaging_plane_group_count", "imaging_plane_group", "targeted_areas",
            "num_depths_per_area", "num_targeted_structures", "cell_specimen_id",
        ),
        "visual-behavior-neuropixels": (
            "prior_exposures_to_image_set", "ecephys_session_id", "unit_count", "probe_count",
            "channel_count",
        ),
    }
)  # fmt: skip


def read_table(path: Path, project: str, index: str) -> pd.DataFrame:
    """Read a table of a release.

    Parameters
    ----------
    path
        The CSV file.
    project
        The project; the ophys tables are arranged as AllenSDK arranges them.
    index
        The column that becomes the index; empty for none.

    Raises
    ------
    CorruptError
        If it is not such a table.
    MissingExtraError
        Without the extra ``tables``.
    """
    texts = dict.fromkeys(TEXT_COLUMNS.get(project, ()), str)
    try:
        with requiring("tables as pandas", "tables"):
            frame = read_csv(path, str(path), dtype=texts, low_memory=False)
        if index and index not in frame.columns:
            why = f"no column {index}"
            raise CorruptError("not a table of this kind", address=str(path), why=why)
        return _arranged(frame, project, index)
    except OpenAllenError:
        raise
    # A ParserError is a ValueError, as is what a date or a number that is none raises.
    except (ValueError, TypeError, OverflowError) as error:
        raise CorruptError("not a table", address=str(path), why=str(error)[:200]) from error


def _arranged(frame: pd.DataFrame, project: str, index: str) -> pd.DataFrame:
    """Return a table with the types, the index and the order of columns that AllenSDK gives it."""
    import pandas as pd

    texts = [n for n in frame.columns if pd.api.types.is_string_dtype(frame[n].dtype)]
    for name in texts:
        frame[name] = frame[name].astype(object)
    if project == "visual-behavior-ophys":
        frame = _ophys(frame, index)
    plain = project == "visual-behavior-neuropixels" and index not in _SESSIONS
    for name in () if plain else _WHOLE.get(project, ()):
        if name in frame.columns:
            frame[name] = frame[name].astype("Int64")
    return frame.set_index(index) if index else frame


def _ophys(frame: pd.DataFrame, index: str) -> pd.DataFrame:
    import pandas as pd

    for name in _LISTS:
        if name in frame.columns and frame[name].dtype == object:
            frame[name] = frame[name].map(_literal)
    if "date_of_acquisition" in frame.columns:
        dates = pd.to_datetime(frame["date_of_acquisition"], utc=True, format="ISO8601")
        frame["date_of_acquisition"] = dates.astype("datetime64[ns, UTC]")
    if index == _CELLS:
        return frame
    first = [name for name in ORDER if name in frame.columns]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def _literal(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    if cell.startswith("["):
        return literal_list(cell)
    number = whole_number(cell)
    return cell if number is None else number


def without_abnormal(frame: pd.DataFrame, address: str, wanted: bool | None) -> pd.DataFrame:
    """Return a table without the rows that say what is abnormal in them.

    Parameters
    ----------
    frame
        The table.
    address
        Its address.
    wanted
        Whether they are left out; None leaves them out where the table says what is abnormal.

    Returns
    -------
    DataFrame
        ``attrs["notes"]`` says how many rows were left out, as the log does.

    Raises
    ------
    UsageError
        If that is wanted or not of a table that does not say it.
    """
    if not set(ABNORMAL) <= set(frame.columns):
        if wanted is None:
            return frame
        raise UsageError(
            "this table does not say what is abnormal",
            address=address,
            why=f"filter_abnormalities needs the columns {' and '.join(ABNORMAL)}",
        )
    if wanted is False:
        return frame
    kept = frame[frame[list(ABNORMAL)].isna().all(axis=1)]
    left_out = len(frame) - len(kept)
    if left_out:
        note = abnormal_note(left_out, len(frame))
        kept.attrs["notes"] = [note]
        # Whoever asked for it knows.
        _LOG.log(logging.INFO if wanted else logging.WARNING, "%s: %s", address, note)
    return kept


def arrow_table(frame: pd.DataFrame) -> pa.Table:
    """Return a table as Arrow, its index as the first column; a column with lists is all lists.

    Raises
    ------
    CorruptError
        If values of one column are of several types.
    MissingExtraError
        Without the extra ``tables``.
    """
    with requiring("tables as Arrow", "tables"):
        import pyarrow as pa
    flat = frame.reset_index() if frame.index.name else frame.copy()
    for name in flat.columns:
        if flat[name].dtype == object and any(isinstance(v, list) for v in flat[name]):
            flat[name] = flat[name].map(_as_list)
    try:
        return pa.Table.from_pandas(flat, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise CorruptError("no column of one type", why=str(error)[:200]) from error


def _as_list(cell: Any) -> list[Any] | None:
    if isinstance(cell, list):
        return cell
    return None if cell is None or cell != cell else [cell]  # noqa: PLR0124 - NaN
