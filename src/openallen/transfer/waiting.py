"""Files whose turn has not come: large ones apart, since only a few are fetched at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable

from openallen.plans import RemoteFile
from openallen.transfer.download import is_large

__all__ = ["Waiting"]


class Waiting:
    """A queue of files, some of which may not be tried before a certain time.

    Parameters
    ----------
    files
        In the order in which they are to be fetched.
    """

    def __init__(self, files: Iterable[RemoteFile] = ()) -> None:
        self._large: deque[tuple[float, RemoteFile]] = deque()
        self._others: deque[tuple[float, RemoteFile]] = deque()
        self.extend(files)

    def extend(self, files: Iterable[RemoteFile]) -> None:
        """Add files to the end."""
        for file in files:
            self.add(file)

    def add(self, file: RemoteFile, *, after_s: float = 0.0) -> None:
        """Add a file, to be tried after a wait at the soonest."""
        due_s = time.monotonic() + after_s if after_s else 0.0
        (self._large if is_large(file) else self._others).append((due_s, file))

    def take(self, *, large: bool) -> RemoteFile | None:
        """Remove and return the next file that may be tried now; None where there is none.

        Parameters
        ----------
        large
            Whether it may be a large one.
        """
        now_s = time.monotonic()
        for queue in (self._others, self._large) if large else (self._others,):
            due = next((item for item in queue if item[0] <= now_s), None)
            if due is not None:
                queue.remove(due)
                return due[1]
        return None

    def possible(self, *, large: int) -> int:
        """Return how many files might be tried, of the large ones at most so many."""
        return len(self._others) + min(max(0, large), len(self._large))

    def files(self) -> list[RemoteFile]:
        """Return all files."""
        return [file for _, file in (*self._others, *self._large)]

    def take_all(self, wanted: Callable[[RemoteFile], bool]) -> list[RemoteFile]:
        """Remove and return the files that are wanted."""
        found = [file for file in self.files() if wanted(file)]
        self.drop({file.path for file in found})
        return found

    def drop(self, paths: Container[str]) -> None:
        """Remove files by their paths."""
        self._large = deque(item for item in self._large if item[1].path not in paths)
        self._others = deque(item for item in self._others if item[1].path not in paths)

    def __len__(self) -> int:
        return len(self._large) + len(self._others)
