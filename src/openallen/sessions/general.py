"""Any session in NWB: its tables and series, whatever the experiment was."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.sessions.base import NwbSession

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from openallen.visuals import Visual

__all__ = ["NwbTables"]

_LOG: Final = logging.getLogger("openallen.sessions")
_DEPTH: Final = 6
_ASIDE: Final = frozenset({"specifications"})
_FACTS: Final = {
    "session": "general/session_id",
    "identifier": "identifier",
    "started": "session_start_time",
    "description": "session_description",
    "institution": "general/institution",
    "subject": "general/subject/subject_id",
    "species": "general/subject/species",
    "sex": "general/subject/sex",
    "age": "general/subject/age",
}


class NwbTables(NwbSession):
    """A session of any kind, as its file has it: tables, and series over time.

    AIND publishes sessions as NWB in Zarr (``*.nwb.zarr``). Tables are found by what they look
    like, so that no schema needs to be at hand; times are seconds in the clock of the session.
    """

    kind = "session"
    _names: ClassVar[tuple[str, ...]] = (
        "electrodes",
        "metadata",
        "series",
        "series_names",
        "table",
        "table_names",
        "trials",
        "units",
    )

    @functools.cached_property
    def _found(self) -> tuple[dict[str, str], dict[str, str]]:
        """Paths of tables and of series, by their shortest names that are unique."""
        tables: list[str] = []
        series: list[str] = []
        for path in self._groups("", (self.tree.identity(""),)):
            inside = set(self.tree.names(path))
            if "id" in inside:
                tables.append(path)
            elif "data" in inside and inside & {"timestamps", "starting_time"}:
                series.append(path)
        return _short(tables), _short(series)

    def _groups(self, path: str, above: tuple[object, ...]) -> Iterator[str]:
        """Walk through the groups; not into one that is itself above, as links may lead up."""
        for name in self.tree.groups(path):
            if not path and name in _ASIDE:
                continue
            below = f"{path}/{name}".lstrip("/")
            which = self.tree.identity(below)
            if which in above:
                continue
            yield below
            if len(above) <= _DEPTH:
                yield from self._groups(below, (*above, which))

    @functools.cached_property
    def _dead(self) -> dict[str, OpenAllenError]:
        """Links of groups that lead nowhere, by their paths."""
        paths = ["", *self._groups("", (self.tree.identity(""),))]
        return {
            f"{path}/{name}".lstrip("/"): error
            for path in paths
            for name, error in self.tree.broken(path).items()
        }

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables: ``units``, ``trials``, …; with their folder where two are alike."""
        return tuple(self._found[0])

    @property
    def series_names(self) -> tuple[str, ...]:
        """Names of the series over time."""
        return tuple(self._found[1])

    def table(
        self, name: str, *, columns: Collection[str] | None = None, skip: Collection[str] = ()
    ) -> pd.DataFrame:
        """Return a table.

        Parameters
        ----------
        name
            Its name, or its path in the file.
        columns
            Which columns; all where None. Only these are read.
        skip
            Columns to leave out.

        Returns
        -------
        DataFrame
            Index ``id``; columns in the table's own order, those that it does not name behind.
            Ragged ones hold an array in each row, references the path of what they point at,
            references to part of a series `openallen.formats.nwb.values.TimeSeriesReference`.
            ``attrs["notes"]`` lists what is odd, where something is: names that the table does
            not keep to, and columns left out as what they need is not here (a linked file,
            a filter of HDF5). Such a column is an error where it is asked for in `columns`.

        Raises
        ------
        NotFoundError
            If there is no such table.
        UsageError
            If it has no such column.
        IntegrityError
            If part of it is missing or damaged.
        """
        from openallen.formats.nwb import column_names, frame

        path = self._path(name, 0)
        told, _ = column_names(self.tree, path)
        for wanted in columns or ():
            if wanted not in told:
                raise UsageError(
                    f"table {name} has no column '{wanted}'",
                    address=self.name,
                    hint=", ".join(told),
                )
        left = [n for n in told if columns is not None and n not in columns]
        notes: list[str] = []
        found = frame(
            self.tree, path, {*skip, *left}, "id", notes=notes if columns is None else None
        )
        if notes:
            found.attrs["notes"] = notes
            _LOG.warning("%s: table %s: %s", self.name, name, "; ".join(notes))
        return found

    def _path(self, name: str, of: int) -> str:
        known = self._found[of]
        if name in known:
            return known[name]
        if name.strip("/") in known.values():
            return name.strip("/")
        ending = f"/{name.strip('/')}"
        dead = next((e for p, e in self._dead.items() if f"/{p}".endswith(ending)), None)
        if dead is not None:
            raise dead
        what = ("table", "series")[of]
        raise NotFoundError(
            f"no {what} '{name}' in this session",
            address=self.name,
            why=f"there are {', '.join(known) or 'none'}",
        )

    @property
    def units(self) -> pd.DataFrame:
        """Sorted units, with their ``spike_times`` (s)."""
        return self.table("units")

    @property
    def trials(self) -> pd.DataFrame:
        """Trials, with ``start_time`` and ``stop_time`` (s)."""
        return self.table("intervals/trials")

    @property
    def electrodes(self) -> pd.DataFrame:
        """Electrodes of extracellular recordings."""
        return self.table("general/extracellular_ephys/electrodes")

    def series(
        self,
        name: str,
        start_s: float | None = None,
        end_s: float | None = None,
        *,
        channels: Sequence[int] | None = None,
        scaled: bool = True,
    ) -> xr.DataArray:
        """Return a series over time, or a part of it; only that part is read.

        Parameters
        ----------
        name
            Its name, or its path in the file.
        start_s, end_s
            From and up to, in the clock of the session; all where None.
        channels
            Which columns of a series that has some, by position; all where None.
        scaled
            In the unit the file names (its ``conversion`` and ``offset`` applied); else as stored.

        Returns
        -------
        DataArray
            ``time`` (s) by whatever else it has; ``attrs["units"]``. Of electrical series
            ``channel`` holds the rows of the table of electrodes. A series without samples is
            empty. Where time is on another axis of the stored samples, is found by its length,
            or does not ascend, ``attrs["notes"]`` says so; a window holds the samples whose times
            lie in it all the same.

        Raises
        ------
        NotFoundError
            If there is no such series, or it is linked to what is not there.
        UsageError
            If there is nothing in that part, or all of it is too much to be read at once.
        CorruptError
            If its times do not go with its samples.
        """
        from openallen.sessions.series import read_series

        path = self._path(name, 1)
        return read_series(
            self.tree, path, (start_s, end_s), channels=channels, scaled=scaled, called=name
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """Who, when, where: what the file says of the session."""
        return {
            name: str(self.tree.value(path)) for name, path in _FACTS.items() if self.tree.has(path)
        }

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.general_visuals import general_visuals

        return general_visuals(self, self._found[0], self._found[1])

    def _facts(self) -> dict[str, object]:
        told: dict[str, object] = {n: _brief(text) for n, text in self.metadata.items()}
        told["tables"] = _some(self.table_names)
        told["series"] = _some(self.series_names)
        told["not here"] = _some([f"{p} ({e.why or e.what})" for p, e in self._dead.items()])
        told["file"] = self.name
        return told


def _brief(text: str, most: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _some(names: Sequence[str], most: int = 12) -> str | None:
    text = ", ".join(names[:most])
    return (f"{text}, and {len(names) - most} more" if len(names) > most else text) or None


def _short(paths: Sequence[str]) -> dict[str, str]:
    """Return for each path the shortest name from its end that no other has, with the path."""
    found: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            name = "/".join(parts[-n:])
            alike = [p for p in paths if p == name or p.endswith(f"/{name}")]
            if len(alike) == 1 or n == len(parts):
                found[name] = path
                break
    return found
