"""Mirroring: ask sources, plan the files, fetch what is not here, write what an archive serves."""

from __future__ import annotations

import mimetypes
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from openallen.address import Address
from openallen.errors import IntegrityError, OpenAllenError
from openallen.mirroring import ledger as ledgers
from openallen.mirroring.asking import ask, complete
from openallen.mirroring.folders import WORK, check_source
from openallen.mirroring.homes import Home
from openallen.mirroring.indexes import about_of, write_indexes
from openallen.mirroring.ledger import Entry, Ledger
from openallen.mirroring.noting import Noting
from openallen.mirroring.places import Places, is_answer
from openallen.mirroring.recorder import Kept, Recorder
from openallen.mirroring.replay import unlike
from openallen.mirroring.rows import Tables
from openallen.mirroring.wanted import Asked, Origin
from openallen.plans import Outcome, Plan, RemoteFile, Report
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.store import Record, Store, digest_of
from openallen.store.link import share
from openallen.transfer.engine import Interrupted
from openallen.transfer.job import FileJob
from openallen.transport.heard import hearing

if TYPE_CHECKING:
    from openallen.transfer import Interruption, Observer
    from openallen.transport.s3 import Listed

__all__ = ["Mirror", "Wanted", "running"]

_NO_DIGEST: Final = "sha256:" + "0" * 64
"""What no file has: makes the engine fetch a file again that it would vouch for."""


@dataclass(frozen=True)
class Wanted:
    """What is to be mirrored.

    Parameters
    ----------
    addresses
        Addresses, each with the options of fetch it was given.
    refresh
        Whether files are fetched again of which nothing says whether they have changed.
    damaged
        Names of the ledger whose files are not what they should be.
    """

    addresses: tuple[ledgers.Address, ...]
    refresh: bool = False
    damaged: frozenset[str] = frozenset()


@dataclass
class _File:
    """A file of the plan, and what it is in the ledger."""

    asked: Asked
    remote: RemoteFile
    address: str
    entry: Entry | None = None
    listed: Listed | None = None


