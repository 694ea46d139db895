"""Spikes of many units as counts: binned once, kept on disk, summed up for each view."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BIN_S", "Counts", "counts_of", "load_counts", "save_counts"]

_LOG: Final = logging.getLogger("openallen.viewer")
BIN_S: Final = 0.05
_FACTOR: Final = 4
_LEVELS: Final = 5
# With all levels about 120 MB; longer recordings have wider bins from afar.
_MOST_CELLS: Final = 72_000_000
_MAGIC: Final = b"openallen counts 1\n"


@dataclass(frozen=True)
class Counts:
    """Counts of spikes at several scales.

    Parameters
    ----------
    from_s
        Where the first bin begins, in s.
    bin_s
        Width of the finest bins; each level has bins four times as wide as the one before.
    levels
        Counts of units x bins.
    """

    from_s: float
    bin_s: float
    levels: tuple[NDArray[Any], ...]

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        return sum(int(level.nbytes) for level in self.levels)

    def view(self, from_s: float, to_s: float, px: int) -> tuple[NDArray[np.uint32], float, float]:
        """Return counts of units x columns, where the first begins, and the width of one, in s.

        Columns are whole bins of one level, no more of them than pixels and about half as many
        at the least; where the bins are wider than a pixel, a column is one bin.

        Parameters
        ----------
        from_s, to_s, px
            The window in s, and its width in pixels.
        """
        import numpy as np

        wanted = (to_s - from_s) / px
        level, width = 0, self.bin_s
        # At least four bins to a column: so columns are at most a quarter wider than asked for.
        while level + 1 < len(self.levels) and width * _FACTOR * 4 <= wanted:
            level, width = level + 1, width * _FACTOR
        each = max(1, int(np.ceil(wanted / width - 1e-9)))
        found = self.levels[level]
        bins = found.shape[1]
        first = int(np.clip(np.floor((from_s - self.from_s) / width + 1e-9), 0, bins))
        last = int(np.clip(np.ceil((to_s - self.from_s) / width - 1e-9), first, bins))
        columns = -(-(last - first) // each)
        summed = np.zeros((len(found), columns), np.uint32)
        for n in range(each):
            part = found[:, first + n : last : each]
            summed[:, : part.shape[1]] += part
        return summed, self.from_s + first * width, each * width


def counts_of(spikes: Sequence[NDArray[Any]], from_s: float, to_s: float) -> Counts:
    """Return the counts of spikes.

    Parameters
    ----------
    spikes
        Times of each unit in s; those outside of the window, and those that are no numbers, are
        left out.
    from_s, to_s
        The window in s.
    """
    import numpy as np

    bin_s = BIN_S
    span = max(to_s - from_s, bin_s)
    while len(spikes) * span / bin_s > _MOST_CELLS:
        bin_s *= 2
    bins = int(np.floor(span / bin_s)) + 1
    made = np.zeros((len(spikes), bins), np.uint8)
    for row, times in zip(made, spikes, strict=True):
        at = (np.asarray(times, np.float64) - from_s) / bin_s
        at = at[(at >= 0) & (at <= span / bin_s)]  # which what is no number is not, either
        row[:] = np.minimum(np.bincount(at.astype(np.int64), minlength=bins), 255)
    return Counts(from_s, bin_s, _levels(made))


def _levels(finest: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    import numpy as np

    levels = [finest]
    while len(levels) < _LEVELS and levels[-1].shape[1] > _FACTOR:
        last = levels[-1]
        columns = -(-last.shape[1] // _FACTOR)
        summed = np.zeros((len(last), columns), np.uint32)
        for n in range(_FACTOR):
            part = last[:, n::_FACTOR]
            summed[:, : part.shape[1]] += part
        small = summed.max(initial=0) < 1 << 16
        levels.append(summed.astype(np.uint16) if small else summed)
    return tuple(levels)


# --- on disk --------------------------------------------------------------------------------------


def _path(folder: Path, source: str) -> Path:
    return folder / f"counts-{hashlib.sha256(source.encode()).hexdigest()[:24]}.bin"


def save_counts(counts: Counts, folder: Path, source: str) -> None:
    """Write counts to disk; where that is not possible, they are made again the next time.

    Parameters
    ----------
    counts
        The counts.
    folder
        Where to.
    source
        What they are of.
    """
    body = zlib.compress(counts.levels[0].tobytes(), 1)
    head = {
        "source": source,
        "from_s": counts.from_s,
        "bin_s": counts.bin_s,
        "shape": counts.levels[0].shape,
        "crc32": zlib.crc32(body),
    }
    told = json.dumps(head).encode()
    path = _path(folder, source)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(_MAGIC + struct.pack("<I", len(told)) + told + body)
        draft.replace(path)
    except OSError as error:
        _LOG.info("counts are not kept in %s: %s", folder, error)
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def load_counts(folder: Path, source: str) -> Counts | None:
    """Read counts from disk; None where there are none, or they are damaged.

    Parameters
    ----------
    folder, source
        As for `save_counts`.
    """
    import numpy as np

    try:
        data = _path(folder, source).read_bytes()
        if not data.startswith(_MAGIC):
            return None
        begin = len(_MAGIC) + 4
        (length,) = struct.unpack("<I", data[begin - 4 : begin])
        head = json.loads(data[begin : begin + length])
        body = data[begin + length :]
        if head["source"] != source or zlib.crc32(body) != head["crc32"]:
            return None
        if math.prod(head["shape"]) > 2 * _MOST_CELLS:
            return None
        finest = np.frombuffer(zlib.decompress(body), np.uint8).reshape(head["shape"])
        return Counts(float(head["from_s"]), float(head["bin_s"]), _levels(finest))
    except (OSError, ValueError, KeyError, TypeError, struct.error, zlib.error):
        return None
