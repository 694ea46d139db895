"""Labels for ITK-SNAP: ids that fit a small type, and the file that names and colours them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError
from openallen.sources.atlases.structure_tree import StructureTree
from openallen.sources.atlases.structures import Structures

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["description_text", "labels_for_itksnap"]

_COLUMNS: Final = ("IDX", "-R-", "-G-", "-B-", "-A-", "VIS", "MSH", "LABEL")


def labels_for_itksnap(
    annotation: xr.DataArray, structures: Structures, id_type: Any, options: Mapping[str, Any]
) -> tuple[xr.DataArray, pd.DataFrame]:
    """Return the annotation with new ids where they do not fit, and the table that names them.

    Parameters and errors are those of
    `openallen.sources.atlases.reference_space.ReferenceSpace.export_itksnap_labels`.
    """
    import numpy as np

    try:
        kind = np.dtype(id_type)
    except TypeError:
        raise UsageError("not a type of numbers", why=f"{id_type!r:.40}", hint="'uint16'") from None
    if kind.kind not in "iu":
        raise UsageError("ids are whole numbers", why=f"not {kind}", hint="'uint16'")
    most = int(np.iinfo(kind).max)
    table = StructureTree(structures).export_label_description(**options)
    values = annotation.to_numpy()
    if max(structures.by_id) > most:
        if len(structures) > most:
            raise UsageError(f"{len(structures)} structures do not fit {kind}", hint="'uint16'")
        table = table.sort_values("LABEL", kind="stable").reset_index(drop=True)
        new = {0: 0} | {int(old): n for n, old in enumerate(table["IDX"], 1)}
        ids, where = np.unique(values, return_inverse=True)
        values = np.array([new[int(old)] for old in ids])[where.reshape(values.shape)]
        table["IDX"] = np.arange(1, len(table) + 1)
    made = annotation.copy(data=values.astype(kind)).rename("labels")
    made.attrs.pop("units", None)
    return made, table


def description_text(table: pd.DataFrame) -> str:
    """Return a label description file: a line for each label, its name in quotes.

    Parameters
    ----------
    table
        As `openallen.sources.atlases.structure_tree.StructureTree.export_label_description` makes.
    """
    lines = []
    for row in table.loc[:, list(_COLUMNS)].itertuples(index=False):
        *numbers, name = row
        plain = str(name).replace('"', "'")
        lines.append(" ".join(f"{number}" for number in numbers) + f' "{plain}"')
    return "\n".join(lines) + "\n"
