"""Files that are published beside a Visual Coding two-photon session: events, and analyses."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.errors import CorruptError, NotFoundError
from openallen.sessions.base import NwbSession

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.formats.nwb import Tree
    from openallen.visuals import Visual

__all__ = ["AnalysisFile", "events_values"]

_ROOT: Final = "analysis"
_SIGNS: Final = ("peak", "mean_response_", "mean_sweep_response_", "receptive_field_", "response_",
                 "stim_table_", "sweep_response_")  # fmt: skip
"""How what is in such a file is called; HDF5 files of others have groups of this name too."""


def events_values(
    events: Path | str | np.ndarray[Any, Any] | xr.DataArray,
) -> np.ndarray[Any, Any]:
    """Return detected events as cells x samples, from a file or an array.

    Raises
    ------
    CorruptError
        If it is no file of events, or no array of two axes.
    """
    import numpy as np

    where = ""
    if isinstance(events, (str, Path)):
        from openallen.formats.events import EVENTS
        from openallen.formats.files import read_file
        from openallen.formats.npy import read_npz

        where = str(events)
        arrays = read_npz(read_file(Path(events)), where)
        if EVENTS not in arrays:
            raise CorruptError("no events", address=where, why=f"no array '{EVENTS}' in it")
        events = arrays[EVENTS]
    found = np.asarray(events)
    if found.ndim != 2:
        raise CorruptError(
            "events that are not cells x samples", address=where, why=f"shape {found.shape}"
        )
    return found


class AnalysisFile(NwbSession):
    """The analysis of a Visual Coding session: ``501940850_three_session_A_analysis.h5``.

    A mapping of names to arrays and tables, each of which is read when it is asked for. Columns of
    arrays and text are pickles in the file: values are made of them, and nothing is run.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    """

    kind: ClassVar[str] = "analysis"
    _names: ClassVar[tuple[str, ...]] = ("keys", "peak")

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Return whether a file holds the analysis of a session, and no session."""
        if "nwb_version" in tree.attrs("/") or tree.has("nwb_version") or not tree.has(_ROOT):
            return False
        return any(name.startswith(_SIGNS) for name in tree.names(_ROOT))

    def keys(self) -> list[str]:
        """Return the names of what is in it, in alphabetical order."""
        return self.tree.names(_ROOT)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> pd.DataFrame | np.ndarray[Any, Any]:
        """Return a table or an array.

        Parameters
        ----------
        key
            One of `keys`.

        Raises
        ------
        NotFoundError
            If there is none of the name, or it is a table of a layout that is not read here.
        RefusedError
            If it has a pickle that asks for more than values and arrays.
        CorruptError
            If its parts do not go together.
        """
        from openallen.formats.nwb import is_frame, read_frame

        if key not in self.keys():
            raise NotFoundError(
                f"no '{key}' in this analysis",
                address=self.name,
                why=f"there are {', '.join(self.keys()) or 'none'}",
            )
        path = f"{_ROOT}/{key}"
        if is_frame(self.tree, path):
            return read_frame(self.tree, path)
        found: np.ndarray[Any, Any] = self.tree.array(path)
        return found

    @functools.cached_property
    def peak(self) -> pd.DataFrame:
        """What each cell prefers, and how strongly and reliably it responds: a row for each cell.

        Raises
        ------
        NotFoundError
            If the file has none.
        """
        import pandas as pd

        found = self["peak"]
        if not isinstance(found, pd.DataFrame):
            raise CorruptError("no table", address=self.name, why=f"{_ROOT}/peak")
        return found

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.visuals import TableVisual

        if "peak" not in self:
            return ()
        return (TableVisual(name="peak", title="Cells", table=lambda: self.peak),)

    def _facts(self) -> dict[str, object]:
        return {"holds": ", ".join(self.keys()), "file": self.name}
