"""Doing the same to many things on all cores, in order, with a bounded number under way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["cores", "ordered_map"]

A = TypeVar("A")
B = TypeVar("B")


def cores() -> int:
    """Return the number of processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        return os.cpu_count() or 1


def ordered_map(
    work: Callable[[A], B],
    items: Iterable[A],
    *,
    workers: int | None = None,
    ahead: int | None = None,
) -> Iterator[B]:
    """Return ``work(item)`` for each item, in order.

    Threads do the work: decoding and compression let go of the interpreter lock.

    Parameters
    ----------
    work
        What to do with an item.
    items
        Taken one by one, never more than `ahead` before their results are.
    workers
        Threads; one for each core by default.
    ahead
        Most items under way; workers plus two by default, which bounds the memory.
    """
    workers = workers or cores()
    ahead = ahead or workers + 2
    pending: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="work") as pool:
        try:
            for item in items:
                if len(pending) >= ahead:
                    yield pending.popleft().result()
                pending.append(pool.submit(work, item))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
