"""Manifests of what was fetched into a folder of its own: what each file is, and its digest.

A source that packages things (image stacks, cells) has a manifest of its own, with entries made
from those here; reading, writing and verifying are the same for all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from openallen.display import bytes_text
from openallen.errors import CorruptError, NotFoundError, RefusedError, SpaceError, StoreError
from openallen.formats.parallel import sized_map
from openallen.plans import Outcome, Plan, Report, safe_path
from openallen.store.checked import Checked, compare_digest
from openallen.store.disk import disk_error, write_whole
from openallen.transfer import Interrupted
from openallen.transfer.job import Means

__all__ = [
    "MANIFEST_NAME",
    "Arrived",
    "Count",
    "Entry",
    "Positive",
    "QueryEntry",
    "RelativePath",
    "Sha256",
    "digests_of",
    "family_of",
    "read",
    "refuse_other",
    "run",
    "sizes_of",
    "verified",
    "write",
]

MANIFEST_NAME: Final = "manifest.json"
_LOG: Final = logging.getLogger("openallen.store")

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Meta(min_length=1, description="relative to the manifest, with /")]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]

T = TypeVar("T", bound=msgspec.Struct)

_FAMILY: Final = re.compile(rb'"schema"\s*:\s*"openallen/([a-z]+)-manifest/\d+"')


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What all files have in common. Without ``path`` a file is known, but not here."""

    path: RelativePath | None = None
    url: Annotated[str, Meta(description="where it comes from, at the public service")]
    size_bytes: Positive | None = None
    sha256: Sha256 | None = None
    fetched_at: Annotated[str, Meta(description="ISO 8601, UTC")] | None = None
    simulated: bool = False

    @property
    def status_text(self) -> str:
        """Size of the file in words, or that it is not here."""
        here = bytes_text(self.size_bytes) if self.path and self.size_bytes else "not fetched"
        return f"{here}, simulated" if self.simulated else here


class QueryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One query sent to the service."""

    wanted: str
    rma: str
    url: str


def digests_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the recorded digest of each file, by path, as ``sha256:hex``."""
    return {e.path: f"sha256:{e.sha256}" for e in entries if e.path and e.sha256}


def sizes_of(entries: Iterable[Entry]) -> dict[str, int]:
    """Return the recorded size of each file in bytes, by path."""
    return {e.path: e.size_bytes for e in entries if e.path and e.size_bytes}


def family_of(body: bytes) -> str:
    """Return what kind of thing a manifest says it is of: ``stack``, ``cell``; empty if nothing.

    Parameters
    ----------
    body
        The manifest, intact or damaged.
    """
    found = _FAMILY.search(body)
    return found[1].decode() if found else ""


def read(folder: Path, kind: type[T], *, noun: str, hint: str) -> T:
    """Read the manifest in a folder.

    Parameters
    ----------
    folder
        The folder.
    kind
        The model of the manifest.
    noun
        What is packaged there, for errors: ``stack``.
    hint
        A command that makes such a folder.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it cannot be read.
    """
    path = folder / MANIFEST_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"no {noun} in this folder", address=str(folder), why=f"no {MANIFEST_NAME}", hint=hint
        ) from error
    # A ValidationError is a DecodeError; text nested too deeply is a RecursionError.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(
            f"not a manifest of a {noun.rpartition(' ')[2]}", address=str(path), why=str(error)
        ) from error


def refuse_other(folder: Path, family: str, hint: str) -> None:
    """Refuse a folder that holds a thing of another family: its manifest would be overwritten.

    Parameters
    ----------
    folder
        The folder.
    family
        What may be there: ``stack``, ``cell``.
    hint
        A command that goes to another folder.

    Raises
    ------
    RefusedError
        If something else is there.
    """
    try:
        found = family_of((folder / MANIFEST_NAME).read_bytes())
    except OSError:
        return
    if found not in {"", family}:
        why = f"the {MANIFEST_NAME} in it is that of a {found}"
        raise RefusedError(
            "this folder holds something else", address=str(folder), why=why, hint=hint
        )


def write(manifest: msgspec.Struct, folder: Path) -> bool:
    """Write a manifest, whole or not at all; return whether it differs from what was there.

    A manifest with the same content is left alone, to the byte and to the minute.

    Raises
    ------
    SpaceError, StoreError
        If it cannot be written.
    """
    path = folder / MANIFEST_NAME
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    try:
        if path.exists() and path.read_bytes() == text:
            return False
    except OSError as error:
        raise disk_error(error, folder) from error
    write_whole(path, text)
    return True


