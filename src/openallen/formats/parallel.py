"""Doing the same to many things on all cores, in order, with a bounded number under way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Final, TypeVar

__all__ = ["Helpers", "cores", "ordered_map", "sized_map"]

_BATCH_BYTES: Final = 4 << 20
_BATCH_ITEMS: Final = 64
_AHEAD: Final = 4  # batches for each thread: while a large file is read, others go on

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
        Most items under way; workers plus two by default, which bounds the memory. Where results
        are small, more keeps threads busy while the first of them takes long.
    """
    workers = workers or cores()
    with ThreadPoolExecutor(workers, thread_name_prefix="work") as pool:
        yield from _in_order(pool, work, items, ahead or workers + 2)


def sized_map(
    work: Callable[[A], B],
    items: Iterable[A],
    size_bytes: Callable[[A], int],
    *,
    workers: int | None = None,
) -> Iterator[B]:
    """Return ``work(item)`` for each item, in order; threads take small items many at a time.

    Handing a thread a file of some kilobytes costs more than reading it.

    Parameters
    ----------
    work
        What to do with an item.
    items
        The items.
    size_bytes
        Returns how many bytes there are to work on; an estimate will do.
    workers
        Threads; one for each core by default.
    """
    workers = workers or cores()
    batches = _batches(items, size_bytes)
    begun = list(islice(batches, 2))
    if len(begun) < 2:  # thousands of folders hold a file or two: no threads for each
        yield from map(work, chain.from_iterable(begun))
        return

    def together(batch: list[A]) -> list[B]:
        return [work(item) for item in batch]

    rest = chain(begun, batches)
    for results in ordered_map(together, rest, workers=workers, ahead=_AHEAD * workers):
        yield from results


def _batches(items: Iterable[A], size_bytes: Callable[[A], int]) -> Iterator[list[A]]:
    batch: list[A] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size_bytes(item)
        if total >= _BATCH_BYTES or len(batch) == _BATCH_ITEMS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


class Helpers:
    """Threads that take parts of what others do; without any, `map` is the built-in one.

    For work that fewer threads can do than there are cores, since each needs much memory: its
    parts share that memory. Parts must not ask for helpers themselves.

    Parameters
    ----------
    threads
        Number of threads; 0 for none.

    Attributes
    ----------
    threads
        As given.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="help") if threads else None

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Return ``work(item)`` for each item, in order."""
        if self._pool is None:
            return map(work, items)
        return _in_order(self._pool, work, items, self.threads + 2)

    def close(self) -> None:
        """End the threads, when they have finished what they do."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A], ahead: int
) -> Iterator[B]:
    pending: deque[Future[B]] = deque()
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
