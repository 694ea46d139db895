"""The LFP files of a session's probes, each of which is a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import NotFoundError
from openallen.sessions.base import Opener

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["Finder", "ProbeFiles", "opener_beside"]

Finder = Callable[[int, str], Opener | None]
"""Returns the opener of a probe's LFP file by the probe's id and name; None where it has none."""


class ProbeFiles:
    """LFP files of a session's probes, each opened when it is first asked for.

    Parameters
    ----------
    find
        Finds a file by the id and the name of the probe.
    address
        What the session is called in messages.
    """

    def __init__(self, find: Finder, address: str) -> None:
        self._find = find
        self._address = address
        self._trees: dict[int, Tree | None] = {}

    def tree(self, probes: pd.DataFrame, probe_id: int, named: str) -> Tree | None:
        """Return the LFP file of a probe; None for a probe without LFP.

        Parameters
        ----------
        probes
            The probes by id, with their names and ``has_lfp_data``.
        probe_id
            Which.
        named
            The column of `probes` that holds the names.

        Raises
        ------
        NotFoundError
            If there is no such probe, or it has LFP and its file is not here.
        """
        if probe_id not in self._trees:
            if probe_id not in probes.index:
                raise NotFoundError(
                    f"no probe {probe_id}",
                    address=self._address,
                    why=f"it has {', '.join(str(i) for i in probes.index) or 'none'}",
                )
            told = probes.loc[probe_id]
            name = str(told[named])
            opener = self._find(probe_id, name)
            if opener is None and bool(told["has_lfp_data"]):
                raise NotFoundError(
                    f"the LFP file of probe {name} is not here",
                    address=self._address,
                    why=f"no file of the LFP of {name}, {probe_id}, beside the session's file",
                )
            self._trees[probe_id] = opener() if opener is not None else None
        return self._trees[probe_id]

    def close(self) -> None:
        """Close the files that were opened."""
        for tree in self._trees.values():
            if tree is not None:
                tree.close()
        self._trees.clear()


def opener_beside(path: Path | None, names: Sequence[str]) -> Opener | None:
    """Return the opener of the first of several files that is beside another; None without one."""
    if path is None:
        return None
    place = next((p for n in names if (p := path.with_name(n)).exists()), None)
    if place is None:
        return None

    def opener() -> Tree:
        from openallen.formats.nwb import open_h5

        return open_h5(place, str(place))

    return opener
