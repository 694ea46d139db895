"""What the authors of the benchmark measured, by codec, level, shuffle and probe."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any, Final

__all__ = ["CITATION", "lossless", "lossy"]

CITATION: Final = "Buccino et al. 2023, J Neural Eng 20 056009, doi 10.1088/1741-2552/acf5a4"


@functools.cache
def _told() -> dict[str, Any]:
    text = (
        resources.files("openallen.sources.recordings")
        .joinpath("published.json")
        .read_text("utf-8")
    )
    told: dict[str, Any] = json.loads(text)
    return told


def lossless(
    codec: str, level: str, shuffle: str, *, lsb: bool = True, columns: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return what a codec did to chunks of 1 s.

    Returns
    -------
    dict
        By probe (``NP1``, ``NP2``): ratio, packing and unpacking as multiples of real time; medians
        over the recordings of October 2022, which are not yet the published set. Empty for what was
        not tried.
    """
    for row in _told()["lossless"]:
        asked = (codec, level, shuffle, lsb, columns or -1)
        if asked == tuple(row[n] for n in ("codec", "level", "shuffle", "lsb", "columns")):
            return {n: tuple(row[n]) for n in ("NP1", "NP2") if n in row}
    return {}


def lossy(way: str, factor: float) -> dict[str, tuple[float, float]]:
    """Return what a lossy way did to one recording of each probe, of May 2022.

    Parameters
    ----------
    way
        ``truncate`` or ``wavpack``.
    factor
        Bits taken away, or bits left of a sample.

    Returns
    -------
    dict
        By probe: ratio, and the error in µV between 300 and 6000 Hz.
    """
    for row in _told()["lossy"]:
        if (row["lossy"], row["factor"]) == (way, factor):
            return {n: tuple(row[n]) for n in ("NP1", "NP2") if n in row}
    return {}
