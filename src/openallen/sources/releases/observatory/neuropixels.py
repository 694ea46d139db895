"""Releases of Visual Coding Neuropixels: joined tables, metrics, templates, AllenSDK's names."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.sources.releases.made import MadeRows
from openallen.sources.releases.models import ReleaseFile
from openallen.sources.releases.observatory.joins import HIDDEN, RENAMED, Joins, swapped_back
from openallen.sources.releases.observatory.plain_rows import COUNTED, PlainRows
from openallen.sources.releases.observatory.unit_filters import (
    FILTERS,
    UnitFilters,
    is_true,
    no_option,
)
from openallen.sources.releases.read import Release
from openallen.sources.releases.rows import read_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["NeuropixelsRelease"]

_METRICS: Final = "_analysis_metrics"
_MOVIES: Final = "natural_movie_templates/"
_NOTHING: Final = frozenset({"", "none", "null"})
_UNIT: Final = "ecephys_unit_id"
_JOINED: Final = ("sessions", "probes", "channels", "units")
_AS_PUBLISHED: Final = {name: own for own, name in RENAMED.items()}


class NeuropixelsRelease(Release):
    """One version of Visual Coding Neuropixels.

    `table` and `rows` have joins and filters; AllenSDK's method names answer as its cache does.
    """

    made = _JOINED

    def table(
        self,
        name: str,
        *,
        filtered: bool = True,
        suppress: Iterable[str] | None = None,
        annotate: bool = True,
        **filters: Any,
    ) -> pd.DataFrame:
        """Return a table as pandas: joins, names, index, order and default filters of AllenSDK.

        Parameters
        ----------
        name
            ``sessions``, ``probes``, ``channels``, ``units``, or
            ``SESSION_TYPE_analysis_metrics``.
        filtered
            Whether filters of units that are not given are AllenSDK's defaults: ``quality`` is
            ``good``, the channel is in the table of channels, ``amplitude_cutoff`` 0.1 at most,
            ``presence_ratio`` 0.95 at least, ``isi_violations`` 0.5 at most. False for every unit.
            In the tables of sessions, probes and channels they choose which units are counted.
        suppress
            Columns to leave out; AllenSDK's choice where None, none where empty.
        annotate
            Of analysis metrics: whether units, filtered, stand in front; else all rows as they are.
        **filters
            ``filter_by_validity``, ``filter_out_of_brain_units``, ``amplitude_cutoff_maximum``,
            ``presence_ratio_minimum``, ``isi_violations_maximum``.

        Returns
        -------
        DataFrame
            ``attrs["notes"]`` says how many units each filter leaves out.

        Raises
        ------
        NotFoundError
            If the version has no such table.
        UsageError
            If there is no such filter or column, or a value is of the wrong type.
        CorruptError
            If a published table is damaged, or lacks a column that joins it.
        MissingExtraError
            Without the extra ``tables``.
        """
        where = f"{self.address}/{name}"
        filters = {n: v for n, v in filters.items() if (n, v) != ("filter_abnormalities", None)}
        chosen = UnitFilters.read(
            filters, filtered=is_true("filtered", filtered, where), address=where
        )
        if name.endswith(_METRICS):
            return self._metrics(self._by_type(name), chosen, annotate=annotate)
        if name in _JOINED:
            return self._joined(name, chosen, suppress)
        return super().table(name)

    def _joined(
        self, name: str, filters: UnitFilters, suppress: Iterable[str] | None
    ) -> pd.DataFrame:
        frame, notes = getattr(self._joins, name)(filters)
        left_out = HIDDEN[name] if suppress is None else self._suppressed(name, frame, suppress)
        frame = frame.drop(columns=[c for c in left_out if c in frame.columns])
        if name == "channels":  # the name is that of the probe
            frame = frame.rename(columns={"name": "probe_name"})
        frame.attrs["notes"] = notes
        return frame

    def _suppressed(
        self, name: str, frame: pd.DataFrame, suppress: Iterable[str]
    ) -> tuple[str, ...]:
        given = (suppress,) if isinstance(suppress, str) else tuple(suppress)
        known = [*frame.columns, *HIDDEN[name], "quality"]
        for column in given:
            if column in known or (name, column) == ("channels", "probe_name"):
                continue
            near = get_close_matches(str(column), known, 1)
            raise UsageError(
                f"no such column '{column}' to leave out",
                address=f"{self.address}/{name}",
                why=f"there are {', '.join(dict.fromkeys(known))}",
                hint=near[0] if near else "",
            )
        return tuple("name" if column == "probe_name" else column for column in given)

    @functools.cached_property
    def _joins(self) -> Joins:
        kept: dict[str, pd.DataFrame] = {}

        def published(name: str) -> pd.DataFrame:
            if name not in kept:
                kept[name] = self._published(name)
            return kept[name]

        return Joins(published, self.address)

    def _published(self, name: str) -> pd.DataFrame:
        from openallen.sources.releases.tables import read_table

        return read_table(self.csv(name), self.manifest.project.name, "id")

    # --- plain rows -------------------------------------------------------------------------------

    def made_rows(self, name: str, conditions: Sequence[Condition]) -> MadeRows:
        """Return the joined rows of a table, as plain values; no table library is needed.

        Parameters
        ----------
        name
            One of `made`.
        conditions
            Conditions on published columns, on those of channel, probe and session, and on
            AllenSDK's names of columns; filters of units, and ``filtered``, are taken as such.
        """
        where = f"{self.address}/{name}"
        is_option = {*FILTERS, "filtered"}
        given = {c.field: c.value for c in conditions if c.field in is_option and c.op == "eq"}
        left = [c for c in conditions if c.field not in given or c.op != "eq"]
        options: dict[str, Any] = {n: None if v in _NOTHING else v for n, v in given.items()}
        filtered = is_true("filtered", options.pop("filtered", False), where)
        filters = UnitFilters.read(options, filtered=filtered, address=where)
        if name == "units":
            left = [replace(c, field=_AS_PUBLISHED.get(c.field, c.field)) for c in left]
        counted = bool({c.field for c in left} & set(COUNTED[name])) or (
            bool(given) and name != "units"
        )
        plain = PlainRows(lambda table: read_rows(self.csv(table)), filters)
        note = "every unit; those AllenSDK returns: filtered=true"
        return MadeRows(
            lambda: plain.rows(name, counted=counted),
            tuple(left),
            notes=(note,) if name == "units" and not given else (),
            address=functools.partial(self._file_of, name),
        )

    def _file_of(self, table: str, row: Mapping[str, Any]) -> str | None:
        kind = {"sessions": "ecephys_session", "probes": "probe"}.get(table, "")
        name = str(row.get("id"))
        known = name in self.manifest.by_kind.get(kind, {})
        return f"{self.address}/{kind}/{name}" if known else None

    # --- analysis metrics -------------------------------------------------------------------------

    @property
    def session_types(self) -> tuple[str, ...]:
        """Types of sessions that have a table of analysis metrics."""
        tables = self.manifest.by_kind.get("table", {})
        return tuple(name.removesuffix(_METRICS) for name in tables if name.endswith(_METRICS))

    def _by_type(self, name: str) -> ReleaseFile:
        known = self.manifest.by_kind.get("table", {})
        if name in known:
            return known[name]
        asked, types = name.removesuffix(_METRICS), self.session_types
        near = get_close_matches(asked, types, 1)
        raise NotFoundError(
            f"no analysis metrics of sessions of the type '{asked}'",
            address=self.address,
            why=f"there are those of {', '.join(types)}" if types else "this version has none",
            hint=f"openallen list {self.address}/{near[0]}{_METRICS}"
            if near
            else f"openallen list {self.address}/sessions",
        )

    def _metrics(self, file: ReleaseFile, filters: UnitFilters, *, annotate: bool) -> pd.DataFrame:
        from openallen.sources.releases.tables import read_table

        path = self._fetched(file)
        metrics = swapped_back(read_table(path, self.manifest.project.name, _UNIT))
        return self._annotated(metrics, filters) if annotate else metrics

    def _annotated(self, metrics: pd.DataFrame, filters: UnitFilters) -> pd.DataFrame:
        """Return metrics behind the units they are of, those that pass, in the order of units."""
        import pandas as pd

        units = self._joined("units", filters, None)
        if not metrics.index.is_unique:
            raise CorruptError("units repeat in the analysis metrics", address=self.address)
        kept = units[units.index.isin(metrics.index)]
        joined = pd.concat([kept, metrics.reindex(kept.index).astype(metrics.dtypes)], axis=1)
        joined.index.name = _UNIT
        joined.attrs["notes"] = units.attrs["notes"]
        return joined

    # --- AllenSDK's names -------------------------------------------------------------------------

    def get_session_table(self, suppress: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the sessions as AllenSDK does; those without channels have 0 for structures."""
        return _zero_for_none(self.table("sessions", suppress=suppress))

    def get_probes(self, suppress: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the probes as AllenSDK does; those without channels have 0 for structures."""
        return _zero_for_none(self.table("probes", suppress=suppress))

    def get_channels(self, suppress: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the channels as AllenSDK does."""
        return self.table("channels", suppress=suppress)

    def get_units(
        self,
        suppress: Iterable[str] | None = None,
        filter_by_validity: bool = True,
        **unit_filter_kwargs: Any,
    ) -> pd.DataFrame:
        """Return the units as AllenSDK does, with its default filters.

        Units without a value of ``amplitude_cutoff`` and its like are left out even where there is
        no limit.

        Parameters
        ----------
        suppress, filter_by_validity, **unit_filter_kwargs
            As for `table`.
        """
        chosen = self._as_allensdk("units", filter_by_validity, unit_filter_kwargs)
        return self._joined("units", chosen, suppress)

    def get_unit_analysis_metrics_by_session_type(
        self,
        session_type: str,
        annotate: bool = True,
        filter_by_validity: bool = True,
        **unit_filter_kwargs: Any,
    ) -> pd.DataFrame:
        """Return the analysis metrics of all sessions of a type, by unit.

        Parameters
        ----------
        session_type
            ``brain_observatory_1.1`` or ``functional_connectivity``.
        annotate, filter_by_validity, **unit_filter_kwargs
            As for `table`.

        Raises
        ------
        NotFoundError
            If there is no such type.
        """
        name = f"{session_type}{_METRICS}"
        chosen = self._as_allensdk(name, filter_by_validity, unit_filter_kwargs)
        return self._metrics(self._by_type(name), chosen, annotate=annotate)

    def get_unit_analysis_metrics_for_session(
        self,
        session_id: int,
        annotate: bool = True,
        filter_by_validity: bool = True,
        **unit_filter_kwargs: Any,
    ) -> pd.DataFrame:
        """Return the analysis metrics of one session, by unit.

        Where the session has no table of its own, its units in that of its type are returned.

        Parameters
        ----------
        session_id
            The id of the session.
        annotate, filter_by_validity, **unit_filter_kwargs
            As for `table`.

        Raises
        ------
        NotFoundError
            If there is no such session, or nothing was published of it.
        """
        where = f"{self.address}/ecephys_session/{session_id}"
        chosen = self._as_allensdk(where, filter_by_validity, unit_filter_kwargs)
        path = f"session_{session_id}/session_{session_id}{_METRICS}.csv"
        own = self.manifest.by_path.get(path)
        if own is not None:
            return self._metrics(own, chosen, annotate=annotate)
        sessions = self._joins.sessions(UnitFilters())[0]
        if session_id not in sessions.index:
            raise NotFoundError(
                "no such session", address=where, hint=f"openallen list {self.address}/sessions"
            )
        kind = f"{sessions.loc[session_id, 'session_type']}{_METRICS}"
        metrics = self._metrics(self._by_type(kind), chosen, annotate=False)
        units = self._joins.units(UnitFilters())[0]
        ids = units.index[units["ecephys_session_id"] == session_id]
        metrics = metrics[metrics.index.isin(ids)]
        if metrics.empty:
            raise NotFoundError("no analysis metrics of this session", address=where)
        return self._annotated(metrics, chosen) if annotate else metrics

    def _as_allensdk(
        self, where: str, filter_by_validity: bool, given: dict[str, Any]
    ) -> UnitFilters:
        told = {"filter_by_validity": filter_by_validity, **given}
        return UnitFilters.read(told, filtered=True, address=where).unlimited()

    def opened(self, file: ReleaseFile) -> Any:
        """Return the frames of a movie, which is called ``.h5`` and is none; None of other files.

        Parameters
        ----------
        file
            One of `files`.
        """
        from openallen.sources.releases.observatory.templates import read_movie

        return read_movie(self._fetched(file)) if file.path.startswith(_MOVIES) else None

    def get_natural_movie_template(self, number: int) -> np.ndarray[Any, Any]:
        """Return the frames of a natural movie: frame x row x column, grey values.

        Parameters
        ----------
        number
            1 or 3: the movie's number.

        Raises
        ------
        NotFoundError
            If there is no such movie, with those there are.
        CorruptError
            If the file is damaged.
        """
        from openallen.sources.releases.observatory.templates import read_movie

        return read_movie(self._fetched(self._template("natural_movie", number, "h5")))

    def get_natural_scene_template(self, number: int) -> np.ndarray[Any, Any]:
        """Return the pixels of a natural scene: row x column, grey values.

        Parameters
        ----------
        number
            The number of the scene, as in ``frame`` of the presentations.

        Raises
        ------
        NotFoundError
            If there is no such scene.
        CorruptError
            If the file is damaged.
        """
        from openallen.sources.releases.observatory.templates import read_scene

        return read_scene(self._fetched(self._template("natural_scene", number, "tiff")))

    def _template(self, kind: str, number: int, suffix: str) -> ReleaseFile:
        folder = f"{kind}_templates/"
        found = self.manifest.by_path.get(f"{folder}{kind}_{number}.{suffix}")
        if found is not None:
            return found
        there = [p for p in self.manifest.by_path if p.startswith(folder)]
        numbers = sorted(p.rpartition("_")[2].removesuffix(f".{suffix}") for p in there)
        raise NotFoundError(
            f"no {kind.replace('_', ' ')} {number}",
            address=self.address,
            why=f"there are {', '.join(numbers[:12])}{' …' * (len(numbers) > 12)}"
            if numbers
            else "this version has none",
            hint=f"openallen list {self.address}/files path__like={folder}*",
        )

    def get_all_session_types(self, **session_kwargs: Any) -> list[str]:
        """Return the types of sessions, in the order they come up."""
        return self._values("sessions", "session_type", session_kwargs)

    def get_all_ages(self, **session_kwargs: Any) -> list[float]:
        """Return the ages of the mice in days, in the order they come up."""
        return self._values("sessions", "age_in_days", session_kwargs)

    def get_all_sexes(self, **session_kwargs: Any) -> list[str]:
        """Return the sexes of the mice, in the order they come up."""
        return self._values("sessions", "sex", session_kwargs)

    def get_all_full_genotypes(self, **session_kwargs: Any) -> list[str]:
        """Return the genotypes of the mice, in the order they come up; NaN where one has none."""
        return self._values("sessions", "full_genotype", session_kwargs)

    def get_structure_acronyms(self, **channel_kwargs: Any) -> list[str]:
        """Return the structures of the channels, in the order they come up; NaN for none."""
        return self._values("channels", "ecephys_structure_acronym", channel_kwargs)

    def _values(self, table: str, column: str, options: dict[str, Any]) -> list[Any]:
        strange = next((name for name in options if name != "suppress"), None)
        if strange is not None:
            raise no_option(strange, ["suppress"], f"{self.address}/{table}")
        return list(self.table(table, **options)[column].unique())

    def get_session_data(self, session_id: int, **filters: Any) -> Any:
        """Open a session.

        Parameters
        ----------
        session_id
            Its id.
        **filters
            As for opening ``release:visual-coding-neuropixels/ecephys_session/ID``.

        Raises
        ------
        NotFoundError
            If there is no such session.
        """
        self.file("ecephys_session", session_id)
        if self.opening is None:
            raise UsageError("this release was opened without its sessions", address=self.address)
        return self.opening(f"{self.address}/ecephys_session/{session_id}", **filters)


def _zero_for_none(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with 0 where no structure is, which is what AllenSDK puts there."""
    name = "ecephys_structure_acronyms"
    if name in frame.columns:
        frame[name] = frame[name].map(lambda found: found if len(found) else 0)
    return frame
