"""Work that takes processor time: a few at once, and not for clients that are gone."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

    from starlette.requests import Request

__all__ = ["BusyError", "Gate", "GoneError"]

T = TypeVar("T")
_LOOK_S: Final = 0.2
_QUEUE: Final = 4096
_LOOKS_PER_S: Final = 250
"""How often clients that wait are looked after, all together."""


class BusyError(Exception):
    """Too many wait already."""


class GoneError(Exception):
    """The client is gone."""


class Gate:
    """Lets a few through at once; some wait, others are told to come again.

    Attributes
    ----------
    dropped : int
        Requests whose client was gone before their turn came.

    Parameters
    ----------
    most
        How many work at once; by default one for each processor, at least two.
    queue
        How many may wait.
    newest_first
        Whether who came last goes next, as where somebody drags a slider: the newest request is
        the one that is looked at. Where too many wait, the oldest is sent away.
    """

    def __init__(
        self, most: int | None = None, queue: int = _QUEUE, *, newest_first: bool = False
    ) -> None:
        self._most = most or max(2, os.cpu_count() or 2)
        self._queue = queue
        self._newest_first = newest_first
        self.dropped = 0
        self._working = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def run(self, request: Request, work: Callable[[Callable[[], bool]], T]) -> T:
        """Do work in a thread.

        Parameters
        ----------
        request
            What it is for; it ends when its client is gone.
        work
            Is given a function that returns whether the client is gone.

        Raises
        ------
        BusyError
            If too many wait already.
        GoneError
            If the client is gone before it begins, or before it ends.
        """
        await self._enter(request)
        gone = threading.Event()
        thread = _in_thread(work, gone.is_set)
        thread.add_done_callback(self._leave)
        while not thread.done():
            await asyncio.wait([thread], timeout=_LOOK_S)
            if not thread.done() and await request.is_disconnected():
                gone.set()
                thread.add_done_callback(_forgotten)
                raise GoneError
        return thread.result()

    async def _enter(self, request: Request) -> None:
        if self._working < self._most:
            self._working += 1
            return
        if len(self._waiting) >= self._queue:
            if not self._newest_first:
                raise BusyError
            self._waiting.popleft().set_exception(BusyError())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        while not turn.done():
            patience = max(_LOOK_S, len(self._waiting) / _LOOKS_PER_S)
            await asyncio.wait([turn], timeout=patience)
            if turn.done():
                break
            if await request.is_disconnected():
                self._give_up(turn)
                raise GoneError
        turn.result()

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        self.dropped += 1
        if not turn.done():
            self._waiting.remove(turn)
        elif turn.exception() is None:
            self._leave()

    def _leave(self, _: Any = None) -> None:
        """Hand the place on. Where the client is gone, that is when the thread has ended."""
        if self._waiting:
            turn = self._waiting.pop() if self._newest_first else self._waiting.popleft()
            turn.set_result(None)
        else:
            self._working -= 1


def _in_thread(work: Callable[[Callable[[], bool]], T], gone: Callable[[], bool]) -> Future[T]:
    """Begin work in a thread; return what it will have done.

    In the threads that asyncio has for all, work that waits for a service would take the place of
    work that needs none, and the process would not end before the service has answered.
    """
    loop = asyncio.get_running_loop()
    done: Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def end(settle: Callable[[Any], None], what: Any) -> None:
        if not done.done():
            settle(what)

    def run() -> None:
        settle: Callable[[Any], None] = done.set_result
        what: Any
        try:
            what = context.run(work, gone)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            settle, what = done.set_exception, error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(end, settle, what)

    _WORKERS.do(run)
    return done


class _Workers:
    """Threads that take the next job when they have done one: starting one takes longer than most.

    There are as many as had something to do at once, which gates bound.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()

    def do(self, job: Callable[[], None]) -> None:
        """Hand over a job to a thread that has nothing to do; to a new one if all have."""
        with self._lock:
            ready = self._idle > 0
            self._idle -= ready
        self._jobs.put(job)
        if not ready:
            threading.Thread(target=self._work, name="gate", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            with self._lock:
                self._idle += 1


_WORKERS: Final = _Workers()


def _forgotten(done: asyncio.Future[Any]) -> None:
    """Look at how it ended, so that asyncio does not say that nobody did."""
    if not done.cancelled():
        done.exception()
