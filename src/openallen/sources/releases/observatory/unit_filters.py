"""Filters of units: AllenSDK's by name, its defaults, and how many units each leaves out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Self

from openallen.display import count_text
from openallen.errors import CorruptError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FILTERS", "UnitFilters", "is_true", "no_option"]

_WORDS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


@dataclass(frozen=True, kw_only=True)
class UnitFilters:
    """Which units are left out; none by default.

    Parameters
    ----------
    filter_by_validity
        Whether units whose ``quality`` is not ``good`` are left out.
    filter_out_of_brain_units
        Whether units are left out whose channel is not in the table of channels. Channels above the
        brain that are in that table stay, as in AllenSDK, whatever the name says.
    amplitude_cutoff_maximum, presence_ratio_minimum, isi_violations_maximum
        Limits; None for no limit. A unit without a value passes no limit.
    """

    filter_by_validity: bool = False
    filter_out_of_brain_units: bool = False
    amplitude_cutoff_maximum: float | None = None
    presence_ratio_minimum: float | None = None
    isi_violations_maximum: float | None = None

    @classmethod
    def defaults(cls) -> Self:
        """Return AllenSDK's default filters."""
        return cls(
            filter_by_validity=True,
            filter_out_of_brain_units=True,
            amplitude_cutoff_maximum=0.1,
            presence_ratio_minimum=0.95,
            isi_violations_maximum=0.5,
        )

    @classmethod
    def read(cls, given: Mapping[str, Any], *, filtered: bool, address: str) -> Self:
        """Read filters by name.

        Parameters
        ----------
        given
            Values by the name of the filter.
        filtered
            Whether filters that are not given are AllenSDK's defaults.
        address
            What is filtered, for errors.

        Raises
        ------
        UsageError
            If there is no such filter, with the nearest; or a value is of the wrong type.
        """
        known = [f.name for f in fields(cls)]
        strange = next((name for name in given if name not in known), None)
        if strange is not None:
            raise no_option(strange, known, address)
        values: dict[str, Any] = {n: _value(n, v, address) for n, v in given.items()}
        return replace(cls.defaults() if filtered else cls(), **values)

    def unlimited(self) -> Self:
        """Return filters that take no limit for an infinite one, as AllenSDK does.

        The difference: units without a value pass where there is no limit, and no infinite one.
        """
        missing = (limit for limit in _LIMITS if getattr(self, limit[0]) is None)
        told: dict[str, Any] = {name: sign * math.inf for name, _, sign in missing}
        return replace(self, **told)

    @property
    def limits(self) -> tuple[tuple[str, str, float, float], ...]:
        """Name, column, sign (1 for a maximum, -1 for a minimum) and value of each limit."""
        told = ((name, column, sign, getattr(self, name)) for name, column, sign in _LIMITS)
        return tuple(
            (name, column, sign, value) for name, column, sign, value in told if value is not None
        )

    def passes(self, unit: Mapping[str, Any]) -> bool:
        """Return whether a row of the published units passes the limits, and is valid if it has to.

        Parameters
        ----------
        unit
            The row, as plain values.
        """
        for _, column, sign, value in self.limits:
            own = unit.get(column)
            if not isinstance(own, (int, float)) or not sign * own <= sign * value:
                return False
        return not self.filter_by_validity or unit.get("quality") == _GOOD

    def apply(
        self, units: pd.DataFrame, channels: pd.Index, address: str
    ) -> tuple[pd.DataFrame, list[str]]:
        """Return the units that pass, and sentences on how many each filter leaves out.

        Parameters
        ----------
        units
            The published units.
        channels
            Ids of the channels there are.
        address
            The table, for errors.

        Raises
        ------
        CorruptError
            If a column that is filtered by is missing.
        """
        notes: list[str] = []

        def keep(kept: pd.DataFrame, passed: pd.Series, why: str) -> pd.DataFrame:
            gone = int((~passed).sum())
            if gone:
                notes.append(f"{why} leaves out {count_text(gone, 'unit')}")
            return kept[passed] if gone else kept

        for name, column, sign, value in self.limits:
            own = _column(units, column, address)
            units = keep(units, own <= value if sign > 0 else own >= value, f"{name}={value:g}")
        if self.filter_by_validity:
            good = _column(units, "quality", address) == _GOOD
            units = keep(units, good, "filter_by_validity").drop(columns="quality")
        if self.filter_out_of_brain_units:
            inside = _column(units, "ecephys_channel_id", address).isin(channels)
            units = keep(units, inside, "filter_out_of_brain_units")
        return units, notes


_GOOD: Final = "good"
_LIMITS: Final = (
    ("amplitude_cutoff_maximum", "amplitude_cutoff", 1),
    ("presence_ratio_minimum", "presence_ratio", -1),
    ("isi_violations_maximum", "isi_violations", 1),
)
FILTERS: Final = tuple(field.name for field in fields(UnitFilters))
"""Names of the filters."""


def is_true(name: str, value: object, address: str) -> bool:
    """Return a yes or no that was given as such, or as text.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if isinstance(value, bool):
        return value
    told = _WORDS.get(value.lower()) if isinstance(value, str) else None
    if told is None:
        raise UsageError(
            f"'{name}' is true or false, not {value!r}", address=address, hint=f"{name}=true"
        )
    return told


def no_option(name: str, known: list[str], address: str) -> UsageError:
    """Return the error for an option that a table does not have, with the nearest one."""
    near = get_close_matches(name, known, 1)
    return UsageError(
        f"no such option '{name}' of this table",
        address=address,
        why=f"it has {', '.join(known)}" if known else "it has none",
        hint=near[0] if near else "",
    )


def _value(name: str, value: object, address: str) -> bool | float | None:
    if name.startswith("filter_"):
        return is_true(name, value, address)
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise UsageError(
            f"'{name}' is a number, not {value!r}", address=address, hint=f"{name}=0.5"
        )
    return number


def _column(frame: pd.DataFrame, name: str, address: str) -> pd.Series:
    if name not in frame.columns:
        raise CorruptError("not a table of units", address=address, why=f"no column {name}")
    return frame[name]
