"""Links inside a file and to other files: followed step by step, and named where they lead nowhere.

The libraries follow links by themselves, into any file of this machine and without a word of what
is missing. So no path is given to them that has a link in it: each step is looked at here.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from openallen.errors import CorruptError, NotFoundError, OpenAllenError, RefusedError

__all__ = ["Beside", "Link", "Linked", "file_beside", "parts_of"]

_MOST_LINKS: Final = 16


class Link(NamedTuple):
    """A step that leads elsewhere.

    Parameters
    ----------
    source
        The other file; empty for this one.
    path
        Where it leads, from the root where it begins with a slash.
    """

    source: str
    path: str


Beside = Callable[[str], "Linked"]
"""Opens another file that a link names; `NotFoundError` or `RefusedError` where it may not."""


class Linked(ABC):
    """A tree whose groups may hold links.

    Parameters
    ----------
    name
        What it is called in messages.
    beside
        Opens other files; none is where None.
    """

    def __init__(self, name: str, beside: Beside | None = None) -> None:
        self.name = name
        self.beside = beside
        self._others: dict[str, Linked] = {}
        self._sought: dict[str, tuple[Linked, str] | None] = {}
        self._closing: tuple[Callable[[], object], ...] = ()

    # --- what each container says -----------------------------------------------------------------

    @abstractmethod
    def step_at(self, at: str, name: str) -> Link | str | None:
        """Return where a name in a group leads: a link, a path in this file, or nowhere."""

    @abstractmethod
    def is_group_at(self, at: str) -> bool:
        """Return whether a path without links is a group."""

    @abstractmethod
    def names_at(self, at: str) -> list[str]:
        """Return the names in a group, in alphabetical order."""

    @abstractmethod
    def lazy_at(self, at: str) -> Any:
        """Return an array that is read as it is sliced."""

    @abstractmethod
    def attrs_at(self, at: str) -> dict[str, Any]:
        """Return attributes."""

    @abstractmethod
    def shape_at(self, at: str) -> tuple[int, ...]:
        """Return the shape of an array."""

    @abstractmethod
    def array_at(self, at: str) -> Any:
        """Return a whole array."""

    @abstractmethod
    def part_at(self, at: str, key: Any) -> Any:
        """Return part of an array."""

    @abstractmethod
    def value_at(self, at: str) -> Any:
        """Return a scalar."""

    @abstractmethod
    def item_at(self, at: str, index: int) -> Any:
        """Return one item of an array."""

    @abstractmethod
    def identity_at(self, at: str) -> object:
        """Return what tells a group or array from all others of the file."""

    # --- the tree ---------------------------------------------------------------------------------

    def has(self, path: str) -> bool:
        """Return whether there is a group or an array at `path`.

        A link that leads nowhere counts, so that reading it names what is missing.
        """
        try:
            return self._seek(path) is not None
        except (NotFoundError, RefusedError, CorruptError):
            return True

    def names(self, path: str) -> list[str]:
        """Return the names in a group, in alphabetical order; none where there is no group."""
        found = self._seek(path)
        if found is None or not found[0].is_group_at(found[1]):
            return []
        return found[0].names_at(found[1])

    def groups(self, path: str) -> list[str]:
        """Return the names of the groups in a group, in alphabetical order.

        Links that lead nowhere are left out; `broken` names them.
        """
        return [n for n in self.names(path) if self._leads_to_group(f"{path}/{n}")]

    def _leads_to_group(self, path: str) -> bool:
        try:
            found = self._seek(path)
        except (NotFoundError, RefusedError, CorruptError):
            return False
        return found is not None and found[0].is_group_at(found[1])

    def broken(self, path: str) -> dict[str, OpenAllenError]:
        """Return what of a group leads nowhere, by name, each with the reason."""
        found: dict[str, OpenAllenError] = {}
        for name in self.names(path):
            try:
                self._seek(f"{path}/{name}")
            except (NotFoundError, RefusedError, CorruptError) as error:
                found[name] = error
        return found

    def identity(self, path: str) -> object:
        """Return what is the same for two paths that lead to the same group or array."""
        tree, at = self._sure(path)
        return tree.name, tree.identity_at(at)

    def lazy(self, path: str) -> Any:
        """Return an array that is read as it is sliced."""
        tree, at = self._sure(path)
        return tree.lazy_at(at)

    def attrs(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group or array: text as str, references as paths."""
        tree, at = self._sure(path)
        return tree.attrs_at(at)

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        tree, at = self._sure(path)
        return tree.shape_at(at)

    def array(self, path: str) -> Any:
        """Return a whole array.

        Text and labels are an object array of str, truth values bool, references paths, rows of
        compound types with any of these `TimeSeriesReference` or tuples.

        Raises
        ------
        NotFoundError
            If there is none, or what it is linked to is missing.
        TruncatedError, CorruptError
            If its bytes cannot be read.
        RefusedError
            If they lie in a file outside the folder.
        """
        tree, at = self._sure(path)
        return tree.array_at(at)

    def part(self, path: str, key: Any) -> Any:
        """Return the part of an array that `key` selects, reading no other; raises as `array`."""
        tree, at = self._sure(path)
        return tree.part_at(at, key)

    def value(self, path: str) -> Any:
        """Return a scalar; an array of one is one."""
        tree, at = self._sure(path)
        return tree.value_at(at)

    def item(self, path: str, at: int) -> Any:
        """Return one item of an array, without reading the others where they lie in order."""
        tree, place = self._sure(path)
        return tree.item_at(place, at)

    def also_close(self, *closing: Callable[[], object]) -> None:
        """Call these when the file is closed."""
        self._closing += closing

    def close(self) -> None:
        """Close the file and those it is linked to."""
        for other in self._others.values():
            if other is not self:
                other.close()
        self._others.clear()
        for close in self._closing:
            close()

    # --- following --------------------------------------------------------------------------------

    def _sure(self, path: str) -> tuple[Linked, str]:
        found = self._seek(path)
        if found is None:
            raise NotFoundError("not in this file", address=self.name, why=f"no {path}")
        return found

    def _seek(self, path: str) -> tuple[Linked, str] | None:
        """Return the file and the path in it where a path ends; None where nothing is there.

        Raises
        ------
        NotFoundError, RefusedError, CorruptError
            If a link on the way leads nowhere, outside, or back to itself.
        """
        key = path.strip("/")
        if key not in self._sought:
            self._sought[key] = self._followed(key)
        return self._sought[key]

    def _followed(self, path: str) -> tuple[Linked, str] | None:
        tree: Linked = self
        at, rest = "", parts_of(path)
        followed, own, told = 0, -1, ""
        while rest:
            name, rest = rest[0], rest[1:]
            step = tree.step_at(at, name)
            if isinstance(step, str):
                at = step
                continue
            within = 0 <= own <= len(rest)  # still on the way that a link names
            if step is None:
                if not within:
                    return None
                raise NotFoundError(
                    "a link that leads nowhere", address=tree.name, why=f"{path} -> {told}"
                )
            followed += 1
            if followed > _MOST_LINKS:
                raise CorruptError("circular links", address=self.name, why=path)
            if not within:
                own, told = len(rest), f"{step.source}{':' if step.source else ''}{step.path}"
            if step.source:
                tree = tree._other(step.source, path)
            base = "" if step.source or step.path.startswith("/") else at
            at, rest = "", [*parts_of(base), *parts_of(step.path), *rest]
        return tree, at

    def _other(self, source: str, path: str) -> Linked:
        if source not in self._others:
            if self.beside is None:
                raise NotFoundError(
                    "linked to another file, which is not here",
                    address=self.name,
                    why=f"{path} lies in {source}",
                    hint="fetch both into one folder and open it there",
                )
            try:
                self._others[source] = self.beside(source)
            except (NotFoundError, RefusedError) as error:
                error.why = f"{path} lies in {source}"
                raise
        return self._others[source]


