"""Tasks on the workers of a cluster, and their results, whoever is lost meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Final, TypeVar

from openallen.cluster.connecting import lost, scheduler_errors
from openallen.cluster.workers import PATIENCE_S, check_workers, no_workers
from openallen.errors import OpenAllenError, UnreachableError, UsageError
from openallen.extras import requirement
from openallen.version import __version__

__all__ = ["each"]

_POLL_S: Final = 0.02
_LOOK_S: Final = 1.0
_LATE: Final = "it joined after the others were checked"

K = TypeVar("K")


def each(
    client: Any,
    function: Callable[..., Any],
    tasks: Mapping[K, tuple[Any, ...]],
    *,
    shared: Any = None,
    label: str = "task",
    patience_s: float = PATIENCE_S,
) -> Generator[tuple[K, Any, BaseException | None]]:
    """Call a function on the workers for each task; yield results and errors as they come.

    What a lost worker had taken is done again by others. Where the scheduler itself is lost and
    comes back within `patience_s`, what was not yet yielded is asked for anew. When the iteration
    is given up, also by Ctrl-C, what has not begun is cancelled.

    Parameters
    ----------
    client
        The client, as `connect` yields it.
    function
        A function of a module of openallen, called as ``function(shared, *arguments)``.
    tasks
        The arguments of each, small.
    shared
        A value all of them have; it goes to each worker once.
    label
        What the tasks are called on the scheduler's page.
    patience_s
        How long a lost scheduler is waited for, in seconds.

    Yields
    ------
    key, result, error
        The key of the task; its result, None where it failed; what it failed with, else None:
        `UnreachableError` for those that are left when the scheduler does not come back.
    """
    doubtful: list[K] = []
    work = _Work(client, function, shared, label, patience_s)
    for key, result, error in work.done(dict(tasks)):
        if isinstance(error, _WorkersEndedError):
            doubtful.append(key)
        else:
            yield key, result, error
    # A worker takes all it had with it, so not each of these is to blame: alone, it shows.
    for key in doubtful:
        if len(doubtful) == 1:
            yield key, None, _WorkersEndedError()
        else:
            yield from work.done({key: tasks[key]})


class _WorkersEndedError(OpenAllenError):
    """Workers ended again and again while they had a task."""

    def __init__(self) -> None:
        super().__init__(
            "the workers that were at it ended, one after the other",
            why="out of memory, or a crash: their logs say which",
            hint="more memory for each worker, or fewer threads",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (_WorkersEndedError, ())


class _Work:
    """Tasks of one kind on a scheduler that may be lost and come back."""

    def __init__(
        self,
        client: Any,
        function: Callable[..., Any],
        shared: Any,
        label: str,
        patience_s: float,
    ) -> None:
        self.client = client
        self.function = function
        self.shared = shared
        self.label = label
        self.patience_s = patience_s

    def done(self, left: dict[K, tuple[Any, ...]]) -> Iterator[tuple[K, Any, BaseException | None]]:
        """Yield key, result and error of each task, in the order they end."""
        while left:
            futures: dict[Any, K] = {}
            gone: UnreachableError | None = None
            try:
                with scheduler_errors(self.client):
                    futures = self._submitted(left)
                for future in self._ended(futures):
                    result, error = _outcome(future)
                    if _is_loss(error):
                        gone = lost(self.client, str(error))
                        break
                    key = futures.pop(future)
                    del left[key]
                    yield key, result, error
                    del future, result, error  # the worker may forget it
            except UnreachableError as error:
                gone = error
            finally:
                _cancel(self.client, futures)
            if gone is not None and not _is_back(self.client, self.patience_s):
                yield from ((key, None, gone) for key in left)
                return

    def _submitted(self, tasks: Mapping[K, tuple[Any, ...]]) -> dict[Any, K]:
        submit, run = self.client.submit, f"{time.time_ns():x}-{os.getpid()}"
        # A task of its own, not scattered data: those are lost with the worker that has them.
        common = submit(_given, self.shared, key=f"{self.label}-shared-{run}", pure=False)
        return {
            submit(
                _call, __version__, self.function, common, arguments,
                key=f"{self.label}-{run}-{n}", pure=False,
            ): key
            for n, (key, arguments) in enumerate(tasks.items())
        }  # fmt: skip

    def _ended(self, futures: Mapping[Any, Any]) -> Iterator[Any]:
        """Yield futures as they end; raise where no worker is left to do them."""
        import distributed

        waiting = distributed.as_completed(list(futures), loop=self.client.loop)
        last_seen = looked = time.monotonic()
        while waiting.count():
            if waiting.has_ready():
                yield from waiting.next_batch(block=False)
                last_seen = looked = time.monotonic()
                continue
            time.sleep(_POLL_S)
            now = time.monotonic()
            if now - looked < _LOOK_S:
                continue
            with scheduler_errors(self.client):
                last_seen = now if self.client.nthreads() else last_seen
            looked = now
            if now - last_seen > self.patience_s:
                raise no_workers(self.client, self.patience_s, any_more=True)


def _given(value: Any) -> Any:
    return value


def _call(
    version: str, function: Callable[..., Any], shared: Any, arguments: tuple[Any, ...]
) -> Any:
    if version != __version__:
        raise UsageError(
            f"workers need openallen {version}, as it is where the work comes from",
            why=f"one has {__version__}; {_LATE}",
            hint=f"on every worker: python -m pip install openallen=={version}",
        )
    return function(shared, *arguments)


def _outcome(future: Any) -> tuple[Any, BaseException | None]:
    from distributed.scheduler import KilledWorker

    try:
        return future.result(), None
    except KilledWorker:
        return None, _WorkersEndedError()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "openallen":
            return None, error
        return None, UsageError(
            f"workers need openallen {__version__}, as it is here",
            why=f"one has none; {_LATE}",
            hint=f"on every worker: python -m pip install {requirement('cluster', __version__)}",
        )
    except Exception as error:  # noqa: BLE001 (whatever a function raises)
        return None, error


def _is_loss(error: BaseException | None) -> bool:
    return isinstance(error, CancelledError) or type(error).__name__ == "ClosedClientError"


def _is_back(client: Any, patience_s: float) -> bool:
    """Return whether a scheduler that was lost answers again, with workers."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if client.status == "closed":
            return False
        if client.status == "running":
            try:
                check_workers(client, patience_s=max(0.1, deadline - time.monotonic()))
            except UnreachableError:
                continue
            return True
        time.sleep(0.1)
    return False


def _cancel(client: Any, futures: Mapping[Any, Any]) -> None:
    if futures and client.status == "running":
        with suppress(Exception):  # the way out: nothing here may hide why
            client.cancel(list(futures), force=True)
