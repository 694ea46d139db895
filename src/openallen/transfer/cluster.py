"""A plan shared among the workers of a cluster of dask.

The caller hands batches out, one to each worker at a time, and hears what became of the files
while they are fetched; each worker is a fetcher like any other, with leases of its own. What a lost
worker had taken is handed out again, here and not by dask: only the files that it had not told of.
Where the scheduler comes back, the run goes on.
"""

from __future__ import annotations

import logging
import pickle
import queue
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.cluster.connecting import client_of, close, lost, reach
from openallen.cluster.workers import Answer, no_workers
from openallen.errors import (
    OpenAllenError,
    ServiceError,
    SpaceError,
    StoreError,
    UnreachableError,
    UsageError,
)
from openallen.plans import Outcome, RemoteFile
from openallen.transfer.assigned import Assignment
from openallen.transfer.batches import BATCH_FILES, Batches
from openallen.transfer.cluster_worker import Order
from openallen.transfer.fetching import FINAL, MOST_LARGE, Fetching
from openallen.transfer.probing import Question, ask_all, held
from openallen.transfer.sharing import Cluster

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["share_out_to"]

_LOG = logging.getLogger("openallen.transfer")
_LOOK_EVERY_S: Final = 1.0
_LISTEN_S: Final = 0.2
_ANSWER_S: Final = 5.0
_END_S: Final = 10.0
_MARK: Final = ".openallen-"
_MARK_S: Final = 7 * 24 * 3600.0
_MOST_LOST: Final = 3
"""How often a file may be lost with its worker: it may be what ends them."""

_TASK: Final = "__import__('openallen.transfer.cluster_worker', fromlist=['run']).run(order)"
"""What a worker does. Text: the scheduler reads tasks as well, and need not have openallen."""


def share_out_to(work: Fetching, cluster: Cluster) -> None:
    """Have a cluster fetch what is waiting.

    Afterwards `work.waiting` holds only what cannot be handed to another process, and nothing
    where workers fetch to their own disks.

    Parameters
    ----------
    work
        The files.
    cluster
        The cluster.

    Raises
    ------
    UnreachableError
        If there is no scheduler, or no worker; before the first file.
    UsageError, StoreError
        If a worker cannot fetch: its openallen is another, or it does not see the destination.
    KeyboardInterrupt
        On Ctrl-C, when every task has ended.
    """
    files = work.waiting.files()
    if not files:
        return
    mine = [file for file in files if not _is_portable(file)]
    with ExitStack() as stack:
        token = None if cluster.own_disks else stack.enter_context(_token(work))
        if token is None and not cluster.own_disks:
            return  # a folder that cannot be written to: what is there is read by the caller
        client = stack.enter_context(reach(cluster.scheduler))
        team = _Team(work, cluster, client, [f for f in files if f not in mine], token)
        try:
            team.run()
        finally:
            work.settle(team.outcomes)
            team.close()
    if cluster.own_disks and not work.stop.is_set():
        why = "its check cannot be handed to another process"
        error = ServiceError("cannot be fetched by a worker", why=why)
        work.settle({f.path: Outcome(file=f, status="failed", error=error) for f in mine})


@dataclass(frozen=True)
class _Token:
    """A file in the destination, by which workers know that they see the same folder."""

    name: str
    text: str
    begun_s: float


@contextmanager
def _token(work: Fetching) -> Iterator[_Token | None]:
    path = work.plan.to / f"{_MARK}{secrets.token_hex(8)}"
    _sweep_tokens(path.parent)
    text = secrets.token_hex(16)
    try:
        path.write_text(text)
        begun_s = path.stat().st_mtime  # by the clock that will date the files, too
    except OSError as error:
        _LOG.info("not shared out, since %s cannot be written to: %s", work.plan.to, error)
        yield None
        return
    try:
        yield _Token(path.name, text, begun_s)
    finally:
        with suppress(OSError):
            path.unlink()


def _sweep_tokens(folder: Path) -> None:
    """Remove the tokens of callers that were killed long ago."""
    with suppress(OSError):
        for left in folder.glob(f"{_MARK}*"):
            if time.time() - left.stat().st_mtime > _MARK_S:
                left.unlink(missing_ok=True)


def _is_portable(file: RemoteFile) -> bool:
    if file.check is None:
        return True
    try:
        return bool(pickle.dumps(file.check))
    except (pickle.PicklingError, TypeError, AttributeError):
        return False


@dataclass
class _Batch:
    """Files that a worker has, and has not told of."""

    number: int
    worker: str
    files: dict[str, RemoteFile]
    connections: int
    future: Future
    begun: bool = False
    over: bool = False


