"""Rows of Visual Coding Neuropixels with the columns of what they belong to, as plain values.

No table library is needed: `list` works in the bare install. Rows have the published columns first,
by their published names; those of channel, probe and session follow where they are not the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from openallen.sources.releases.observatory.joins import lfp_rate
from openallen.sources.releases.observatory.unit_filters import UnitFilters

__all__ = ["COUNTED", "OWNER", "PlainRows"]

Row = dict[str, Any]

OWNER: Final[Mapping[str, str]] = {"units": "channels", "channels": "probes", "probes": "sessions"}
"""The table whose rows those of a table belong to."""
COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    "sessions": ("unit_count", "channel_count", "probe_count", "ecephys_structure_acronyms"),
    "probes": ("unit_count", "channel_count", "ecephys_structure_acronyms"),
    "channels": ("unit_count",),
    "units": (),
}
"""Columns that count what is below; they take the tables below, and are made when asked for."""


class PlainRows:
    """Joined rows of the four tables.

    Parameters
    ----------
    published
        Returns an iterator over the published rows of a table.
    filters
        Which units are left out, and not counted.
    """

    def __init__(
        self, published: Callable[[str], Iterator[Row]], filters: UnitFilters | None = None
    ) -> None:
        self._published = published
        self._filters = filters or UnitFilters()
        self._by_id: dict[str, dict[Any, Row]] = {}

    def rows(self, table: str, *, counted: bool = False) -> Iterator[Row]:
        """Yield the rows of a table.

        Parameters
        ----------
        table
            ``sessions``, ``probes``, ``channels`` or ``units``.
        counted
            Whether the columns of `COUNTED` are wanted.
        """
        add = self._adder(table) if counted else None
        for row in self._published(table):
            if table == "units" and not self._counts(row):
                continue
            whole = self._joined(table, row)
            yield whole | add(row) if add is not None else whole

    def _joined(self, table: str, row: Row) -> Row:
        if table == "probes":
            row = row | {"lfp_sampling_rate": lfp_rate(row)} if "lfp_sampling_rate" in row else row
        owner = OWNER.get(table)
        if owner is None:
            return row
        found = self._all(owner).get(row.get(f"ecephys_{owner[:-1]}_id"))
        if found is None:
            names = next(iter(self._all(owner).values()), {})
            found = dict.fromkeys(names)
        more = {
            (f"{name}_{owner[:-1]}" if name in row else name): value
            for name, value in found.items()
            if name != "id"
        }
        return row | more

    def _all(self, table: str) -> dict[Any, Row]:
        if table not in self._by_id:
            rows = self._published(table)
            self._by_id[table] = {row.get("id"): self._joined(table, row) for row in rows}
        return self._by_id[table]

    # --- counts -----------------------------------------------------------------------------------

    def _counts(self, unit: Row) -> bool:
        if not self._filters.passes(unit):
            return False
        if not self._filters.filter_out_of_brain_units:
            return True
        return unit.get("ecephys_channel_id") in self._all("channels")

    def _adder(self, table: str) -> Callable[[Row], Row]:
        """Return what counts the units, channels and probes of a row."""
        by = f"ecephys_{table[:-1]}_id"
        channels = self._whole_channels()
        units = Counter(_owners(self._units_of(), channels, table, by))
        counted = {"unit_count": units}
        if table in {"sessions", "probes"}:
            counted["channel_count"] = Counter(c.get(by) for c in channels.values())
        if table == "sessions":
            sessions = self._all("sessions")
            probes = (p.get(by) for p in self._all("probes").values())
            counted["probe_count"] = Counter(i for i in probes if i in sessions)
        acronyms: dict[Any, dict[Any, None]] = {}
        for channel in channels.values():
            known = acronyms.setdefault(channel.get(by), {})
            known[channel.get("ecephys_structure_acronym")] = None

        def add(row: Row) -> Row:
            made: Row = {name: counts[row.get("id")] for name, counts in counted.items()}
            if "ecephys_structure_acronyms" in COUNTED[table]:
                made["ecephys_structure_acronyms"] = list(acronyms.get(row.get("id"), {}))
            return made

        return add

    def _whole_channels(self) -> dict[Any, Row]:
        """Return the channels whose probe and session are there."""
        probes, sessions = self._all("probes"), self._all("sessions")
        return {
            name: channel
            for name, channel in self._all("channels").items()
            if channel.get("ecephys_probe_id") in probes
            and channel.get("ecephys_session_id") in sessions
        }

    def _units_of(self) -> Iterable[Any]:
        return (u.get("ecephys_channel_id") for u in self._published("units") if self._counts(u))


def _owners(
    units: Iterable[Any], channels: Mapping[Any, Row], table: str, by: str
) -> Iterator[Any]:
    for channel_id in units:
        channel = channels.get(channel_id)
        if channel is not None:
            yield channel_id if table == "channels" else channel.get(by)