@dataclass
class Mirror:
    """One run of a mirror: what it asks for is known, and what it would fetch.

    Parameters
    ----------
    home
        Where it is kept.
    settings
        Settings, with the service that is mirrored.
    wanted
        What is to be mirrored.
    say
        Is told what a person may want to know meanwhile.
    """

    home: Home
    settings: Settings
    wanted: Wanted
    say: Callable[[str], object] = lambda _: None
    work: Path = field(init=False)
    notes: dict[str, None] = field(default_factory=dict)
    conflicts: list[Outcome] = field(default_factory=list)
    undelivered: dict[str, OpenAllenError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.home.root
        self.ledger = Ledger(self.root)
        self.tables = Tables(self.root)
        self.places = Places(e.file for e in self.ledger.entries.values())
        self._files: dict[str, _File] = {}
        self._connections = 1
        self._rows = 0

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, work: Path) -> None:
        """Ask the sources; rows and answers wait in memory and in a folder.

        Parameters
        ----------
        work
            The folder.
        """
        self.work = work
        with Context(self.settings) as context:
            client = context.client
            self.origin = Origin(client.base_url, context.bucket("any").endpoint)
            said = {"notes": list(client.notes), "simulated_pixels": client.simulated}
            self.about = about_of(said, self.settings.source)
        self.recorder = Recorder(self.origin, self.tables, work / "answers")
        # A store of its own: what the usual one holds would not be asked for, and not be heard.
        chosen = replace(self.settings, store=work / "store")
        self._seed(chosen.store)
        with hearing(self.recorder), Context(chosen, say=self.say) as context:
            for one in self.wanted.addresses:
                address = Address.parse(one.address)
                self.say(f"asking for {address}")
                told = ask(context, address, one.options, files=one.files, limit=one.limit)
                self.notes.update(told.notes)
                self._connections = max(self._connections, told.connections)
                self._rows += told.rows
                for where, file in told.files:
                    self._want(where, file)
            complete(context, self.recorder)

    def _seed(self, store: Path) -> None:
        """Put tables of releases and the like where a source will look for them.

        They were fetched to answer; they are here, and have not changed where they are named by a
        version or a published digest.
        """
        seeds = [e for e in self.ledger.entries.values() if e.seed and (e.digest or e.version_id)]
        if not seeds:
            return
        with Store(store).index() as index:
            for entry in seeds:
                there = store / entry.seed
                if not self._holds(entry):
                    continue
                self.home.obtain(entry, there)
                digest = entry.digest or f"sha256:{entry.sha256}"
                index.remember(
                    there, digest=digest, source=entry.url, address=next(iter(entry.addresses), "")
                )

    def _want(self, address: str, file: RemoteFile) -> None:
        asked = self.origin.asked(file.url)
        if asked is None:
            self.notes[f"{file.url}: of another service, not mirrored"] = None
            return
        listed = self.recorder.listed.get(asked.name)
        known = self._files.get(asked.name)
        if known is not None:
            if known.remote.digest and file.digest and known.remote.digest != file.digest:
                self._conflict(known, address, file)
            return
        entry = self._here(asked, file, listed)
        place = self.places.place(asked, file.path) if entry is None else entry.file
        changed = entry is not None and not self._unchanged(entry, asked, file, listed)
        there = changed or (self.root / place).exists()
        remote = replace(
            file,
            path=place,
            address=file.address or address,
            also_at=(),
            last_digest=_NO_DIGEST if changed else file.last_digest if there else "",
            last_bytes=None,
            retry="",
            label=f"{file.address or address} {PurePosixPath(file.path).name}",
        )
        self._files[asked.name] = _File(asked, remote, address, None if changed else entry, listed)

    def _holds(self, entry: Entry) -> bool:
        return entry.name not in self.wanted.damaged and self.home.holds(entry)

    def _conflict(self, known: _File, address: str, file: RemoteFile) -> None:
        error = IntegrityError(
            "two digests are published of one URL",
            address=file.url,
            why=f"{known.remote.digest[:24]}… for {known.address}, "
            f"{file.digest[:24]}… for {address}",
        )
        self.conflicts.append(Outcome(file=file, status="failed", error=error))

    def _here(self, asked: Asked, file: RemoteFile, listed: Listed | None) -> Entry | None:
        """Return the entry of a file: of the same name, else of a version with the same bytes."""
        exact = self.ledger.entries.get(asked.name)
        if exact is not None:
            return exact
        for entry in self.ledger.versions(asked.name) if asked.bucket else ():
            same = file.digest and entry.digest == file.digest
            tagged = listed is not None and listed.etag and entry.etag == listed.etag
            if not asked.version_id and (same or tagged):
                return entry
        return None

    def _unchanged(
        self, entry: Entry, asked: Asked, file: RemoteFile, listed: Listed | None
    ) -> bool:
        """Return whether a file need not be fetched again."""
        if not self._holds(entry):
            return False
        if file.digest and entry.digest:
            return file.digest == entry.digest
        if asked.version_id:
            return True
        if listed is not None and listed.etag and entry.etag:
            return listed.etag == entry.etag
        if file.size_bytes is not None and file.size_bytes != entry.size_bytes:
            return False
        return not self.wanted.refresh

    # --- the plan ---------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """What it takes, with what is here."""
        here = frozenset(f.remote.path for f in self._files.values() if f.entry is not None)
        one = self.wanted.addresses[0].address if len(self.wanted.addresses) == 1 else ""
        names = one or f"{len(self.wanted.addresses):,} addresses"
        return Plan(
            address=names,
            title=f"Mirror of {names} in {self.home.name}",
            source=self.settings.source,
            to=self.root,
            files=tuple(f.remote for f in self._files.values()),
            here=here,
            notes=tuple(self.notes),
            connections=self._connections,
            command=f"openallen mirror --to {shlex.quote(self.home.name)}",
        )

    @property
    def rows(self) -> int:
        """How many rows the tables have that this run touched."""
        return self.tables.rows

    # --- running ----------------------------------------------------------------------------------

    def run(
        self, observer: Observer | None = None, interruption: Interruption | None = None
    ) -> Report:
        """Fetch what is not here, and write rows, answers and indexes; failures are in the report.

        Parameters
        ----------
        observer
            Receives progress.
        interruption
            Ends the run from another thread.

        Raises
        ------
        SpaceError
            If the disk cannot hold what is missing.
        StoreError
            If the folder cannot be written.
        Interrupted
            On Ctrl-C, or when `interruption` is asked for; what is here by then is served.
        """
        from openallen.transfer import check_space

        start = time.monotonic()
        plan = self.plan
        self._by_path = {f.remote.path: f for f in self._files.values()}
        for batch in self.home.batches(plan.missing):
            check_space(replace(plan, files=tuple(batch), here=frozenset()))
        for one in self.wanted.addresses:
            self.ledger.add(replace(one, source=self.settings.source))
        try:
            self._take_heard()
            self.tables.write()
            report = self._fetch(plan, observer, interruption)
        finally:
            self._finish()
        outcomes = (*map(self._brought, report.outcomes), *self.conflicts)
        return Report(plan=plan, outcomes=outcomes, elapsed_s=time.monotonic() - start)

    def _brought(self, outcome: Outcome) -> Outcome:
        error = self.undelivered.get(outcome.file.path)
        return outcome if error is None else replace(outcome, status="failed", error=error)

    def _fetch(
        self, plan: Plan, observer: Observer | None, interruption: Interruption | None
    ) -> Report:
        done: dict[str, Outcome] = {}
        for file in self._files.values():
            if file.entry is not None:
                self.ledger.add(replace(file.entry, addresses=(file.address,)))
                done[file.remote.path] = _outcome(file.remote, file.entry)
        for batch in self.home.batches(plan.missing):
            part = replace(plan, files=tuple(batch), here=frozenset())
            with Context(self.settings) as context:
                heard = Noting(self._note, observer)
                try:
                    ran = context.run(FileJob(part), heard, part, interruption)
                except Interrupted as interrupt:
                    done |= {o.file.path: o for o in interrupt.report.outcomes}
                    raise Interrupted(_report(plan, done)) from None
            done |= {o.file.path: o for o in ran.outcomes}
            self._deliver()
        return _report(plan, done)

    def _note(self, outcome: Outcome) -> None:
        """Write down that a file is here."""
        file = self._by_path.get(outcome.file.path)
        if file is not None:
            self.settled(file, outcome)

    def _deliver(self) -> None:
        """Bring files to where they stay; what cannot be brought is not in the ledger."""
        self._fill_digests()
        failed = self.home.deliver(list(self.ledger.entries.values()))
        self.undelivered.update(failed)
        for name, entry in list(self.ledger.entries.items()):
            if entry.file in failed:
                self.ledger.forget(name)

    def settled(self, file: _File, outcome: Outcome) -> None:
        """Write down that a file is here."""
        listed = file.listed
        version = file.asked.version_id or (listed.version_id if listed is not None else "")
        self.ledger.add(
            Entry(
                name=file.asked.name,
                url=file.remote.url,
                file=file.remote.path,
                size_bytes=outcome.size_bytes,
                sha256=_sha256(outcome.digest),
                digest=file.remote.digest,
                etag=listed.etag if listed is not None else "",
                modified=_iso(listed),
                version_id="" if version == "null" else version,
                latest=listed.latest if listed is not None else True,
                content_type=_type(file.remote.path) if is_answer(file.remote.path) else "",
                when=outcome.fetched_at or _now(),
                kind="object" if file.asked.bucket else "file",
                addresses=(file.address,),
                simulated=outcome.facts.get("simulated") is True,
            )
        )

    # --- what was heard ---------------------------------------------------------------------------

    def _take_heard(self) -> None:
        """Take objects that came while sources were asked, and files they fetched to answer."""
        for kept in self.recorder.kept.values():
            if kept.query is None:
                self._keep(kept)
        store = self.work / "store"
        with Store(store).index() as index:
            records = index.everything()
        for path, record in sorted(records.items()):
            asked = self.origin.asked(record.source) if record.source else None
            if asked is None or not Path(path).is_file():
                continue
            seed = Path(path).resolve().relative_to(store.resolve()).as_posix()
            self._adopt(asked, Path(path), record, seed)

    def _adopt(self, asked: Asked, path: Path, record: Record, seed: str) -> None:
        """Take a file that a source fetched to answer."""
        listed = self.recorder.listed.get(asked.name)
        before = self.ledger.entries.get(asked.name)
        same = before is not None and record.digest in {before.digest, f"sha256:{before.sha256}"}
        if before is not None and same and self._holds(before):
            self.ledger.add(replace(before, seed=seed))
            return
        planned = self._files.pop(asked.name, None)
        place = before.file if before is not None else ""
        place = place or (planned.remote.path if planned else self.places.place(asked, path.name))
        share(path, self.root / place)
        entry = Entry(
            name=asked.name,
            url=record.source,
            file=place,
            size_bytes=path.stat().st_size,
            sha256=digest_of(path).partition(":")[2],
            digest="" if record.digest.startswith("sha256:") else record.digest,
            etag=listed.etag if listed is not None else "",
            modified=_iso(listed),
            version_id=asked.version_id,
            latest=listed.latest if listed is not None else True,
            when=_now(),
            kind="object" if asked.bucket else "file",
            addresses=(record.address,),
            seed=seed,
        )
        self.ledger.add(entry)
        if planned is not None:
            self._files[asked.name] = replace(planned, entry=entry)

    def _keep(self, kept: Kept) -> None:
        """Keep an answer as it came, unless it is here already."""
        digest = digest_of(kept.path).partition(":")[2]
        before = self.ledger.entries.get(kept.asked.name)
        if before is not None and before.sha256 == digest and self._holds(before):
            return
        listed = self.recorder.listed.get(kept.asked.name)
        ending = f"x{mimetypes.guess_extension(kept.content_type) or '.bin'}"
        place = before.file if before is not None else self.places.place(kept.asked, ending)
        share(kept.path, self.root / place)
        self.ledger.add(
            Entry(
                name=kept.asked.name,
                url=kept.url,
                file=place,
                size_bytes=kept.path.stat().st_size,
                sha256=digest,
                etag=kept.etag if kept.asked.bucket else "",
                modified=_iso(listed) or kept.modified,
                version_id=kept.asked.version_id,
                latest=listed.latest if listed is not None else True,
                content_type=kept.content_type if not kept.asked.bucket else "",
                when=_now(),
                kind="object" if kept.asked.bucket else "answer",
                simulated=kept.simulated,
            )
        )

    # --- the end ----------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write what an archive serves of what is here; also after an interrupt or a failure."""
        try:
            self._fill_digests()
            self.tables.write()
            rows = [kept for kept in self.recorder.kept.values() if kept.query is not None]
            for kept in unlike(self.root, rows):
                self._keep(kept)
            self._deliver()
            write_indexes(self.ledger, self.about)
            self.ledger.digest_made()
            self.ledger.compact()
            self.home.publish(self.ledger)
        finally:
            self.ledger.close()

    def _fill_digests(self) -> None:
        """Compute the SHA-256 of files whose published digest is another one."""
        for entry in list(self.ledger.entries.values()):
            path = self.root / entry.file
            if not entry.sha256 and path.is_file():
                sha256 = digest_of(path).partition(":")[2]
                self.ledger.add(replace(entry, sha256=sha256))


