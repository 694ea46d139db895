"""An opened release: its files, their addresses, its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Address, Condition, path_text
from openallen.display import card, count_text, facts_text
from openallen.errors import NotFoundError, UsageError, requiring
from openallen.sources.filters import check_columns, matches
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.comparison import Comparison, compare
from openallen.sources.releases.made import MadeRows
from openallen.sources.releases.models import Manifest, ReleaseFile, Version
from openallen.sources.releases.names import CacheNames
from openallen.sources.releases.projects import TERMS
from openallen.sources.releases.rows import read_rows
from openallen.sources.releases.search import Fetch, by_file_id, choose, files_of, table_of
from openallen.transfer.status import with_status

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from openallen.brainmap import Client
    from openallen.sessions.across import Sessions
    from openallen.visuals import Visual

__all__ = ["Connect", "Release"]

Connect = Callable[[], AbstractContextManager[tuple[ReleaseCache, Fetch]]]
"""Opens a cache whose bucket can be used, with the function that fetches into it."""


class Release(CacheNames):
    """One version of a project; AllenSDK's names for its parts answer too.

    Tables are fetched when they are asked for; data files when `fetch` is called.

    Parameters
    ----------
    cache
        The project's folder and bucket.
    manifest
        The manifest of the version.
    connect
        Connects to the bucket for as long as its context lasts.
    notes
        Notes for the reader.
    opening
        Opens a session of it by address, with the options of its kind.
    service
        Connects to the service whose rows some projects make tables of.
    tables_folder
        Where copies of large tables are kept, ready to be read; None for nowhere.
    """

    made: tuple[str, ...] = ()
    """Tables that are made of others, or of rows of a service."""

    def __init__(
        self,
        cache: ReleaseCache,
        manifest: Manifest,
        connect: Connect,
        notes: tuple[str, ...] = (),
        opening: Callable[..., Any] | None = None,
        *,
        service: Callable[[], AbstractContextManager[Client]] | None = None,
        tables_folder: Path | None = None,
    ) -> None:
        self._cache = cache
        self.manifest = manifest
        self._connect = connect
        self.notes = notes
        self.opening = opening
        self._service = service
        self.tables_folder = tables_folder

    @property
    def address(self) -> str:
        """Its address: ``release:visual-behavior-ophys@1.0.1``."""
        return self.manifest.address

    @property
    def version(self) -> Version:
        """The version."""
        return self.manifest.version

    @property
    def folder(self) -> Path:
        """The folder of its files, there or not."""
        if self._cache.mirror or self._cache.flat:
            return self._cache.folder
        return self._cache.folder / self.manifest.folder

    @property
    def files(self) -> tuple[ReleaseFile, ...]:
        """Every file, in the manifest's order."""
        return self.manifest.files

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables: those published, then those made of rows of a service."""
        return tuple(dict.fromkeys((*self.manifest.by_kind.get("table", {}), *self.made)))

    def table_named(self, path: Sequence[str]) -> str:
        """Return the table that the path of an address names; empty where it names none.

        Parameters
        ----------
        path
            The parts behind the name of the release.
        """
        return path[0] if len(path) == 1 and path[0] in self.tables else ""

    # --- files ----------------------------------------------------------------------------------

    def sized(self) -> Manifest:
        """Return the manifest with the size of each file, as far as it can be learned."""
        with self._connect() as (cache, _):
            return replace(self.manifest, files=cache.sized(self.manifest.files))

    def file(self, kind: str, id: int | str) -> ReleaseFile:  # noqa: A002 - the field's word
        """Return one file: ``file("behavior_session", 870987812)``.

        One whose name does not say its id is looked up in the table of its kind, which is fetched
        if it is not here.

        Raises
        ------
        NotFoundError
            If the version has none.
        """
        where = Address("release", self.manifest.project.name, path=(kind, *str(id).split("/")))
        try:
            return choose(self.manifest, where).files[0]
        except NotFoundError:
            table = table_of(self.manifest, where)
            if not table or self.manifest.project.form != "cloud-cache":
                raise
            found = by_file_id(self.manifest, where, self.rows(table))
            if found is None:
                raise
            return found

    def url(self, kind: str, id: int | str) -> str:  # noqa: A002
        """Return the web address of just this version of a file."""
        return self.file(kind, id).versioned_url()

    def urls(self) -> list[str]:
        """Return the web address of every file, tables first, each with its version."""
        return [file.versioned_url() for file in self.files]

    def path(self, kind: str, id: int | str) -> Path:  # noqa: A002
        """Return the path of a file, there or not."""
        return self._cache.path(self.manifest, self.file(kind, id))

    def has(self, file: ReleaseFile) -> bool:
        """Return whether a file of it is here; its bytes are not looked at.

        Parameters
        ----------
        file
            One of `files`.
        """
        return self._cache.path(self.manifest, file).is_file()

    def fetch(self, kind: str, *ids: int | str, **filters: object) -> list[Path]:
        """Fetch files of one kind, verified, and return their paths.

        Parameters
        ----------
        kind
            ``ophys_experiment``, ``behavior_session``, …
        *ids
            Ids; all, or those the filters choose, where left out.
        **filters
            Columns of the kind's table: ``targeted_structure="VISp"``, ``imaging_depth__lt=200``.

        Raises
        ------
        IncompleteError
            If some could not be fetched.
        """
        given = tuple(Condition.parse(f"{n}={v}") for n, v in filters.items())
        where = Address("release", self.manifest.project.name, path=(kind,), conditions=given)
        with self._connect() as (cache, fetch):
            files: Sequence[ReleaseFile] = (
                [self.file(kind, i) for i in ids]
                if ids
                else files_of(cache, self.manifest, where, fetch, self.made_or_none)
            )
            fetch(cache, self.manifest, files)
        return [self._cache.path(self.manifest, file) for file in files]

    # --- tables ---------------------------------------------------------------------------------

    def csv(self, name: str) -> Path:
        """Return the file of a table as it was published, fetched if it is not here.

        Raises
        ------
        NotFoundError
            If the version has no such table.
        """
        tables = self.manifest.by_kind.get("table", {})
        if name not in tables:
            raise NotFoundError(
                f"this release has no table '{name}'",
                address=self.address,
                why=f"it has {', '.join(tables)}" if tables else "it has no tables",
            )
        return self._fetched(tables[name])

    def _fetched(self, file: ReleaseFile) -> Path:
        """Return the path of a file, which is fetched if it is not here."""
        path = self._cache.path(self.manifest, file)
        if not self._cache.flat:  # what is in such a folder is all there is
            with self._connect() as (cache, fetch):
                fetch(cache, self.manifest, [file])
        return path

    def table(self, name: str, **options: Any) -> pd.DataFrame:
        """Return a table as pandas: values, types, index, order and default filter as in AllenSDK.

        Columns AllenSDK orders differently from run to run keep the order of the file.

        Parameters
        ----------
        name
            One of `tables`.
        **options
            What the tables of some projects take. ``filter_abnormalities`` of ``ecephys_sessions``
            of Visual Behavior Neuropixels: whether sessions with abnormal histology or activity are
            left out; True by default, as in AllenSDK. The log says how many were left out, and so
            does ``attrs["notes"]``.

        Raises
        ------
        NotFoundError
            If the version has no such table.
        UsageError
            If the table takes no such option.
        MissingExtraError
            Without the extra ``tables``.
        """
        from openallen.sources.releases.tables import read_table, without_abnormal

        where = f"{self.address}/{name}"
        wanted = options.pop("filter_abnormalities", None)
        if options:
            raise UsageError(f"no such option '{next(iter(options))}' of tables", address=where)
        project = self.manifest.project
        frame = read_table(self.csv(name), project.name, project.tables.get(name, ""))
        return without_abnormal(frame, where, wanted)

    def opened(self, file: ReleaseFile) -> Any:
        """Return what a file holds where its name says another form than it has; None elsewhere.

        Parameters
        ----------
        file
            One of `files`.
        """
        del file

    def made_rows(self, name: str, conditions: Sequence[Condition]) -> MadeRows:
        """Return the rows of one of `made`.

        Parameters
        ----------
        name
            One of `made`.
        conditions
            Conditions; those that are options of the table are taken as such.
        """
        del conditions
        raise NotFoundError(f"this release makes no table '{name}'", address=self.address)

    def made_or_none(self, name: str, conditions: Sequence[Condition]) -> MadeRows | None:
        """Return the rows of a table that is made, as `made_rows`; None for one published."""
        return self.made_rows(name, conditions) if name in self.made else None

    def to_arrow(self, name: str, **options: Any) -> pa.Table:
        """Return a table as Arrow; parameters and errors as for `table`."""
        from openallen.sources.releases.tables import arrow_table

        return arrow_table(self.table(name, **options))

    def to_polars(self, name: str, **options: Any) -> pl.DataFrame:
        """Return a table as polars; parameters and errors as for `table`. Needs polars."""
        with requiring("tables as polars", "polars"):
            import polars as pl
        found = pl.from_arrow(self.to_arrow(name, **options))
        assert isinstance(found, pl.DataFrame)
        return found

    def rows(self, name: str, *conditions: Condition) -> Iterator[dict[str, Any]]:
        """Yield all rows of a table that match all conditions, as plain Python values."""
        if name in self.made:
            made = self.made_rows(name, conditions)
            rows, conditions = iter(made.rows()), made.conditions
        else:
            rows = read_rows(self.csv(name), self.manifest.project.name)
        first = next(rows, None)
        if first is None:
            return
        check_columns(list(first), conditions, f"{self.address}/{name}")
        if matches(first, conditions):
            yield first
        yield from (row for row in rows if matches(row, conditions))

    # --- sessions -------------------------------------------------------------------------------

    def sessions(self, kind: str = "", **filters: object) -> Sessions:
        """Return the sessions of one kind, for a function to be mapped over them.

        Parameters
        ----------
        kind
            ``ophys_experiment``, ``behavior_session`` or ``ecephys_session``; the first of these
            the release has where left out.
        **filters
            Columns of the kind's table: ``targeted_structure="VISp"``, ``imaging_depth__lt=200``.

        Raises
        ------
        NotFoundError
            If the release has no sessions of that kind.
        """
        from openallen.sessions.across import Sessions

        kinds = ("ophys_experiment", "ecephys_session", "behavior_session")
        chosen = kind or next((k for k in kinds if k in self.manifest.by_kind), kinds[0])
        given = tuple(Condition.parse(f"{n}={v}") for n, v in filters.items())
        where = Address("release", self.manifest.project.name, path=(chosen,), conditions=given)
        with self._connect() as (cache, fetch):
            files = files_of(cache, self.manifest, where, fetch, self.made_or_none)
        if self.opening is None:
            raise UsageError("this release was opened without its sessions", address=self.address)
        strange = next((f for f in files if not f.id.isdecimal()), None)
        if strange is not None:
            raise UsageError(
                f"'{chosen}' files are not sessions",
                address=self.address,
                why=f"their ids are not numbers: {strange.id}",
                hint="fetch them with Release.fetch, or open one with openallen.open(path)",
            )
        addresses = {int(f.id): f"{self.address}/{chosen}/{f.id}" for f in files}
        return Sessions(addresses, self.opening, f"{chosen}_id")

    def _open(self, *path: str) -> Any:
        """Open a part of this version by its address."""
        if self.opening is None:
            raise UsageError("this release was opened without its sessions", address=self.address)
        return self.opening(f"{self.address}{path_text(path)}")

    # --- versions -------------------------------------------------------------------------------

    def versions(self) -> tuple[Version, ...]:
        """Return the versions, newest first."""
        with self._connect() as (cache, _):
            return cache.versions()

    def compare(self, other: str) -> Comparison:
        """Return what changed from this version to another, and what fetching that takes here."""
        from openallen.sources.releases.plan import ReleaseJob

        with self._connect() as (cache, _):
            newer = cache.manifest(cache.resolve(other)[0])
            job = ReleaseJob.of(cache, newer, newer.files, address=newer.address, source="live")
            found = compare(
                replace(self.manifest, files=cache.sized(self.manifest.files)),
                replace(newer, files=job.files),
            )
        return replace(found, plan=with_status(job.plan))

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.releases.visuals import visuals_of_release

        return visuals_of_release(self)

    def _facts(self) -> Mapping[str, object]:
        kinds = self.manifest.by_kind
        counts = {k: count_text(len(v), "file") for k, v in kinds.items() if k != "table"}
        return {
            "address": self.address,
            "tables": ", ".join(self.tables) or None,
            **counts,
            "folder": self.folder,
            "made with": ", ".join(f"{p.name} {p.version}" for p in self.manifest.pipeline) or None,
            "cite": self.manifest.project.citation or None,
            "terms": TERMS,
        }

    def __repr__(self) -> str:
        title = f"{self.manifest.project.title}, version {self.version}"
        return "\n".join([facts_text(title, self._facts()), *(f"  {n}" for n in self.notes)])

    def _repr_html_(self) -> str:
        title = f"{self.manifest.project.title}, version {self.version}"
        return card(title, self._facts(), note=" ".join(self.notes))