def parts_of(path: str) -> list[str]:
    """Return the steps of a path."""
    return [part for part in path.split("/") if part not in {"", "."}]


def file_beside(place: Path, source: str, *bases: Path) -> Path:
    """Return another file that a link of a file names: one in the same folder, or below it.

    A file of that name beside it counts too, as links keep paths of the machine that wrote them.

    Parameters
    ----------
    place
        The file with the link.
    source
        How the link calls the other.
    *bases
        Folders from which `source` may be meant.

    Raises
    ------
    NotFoundError
        If it is not there.
    RefusedError
        If it is meant to be in another folder: nothing outside is looked at.
    """
    folder = place.parent
    last = PurePosixPath(source.replace("\\", "/")).name
    texts = [os.path.normpath(base / source) for base in bases]
    inside = [Path(t) for t in texts if Path(t).is_relative_to(folder)]
    for found in [*inside, *([folder / last] if last not in {"", ".."} else [])]:
        if found.exists() and found.resolve().is_relative_to(folder.resolve()):
            return found
    if inside or not last:
        raise NotFoundError(
            "linked to another file, which is not here",
            address=str(place),
            hint=f"put {last or source} beside it",
        )
    raise RefusedError(
        "links to files in other folders are not followed",
        address=str(place),
        hint=f"put {last} beside it",
    )