@contextmanager
def running(
    home: Home,
    settings: Settings,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    say: Callable[[str], object] = lambda _: None,
) -> Iterator[Mirror]:
    """Ask the sources, and return the run that would follow; usable while the context lasts.

    Parameters
    ----------
    home
        Where the mirror is kept; nobody else is at it.
    settings
        Settings.
    wanted
        What is to be mirrored.
    dry_run
        Whether only the plan is wanted: then nothing is written there.
    say
        Is told what a person may want to know meanwhile.

    Raises
    ------
    RefusedError
        If it was made from another service.
    StoreError
        If it cannot be written.
    """
    mirror = Mirror(home, settings, wanted, say)
    check_source(mirror.ledger, settings)
    with ExitStack() as stack:
        work = Path(tempfile.mkdtemp(prefix=WORK, dir=None if dry_run else home.root))
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        stack.callback(mirror.ledger.close)
        mirror.ask(work)
        yield mirror


# --- small things ---------------------------------------------------------------------------------


def _report(plan: Plan, done: Mapping[str, Outcome]) -> Report:
    outcomes = (done.get(f.path, Outcome(file=f, status="not tried")) for f in plan.files)
    return Report(plan=plan, outcomes=tuple(outcomes))


def _outcome(file: RemoteFile, entry: Entry) -> Outcome:
    return Outcome(
        file=file,
        status="here",
        size_bytes=entry.size_bytes,
        digest=entry.digest or f"sha256:{entry.sha256}",
        fetched_at=entry.when,
    )


def _sha256(digest: str) -> str:
    return digest.partition(":")[2] if digest.startswith("sha256:") else ""


def _iso(listed: Listed | None) -> str:
    return listed.modified.isoformat() if listed is not None and listed.modified else ""


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _type(path: str) -> str:
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
