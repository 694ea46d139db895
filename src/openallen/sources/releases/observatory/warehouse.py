"""Rows of the service that tables of Visual Coding, two-photon, are made of; asked for once.

They are kept in the project's folder under the names of AllenSDK's cache, as it keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import AnswerError, CorruptError, OfflineError, SpaceError, StoreError
from openallen.json_text import load_json
from openallen.store.disk import write_whole

if TYPE_CHECKING:
    from openallen.brainmap import Client, Search

__all__ = ["KINDS", "Warehouse"]

Row = dict[str, Any]


@dataclass(frozen=True)
class _Kind:
    """One kind of rows: its model, what is nested in them, and the column that every row has.

    Where a service has none at all, its answer is not believed, unless there `may_be_none`.
    """

    model: str
    nested: tuple[str, ...] = ()
    key: str = "id"
    may_be_none: bool = False

    def search(self) -> Search:
        from openallen.brainmap import Search

        made = Search.of(self.model)
        return made.include(*self.nested) if self.nested else made


_SPECIMEN: Final = "specimen(donor(age,transgenic_lines))"
KINDS: Final = {
    "experiment_containers": _Kind(
        "ExperimentContainer",
        (
            "ophys_experiments",
            "isi_experiment",
            "specimen(donor(conditions,age,transgenic_lines))",
            "targeted_structure",
        ),
    ),
    "ophys_experiments": _Kind(
        "OphysExperiment",
        (
            "experiment_container",
            "well_known_files(well_known_file_type)",
            "targeted_structure",
            _SPECIMEN,
        ),
    ),
    "cell_specimens": _Kind("ApiCamCellMetric", key="cell_specimen_id"),
    "stimulus_mappings": _Kind("ApiCamStimulusMapping", key="item"),
    "column_definitions": _Kind("ApiColumnDefinition"),
    "eye_mappings": _Kind(
        "model::WellKnownFile,rma::criteria,well_known_file_type[name$eqEyeDlcScreenMapping]",
        key="attachable_id",
        may_be_none=True,  # mirrors and the sample have rows of a few experiments
    ),
}
"""Kinds of rows, by the name of their file."""


class Warehouse:
    """Rows of the service, from the folder or else asked for and kept there.

    Parameters
    ----------
    folder
        The project's folder.
    service
        Connects to the service.
    address
        Address of the release, for errors.
    """

    def __init__(
        self,
        folder: Path,
        service: Callable[[], AbstractContextManager[Client]] | None,
        address: str,
    ) -> None:
        self._folder = folder
        self._service = service
        self._address = address
        self._read: dict[str, list[Row]] = {}

    def rows(self, kind: str, *, fresh: bool = False) -> list[Row]:
        """Return the rows of a kind, in the service's order; they are not to be changed.

        Parameters
        ----------
        kind
            One of `KINDS`.
        fresh
            Whether to ask again even if they are here.

        Raises
        ------
        OfflineError
            If they are not here, and there is no network; with the command that asks.
        CorruptError
            If the rows that are here are damaged, and there is no network.
        """
        if kind not in self._read or fresh:
            path = self._folder / f"{kind}.json"
            found = None if fresh else self._kept(path, KINDS[kind])
            self._read[kind] = self._asked(kind, path) if found is None else found
        return self._read[kind]

    @staticmethod
    def _kept(path: Path, kind: _Kind) -> list[Row] | None:
        """Return the rows of a file; None where there are none, or damaged ones."""
        key = kind.key
        try:
            found = load_json(path.read_bytes())
        except (OSError, ValueError):
            return None
        whole = isinstance(found, list) and all(isinstance(r, dict) and key in r for r in found)
        return found if whole and (found or kind.may_be_none) else None

    def _asked(self, kind: str, path: Path) -> list[Row]:
        if self._service is None:
            raise self._not_here(kind, path)
        try:
            with self._service() as client:
                rows = list(client.rows(KINDS[kind].search().query))
        except OfflineError as error:
            raise self._not_here(kind, path) from error
        key = KINDS[kind].key
        odd = next((r for r in rows if key not in r), None)
        if odd is not None or not (rows or KINDS[kind].may_be_none):
            raise AnswerError(
                f"the service has no rows of {kind}" if not rows else f"odd rows of {kind}",
                address=self._address,
                why="" if odd is None else f"one has no {key}",
            )
        with suppress(StoreError, SpaceError):  # what was asked for can be used all the same
            write_whole(path, json.dumps(rows).encode())
        return rows

    def _not_here(self, kind: str, path: Path) -> OfflineError | CorruptError:
        base = self._address.partition("@")[0]
        hint = f"openallen list {base}/{kind}"
        if path.exists():
            return CorruptError(
                "the rows kept here are damaged", address=str(path), why="no list", hint=hint
            )
        return OfflineError(
            f"the rows of {kind} are not here",
            address=self._address,
            why="they stay here once they were listed with a network",
            hint=hint,
        )