def run(plan: Plan, means: Means, make: Callable[[Report], msgspec.Struct]) -> Report:
    """Run a plan, then write the manifest of all that is here, also when something failed.

    Parameters
    ----------
    plan
        The plan.
    means
        What it is run with.
    make
        Returns the manifest of what a report says.

    Raises
    ------
    Interrupted
        On Ctrl-C; the manifest is written first.
    """
    try:
        report = means.run(plan)
    except Interrupted as interrupted:
        _write_after(interrupted.report, make)
        raise
    _write_after(report, make)
    return report


def _write_after(report: Report, make: Callable[[Report], msgspec.Struct]) -> None:
    if not (report.fetched or report.here):
        return
    try:
        write(make(report), report.plan.to)
    except (StoreError, SpaceError) as error:
        if report.fetched:
            raise
        _LOG.warning("the manifest is left as it is: %s", error)  # a read-only folder


class Arrived:
    """What is in a folder after a run: files of this run, and those an earlier one left there.

    Parameters
    ----------
    to
        The folder.
    report
        The report of the run.
    known
        Entries of the manifest that was there before.
    simulated
        Whether the source says that it makes up what it sends.
    """

    def __init__(
        self, to: Path, report: Report, known: Iterable[Entry], *, simulated: bool
    ) -> None:
        self._to = to
        self._simulated = simulated
        self.came = {o.file.path: o for o in (*report.fetched, *report.here)}
        self.known = {e.path: e for e in known if e.path}

    def here(self, path: str) -> dict[str, Any]:
        """Return what every entry says of a file that is here; nothing for one that is not.

        Parameters
        ----------
        path
            The file, relative to the folder.
        """
        outcome, known = self.came.get(path), self.known.get(path)
        if outcome is None:
            # Not part of this run: what an earlier one fetched stays, while it is there.
            if known is None or not (self._to / path).exists():
                return {}
            names = ("path", "size_bytes", "sha256", "fetched_at", "simulated")
            return {name: getattr(known, name) for name in names}
        sha256 = outcome.digest.removeprefix("sha256:")
        same = known is not None and known.sha256 == sha256
        return {
            "path": path,
            "size_bytes": outcome.size_bytes,
            "sha256": sha256,
            "fetched_at": known.fetched_at if same and known else outcome.fetched_at,
            "simulated": self._is_simulated(outcome, known if same else None),
        }

    def _is_simulated(self, outcome: Outcome, known: Entry | None) -> bool:
        if outcome.status == "fetched":
            return outcome.facts.get("simulated") is True
        return known.simulated if known is not None else self._simulated


def verified(
    folder: Path, entries: Sequence[Entry], folders: Sequence[str], *, address: str, repair: str
) -> Iterator[Checked]:
    """Read every file of a packaged thing through, and compare it with its entry.

    Parameters
    ----------
    folder
        The folder of the manifest.
    entries
        Its entries; those without a path are not here, and left out.
    folders
        Folders of the thing's own, in which other files are named as ``unknown``.
    address
        What names the thing.
    repair
        The command that repairs it.

    Raises
    ------
    IntegrityError
        If an entry names a file outside the folder.
    """
    here = [(safe_path(e.path), e) for e in entries if e.path]
    return _checked(folder, here, folders, address, repair)


def _checked(
    folder: Path,
    here: Sequence[tuple[str, Entry]],
    folders: Sequence[str],
    address: str,
    repair: str,
) -> Iterator[Checked]:
    def check(item: tuple[str, Entry]) -> Checked:
        path, entry = item
        return _check(folder / path, entry, address, repair)

    yield from sized_map(check, here, lambda item: item[1].size_bytes or 0)
    known = {path for path, _ in here}
    for name in folders:
        for path in sorted((folder / name).rglob("*")):
            inside = path.relative_to(folder).as_posix()
            if path.is_file() and inside not in known and path.suffix not in {".part", ".lease"}:
                yield Checked(path, "", "unknown", path.stat().st_size)


def _check(path: Path, entry: Entry, address: str, repair: str) -> Checked:
    try:
        size = path.stat().st_size
        if entry.size_bytes not in {None, size}:
            return Checked(path, address, "damaged", size, repair)
        if not entry.sha256:
            return Checked(path, address, "unknown", size, repair)
        return Checked(path, address, compare_digest(path, f"sha256:{entry.sha256}"), size, repair)
    except FileNotFoundError:
        return Checked(path, address, "missing", 0, repair)
    except OSError:
        return Checked(path, address, "unreadable", 0, repair)