@dataclass
class _Team:
    """The workers, and what they share."""

    work: Fetching
    cluster: Cluster
    client: Client
    files: Sequence[RemoteFile]
    token: _Token | None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    workers: dict[str, Answer] = field(default_factory=dict)
    left_out: dict[str, OpenAllenError] = field(default_factory=dict)
    batches: dict[int, _Batch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_path = {file.path: file for file in self.files}
        self._queue = Batches(self.files)
        self._own: dict[str, deque[RemoteFile]] = {}  # what lies on a worker's disk already
        self._topic = f"openallen-{secrets.token_hex(8)}"
        self._heard: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._lost: Counter[str] = Counter()
        self._numbers = 0
        self._made: Client | None = None  # a client that took the place of the first
        self._begun = False  # whether there was a worker
        self._met = False  # whether the scheduler has answered yet
        self._looked_s = self._alone_since_s = time.monotonic()
        name = self.token.name if self.token else ""
        text = self.token.text if self.token else ""
        self._question = Question.of(self.work.plan.to, self.files, name, text)

    # --- the run ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Hand out and listen until every file is settled, or nobody is left to fetch it."""
        self._look()
        if not self.workers:
            self._wait_for_the_first()
        _LOG.info("%d workers of %s share %d files", len(self.workers), self.cluster.name,
                  len(self.files))  # fmt: skip
        try:
            while not self.work.stop.is_set() and self._is_left():
                self._hand_out()
                self._listen(_LISTEN_S)
                if time.monotonic() - self._looked_s > _LOOK_EVERY_S:
                    self._look()
                if not (self.workers or self.batches) and self._waited_long():
                    self._give_up()
        finally:
            self._end()

    def close(self) -> None:
        """Close the client that was made during the run."""
        if self._made is not None:
            close(self._made)

    def _is_left(self) -> bool:
        return bool(self._queue or self.batches or any(self._own.values()))

    def _waited_long(self) -> bool:
        # Those that are there and cannot fetch will not be able to in a minute either.
        patience_s = 0.0 if self.cluster.local_workers or self.left_out else self.cluster.patience_s
        return time.monotonic() - self._alone_since_s > patience_s

    def _wait_for_the_first(self) -> None:
        while not self.workers and not self.work.stop.is_set():
            if time.monotonic() - self._alone_since_s > self.cluster.patience_s:
                raise self._nobody()
            time.sleep(_LISTEN_S)
            self._look()

    # --- who is there -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Find out which workers are there; ask the new ones, take back what lost ones had."""
        self._looked_s = time.monotonic()
        there = self._there()
        if there is None:
            return
        first, self._met = not self._met, True
        # Each time: a client that has connected again by itself is known to nobody there.
        self.client.subscribe_topic(self._topic, self._on_event)
        for worker in ({b.worker for b in self.batches.values()} | set(self.workers)) - there:
            self._lose(worker)
        new = sorted(there - set(self.workers) - set(self.left_out))
        if new:
            self._enlist(new, first=first)
        if self.workers:
            self._alone_since_s = time.monotonic()
        self.work.meter.workers = len(self.workers)

    def _there(self) -> set[str] | None:
        """Return the addresses of the workers; None while the scheduler is away."""
        if self.client.status == "closed" and self.cluster.is_named:
            self._connect_again()
        if self.client.status == "running":
            with suppress(OSError, RuntimeError):  # a TimeoutError is an OSError
                return set(self.client.nthreads(callback_timeout=_ANSWER_S))
        if self.workers or self.batches:
            _LOG.warning("the scheduler %s is away; waiting for it", self.cluster.name)
        for number in list(self.batches):
            self._take_back(self.batches.pop(number), counted=False)
        for worker in list(self.workers):
            self._lose(worker)
        return None

    def _connect_again(self) -> None:
        # A file is read again: a scheduler that was started anew has another address, mostly.
        with suppress(UnreachableError, UsageError):
            self._made = self.client = client_of(self.cluster.scheduler, timeout_s=_ANSWER_S)

    def _on_event(self, event: tuple[float, Any]) -> None:
        told = event[1]
        self._heard.put((told["batch"], told["said"]))

    def _enlist(self, new: Sequence[str], *, first: bool) -> None:
        """Ask new workers, and take in those that can fetch.

        Those that cannot end a run that has not begun; of one that has, they are left out.
        """
        answers = ask_all(self.client, new, self._question)
        problem = self._question.problem(answers)
        if problem is not None and first:
            raise problem
        for answer in answers:
            problem = self._question.problem([answer])
            if problem is not None:
                self.left_out[answer.worker] = problem
                _LOG.warning("a worker is left out: %s", problem)
                continue
            self.workers[answer.worker] = answer
            self._begun = True
            _LOG.info("worker %s takes part", answer.name)
        if self.cluster.own_disks:
            self._find_on_disks([a.worker for a in answers if a.worker in self.workers])

    def _find_on_disks(self, workers: Sequence[str]) -> None:
        """Give files that a worker has on its disk to that worker, which verifies them."""
        for worker, paths in held(self.client, workers, self.work.plan.to, self.files).items():
            self._own[worker] = deque(self._queue.remove(paths))

    def _lose(self, worker: str) -> None:
        """Take back what a worker had that is gone."""
        self.workers.pop(worker, None)
        self.work.meter.workers = len(self.workers)
        for file in self._own.pop(worker, ()):
            self._queue.put_back(file, alone=False)
        for batch in [b for b in self.batches.values() if b.worker == worker]:
            count = len(batch.files)
            _LOG.warning("worker %s is lost; %d files are handed out again", worker, count)
            del self.batches[batch.number]
            with suppress(OSError, RuntimeError):
                self.client.cancel([batch.future])
            self._take_back(batch, counted=True)

    def _take_back(self, batch: _Batch, *, counted: bool) -> None:
        for file in reversed(batch.files.values()):
            self._lost[file.path] += counted
            if self._lost[file.path] >= _MOST_LOST:
                why = f"{_MOST_LOST} times"
                self._settle(file, _failed(file, ServiceError("lost with its worker", why=why)))
            else:
                self._queue.put_back(file, alone=self._lost[file.path] > 1)

    def _retire(self, worker: str, error: OpenAllenError) -> None:
        """Give a worker nothing more: its own disk cannot be used."""
        if worker in self.workers:
            _LOG.warning("worker %s is left out: %s", self.workers[worker].name, error)
            self.left_out[worker] = error
            del self.workers[worker]
            for file in self._own.pop(worker, ()):
                self._queue.put_back(file, alone=False)

    # --- handing out ------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Give every idle worker a batch, as far as the service bears their connections."""
        most = self.work.rate_limiter.most
        share = max(1, most // max(1, len(self.workers)))
        busy = {batch.worker for batch in self.batches.values()}
        for worker in [w for w in self.workers if w not in busy]:
            used = sum(batch.connections for batch in self.batches.values())
            if used + share > most and used:
                return
            own = self._own.get(worker)
            files = [own.popleft()] if own else self._queue.take(len(self.workers))
            while own and len(files) < BATCH_FILES:
                files.append(own.popleft())
            if files and not self._submit(worker, files, share):
                for file in files:
                    self._queue.put_back(file, alone=False)
                return

    def _submit(self, worker: str, files: Sequence[RemoteFile], share: int) -> bool:
        self._numbers += 1
        number = self._numbers
        order = Order(
            assignment=self._assignment(share),
            files=tuple(files),
            topic=self._topic,
            number=number,
            own_disk=self.cluster.own_disks,
        )
        try:
            future = self.client.submit(
                eval,
                _TASK,
                {"order": pickle.dumps(order)},
                key=f"{self._topic.replace('openallen', 'openallen_fetch')}-{number}",
                workers=[worker],
                allow_other_workers=False,
                pure=False,
            )
        except (OSError, RuntimeError) as error:
            _LOG.warning("nothing can be handed out: %s", error)
            return False
        batch = _Batch(number, worker, {f.path: f for f in files}, share, future)
        self.batches[number] = batch
        future.add_done_callback(lambda _: self._heard.put((number, None)))
        return True

    def _assignment(self, connections: int) -> Assignment:
        work = self.work
        return Assignment(
            to=work.plan.to,
            index=work.index.root,
            http=work.http.options,
            connections=connections,
            most_large=MOST_LARGE,
            verify=work.verify,
            retry=work.retry,
            log_level=_LOG.getEffectiveLevel(),
            begun_s=self.token.begun_s if self.token else None,
        )

    # --- listening --------------------------------------------------------------------------------

    def _listen(self, wait_s: float) -> None:
        """Take in what was said, or wait a while for it."""
        try:
            self._hear(*self._heard.get(timeout=wait_s))
            while True:
                self._hear(*self._heard.get_nowait())
        except queue.Empty:
            return

    def _hear(self, number: int, said: bytes | None) -> None:
        batch = self.batches.get(number)
        if batch is None:
            return
        if said is None:
            del self.batches[number]
            self._finished(batch)
            return
        name, *rest = pickle.loads(said)  # noqa: S301 - from a worker, which dask trusts as well
        if name in {"begun", "over"}:
            setattr(batch, name, True)
        elif name == "bytes":
            self.work.meter.add_bytes(*rest)
        elif name == "settled":
            for outcome in rest[0]:
                self._settled(batch, outcome)
        elif rest[0] in self.by_path:
            getattr(self.work.observer, name)(self.by_path[rest[0]], *rest[1:])

    def _finished(self, batch: _Batch) -> None:
        """Take back what a task has left, for whatever reason it ended."""
        status = batch.future.status
        if status == "cancelled":  # the scheduler was away
            self._looked_s = 0.0
        elif status == "error":
            _LOG.warning("a task of worker %s failed: %s", batch.worker, _error_of(batch.future))
        batch.future.release()
        retired = batch.worker in self.left_out
        self._take_back(batch, counted=status != "cancelled" and not retired)

    def _settled(self, batch: _Batch, outcome: Outcome) -> None:
        file = batch.files.pop(outcome.file.path, None)
        if file is None:
            return
        error = outcome.error
        if self.cluster.own_disks and isinstance(error, (SpaceError, StoreError)):
            self._retire(batch.worker, error)
            self._queue.put_back(file, alone=False)
            return
        answer = self.workers.get(batch.worker)
        if self.cluster.own_disks and answer is not None and outcome.status != "failed":
            where = f"{answer.host}:{self.work.plan.to / file.path}"
            outcome = replace(outcome, where=where)
        self._settle(file, outcome)

    def _settle(self, file: RemoteFile, outcome: Outcome) -> None:
        work, outcome = self.work, replace(outcome, file=file)
        self.outcomes[file.path] = outcome
        if outcome.digest and not self.cluster.own_disks:
            self._remember(outcome)
        work.meter.settle(outcome)
        work.observer.settled(outcome)
        if isinstance(outcome.error, FINAL):
            work.stop.set()

    def _remember(self, outcome: Outcome) -> None:
        """Record a file: the index of a shared store has one writer, the caller."""
        file = outcome.file
        with suppress(OSError):  # a network file system may not show it here yet
            self.work.index.remember(
                self.work.plan.to / file.path,
                digest=outcome.digest,
                source=file.url,
                address=file.address,
                command=file.retry,
            )

    # --- the end ----------------------------------------------------------------------------------

    def _nobody(self) -> OpenAllenError:
        if self.left_out:
            return next(reversed(self.left_out.values()))
        patience_s = self.cluster.patience_s
        if self.client.status != "running":
            return lost(self.cluster.scheduler, f"it did not come back within {patience_s:g} s")
        return no_workers(self.cluster.scheduler, patience_s, any_more=self._begun)

    def _give_up(self) -> None:
        """Fail what is left: nobody is there to fetch it."""
        error = self._nobody()
        self._own.clear()
        self._queue = Batches(())
        self.batches.clear()
        for file in self.files:
            if file.path not in self.outcomes:
                outcome = _failed(file, error)
                self.outcomes[file.path] = outcome
                self.work.meter.settle(outcome)
                self.work.observer.settled(outcome)

    def _end(self) -> None:
        """Cancel what is under way, and wait until its leases are let go."""
        begun = [batch for batch in self.batches.values() if batch.begun]
        try:
            if self.batches and self.client.status == "running":
                futures = [batch.future for batch in self.batches.values()]
                self.client.cancel(futures)
                end_s = time.monotonic() + _END_S
                while not all(b.over for b in begun) and time.monotonic() < end_s:
                    self._hear_last(max(0.0, min(_LISTEN_S, end_s - time.monotonic())))
            if self._met and self.client.status == "running":
                self.client.unsubscribe_topic(self._topic)
        except (OSError, RuntimeError, ValueError) as error:
            _LOG.info("the scheduler was gone at the end: %s", error)

    def _hear_last(self, wait_s: float) -> None:
        """Listen, but leave batches alone that ended because they were cancelled."""
        with suppress(queue.Empty):
            number, said = self._heard.get(timeout=wait_s)
            if said is not None:
                self._hear(number, said)


def _failed(file: RemoteFile, error: OpenAllenError) -> Outcome:
    return Outcome(file=file, status="failed", error=error)


def _error_of(future: Future) -> object:
    with suppress(Exception):
        return future.exception(timeout=_ANSWER_S)
    return "unknown"
