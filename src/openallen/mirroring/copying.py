"""Copying a mirror as a whole: from an S3-compatible store to a disk, or from a disk to a store.

Every file is compared with the digest of the ledger as it comes; what is there already is left
alone, and the ledger is written last.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openallen.errors import (
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    SpaceError,
    StoreError,
    UsageError,
)
from openallen.mirroring.folders import alone, check_folder
from openallen.mirroring.homes import FolderHome, Home
from openallen.mirroring.indexes import write_indexes
from openallen.mirroring.ledger import Entry, Ledger
from openallen.mirroring.rows import Tables
from openallen.mirroring.s3home import s3_home
from openallen.plans import Outcome, Plan, RemoteFile, Report
from openallen.settings import Settings
from openallen.sources.context import folder_for
from openallen.store import digest_of
from openallen.store.disk import disk_error, read_object
from openallen.transfer.progress import Meter, Quiet
from openallen.transfer.space import check_space

if TYPE_CHECKING:
    from openallen.transfer import Interruption, Observer

__all__ = ["Copy", "copying"]

_AT_ONCE: Final = 8


@contextmanager
def copying(
    what: str, to: Path | str, settings: Settings, *, endpoint_url: str, dry_run: bool
) -> Iterator[Copy]:
    """Prepare a copy of a mirror.

    Parameters
    ----------
    what, to
        ``s3://BUCKET/PREFIX`` or a folder, each.
    settings
        Settings, for the store.
    endpoint_url
        The S3-compatible server.
    dry_run
        Whether only the plan is wanted.

    Raises
    ------
    NotFoundError
        If there is no mirror.
    RefusedError
        If the place holds something else.
    """
    with ExitStack() as stack:
        first: Home
        if what.lower().startswith("s3://"):
            first = stack.enter_context(s3_home(what, endpoint_url=endpoint_url))
        else:
            first = FolderHome(folder_for(what))
        ledger = Ledger(first.root)
        if not (ledger.entries or ledger.addresses):
            raise NotFoundError(
                "not a mirror", address=what, why="no mirror.jsonl", hint="openallen mirror --help"
            )
        then: Home
        if isinstance(to, str) and to.lower().startswith("s3://"):
            then = stack.enter_context(s3_home(to, endpoint_url=endpoint_url))
        else:
            root = folder_for(to)
            check_folder(root, settings)
            if not dry_run:
                stack.enter_context(alone(root))
            then = FolderHome(root)
        if first.name == then.name or os.path.realpath(first.root) == os.path.realpath(then.root):
            raise UsageError("a mirror cannot be copied onto itself", address=what)
        yield Copy(first, ledger, then)


class Copy:
    """A copy that may be made.

    Parameters
    ----------
    first, ledger
        The mirror, and its ledger.
    then
        Where it goes.
    """

    def __init__(self, first: Home, ledger: Ledger, then: Home) -> None:
        self._first, self._entries, self._then = first, ledger, then
        self.ledger = Ledger(then.root)
        self._files = {e.file: e for e in ledger.entries.values() if e.sha256}
        self.rows = 0

    @property
    def plan(self) -> Plan:
        """What it takes, with what is there."""
        files = tuple(
            RemoteFile(
                address=next(iter(entry.addresses), entry.name),
                url=entry.url or entry.name,
                path=file,
                kind=f"{entry.kind}s",
                size_bytes=entry.size_bytes,
                digest=f"sha256:{entry.sha256}",
            )
            for file, entry in sorted(self._files.items())
        )
        return Plan(
            address=self._first.name,
            title=f"Copy of the mirror {self._first.name} to {self._then.name}",
            source=self._first.name,
            to=self._then.root,
            files=files,
            here=frozenset(f.path for f in files if self._is_there(self._files[f.path])),
            command=shlex.join(["openallen", "mirror", self._first.name, "--to", self._then.name]),
        )

    def _is_there(self, entry: Entry) -> bool:
        known = self.ledger.entries.get(entry.name)
        same = known is not None and (known.file, known.sha256) == (entry.file, entry.sha256)
        return same and self._then.holds(entry)

    def run(
        self, observer: Observer | None = None, interruption: Interruption | None = None
    ) -> Report:
        """Copy files, then tables and indexes, the ledger last; failures are in the report.

        Parameters
        ----------
        observer
            Receives progress.
        interruption
            Ends the run from another thread, between two batches.

        Raises
        ------
        SpaceError, StoreError
            If the disk cannot take it.
        """
        start, plan = time.monotonic(), self.plan
        watching: Observer = observer or Quiet()
        meter = Meter(len(plan.files))
        done: dict[str, Outcome] = {
            f.path: Outcome(file=f, status="here", size_bytes=f.size_bytes or 0, digest=f.digest)
            for f in plan.files
            if f.path in plan.here
        }
        watching.started(plan, meter)
        try:
            for batch in self._then.batches(plan.missing):
                if interruption is not None and interruption.asked:
                    break
                check_space(replace(plan, files=tuple(batch), here=frozenset()))
                for outcome in self._batch(batch):
                    meter.settle(outcome)
                    watching.settled(outcome)
                    done[outcome.file.path] = outcome
                self._deliver(done)
        finally:
            watching.finished()
            self._publish()
        left = (done.get(f.path, Outcome(file=f, status="not tried")) for f in plan.files)
        return Report(plan=plan, outcomes=tuple(left), elapsed_s=time.monotonic() - start)

    def _batch(self, files: Sequence[RemoteFile]) -> Iterator[Outcome]:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copies") as pool:
            try:
                yield from pool.map(self._one, files)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _one(self, file: RemoteFile) -> Outcome:
        entry, target = self._files[file.path], self._then.root / file.path
        draft = target.with_name(f"{target.name}.copy.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._first.obtain(entry, draft)
            found = digest_of(draft)
            if found != file.digest:
                raise IntegrityError(
                    "not what the ledger says",
                    address=f"{self._first.name}/{file.path}",
                    why=f"SHA-256 {found[7:23]}…, not {entry.sha256[:16]}…",
                    hint=f"remove it there, then openallen mirror --to {self._first.name}",
                )
            draft.replace(target)
            self.ledger.add(entry)
        except OpenAllenError as error:
            with suppress(OSError):
                draft.unlink()
            if isinstance(error, (SpaceError, StoreError)):
                raise
            return Outcome(file=file, status="failed", error=error)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise disk_error(error, target) from error
        return Outcome(file=file, status="fetched", size_bytes=entry.size_bytes, digest=found)

    def _deliver(self, done: dict[str, Outcome]) -> None:
        entries = list(self.ledger.entries.values())
        for file, error in self._then.deliver(entries).items():
            done[file] = replace(done[file], status="failed", error=error)
            self.ledger.forget(self._files[file].name)

    def _publish(self) -> None:
        """Merge rows, write the indexes and the ledger."""
        tables = Tables(self._then.root)
        for path in sorted((self._first.root / "tables").glob("*.jsonl")):
            tables.merge_file(path)
        tables.write()
        for address in self._entries.addresses.values():
            self.ledger.add(address)
        about = read_object(self._first.root / "archive.json")
        write_indexes(self.ledger, about)
        self.ledger.digest_made()
        self.ledger.compact()
        self._then.publish(self.ledger)
