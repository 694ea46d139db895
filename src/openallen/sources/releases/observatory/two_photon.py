"""Releases of Visual Coding, two-photon: tables of rows of the service; AllenSDK's names too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.errors import (
    NotFoundError,
    OfflineError,
    UnreachableError,
    UsageError,
    requiring,
)
from openallen.sources.releases.made import MadeRows
from openallen.sources.releases.observatory.selection import (
    OPTIONS,
    cells_that_pass,
    check_known,
    read_options,
)
from openallen.sources.releases.observatory.simple import container_row, experiment_row, lines_of
from openallen.sources.releases.observatory.stimuli import STIMULI, all_stimuli, stimuli_of
from openallen.sources.releases.observatory.unit_filters import is_true
from openallen.sources.releases.observatory.warehouse import Warehouse
from openallen.sources.releases.read import Release
from openallen.sources.releases.search import path_address

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TwoPhotonRelease"]

Row = dict[str, Any]
_INDEX: Final = {"cell_specimens": "cell_specimen_id"}


class TwoPhotonRelease(Release):
    """Visual Coding, two-photon.

    `table` and `rows` return containers, experiments and cells, filtered by name; AllenSDK's method
    names answer as its cache does. The rows come from the service once, and stay in the folder.
    """

    made = tuple(OPTIONS)

    @functools.cached_property
    def _warehouse(self) -> Warehouse:
        return Warehouse(self._cache.folder, self._service, self.address)

    def table(self, name: str, *, simple: bool = True, **options: Any) -> pd.DataFrame:
        """Return a table as pandas.

        Parameters
        ----------
        name
            ``experiment_containers``, ``ophys_experiments``, ``cell_specimens``,
            ``stimulus_mappings`` or ``column_definitions``.
        simple
            Of cells: whether columns are left out that only name pictures on the web.
        **options
            Filters. Of containers and experiments ``ids``, ``targeted_structures``,
            ``imaging_depths`` (µm), ``cre_lines``, ``reporter_lines``, ``transgenic_lines``,
            ``include_failed``; of experiments also ``experiment_container_ids``, ``stimuli``,
            ``session_types``, ``cell_specimen_ids``, ``require_eye_tracking``; of cells ``ids``,
            ``experiment_container_ids``, ``include_failed``. ``fresh=True`` asks the service again.

        Returns
        -------
        DataFrame
            Ids are the index. ``attrs["notes"]`` says how many rows of failed containers are left
            out.

        Raises
        ------
        NotFoundError
            If there is no such table.
        UsageError
            If there is no such filter or value, or a value is of the wrong type.
        OfflineError
            If the rows are not here, and there is no network.
        MissingExtraError
            Without the extra ``tables``.
        """
        if name not in self.made:
            return super().table(name, **options)
        with requiring("tables as pandas", "tables"):
            import pandas as pd
        options = {n: v for n, v in options.items() if (n, v) != ("filter_abnormalities", None)}
        rows = self._selected(name, options, simple=simple)
        index = _INDEX.get(name, "id")
        columns = list(dict.fromkeys(c for row in rows for c in row))
        frame = pd.DataFrame(rows, columns=columns or [index])
        for column in frame.columns:
            if pd.api.types.is_string_dtype(frame[column].dtype):
                frame[column] = frame[column].astype(object)
        if index in frame.columns:
            frame = frame.set_index(index)
        frame.attrs["notes"] = self._notes(name, options)
        return frame

    def made_rows(self, name: str, conditions: Sequence[Condition]) -> MadeRows:
        """Return the rows of a table as plain values; no table library is needed.

        Parameters
        ----------
        name
            One of `made`.
        conditions
            Conditions on columns; filters by name (``stimuli=drifting_gratings``) are taken as
            such, several values with commas between them.
        """
        is_option = {*OPTIONS[name], "fresh"}
        options: dict[str, Any] = {}
        left: list[Condition] = []
        for told in conditions:
            if told.field not in is_option or told.op not in {"eq", "in"}:
                left.append(told)
                continue
            value = told.value.split(",") if isinstance(told.value, str) else list(told.value)
            options[told.field] = value[0] if len(value) == 1 else value
        rows = self._selected(name, options)
        return MadeRows(
            lambda: rows,
            tuple(left),
            index=_INDEX.get(name, "id"),
            notes=tuple(self._notes(name, options)),
            address=self._file_of if name == "ophys_experiments" else None,
        )

    def _file_of(self, row: Mapping[str, Any]) -> str | None:
        path = f"ophys_experiment_data/{row.get('id')}.nwb"
        return path_address(self.manifest, path) if path in self.manifest.by_path else None

    # --- which rows -------------------------------------------------------------------------------

    def _selected(
        self, name: str, given: Mapping[str, Any], *, simple: bool = True, flat: bool = True
    ) -> list[Row]:
        where = f"{self.address}/{name}"
        given = dict(given)
        if is_true("fresh", given.pop("fresh", False), where):
            self._warehouse.rows(name, fresh=True)
        options = read_options(name, given, where)
        if name == "cell_specimens":
            return self._cells(options, simple=simple)
        if name in {"stimulus_mappings", "column_definitions"}:
            return list(self._warehouse.rows(name))
        rows = [row for row in self._warehouse.rows(name) if _is_wanted(row, options)]
        make = container_row if name == "experiment_containers" else self._experiment
        pairs = [(row, make(row)) for row in rows]
        for option, test in self._tests(name, options, where):
            pairs = [pair for pair in pairs if option not in options or test(*pair)]
        return [short if flat else row for row, short in pairs]

    def _tests(
        self, name: str, options: Mapping[str, Any], where: str
    ) -> list[tuple[str, Callable[[Row, Row], bool]]]:
        """Return what tells by the nested and the flat form of a row whether a filter keeps it."""
        self._check_values(name, options, where)

        def among(option: str, column: str) -> tuple[str, Callable[[Row, Row], bool]]:
            wanted = {_folded(v) for v in options.get(option, ())}
            return option, lambda _, row: _folded(row[column]) in wanted

        lines = {_folded(v) for v in options.get("transgenic_lines", ())}
        tests = [
            among("ids", "id"),
            among("targeted_structures", "targeted_structure"),
            among("imaging_depths", "imaging_depth"),
            among("cre_lines", "cre_line"),
            among("reporter_lines", "reporter_line"),
            (
                "transgenic_lines",
                lambda row, _: any(_folded(v) in lines for v in lines_of(row)),
            ),
        ]
        if name == "experiment_containers":
            return tests
        shown = set(options.get("stimuli", ()))
        containers = self._containers_of(options.get("cell_specimen_ids"))
        eyes = options.get("require_eye_tracking")
        return [
            *tests,
            among("experiment_container_ids", "experiment_container_id"),
            among("session_types", "session_type"),
            ("stimuli", lambda _, row: bool(shown & set(STIMULI.get(row["session_type"], ())))),
            ("cell_specimen_ids", lambda _, row: row["experiment_container_id"] in containers),
            ("require_eye_tracking", lambda _, row: not eyes or not row["fail_eye_tracking"]),
        ]

    def _check_values(self, name: str, options: Mapping[str, Any], where: str) -> None:
        rows = self._warehouse.rows(name)
        areas = (container_row(row)["targeted_structure"] or "" for row in rows)
        known: dict[str, Callable[[], Iterable[str]]] = {
            "targeted_structures": lambda: areas,
            "stimuli": all_stimuli,
            "session_types": lambda: {*STIMULI, *(r.get("stimulus_name") or "" for r in rows)},
        }
        for option, there in known.items():
            if option in options:
                check_known(option, options[option], there(), where)
        every = {_folded(line): line for row in rows for line in lines_of(row)}
        for option in ("cre_lines", "reporter_lines", "transgenic_lines"):
            wanted = (every.get(_folded(line), line) for line in options.get(option, ()))
            check_known(option, wanted, every.values(), where)

    def _containers_of(self, cells: Iterable[int] | None) -> set[int]:
        if cells is None:
            return set()
        found = self._cells({"ids": list(cells)}, simple=False)
        return {row["experiment_container_id"] for row in found}

    def _experiment(self, row: Row) -> Row:
        return experiment_row(row, self._eyes)

    @functools.cached_property
    def _eyes(self) -> frozenset[int] | None:
        """Ids of sessions with mapped eye tracking; None where that cannot be known."""
        if not any(r.get("ophys_session_id") for r in self._warehouse.rows("ophys_experiments")):
            return None
        try:
            files = self._warehouse.rows("eye_mappings")
        except (OfflineError, UnreachableError):
            return None  # as in a folder that AllenSDK filled, which does not keep them
        return frozenset(
            int(f["attachable_id"]) for f in files if f.get("attachable_type") == "OphysSession"
        )

    def _cells(self, options: Mapping[str, Any], *, simple: bool) -> list[Row]:
        rows = self._warehouse.rows("cell_specimens")
        if not options.get("include_failed"):
            rows = [row for row in rows if not row.get("failed_experiment_container")]
        for option, column in (
            ("ids", "cell_specimen_id"),
            ("experiment_container_ids", "experiment_container_id"),
        ):
            if option in options:
                wanted = set(options[option])
                rows = [row for row in rows if row.get(column) in wanted]
        if not simple:
            return list(rows)
        mappings = self._warehouse.rows("stimulus_mappings")
        pictures = {m["item"] for m in mappings if m.get("item_type") == "T"}
        return [{n: v for n, v in row.items() if n not in pictures} for row in rows]

    def _notes(self, name: str, options: Mapping[str, Any]) -> list[str]:
        if name not in {"experiment_containers", "ophys_experiments", "cell_specimens"}:
            return []
        if is_true("include_failed", options.get("include_failed") or False, self.address):
            return []
        rows = self._warehouse.rows(name)
        failed = sum(
            bool(r.get("failed_experiment_container")) if name == "cell_specimens" else _failed(r)
            for r in rows
        )
        if not failed:
            return []
        return [f"{failed:,} of {len(rows):,} rows are of failed containers; include_failed=true"]

    # --- AllenSDK's names -------------------------------------------------------------------------

    def get_experiment_containers(self, *, simple: bool = True, **filters: Any) -> list[Row]:
        """Return experiment containers as a list of dicts, as AllenSDK does.

        Parameters
        ----------
        simple
            Whether they are flat; else as the service has them.
        **filters
            As for `table`.
        """
        return self._selected("experiment_containers", filters, flat=simple)

    def get_ophys_experiments(self, *, simple: bool = True, **filters: Any) -> list[Row]:
        """Return experiments as a list of dicts, as AllenSDK does.

        ``fail_eye_tracking`` says whether eye tracking was mapped onto the screen where the service
        tells the session of an experiment; else it is the service's own word.

        Parameters
        ----------
        simple
            Whether they are flat; else as the service has them.
        **filters
            As for `table`.
        """
        return self._selected("ophys_experiments", filters, flat=simple)

    def get_cell_specimens(
        self,
        ids: Iterable[int] | None = None,
        experiment_container_ids: Iterable[int] | None = None,
        include_failed: bool = False,
        simple: bool = True,
        filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Row]:
        """Return cells with their metrics as a list of dicts, as AllenSDK does.

        Parameters
        ----------
        ids, experiment_container_ids
            Cells by their own ids, and by those of their containers.
        include_failed
            Whether cells of failed containers are returned too.
        simple
            Whether columns are left out that only name pictures on the web.
        filters
            ``[{"field": "osi_dg", "op": ">", "value": 0.5}]``; operators are ``=``, ``<``, ``>``,
            ``<=``, ``>=``, ``between``, ``in`` and ``is``.

        Raises
        ------
        UsageError
            If a column, an operator or a value does not exist.
        """
        given = {
            "ids": ids,
            "experiment_container_ids": experiment_container_ids,
            "include_failed": include_failed,
        }
        rows = self._selected("cell_specimens", given, simple=simple)
        return cells_that_pass(rows, filters or (), f"{self.address}/cell_specimens")

    def get_stimulus_mappings(self) -> list[Row]:
        """Return which column of cells is of which stimulus, as the service has it."""
        return self._selected("stimulus_mappings", {})

    def get_column_definitions(self) -> list[Row]:
        """Return what the columns of the service's tables are, as it has it."""
        return self._selected("column_definitions", {})

    def get_ophys_experiment_stimuli(self, experiment_id: int) -> list[str]:
        """Return what was shown in an experiment.

        Parameters
        ----------
        experiment_id
            The id of the experiment.

        Raises
        ------
        NotFoundError
            If there is no such experiment.
        UsageError
            If its type of session is not known.
        """
        given = {"ids": [experiment_id], "include_failed": True}
        found = self._selected("ophys_experiments", given)
        if not found:
            raise NotFoundError(
                f"no experiment {experiment_id}",
                address=self.address,
                hint=f"openallen list {self.address}/ophys_experiments",
            )
        return stimuli_of(found[0]["session_type"])

    def get_ophys_experiment_data(self, ophys_experiment_id: int, **options: Any) -> Any:
        """Open the data of an experiment.

        Parameters
        ----------
        ophys_experiment_id
            The id of the experiment.
        **options
            What opening such a file takes.

        Raises
        ------
        NotFoundError
            If the release has no such file.
        """
        where = self._file_of({"id": ophys_experiment_id})
        if where is None:
            raise NotFoundError(
                f"no data of an experiment {ophys_experiment_id}",
                address=self.address,
                hint=f"openallen list {self.address}/ophys_experiments id={ophys_experiment_id}",
            )
        if self.opening is None:
            raise UsageError("this release was opened without its sessions", address=self.address)
        return self.opening(where, **options)

    def get_all_targeted_structures(self) -> list[str]:
        """Return the structures that were imaged, sorted."""
        return self._all("targeted_structure")

    def get_all_cre_lines(self) -> list[str]:
        """Return the Cre lines, sorted."""
        return self._all("cre_line")

    def get_all_reporter_lines(self) -> list[str]:
        """Return the reporter lines, sorted."""
        return self._all("reporter_line")

    def get_all_imaging_depths(self) -> list[int]:
        """Return the imaging depths in µm, sorted."""
        return self._all("imaging_depth")

    def get_all_session_types(self) -> list[str]:
        """Return the types of sessions, sorted."""
        rows = self._selected("ophys_experiments", {})
        return sorted({row["session_type"] for row in rows if row["session_type"]})

    def get_all_stimuli(self) -> list[str]:
        """Return every stimulus, sorted."""
        return all_stimuli()

    def _all(self, column: str) -> list[Any]:
        rows = self._selected("experiment_containers", {})
        return sorted({row[column] for row in rows if row[column] is not None})


def _failed(row: Mapping[str, Any]) -> bool:
    container = row.get("experiment_container")
    inner = container.get("failed") if isinstance(container, Mapping) else False
    return bool(row.get("failed") or inner)


def _is_wanted(row: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    return bool(options.get("include_failed")) or not _failed(row)


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
