"""Tables and matrices of what experiments project to, with AllenSDK's values and labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import AnswerError, UsageError, requiring

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["HEMISPHERES", "check_hemispheres", "chosen_unionizes", "matrix_of", "unionizes_frame"]

HEMISPHERES: Final[Mapping[int, str]] = {1: "-L", 2: "-R", 3: ""}
"""Ids of hemispheres, and how AllenSDK's labels end: left, right, both."""
_NEEDED: Final = ("section_data_set_id", "structure_id", "hemisphere_id", "is_injection")
_UNITS: Final[Mapping[str, str]] = {
    "projection_volume": "mm³",
    "volume": "mm³",
    "normalized_projection_volume": "1",
    "projection_density": "1",
}


@requiring("a DataFrame", "tables")
def unionizes_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows of ``ProjectionStructureUnionize`` as a table, as AllenSDK does.

    ``section_data_set_id`` is called ``experiment_id``.

    Raises
    ------
    AnswerError
        If a column is missing without which rows say nothing, or a hemisphere is none.
    """
    import pandas as pd

    found = pd.DataFrame([dict(row) for row in rows])
    for name in found.columns[found.isna().all()]:
        found[name] = found[name].astype(float)  # a number that no row has
    missing = [name for name in _NEEDED if name not in found.columns]
    if missing:
        raise AnswerError(f"rows without {missing[0]}", address="ProjectionStructureUnionize")
    strange = found.loc[~found["hemisphere_id"].isin(list(HEMISPHERES)), "hemisphere_id"]
    if len(strange):
        raise AnswerError(
            "a row of no hemisphere",
            address="ProjectionStructureUnionize",
            why=f"hemisphere_id is {strange.iloc[0]}",
        )
    return found.rename(columns={"section_data_set_id": "experiment_id"})


def chosen_unionizes(
    table: pd.DataFrame,
    *,
    structure_ids: Collection[int] | None = None,
    hemisphere_ids: Collection[int] | None = None,
    is_injection: bool | None = None,
    threshold: float | None = None,
) -> pd.DataFrame:
    """Return the rows of a table that are wanted; the table may come out empty.

    Parameters
    ----------
    table
        As `unionizes_frame` returns it.
    structure_ids, hemisphere_ids
        Only these; all where None.
    is_injection
        Pixels of the injection site alone, or all but those; both where None.
    threshold
        Only rows whose ``normalized_projection_volume`` is above it; one without a value is not.

    Raises
    ------
    UsageError
        If a hemisphere is none, or the rows have nothing that a threshold could be compared with.
    """
    if is_injection is not None:
        table = table[table["is_injection"] == is_injection]
    if structure_ids is not None:
        table = table[table["structure_id"].isin(list(structure_ids))]
    if hemisphere_ids is not None:
        table = table[table["hemisphere_id"].isin(check_hemispheres(hemisphere_ids))]
    if threshold is not None:
        if "normalized_projection_volume" not in table.columns:
            raise UsageError("these rows have no normalized_projection_volume to compare")
        table = table[table["normalized_projection_volume"] > threshold]
    return table


def check_hemispheres(hemisphere_ids: Collection[int] | int) -> list[int]:
    """Return ids of hemispheres as a list.

    Raises
    ------
    UsageError
        If one is not 1, 2 or 3.
    """
    wanted = [hemisphere_ids] if isinstance(hemisphere_ids, int) else list(hemisphere_ids)
    strange = [number for number in wanted if number not in HEMISPHERES]
    if strange:
        raise UsageError(f"no hemisphere {strange[0]!r}", why="1 is left, 2 right, 3 both")
    return wanted


@requiring("a matrix with labels", "atlas")
def matrix_of(
    table: pd.DataFrame,
    experiment_ids: Sequence[int],
    structures: Mapping[int, str],
    parameter: str,
) -> xr.DataArray:
    """Return a matrix of experiments and where they project to.

    Parameters
    ----------
    table
        Rows of these experiments and structures.
    experiment_ids
        The rows of the matrix, in order.
    structures
        Acronyms by id, in the order of the columns.
    parameter
        The column that is taken.

    Returns
    -------
    DataArray
        float64, ``experiment`` x ``target``; for each hemisphere that the table has, from left to
        both, every structure. ``target`` has AllenSDK's labels (``VISp-R``), and the coordinates
        ``hemisphere_id`` and ``structure_id``. NaN where the table has no row.

    Raises
    ------
    UsageError
        If the table has no such column of numbers.
    """
    import numpy as np
    import xarray as xr

    if parameter not in table.columns or table[parameter].dtype.kind not in "iuf":
        names = [name for name in table.columns if table[name].dtype.kind in "iuf"]
        near = [name for name in names if not name.endswith("_id") and name != "id"]
        if not (parameter in table.columns and table.empty):
            raise UsageError(f"no parameter '{parameter}'", why="there are " + ", ".join(near))
    hemispheres = sorted(set(table["hemisphere_id"].tolist()))
    columns = [(side, number) for side in hemispheres for number in structures]
    values = np.full((len(experiment_ids), len(columns)), np.nan)
    if len(table):
        at_row = {number: at for at, number in enumerate(experiment_ids)}
        at_column = {key: at for at, key in enumerate(columns)}
        sides = zip(table["hemisphere_id"].tolist(), table["structure_id"].tolist(), strict=True)
        rows = [at_row[number] for number in table["experiment_id"].tolist()]
        values[rows, [at_column[key] for key in sides]] = table[parameter].to_numpy(float)
    labels = [structures[number] + HEMISPHERES[side] for side, number in columns]
    return xr.DataArray(
        values,
        dims=("experiment", "target"),
        coords={
            "experiment": list(experiment_ids),
            "target": ("target", np.array(labels, dtype=str)),
            "hemisphere_id": ("target", np.array([c[0] for c in columns], dtype=int)),
            "structure_id": ("target", np.array([c[1] for c in columns], dtype=int)),
        },
        name=parameter,
        attrs={"units": _UNITS[parameter]} if parameter in _UNITS else {},
    )
