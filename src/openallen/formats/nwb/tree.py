"""A file as a tree: groups, attributes, arrays, text; whatever container it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from openallen.errors import OpenAllenError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Bytes", "Tree"]


class Bytes(Protocol):
    """What a file offers beyond reading: many ranges at once.

    Attributes
    ----------
    error : OpenAllenError or None
        Why the last read failed.
    """

    error: OpenAllenError | None

    def read_at(self, start: int, stop: int) -> bytearray:
        """Return the bytes of one range."""
        ...

    def prefetch(self, ranges: list[tuple[int, int]]) -> None:
        """Have the bytes of ranges (first, behind the last) at hand before they are read."""
        ...


class Tree(Protocol):
    """A file being read.

    Attributes
    ----------
    name : str
        What it is called in messages.
    """

    name: str

    def has(self, path: str) -> bool:
        """Return whether there is a group or an array at `path`.

        A link that leads nowhere counts, so that reading it names what is missing.
        """
        ...

    def names(self, path: str) -> list[str]:
        """Return the names in a group, in alphabetical order; none where there is no group."""
        ...

    def groups(self, path: str) -> list[str]:
        """Return the names of the groups in a group, in alphabetical order; no dead links."""
        ...

    def broken(self, path: str) -> Mapping[str, OpenAllenError]:
        """Return what of a group leads nowhere, by name, each with the reason."""
        ...

    def identity(self, path: str) -> object:
        """Return what is the same for two paths that lead to the same group or array."""
        ...

    def lazy(self, path: str) -> Any:
        """Return an array that is read as it is sliced."""
        ...

    def attrs(self, path: str) -> Mapping[str, Any]:
        """Return the attributes of a group or array: text as str, references as paths."""
        ...

    def array(self, path: str) -> np.ndarray[Any, Any]:
        """Return a whole array.

        Text and labels are an object array of str, truth values bool, references paths, rows of
        compound types with any of these `TimeSeriesReference` or tuples.
        """
        ...

    def part(self, path: str, key: Any) -> np.ndarray[Any, Any]:
        """Return the part of an array that `key` selects, reading no other."""
        ...

    def value(self, path: str) -> Any:
        """Return a scalar; an array of one is one."""
        ...

    def item(self, path: str, at: int) -> Any:
        """Return one item of an array, without reading the others where they lie in order."""
        ...

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        ...

    def ready(self, paths: list[str]) -> None:
        """Have arrays that are about to be read at hand, asked for all at once; may do nothing."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
