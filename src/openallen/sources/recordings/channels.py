"""Gains, offsets and locations of the channels of a recording."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["annotations_of", "ids_of", "locations_um", "one_each"]

_LOG: Final = logging.getLogger("openallen.formats")


_UNITS_UM: Final = {"um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "m": 1e6}
"""Units of a probe, as ProbeInterface writes them (``si_units``)."""


def ids_of(told: Any) -> tuple[str, ...]:
    """Return ids as text; none where nothing is told.

    Raises
    ------
    TypeError
        If they are no list.
    """
    if told is None:
        return ()
    if not isinstance(told, list):
        raise TypeError(f"ids that are no list: {told!r:.40}")
    return tuple(map(str, told))


def annotations_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations in a description; none where they make no sense."""
    told = document.get("annotations")
    return told if isinstance(told, dict) else {}


def one_each(found: Any, name: str, count: int, where: str) -> np.ndarray[Any, Any] | None:
    """Return one number per channel; a single number applies to all channels.

    Raises
    ------
    CorruptError
        If the count differs from the number of channels.
    """
    import numpy as np

    if found is None:
        return None
    try:
        values = np.asarray(found, float)
        values = np.broadcast_to(values.reshape(()), (count,)) if values.size == 1 else values
    except (ValueError, TypeError, OverflowError) as error:
        raise CorruptError(f"{name} is no number", address=where, why=str(error)) from error
    if values.shape != (count,):
        raise CorruptError(
            f"{name} does not match the channels",
            address=where,
            why=f"{values.size} values for {count} channels",
        )
    return values


def locations_um(probegroup: Mapping[str, Any], count: int) -> np.ndarray[Any, Any] | None:
    """Return the locations of the channels in µm, shape (channels, 2); None where incomplete.

    What makes no sense is not there: traces are right without it.
    """
    try:
        return _located(probegroup, count)
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
        _LOG.warning("no locations of channels: %s", error)
        return None


def _located(probegroup: Mapping[str, Any], count: int) -> np.ndarray[Any, Any] | None:
    import numpy as np

    probes = [probe for probe in probegroup.get("probes") or () if isinstance(probe, dict)]
    if not probes:
        return None
    places = np.full((count, 2), np.nan)
    for probe in probes:
        positions = probe.get("contact_positions") or []
        indices = probe.get("device_channel_indices") or range(len(positions))
        um = _UNITS_UM[str(probe.get("si_units") or "um")]
        for index, position in zip(indices, positions, strict=False):
            if 0 <= int(index) < count:
                places[int(index)] = [float(part) * um for part in position[:2]]
    return None if np.isnan(places).any() else places
