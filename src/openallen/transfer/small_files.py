"""Small files: many requests from each of a few threads.

What does not go smoothly is left for the ordinary engine, which asks again, waits, takes up parts
and names what is wrong. The promises hold here too: a lease before a request, bytes verified
before they get their name.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from openallen.errors import OpenAllenError, UnreachableError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, Part
from openallen.store.digests import digest_text, new_hasher
from openallen.transfer.admission import Admission, Entry
from openallen.transfer.progress import Meter, Observer
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transfer.status import moment
from openallen.transfer.verify import algorithm_for, recognise, simulated, verify_bytes
from openallen.transport import Http
from openallen.transport.multiplexer import Body, Multiplexer

__all__ = ["SMALL_BYTES", "WORTH_FILES", "SmallFiles", "fits"]

SMALL_BYTES: Final = 1 << 20
"""Files up to this size are held in memory whole before anything is written."""

WORTH_FILES: Final = 16
"""Fewer small files than this are left to the ordinary engine."""

_MOST_THREADS: Final = 2
_EACH: Final = 32
_LOOK_S: Final = 0.2
_PATIENCE: Final = 8


def fits(file: RemoteFile) -> bool:
    """Return whether a file may be fetched this way."""
    return 0 < (file.size_bytes or 0) <= SMALL_BYTES and file.check is None


@dataclass(kw_only=True)
class SmallFiles:
    """Fetches small files of a plan; what is missing from `outcomes` afterwards was left.

    A few threads share the files, each with a multi handle of its own: it lets files in, asks for
    them, and verifies, writes and names what came, all without handing anything to another thread.

    Parameters
    ----------
    plan
        Whose files.
    http
        Who asks.
    admission
        Lets them in.
    index
        Remembers them.
    rate_limiter
        How many requests at once.
    meter, observer
        Are told.
    verify
        Whether digests are compared now.
    """

    plan: Plan
    http: Http
    admission: Admission
    index: Index
    rate_limiter: RateLimiter
    meter: Meter
    observer: Observer
    verify: bool = True
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._todo: deque[RemoteFile] = deque()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._left = 0

    def run(self, files: Iterable[RemoteFile]) -> None:
        """Fetch what goes smoothly of `files`."""
        self._todo = deque(files)
        count = min(_MOST_THREADS, 1 + len(self._todo) // _EACH)
        with ThreadPoolExecutor(count, thread_name_prefix="small") as pool:
            work = [pool.submit(self._work, count) for _ in range(count)]
            try:
                # Waited for in short turns: a signal may have gone to another thread.
                while wait(work, _LOOK_S).not_done:
                    pass
            finally:  # also on Ctrl-C: what is under way is dropped
                self._stop.set()
            for one in work:
                one.result()

    def _work(self, threads: int) -> None:
        """Fetch files with requests of this thread's own until none are left."""
        requests = Multiplexer(self.http, limit_bytes=SMALL_BYTES)
        entries: dict[RemoteFile, Entry] = {}
        try:
            while not self._stop.is_set():
                self._let_in(requests, entries, -(-self.rate_limiter.limit // threads))
                if not requests.waiting:
                    break
                for body in requests.bodies():
                    file = body.key
                    assert isinstance(file, RemoteFile)
                    self._settle(file, body, entries.pop(file))
        finally:
            requests.close()
            for entry in entries.values():
                self.admission.leave(entry)

    def _let_in(self, requests: Multiplexer, entries: dict[RemoteFile, Entry], limit: int) -> None:
        """Ask for as many files as may be under way."""
        while requests.waiting < limit:
            with self._lock:
                if not self._todo:
                    return
                file = self._todo.popleft()
            try:
                entered = self.admission.enter(file)
                if isinstance(entered, Outcome):
                    self._done(file, entered)
                elif entered is not None:
                    self._ask(requests, entries, file, entered)
            except OpenAllenError as error:
                self._leave(error)

    def _ask(
        self,
        requests: Multiplexer,
        entries: dict[RemoteFile, Entry],
        file: RemoteFile,
        entry: Entry,
    ) -> None:
        if self._begun(entry):
            self.admission.leave(entry)
            return
        try:
            requests.ask(file, file.url)
        except OpenAllenError:
            self.admission.leave(entry)
            raise
        entries[file] = entry

    def _settle(self, file: RemoteFile, body: Body, entry: Entry) -> None:
        """Verify, write and name what came, or leave the file."""
        try:
            if body.error is not None:
                raise body.error
            outcome = self._one(file, body, entry)
        except OpenAllenError as error:
            self.admission.leave(entry)
            self._leave(error, file)
            return
        except OSError:
            self.admission.leave(entry)
            self._leave(UnreachableError("cannot be written by this way"), file)
            return
        if outcome is None:
            self.admission.leave(entry)
        else:
            self._done(file, outcome)

    def _done(self, file: RemoteFile, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes[file.path] = outcome
        self.meter.settle(outcome)
        self.observer.settled(outcome)

    def _leave(self, error: OpenAllenError, file: RemoteFile | None = None) -> None:
        """Leave a file for the ordinary engine; where many are left, leave all of them."""
        self.rate_limiter.failed(error)
        if error.retryable and file is not None:
            self.observer.retrying(file, 1, error, 0.0)
        with self._lock:
            self._left += 1
            if self._left > _PATIENCE + len(self.outcomes) // 10:
                self._stop.set()

    def _begun(self, entry: Entry) -> bool:
        """Return whether somebody left a part of the file, which the ordinary way goes on with."""
        return entry.lease.inherited or self.admission.leftovers.has(entry.lease.target)

    def _one(self, file: RemoteFile, body: Body, entry: Entry) -> Outcome | None:
        data = body.data
        self.meter.add_bytes(len(data))
        recognise(file, memoryview(data))
        algorithm = algorithm_for(file, verify=self.verify)
        hasher = new_hasher(algorithm)
        hasher.update(memoryview(data))
        digest = digest_text(algorithm, hasher)
        verify_bytes(file, digest, len(data))
        if entry.lease.lost:
            return None
        part = Part(entry.lease, resumable=False)
        try:
            part.write_whole(data)
        except OSError:
            part.discard()
            raise
        record = self.index.remember(
            entry.lease.target,
            digest=digest,
            source=file.url,
            address=file.address,
            command=file.retry,
        )
        self.admission.leave(entry)
        self.rate_limiter.done()
        return Outcome(
            file=file,
            status="fetched",
            size_bytes=len(data),
            digest=digest,
            fetched_at=moment(record.mtime_ns / 1e9),
            attempts=1,
            facts=simulated(body.headers),
            damaged=entry.damaged,
        )
