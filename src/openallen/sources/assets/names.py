"""Names of AIND assets: three generations of naming schemes, and names that follow none.

::

    ecephys_625749_2022-08-03_15-15-06                        modality or platform, subject, time
    801381_2025-06-05_14-57-42                                subject, time
    ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55    a source, a label, a time

The published patterns match almost every name in several ways, so they are not used. Timestamps
are found first; the text between two of them is a label, and the text before the first is split by
the vocabulary of platforms and modalities. No name is an error: a part that does not parse stays
empty, with the reason in ``problems``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

__all__ = ["LEVELS", "MODALITIES", "PLATFORMS", "AssetName", "Level", "parse_name"]

Level = Literal["raw", "derived", "analyzed", "unknown"]
LEVELS: Final[tuple[Level, ...]] = ("raw", "derived", "analyzed", "unknown")
"""Data levels, as far as a name tells them."""

PLATFORMS: Final = (
    "behavior", "behavior-videos", "barseq", "confocal", "diSPIM", "ecephys", "exaSPIM", "FIP",
    "HCR", "HSFP", "ISI", "MERFISH", "mesoSPIM", "motor-observatory", "MRI", "multiplane-ophys",
    "Other", "single-plane-ophys", "SLAP2", "SmartSPIM",
)  # fmt: skip
"""First words of names, as aind-data-schema up to 1.x and the bucket have them."""

MODALITIES: Final = (
    "BARseq", "behavior", "behavior-videos", "brightfield", "confocal", "ecephys", "EM", "EMG",
    "fib", "fMOST", "icephys", "ISI", "MAPseq", "merfish", "MRI", "ophys", "pophys", "scRNAseq",
    "slap", "slap2", "SPIM", "STPT",
)  # fmt: skip
"""Abbreviations of modalities; the first word of the oldest names."""

_VOCABULARY: Final = {word.lower(): word for word in (*MODALITIES, *PLATFORMS)}
_STAMP: Final = re.compile(
    r"(?:(?<=_)|^)(\d{4}-\d{1,2}-\d{1,2})(?:_(\d{1,2}-\d{1,2}-\d{1,2}))?(?=_|$)"
)
# Fast path: nearly all names match this one expression.
_DAY: Final = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
_CLOCK: Final = r"(?:[01]\d|2[0-3])-[0-5]\d-[0-5]\d"
_USUAL: Final = re.compile(
    rf"(?P<source>(?:(?P<prefix>[A-Za-z][A-Za-z0-9-]*)_)?(?P<subject>\d+)_(?P<first>{_DAY}_{_CLOCK}))"
    rf"(?:_(?P<label>[a-z][a-z-]*[0-9]{{0,2}})_(?P<second>{_DAY}_{_CLOCK}))?"
)
_WHOLE: Final = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
_SUBJECT: Final = re.compile(r"[A-Za-z]{0,4}\d{3,}[\w.-]*|[A-Za-z]+\d*-\d+")


class _Stamp(NamedTuple):
    start: int
    end: int
    text: str


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class AssetName:
    """The parsed name of an asset.

    Parameters
    ----------
    text
        The name itself; `str` returns it unchanged, whatever the parts.
    level
        ``raw``, ``derived`` (from another asset), ``analyzed`` (of a project), ``unknown``.
    prefix
        First word of a raw name as written: a modality or a platform; empty where the name begins
        with the subject.
    subject_id
        Id of the subject; empty where there is none.
    source
        Of a derived name, the name of its source asset; else empty.
    label
        Of a derived name, the process; may contain underscores. Of an analyzed one, the analysis.
    problems
        Parts that do not parse, and why.
    stamps
        The timestamps in the name, as written.
    """

    text: str
    level: Level
    prefix: str = ""
    subject_id: str = ""
    source: str = ""
    label: str = ""
    problems: tuple[str, ...] = ()
    stamps: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = [f"{self.level}"]
        shown += [f"{n}={v!r}" for n, v in self.parts.items() if v]
        return f"AssetName({self.text!r}: {', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetName) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def parts(self) -> dict[str, str]:
        """The parts that are text: prefix, subject_id, source, label."""
        return {
            "prefix": self.prefix,
            "subject_id": self.subject_id,
            "source": self.source,
            "label": self.label,
        }

    @property
    def platform(self) -> str:
        """The prefix in its usual spelling (``exaSPIM`` for ``exaspim``); empty if unknown."""
        return _VOCABULARY.get(self.prefix.lower(), "")

    @property
    def primary(self) -> str:
        """The raw name at its beginning; empty where there is none."""
        at = self.text.find(self.stamps[0]) if self.stamps else -1
        return self.text[: at + len(self.stamps[0])] if at >= 0 else ""

    @property
    def acquired(self) -> datetime | None:
        """Start of the acquisition, in the local time of the rig; None where it does not parse."""
        return _time(self.stamps[0]) if self.stamps and self.level != "analyzed" else None

    @property
    def created(self) -> datetime | None:
        """Creation time of a derived or analyzed asset, in local time; None for others."""
        if self.level == "analyzed":
            return _time(self.stamps[0])
        return _time(self.stamps[-1]) if len(self.stamps) > 1 else None


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d_%H-%M-%S")  # noqa: DTZ007 - names have no time zone
    except ValueError:
        return None


def parse_name(name: str) -> AssetName:
    """Parse the name of an asset, or the last part of a path or URI of its folder.

    Never raises: parts that do not parse are listed in ``problems``.

    Examples
    --------
    >>> from openallen.sources.assets import parse_name
    >>> name = parse_name("ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55")
    >>> name.level, name.subject_id, name.label
    ('derived', '625749', 'nwb')
    >>> str(name)
    'ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55'
    """
    text = name.strip().rstrip("/").rpartition("/")[2]
    usual = _USUAL.fullmatch(text)
    if usual is not None:
        source, prefix, subject, first, label, second = usual.groups()
        if prefix is None or prefix.lower() in _VOCABULARY:
            if label is None:
                return AssetName(text, "raw", prefix or "", subject, stamps=(first,))
            return AssetName(
                text, "derived", prefix or "", subject, source, label, (), (first, second)
            )
    return _parse(text)


def _parse(text: str) -> AssetName:
    stamps = [_Stamp(m.start(), m.end(), m[0]) for m in _STAMP.finditer(text)]
    problems = [_problem(stamp) for stamp in stamps if not _is_whole(stamp.text)]
    timed = [stamp for stamp in stamps if "_" in stamp.text]
    if not timed:
        reason = "a date without a time" if stamps else "no timestamp"
        return AssetName(text, "unknown", *_head(text, None)[:2], problems=(reason,))
    first, last = timed[0], stamps[-1]
    prefix, subject, more = _head(text, first)
    level: Level = "raw"
    source = label = ""
    if last is not first:
        before = stamps[-2]
        level, source = "derived", text[: before.end]
        label = text[before.end : last.start].strip("_")
        if not label:
            problems.append("two timestamps without a label between them")
    elif first.end != len(text):
        level, source, label = "derived", text[: first.end], text[first.end :].strip("_")
        problems.append("no processing timestamp")
    elif prefix and not subject and "analysis" in more:
        level, label = "analyzed", more["analysis"]
        more = {}
    if last is not first and last.end != len(text):
        problems.append(f"text after the last timestamp: {text[last.end :]}")
    problems += more.values()
    return AssetName(
        text, level, prefix, subject, source, label, tuple(problems), tuple(s.text for s in stamps)
    )


def _is_whole(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None and _time(text) is not None


def _problem(stamp: _Stamp) -> str:
    if "_" not in stamp.text:
        return f"a date without a time: {stamp.text}"
    if _WHOLE.fullmatch(stamp.text):
        return f"not a valid time: {stamp.text}"
    return f"a timestamp with missing digits: {stamp.text}"


def _head(text: str, stamp: _Stamp | None) -> tuple[str, str, dict[str, str]]:
    """Split prefix and subject; returns prefix, subject, and problems by part."""
    head = text if stamp is None else text[: stamp.start].strip("_")
    words = head.split("_") if head else []
    if not words:
        return "", "", {"subject": "no subject"}
    first, rest = words[0], "_".join(words[1:])
    known = first.lower() in _VOCABULARY
    if not rest:
        # A platform, or a platform with a suffix after a dash, is not a subject.
        if known or first.partition("-")[0].lower() in _VOCABULARY:
            return first, "", {"subject": "no subject"}
        return "", first, {}
    wrong: dict[str, str] = {}
    if not known and not (len(words) == 2 and _SUBJECT.fullmatch(rest)):
        return first, "", {"analysis": rest}
    if not known:
        wrong["prefix"] = f"unknown prefix: {first}"
    if len(words) > 2:
        wrong["subject"] = f"subject id with an underscore: {rest}"
    return first, rest, wrong
