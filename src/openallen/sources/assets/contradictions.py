"""What in a record contradicts itself: ids of the subject, and times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openallen.sources.assets.record import Record

__all__ = ["contradictions"]

_DAY: Final = timedelta(days=1)
"""What times may differ by where one has no zone: names are in local time."""
_WITH_SUBJECT: Final = ("subject", "data_description", "session", "acquisition", "procedures")


def contradictions(record: Record) -> Iterator[str]:
    """Iterate over contradictions in a record, in plain words."""
    yield from _subjects(record)
    start, end = record.acquired
    if _before(end, start):
        yield f"acquisition ends before it begins: {_shown(start)} to {_shown(end)}"
    named = record.parsed.acquired
    if _apart(start, named):
        yield f"acquired {_shown(start)}, but its name says {_shown(named)}"
    if _before(record.created, start, _DAY):
        yield f"created {_shown(record.created)}, before it was acquired ({_shown(start)})"
    born = record.date_of_birth
    if born is not None and start is not None and born > start.date():
        yield f"the subject was born on {born}, after the acquisition"
    for step in record.steps:
        if _before(step.ended, step.started):
            yield f"step '{step.name}' ends before it begins"


def _subjects(record: Record) -> Iterator[str]:
    found = {name: record.core(name).get("subject_id") for name in _WITH_SUBJECT}
    found["name"] = record.parsed.subject_id
    told = {
        place: str(value).strip()
        for place, value in found.items()
        if isinstance(value, (str, int)) and str(value).strip()
    }
    if len(set(told.values())) > 1:
        said = ", ".join(f"{place} {value[:40]}" for place, value in told.items())
        yield f"subject ids contradict each other: {said}"


def _before(one: datetime | None, other: datetime | None, slack: timedelta = timedelta()) -> bool:
    """Return whether a time is before another, by more than what zones may account for."""
    if one is None or other is None:
        return False
    if (one.tzinfo is None) != (other.tzinfo is None):
        slack = max(slack, _DAY)
    return _plain(other) - _plain(one) > slack


def _apart(one: datetime | None, other: datetime | None) -> bool:
    return _before(one, other, _DAY) or _before(other, one, _DAY)


def _plain(time: datetime) -> datetime:
    try:
        return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # at the ends of what a date can be
        return time.replace(tzinfo=None)


def _shown(time: datetime | None) -> str:
    return "" if time is None else time.isoformat(" ", "minutes")
