"""Published results of the benchmark, by codec, level, shuffle and probe."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any, Final

__all__ = ["CITATION", "LOSSLESS_SOURCE", "LOSSY_SOURCE", "lossless", "lossy"]

CITATION: Final = "Buccino et al. 2023, J Neural Eng 20 056009, doi 10.1088/1741-2552/acf5a4"
LOSSLESS_SOURCE: Final = "medians over the recordings of October 2022"
LOSSY_SOURCE: Final = "one recording per probe, May 2022"


@functools.cache
def _told() -> dict[str, Any]:
    text = (
        resources.files("openallen.sources.recordings")
        .joinpath("published.json")
        .read_text("utf-8")
    )
    tables: dict[str, Any] = json.loads(text)
    return tables


def lossless(
    codec: str, level: str, shuffle: str, *, lsb: bool = True, columns: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return the published results of a lossless codec, for chunks of 1 s.

    Returns
    -------
    dict
        By probe (``NP1``, ``NP2``): compression ratio, compression and decompression speed (x real
        time); medians over the recordings of October 2022, which precede the published set. Empty
        for settings that were not measured.
    """
    for row in _told()["lossless"]:
        asked = (codec, level, shuffle, lsb, columns or -1)
        if asked == tuple(row[n] for n in ("codec", "level", "shuffle", "lsb", "columns")):
            return {n: tuple(row[n]) for n in ("NP1", "NP2") if n in row}
    return {}


def lossy(way: str, factor: float) -> dict[str, tuple[float, float]]:
    """Return the published results of a lossy method, for one recording per probe of May 2022.

    Parameters
    ----------
    way
        ``truncate`` or ``wavpack``.
    factor
        Bits truncated, or bits per sample.

    Returns
    -------
    dict
        By probe: compression ratio, and RMSE in µV between 300 and 6000 Hz.
    """
    for row in _told()["lossy"]:
        if (row["lossy"], row["factor"]) == (way, factor):
            return {n: tuple(row[n]) for n in ("NP1", "NP2") if n in row}
    return {}
