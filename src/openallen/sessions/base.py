"""What every session is: an open file whose parts are read when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from openallen.display import card, facts_text
from openallen.errors import CorruptError, OpenAllenError, RefusedError, hint_line, requiring

if TYPE_CHECKING:
    import h5py
    from pynwb import NWBFile

    from openallen.formats.nwb import Tree
    from openallen.visuals import Visual

__all__ = ["NwbSession", "Offer", "Opener"]

Opener = Callable[[], "Tree"]
"""Opens the file; called once, when the first part is asked for."""


@dataclass(frozen=True)
class Offer:
    """The value of an option that is used where the kind of file takes it, and else left out.

    Whoever opens a file by its address knows things that are not in it before it knows its kind.
    """

    value: Any


class NwbSession:
    """A session in an NWB file, local or remote.

    Every attribute reads just what it needs, once. What a file does not have raises
    `NotFoundError` naming the missing part; the other attributes still work.

    Parameters
    ----------
    opener
        Opens the file.
    name
        What it is called in messages: a path or an address.
    path
        The file, where it is on this machine.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str] = "session"
    takes: ClassVar[tuple[str, ...]] = ()
    """Names of the options that opening this kind of file takes, as keywords of the class."""

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Return whether a file holds this kind of session, by its content."""
        del tree
        return False

    def __init__(self, opener: Opener, name: str, path: Path | None = None) -> None:
        self._opener = opener
        self.name = name
        self.path = path
        self.reopen: tuple[Callable[..., NwbSession], tuple[Any, ...]] | None = None

    @functools.cached_property
    def tree(self) -> Tree:
        """The file as a tree of groups and arrays."""
        return self._opener()

    def list_data_attributes_and_methods(self) -> list[str]:
        """Return the names of the data of this kind of session, in alphabetical order."""
        return sorted(self._names)

    def h5(self) -> h5py.File:
        """Return the file as h5py has it, open for reading.

        Raises
        ------
        RefusedError
            If the file is not HDF5.
        """
        found = getattr(self.tree, "file", None)
        if found is None:
            raise RefusedError("this file is not HDF5", address=self.name)
        return found

    def nwb(self) -> NWBFile:
        """Return the file as pynwb has it.

        Raises
        ------
        MissingExtraError
            Without pynwb.
        """
        with requiring("the NWBFile object", "nwb"):
            from pynwb import NWBHDF5IO
        return NWBHDF5IO(file=self.h5(), mode="r").read()

    def __getattr__(self, name: str) -> Any:
        # Called only for names that nothing else answers; notebooks try many with an underscore.
        text = f"'{type(self).__name__}' object has no attribute '{name}'"
        if name.startswith("_"):
            raise AttributeError(text)
        if hasattr(type(self), name):  # it is there: what it reads in the file has no such thing
            raise CorruptError("this part of the file cannot be read", address=self.name, why=name)
        near = _near(name, [n for n in dir(type(self)) if not n.startswith("_")])
        hint = ", ".join(near) or "list_data_attributes_and_methods()"
        raise AttributeError(f"{text}\n  {hint_line(hint)}")

    def close(self) -> None:
        """Close the file; what was read already stays."""
        if "tree" in self.__dict__:
            self.tree.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reopen is None:
            raise TypeError("only a session with an address or path can be pickled")
        return self.reopen

    # --- what it looks like -------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        return {"file": self.name}

    def _picture(self) -> str:
        return ""

    def _visuals(self) -> tuple[Visual, ...]:
        return ()

    def _told(self) -> dict[str, object]:
        try:
            return self._facts()
        except OpenAllenError as error:
            return {"file": self.name, "unreadable": error.what}

    def __repr__(self) -> str:
        return facts_text(type(self).__name__, self._told())

    def _repr_html_(self) -> str:
        try:
            picture = self._picture()
        except OpenAllenError:
            picture = ""
        return card(type(self).__name__, self._told(), image=picture)


def _near(name: str, known: Sequence[str], most: int = 4) -> list[str]:
    """Return names that are written alike, or share a word: ``lfp`` and ``get_lfp``."""
    alike = get_close_matches(name, known, most)
    words = {w.removesuffix("s") for w in name.lower().split("_") if len(w) > 2 and w != "get"}
    sharing = [n for n in known if words & {w.removesuffix("s") for w in n.lower().split("_")}]
    return list(dict.fromkeys([*alike, *sharing]))[:most]
