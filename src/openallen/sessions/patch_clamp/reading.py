"""Reading one series of a sweep: values in A or V, and when they were taken."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, IntegrityError, NotFoundError, UsageError
from openallen.formats.nwb.values import number
from openallen.sessions.patch_clamp.layout import Place, is_cell_types

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.nwb import Tree

__all__ = [
    "Timing",
    "Trace",
    "applies_conversion",
    "number_or_nan",
    "pipeline_version",
    "read_trace",
    "text_of_unit",
    "timing",
    "unit_of",
]

_GENERATED: Final = "general/generated_by"
_VERSION: Final = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?")
_SCALED_SINCE: Final = (1, 1)
_MOST_SAMPLES: Final = 50_000_000
_UNITS: Final = {
    "mv": ("V", 1e-3),
    "millivolt": ("V", 1e-3),
    "millivolts": ("V", 1e-3),
    "pa": ("A", 1e-12),
    "picoampere": ("A", 1e-12),
    "picoamperes": ("A", 1e-12),
    "na": ("A", 1e-9),
    "nanoamperes": ("A", 1e-9),
}


@dataclass(frozen=True)
class Timing:
    """When the samples of a series were taken.

    Parameters
    ----------
    count
        How many samples.
    rate_hz
        Samples per s; NaN where the file does not say it.
    start_s
        The first sample, on the clock of the experiment; NaN where the file does not say it.
    """

    count: int
    rate_hz: float
    start_s: float

    @property
    def duration_s(self) -> float:
        """How long the series is."""
        return self.count / self.rate_hz if self.rate_hz > 0 else math.nan


@dataclass(frozen=True)
class Trace:
    """The samples of a series.

    Parameters
    ----------
    values
        In `unit`.
    unit
        ``"A"``, ``"V"``, or as the file has it.
    timing
        When they were taken.
    stamps_s
        Times from the first sample of the series, where the file has one for each sample.
    """

    values: np.ndarray[Any, Any]
    unit: str
    timing: Timing
    stamps_s: np.ndarray[Any, Any] | None = None

    @cached_property
    def times_s(self) -> np.ndarray[Any, Any]:
        """Times from the first sample of the series."""
        import numpy as np

        if self.stamps_s is not None:
            return self.stamps_s
        return np.arange(self.timing.count) / self.timing.rate_hz


def pipeline_version(tree: Tree) -> tuple[int, int]:
    """Return the version of the pipeline that made a file of Cell Types; (0, 0) for none."""
    if not tree.has(_GENERATED):
        return 0, 0
    try:
        words = [str(word) for word in tree.array(_GENERATED).reshape(-1).tolist()]
    except IntegrityError:
        return 0, 0
    pairs = itertools.pairwise(words)
    told = next((after for word, after in pairs if word == "version"), "")
    found = _VERSION.match(told)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def applies_conversion(tree: Tree) -> bool:
    """Return whether the conversions that the series of a file name are to be applied.

    Cell Types files of pipelines before 1.1 hold A and V already, and name conversions all the
    same. These are wrong.
    """
    return not is_cell_types(tree) or pipeline_version(tree) >= _SCALED_SINCE


def text_of_unit(tree: Tree, path: str) -> str:
    """Return the unit that an array names; empty for none."""
    told = tree.attrs(path).get("unit")
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    return told.strip() if isinstance(told, str) else ""


def unit_of(tree: Tree, path: str) -> tuple[str, float]:
    """Return the unit of a series as ``A`` or ``V``, and what values are multiplied by for it.

    Any other unit is returned as the file has it.
    """
    told = text_of_unit(tree, f"{path}/data")
    small = told.casefold()
    if small in _UNITS:
        return _UNITS[small]
    if small[:1] in {"a", "v"}:
        return small[0].upper(), 1.0
    return told, 1.0


def timing(tree: Tree, place: Place) -> Timing:
    """Return when the samples of a series were taken, without reading them.

    Raises
    ------
    NotFoundError
        If it has no samples.
    CorruptError
        If a part is asked for that it does not have.
    """
    shape = tree.shape(f"{place.path}/data")
    count = shape[0] if shape else 0
    start, rate = _clock(tree, place.path)
    if place.span is None:
        return Timing(count, rate, start)
    first, wanted = place.span
    if first + wanted > count:
        raise CorruptError(
            "a sweep reaches beyond its series",
            address=tree.name,
            why=f"{place.path}: samples {first} to {first + wanted} of {count}",
        )
    return Timing(wanted, rate, start + (first / rate if rate > 0 else math.nan))


def _clock(tree: Tree, path: str) -> tuple[float, float]:
    """Return the start in s and the rate in Hz; NaN for what the file does not say."""
    if tree.has(f"{path}/starting_time"):
        start = number_or_nan(tree, f"{path}/starting_time")
        try:
            told = tree.attrs(f"{path}/starting_time").get("rate", math.nan)
            rate = number(told, "rate", f"{tree.name}/{path}")
        except IntegrityError:
            rate = math.nan
        return start, rate if rate > 0 and math.isfinite(rate) else math.nan
    if tree.has(f"{path}/timestamps") and tree.shape(f"{path}/timestamps")[:1] > (1,):
        count = tree.shape(f"{path}/timestamps")[0]
        try:
            first, last = (
                number(tree.item(f"{path}/timestamps", at), "timestamps", f"{tree.name}/{path}")
                for at in (0, count - 1)
            )
        except IntegrityError:
            return math.nan, math.nan
        return first, (count - 1) / (last - first) if last > first else math.nan
    return math.nan, math.nan


def number_or_nan(tree: Tree, path: str) -> float:
    """Return a number of the file; NaN where it is not there, or none."""
    if not tree.has(path):
        return math.nan
    try:
        found = tree.value(path)
        return float(found) if isinstance(found, str) else number(found, path, tree.name)
    except (IntegrityError, NotFoundError, ValueError):
        return math.nan


def read_trace(tree: Tree, place: Place, *, conversion: bool) -> Trace:
    """Return the samples of a series in A or V.

    Parameters
    ----------
    tree
        The file.
    place
        Which series, or which part of it.
    conversion
        Apply the conversion and the offset that it names; see `applies_conversion`.

    Raises
    ------
    NotFoundError
        If it has no samples.
    CorruptError
        If they are not one row of numbers, or nothing says at which rate they were taken.
    UsageError
        If they are too many to be read at once.
    """
    import numpy as np

    told = timing(tree, place)
    first = place.span[0] if place.span else 0
    path, shape = f"{place.path}/data", tree.shape(f"{place.path}/data")
    if not shape or math.prod(shape[1:]) != 1:
        raise CorruptError(
            "a sweep is one row of samples",
            address=tree.name,
            why=f"{path} is {' x '.join(map(str, shape)) or 'one value'}",
        )
    if told.count > _MOST_SAMPLES:
        raise UsageError(
            "this is more than can be read at once",
            address=tree.name,
            why=f"{path}: {told.count:,} samples",
            hint=f"series({place.path!r}, start_s, end_s)",
        )
    values = tree.part(path, slice(first, first + told.count)).reshape(-1)
    if values.dtype.kind not in "iufb":
        raise CorruptError("samples that are not numbers", address=tree.name, why=path)
    unit, factor = unit_of(tree, place.path)
    if not conversion:  # the values are in A and V, whatever prefix the unit names
        factor = 1.0
    with np.errstate(all="ignore"):  # what is NaN or beyond all bounds stays so
        values = _converted(tree, path, values, conversion)
        values = values * factor if factor != 1.0 else values
    return Trace(np.asarray(values), unit, told, _stamps(tree, place.path, told, first))


def _converted(
    tree: Tree, path: str, values: np.ndarray[Any, Any], conversion: bool
) -> np.ndarray[Any, Any]:
    if not conversion:
        return values
    told = tree.attrs(path)
    scale = number(told.get("conversion", 1.0), "conversion", f"{tree.name}/{path}")
    offset = number(told.get("offset", 0.0), "offset", f"{tree.name}/{path}")
    # Half precision has nothing below 6e-8: amperes would come out as zeros.
    made = values.astype("float32") if values.dtype == "float16" else values
    made = made * scale if scale != 1.0 else made
    return made + offset if offset else made


def _stamps(tree: Tree, path: str, told: Timing, first: int) -> np.ndarray[Any, Any] | None:
    """Return a time for each sample, from the first; None where the series has a rate."""
    import numpy as np

    if not tree.has(f"{path}/starting_time") and tree.has(f"{path}/timestamps"):
        stamps = tree.part(f"{path}/timestamps", slice(first, first + told.count)).reshape(-1)
        if len(stamps) != told.count or stamps.dtype.kind not in "iuf":
            raise CorruptError(
                "times and samples differ in number",
                address=tree.name,
                why=f"{path}: {len(stamps):,} times, {told.count:,} samples",
            )
        return np.asarray(stamps - stamps[:1], dtype=float)
    if math.isnan(told.rate_hz):
        raise CorruptError(
            "a sweep without a rate",
            address=tree.name,
            why=f"starting_time of {path} names none that is a number above 0",
        )
    return None
