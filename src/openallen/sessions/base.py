"""What every session is: an open file whose parts are read when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from openallen.display import card, facts_text
from openallen.errors import MissingExtraError, OpenAllenError, RefusedError

if TYPE_CHECKING:
    import h5py
    from pynwb import NWBFile

    from openallen.formats.nwb import Tree

__all__ = ["NwbSession", "Opener"]

Opener = Callable[[], "Tree"]
"""Opens the file; called once, when the first part is asked for."""


class NwbSession:
    """A session in an NWB file, here or far away.

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
        """Name what can be had of this kind of session, in alphabetical order."""
        return sorted(self._names)

    def h5(self) -> h5py.File:
        """Give the file as h5py has it, open for reading.

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
        """Give the file as pynwb has it.

        Raises
        ------
        MissingExtraError
            Without pynwb.
        """
        try:
            from pynwb import NWBHDF5IO
        except ImportError:
            raise MissingExtraError("nwb", "the NWBFile object") from None
        return NWBHDF5IO(file=self.h5(), mode="r").read()

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
            raise TypeError("a session can be sent elsewhere by its address or path only")
        return self.reopen

    # --- what it looks like -------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        return {"file": self.name}

    def _picture(self) -> str:
        return ""

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
