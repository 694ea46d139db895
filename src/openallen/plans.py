"""What a fetch takes, and what became of it.

The same `Plan` is what the command line prints, a notebook draws and the fetcher runs; the same
`Report` is what each of them shows afterwards. Both are frozen.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from openallen.display import bytes_text, card, count_text, facts_text, seconds_text
from openallen.errors import ExitCode, IntegrityError, OpenAllenError, UsageError
from openallen.harmless import harmless

__all__ = [
    "Check",
    "IncompleteError",
    "Outcome",
    "Plan",
    "RemoteFile",
    "Report",
    "Status",
    "fetch_command",
    "safe_name",
    "safe_path",
]

Status = Literal["fetched", "here", "failed", "not tried"]
"""``here``: it was there already and is intact. ``not tried``: the run ended before its turn."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_UNASKED_FILES = 16
_NAMED_FAILURES = 10
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}


class Check(Protocol):
    """Inspects a finished download before it gets its final name.

    Returns what it learned (``width_px``, ``height_px``, …) and raises `IntegrityError`
    when the bytes are not what they should be.
    """

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Check the file at `path`."""
        ...


def safe_path(text: str) -> str:
    """Return `text` if it is a relative path that stays inside its folder on every system.

    Raises
    ------
    IntegrityError
        For absolute, drive, empty, dotted and reserved parts, backslashes and control characters.
    """
    parts = text.split("/")
    if not text or any(not _is_safe(part) for part in parts):
        raise IntegrityError(
            "unsafe file name", address=repr(text), why="it could land outside the destination"
        )
    return text


def safe_name(text: str, otherwise: str) -> str:
    """Return the last part of a server's path if it is a safe file name, else `otherwise`."""
    name = text.rpartition("/")[2]
    return name if _is_safe(name) else otherwise


def fetch_command(
    address: object, *, to: Path | None = None, source: str = "live", options: str = ""
) -> str:
    """Return the command that fetches an address, quoted for a shell.

    Parameters
    ----------
    address
        What to fetch.
    to
        The destination folder; left out where None.
    source
        ``sample``, or the folder or URL of an archive; anything else needs no option.
    options
        Further options, quoted already: ``--downsample 5``.
    """
    parts = ["openallen fetch", shlex.quote(str(address))]
    parts += [f"--to {shlex.quote(str(to))}"] if to is not None else []
    parts += [options] if options else []
    elsewhere = source.startswith(("http://", "https://")) or Path(source).is_absolute()
    if source == "sample" or elsewhere:
        parts.append(f"--source {shlex.quote(source)}")
    return " ".join(parts)


