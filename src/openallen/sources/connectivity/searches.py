"""Searches that the service computes, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openallen.errors import UsageError
from openallen.sources.base import Rows
from openallen.sources.connectivity.tables import Tables

__all__ = ["Searches"]

_NAMES: Final[Mapping[str, str]] = {
    "injection_structure": "mouse_connectivity_injection_structure",
    "target": "mouse_connectivity_target_spatial",
    "coordinate": "mouse_connectivity_injection_coordinate",
    "correlation": "mouse_connectivity_correlation",
}


class Searches:
    """Searches for experiments; each answers with rows, whose addresses are experiments.

    Parameters
    ----------
    tables
        Where rows come from.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        self._tables = tables or Tables()

    def by_injection_structure(
        self, injection_structures: Sequence[int | str] | int | str, **parameters: Any
    ) -> Rows:
        """Return experiments by the structure of their injection, and what they project to.

        Parameters
        ----------
        injection_structures
            Ids or acronyms.
        **parameters
            ``target_domain``, ``injection_hemisphere``, ``target_hemisphere``,
            ``transgenic_lines``, ``injection_domain``, ``product_ids``,
            ``primary_structure_only``.

        Raises
        ------
        UsageError
            If there is no such parameter.
        """
        told = {"injection_structures": injection_structures, **parameters}
        return self._tables.search(_NAMES["injection_structure"], told)

    def by_target(self, point_um: Sequence[float], **parameters: Any) -> Rows:
        """Return experiments that project to a point, with the path from it to the injection.

        Parameters
        ----------
        point_um
            AP, DV, ML in µm.
        **parameters
            ``section_data_set``, ``transgenic_lines``, ``injection_structures``, ``product_ids``,
            ``primary_structure_only``.

        Raises
        ------
        UsageError
            If it is no point, or there is no such parameter.
        """
        told = {"seed_point": _point(point_um), **parameters}
        return self._tables.search(_NAMES["target"], told)

    def by_injection_coordinate(self, point_um: Sequence[float], **parameters: Any) -> Rows:
        """Return experiments by the distance of their injection to a point, nearest first.

        Parameters
        ----------
        point_um
            AP, DV, ML in µm.
        **parameters
            ``transgenic_lines``, ``injection_structures``, ``product_ids``,
            ``primary_structure_only``.

        Raises
        ------
        UsageError
            If it is no point, or there is no such parameter.
        """
        told = {"seed_point": _point(point_um), **parameters}
        return self._tables.search(_NAMES["coordinate"], told)

    def correlated(self, experiment_id: int, **parameters: Any) -> Rows:
        """Return experiments by how alike they project to one, most alike first.

        Parameters
        ----------
        experiment_id
            The one.
        **parameters
            ``structures`` (ids or acronyms), ``hemisphere`` (left or right), ``transgenic_lines``,
            ``injection_structures``, ``product_ids``, ``primary_structure_only``, ``sort_order``.

        Raises
        ------
        UsageError
            If there is no such parameter.
        """
        return self._tables.search(_NAMES["correlation"], {"row": experiment_id, **parameters})


def _point(given: Sequence[float]) -> tuple[float, float, float]:
    try:
        ap, dv, ml = given
        found = float(ap), float(dv), float(ml)
    except (TypeError, ValueError):
        raise UsageError("a point is AP, DV, ML in µm", why=repr(given)[:60]) from None
    if not all(abs(part) < float("inf") for part in found):
        raise UsageError("a point is AP, DV, ML in µm", why=repr(given)[:60])
    return found
