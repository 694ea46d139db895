"""Files of a plan in batches for workers: many small ones at a time, large ones alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from openallen.plans import RemoteFile
from openallen.transfer.bulk import MOST_BYTES

__all__ = ["BATCH_BYTES", "BATCH_FILES", "Batches"]

BATCH_FILES: Final = 64
BATCH_BYTES: Final = 64 << 20
_LIKELY_BYTES: Final = 1 << 20
"""What a file of unknown size is taken for."""
_ROUNDS: Final = 4
"""How many batches each worker gets at least, so that the slow ones hold nobody up."""


class Batches:
    """Files that are to be handed out.

    Large ones come first, each alone: they take longest. Small ones come many at a time, fewer
    where there are few, so that every worker has several.

    Parameters
    ----------
    files
        The files.
    """

    def __init__(self, files: Iterable[RemoteFile]) -> None:
        self._large: deque[RemoteFile] = deque()
        self._small: deque[RemoteFile] = deque()
        self._alone: deque[RemoteFile] = deque()
        for file in files:
            (self._large if _likely(file) >= MOST_BYTES else self._small).append(file)

    def __len__(self) -> int:
        return len(self._large) + len(self._small) + len(self._alone)

    def put_back(self, file: RemoteFile, *, alone: bool) -> None:
        """Take a file back that was handed out in vain; `alone`: it has a batch of its own now."""
        (self._alone if alone else self._small).appendleft(file)

    def remove(self, paths: frozenset[str]) -> list[RemoteFile]:
        """Remove and return files by their paths."""
        found: list[RemoteFile] = []
        for queue in (self._large, self._small, self._alone):
            kept = [file for file in queue if file.path not in paths]
            found += [file for file in queue if file.path in paths]
            queue.clear()
            queue.extend(kept)
        return found

    def take(self, workers: int) -> list[RemoteFile]:
        """Remove and return the next batch.

        Parameters
        ----------
        workers
            How many workers share the files.
        """
        for queue in (self._alone, self._large):
            if queue:
                return [queue.popleft()]
        most = max(1, min(BATCH_FILES, len(self._small) // (_ROUNDS * max(1, workers))))
        found: list[RemoteFile] = []
        total_bytes = 0
        while self._small and len(found) < most and total_bytes < BATCH_BYTES:
            found.append(self._small.popleft())
            total_bytes += _likely(found[-1])
        return found


def _likely(file: RemoteFile) -> int:
    return _LIKELY_BYTES if file.likely_bytes is None else file.likely_bytes