@functools.lru_cache(maxsize=1 << 14)
def _is_safe(part: str) -> bool:
    return (
        re.fullmatch(r"[^\x00-\x1f\x7f<>:\"/\\|?*]{1,200}", part) is not None
        and part.strip(". ") != ""
        and not part.endswith((".", " "))
        and not part.startswith(" ")
        and part.partition(".")[0].lower() not in _RESERVED
    )


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file to be fetched.

    Parameters
    ----------
    address
        Its address in openallen's grammar.
    url
        Where its bytes are.
    path
        Where it goes, relative to the destination, with forward slashes.
    kind
        The group it is counted in: ``planes``, ``projections``, …
    size_bytes
        Its published size, where one is published.
    estimate_bytes
        An estimate for plans, where no size is published.
    digest
        Its published digest, ``algorithm:hex``, where one is published.
    last_digest, last_bytes
        The digest and size an earlier run recorded for the file at the destination.
    also_at
        Other places on this machine that should hold the same bytes (same published digest). A
        file found intact in one of them is linked or copied, not fetched.
    expects
        What its first bytes may look like (names of `openallen.transport.sniff.Kind`); empty
        for anything.
    ranges
        Whether the service answers byte ranges, so that a broken transfer can be resumed.
    check
        Run on the finished bytes before they get their name.
    retry
        The command that fetches just this file again; works as typed.
    label
        What reports call it, where its path says nothing to people; empty for the path.
    """

    address: str
    url: str
    path: str
    kind: str
    size_bytes: int | None = None
    estimate_bytes: int | None = None
    digest: str = ""
    last_digest: str = ""
    last_bytes: int | None = None
    also_at: tuple[Path, ...] = ()
    expects: frozenset[str] = frozenset()
    ranges: bool = True
    check: Check | None = None
    retry: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        safe_path(self.path)

    @property
    def named(self) -> str:
        """What reports call it: its label, else its path."""
        return self.label or self.path

    @property
    def likely_bytes(self) -> int | None:
        """The published size, else the estimate, else None."""
        return self.estimate_bytes if self.size_bytes is None else self.size_bytes

    def to_dict(self) -> dict[str, object]:
        """Return the plain facts, ready for JSON."""
        return {
            "address": self.address,
            "url": self.url,
            "path": self.path,
            "kind": self.kind,
            "size_bytes": self.size_bytes,
            "estimate_bytes": self.estimate_bytes,
            "digest": self.digest or None,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a fetch takes: files, bytes, what is here already, where from, where to.

    Parameters
    ----------
    address
        What was asked for.
    title
        What it is, in words.
    source
        ``live``, ``sample``, or the base URL of the service.
    to
        The destination folder.
    files
        Every file, in the order they are fetched.
    here
        Paths among them that need not be fetched: at the destination already, or on this machine
        under another name (`RemoteFile.also_at`).
    notes
        Sentences a person should read before saying yes.
    connections
        Maximum number of connections at once that the service bears.
    command
        The exact command that runs this plan, and resumes it; derived from `address`, `to` and
        `source` if left out.
    """

    address: str
    title: str
    source: str
    to: Path
    files: tuple[RemoteFile, ...]
    here: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    connections: int = 16
    command: str = ""

    def __post_init__(self) -> None:
        twice = [
            path for path, n in Counter(f.path.casefold() for f in self.files).items() if n > 1
        ]
        if twice:
            raise UsageError(
                "two files of the plan have the same path", address=self.address, why=twice[0]
            )
        if not self.command:
            command = fetch_command(self.address, to=self.to, source=self.source)
            object.__setattr__(self, "command", command)

    @property
    def missing(self) -> tuple[RemoteFile, ...]:
        """The files still to be fetched."""
        return tuple(f for f in self.files if f.path not in self.here)

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be fetched, as far as sizes are known; estimates included.

        Files of unknown size are not in it: see `missing_of_unknown_size` and `size_text`.
        """
        return sum(f.likely_bytes or 0 for f in self.missing)

    @property
    def missing_of_unknown_size(self) -> int:
        """Number of missing files with neither a published nor an estimated size."""
        return sum(f.likely_bytes is None for f in self.missing)

    @property
    def exact(self) -> bool:
        """Whether every missing file has a published size."""
        return all(f.size_bytes is not None for f in self.missing)

    @property
    def size_text(self) -> str:
        """The size of what is missing: ``1.2 MB``, ``about …``, ``at least …``, ``size unknown``.

        Empty where nothing is missing.
        """
        return _size_text(self.missing)

    def needs_confirmation(self, limit_bytes: int) -> bool:
        """Return whether a person should confirm the plan before it runs.

        Parameters
        ----------
        limit_bytes
            The size threshold of the settings.

        Returns
        -------
        bool
            True above the threshold, and for more than 16 files of which no size is known.
        """
        unknown = self.missing_of_unknown_size
        return self.missing_bytes > limit_bytes or (
            unknown > _UNASKED_FILES and unknown == len(self.missing)
        )

    def _facts(self) -> dict[str, object]:
        facts: dict[str, object] = {"address": self.address, "from": self.source, "to": self.to}
        for kind in dict.fromkeys(f.kind for f in self.files):
            facts[kind] = _count_and_size([f for f in self.files if f.kind == kind])
        if self.here:
            facts["here"] = count_text(len(self.here), "file")
        facts["to fetch"] = _count_and_size(self.missing)
        return facts

    def __str__(self) -> str:
        notes = (f"  {harmless(note)}" for note in self.notes)
        return "\n".join([facts_text(self.title, self._facts()), *notes])

    def __repr__(self) -> str:  # a dataclass's own would write out every file
        return str(self)

    def _repr_html_(self) -> str:
        return card(self.title, self._facts(), note=" ".join(self.notes))

    def to_dict(self) -> dict[str, object]:
        """Return the plain facts, ready for JSON."""
        return {
            "address": self.address,
            "title": self.title,
            "source": self.source,
            "to": str(self.to),
            "files_missing": len(self.missing),
            "bytes_missing": self.missing_bytes,
            "bytes_exact": self.exact,
            "files_of_unknown_size": self.missing_of_unknown_size,
            "command": self.command,
            "notes": list(self.notes),
            "files": [f.to_dict() | {"here": f.path in self.here} for f in self.files],
        }


def _size_text(files: Sequence[RemoteFile]) -> str:
    sizes = [f.likely_bytes for f in files]
    known = [size for size in sizes if size is not None]
    if not known:
        return "size unknown" if sizes else ""
    exact = all(f.size_bytes is not None for f in files if f.likely_bytes is not None)
    least = "" if len(known) == len(sizes) else "at least "
    return least + ("" if exact else "about ") + bytes_text(sum(known))


def _count_and_size(files: Sequence[RemoteFile]) -> str:
    size = _size_text(files)
    return count_text(len(files), "file") + (f", {size}" if size else "")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file.

    Parameters
    ----------
    file
        The file of the plan.
    status
        See `Status`.
    size_bytes
        Bytes at the final path; 0 where there is none.
    digest
        ``algorithm:hex`` of those bytes; the published algorithm where one is published,
        else SHA-256.
    fetched_at
        When the last byte came, ISO 8601 in UTC; empty unless this run fetched it.
    elapsed_s
        Seconds spent on it, waits and retries included.
    attempts
        Number of attempts.
    facts
        What the check learned, and what the service said of the file (``simulated``).
    error
        Why it failed.
    damaged
        Whether a damaged file was there before.
    where
        ``host:path`` of a file that a worker of a cluster fetched to its own disk; else empty.
    """

    file: RemoteFile
    status: Status
    size_bytes: int = 0
    digest: str = ""
    fetched_at: str = ""
    elapsed_s: float = 0.0
    attempts: int = 0
    facts: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    error: OpenAllenError | None = None
    damaged: bool = False
    where: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the plain facts, ready for JSON."""
        return {
            "address": self.file.address,
            "path": self.file.path,
            "status": self.status,
            "size_bytes": self.size_bytes,
            "digest": self.digest or None,
            "attempts": self.attempts,
            "was_damaged": self.damaged,
            "error": str(self.error) if self.error else None,
            "exit_code": int(self.error.exit_code) if self.error else None,
            "retry": self.file.retry if self.error else None,
        } | ({"where": self.where} if self.where else {})


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of a plan: each file verified, or named with the reason.

    Parameters
    ----------
    plan
        The plan that was run.
    outcomes
        One for each file, in the plan's order.
    elapsed_s
        Seconds the run took.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    elapsed_s: float = 0.0

    def _with(self, *statuses: Status) -> tuple[Outcome, ...]:
        return tuple(o for o in self.outcomes if o.status in statuses)

    @property
    def fetched(self) -> tuple[Outcome, ...]:
        """Files this run fetched."""
        return self._with("fetched")

    @property
    def here(self) -> tuple[Outcome, ...]:
        """Files that were there already, intact."""
        return self._with("here")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Files that are not there: failed, or not tried."""
        return self._with("failed", "not tried")

    @property
    def ok(self) -> bool:
        """Whether every file is there, and verified as far as that was asked for."""
        return not self.failed

    @property
    def unread(self) -> tuple[Outcome, ...]:
        """Files that are there with the right size, their published digest not yet compared."""
        return tuple(o for o in self._with("fetched", "here") if not o.digest)

    @property
    def fetched_bytes(self) -> int:
        """Bytes this run fetched."""
        return sum(o.size_bytes for o in self.fetched)

    def raise_if_failed(self) -> None:
        """Raise what went wrong: the one error itself where all failed alike, else a summary.

        Raises
        ------
        OpenAllenError
            The error of the single file, or of a run that was stopped (disk full, offline).
        IncompleteError
            Where some files failed and others are there.
        """
        failed = self.failed
        if not failed:
            return
        errors = [o.error for o in failed if o.error is not None]
        stopped = next((e for e in errors if e.exit_code is ExitCode.REFUSED), None)
        if stopped is not None:
            raise stopped
        if len(self.outcomes) == 1 and errors:
            raise errors[0]
        # Another try helps unless each was refused for the same reason.
        hints = {"" if e.retryable else e.hint for e in errors}
        raise IncompleteError(
            f"{count_text(len(failed), 'file')} of {len(self.outcomes):,} could not be fetched",
            report=self,
            address=self.plan.address,
            why=f"first: {errors[0].what}" if errors else "the run was interrupted",
            hint=hints.pop() if len(hints) == 1 and all(hints) else self.plan.command,
        )

    def _facts(self, written: Mapping[str, object] = _NOTHING) -> dict[str, object]:
        speed = self.fetched_bytes / self.elapsed_s if self.elapsed_s > 0 else 0
        facts: dict[str, object] = {
            "to": self.plan.to,
            "fetched": f"{count_text(len(self.fetched), 'file')}, {bytes_text(self.fetched_bytes)}"
            f" in {seconds_text(self.elapsed_s)}"
            + (f" ({bytes_text(speed)}/s)" if self.fetched else ""),
            "already here": count_text(len(self.here), "file") if self.here else None,
            "failed": count_text(len(self.failed), "file") if self.failed else None,
            "not verified": self._unread_text() if self.unread else None,
        }
        return facts | self._hosts() | dict(written)

    def _hosts(self) -> dict[str, object]:
        """Return what lies on which host, where workers fetched to their own disks."""
        by_host: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            if outcome.where:
                by_host.setdefault(outcome.where.partition(":")[0], []).append(outcome)
        return {
            f"on {host}": f"{count_text(len(found), 'file')}, "
            + bytes_text(sum(o.size_bytes for o in found))
            for host, found in sorted(by_host.items())
        }

    def _unread_text(self) -> str:
        command = shlex.join(["openallen", "verify", str(self.plan.to)])
        return f"{count_text(len(self.unread), 'file')}; {command}"

    def __str__(self) -> str:
        return self.text()

    def text(self, written: Mapping[str, object] = _NOTHING) -> str:
        """Return the report for people.

        Parameters
        ----------
        written
            Files written beside the fetched ones, by what they are: ``manifest``.
        """
        lines = [facts_text(self.plan.title, self._facts(written))]
        damaged = [o.file.named for o in self.fetched if o.damaged]
        if damaged:
            more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
            lines.append(f"  repaired: {', '.join(damaged[:5])}{more}")
        for outcome in self.failed[:_NAMED_FAILURES]:
            lines.append(f"  {outcome.file.named}: {_failure(outcome)}")
            alone = len(self.outcomes) == 1
            final = outcome.error is not None and not outcome.error.retryable
            whole = outcome.file.retry == self.plan.command and not alone
            if outcome.file.retry and not (alone and final) and not whole:
                lines.append(f"    try: {outcome.file.retry}")
        others = len(self.failed) - _NAMED_FAILURES
        if others > 0:
            lines.append(f"  and {others:,} more; all of them with --json")
        return harmless("\n".join(lines), lines=True)

    def _repr_html_(self) -> str:
        return card(self.plan.title, self._facts())

    def to_dict(self) -> dict[str, object]:
        """Return the plain facts, ready for JSON."""
        return {
            "address": self.plan.address,
            "to": str(self.plan.to),
            "command": self.plan.command,
            "fetched": len(self.fetched),
            "here": len(self.here),
            "failed": len(self.failed),
            "bytes_fetched": self.fetched_bytes,
            "elapsed_s": round(self.elapsed_s, 3),
            "files": [o.to_dict() for o in self.outcomes],
        }


def _failure(outcome: Outcome) -> str:
    """Return why a file failed; its path, which leads the line, stands for its URL."""
    error = outcome.error
    if error is None:
        return outcome.status
    return f"{error.what} ({error.why})" if error.why else error.what


class IncompleteError(OpenAllenError):
    """Some items failed; the others are there and verified.

    Parameters
    ----------
    report
        What became of each file.
    """

    exit_code = ExitCode.INCOMPLETE

    def __init__(
        self, what: str, *, report: Report, address: str = "", why: str = "", hint: str = ""
    ) -> None:
        super().__init__(what, address=address, why=why, hint=hint)
        self.report = report
