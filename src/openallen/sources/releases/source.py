"""The door of versioned releases: ``release:visual-behavior-ophys@1.0.0``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, AddressLike, Condition
from openallen.errors import NotFoundError, UsageError
from openallen.sources.base import SURE, Example, Facts, Place, Row, Rows, Source
from openallen.sources.options import read_options
from openallen.sources.releases.buckets import held_by, held_in_settings
from openallen.sources.releases.options import FetchOptions

if TYPE_CHECKING:
    from openallen.sources.context import Context
    from openallen.sources.releases.comparison import Comparison
    from openallen.sources.releases.read import Release
    from openallen.store.checked import Checked
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["ReleaseSource"]

_FILE = "behavior_ophys_experiments/behavior_ophys_experiment_951980471.nwb"
_HOST = "visual-behavior-ophys-data.s3.us-west-2.amazonaws.com"


class ReleaseSource(Source):
    """Versioned releases: projects, their versions, tables, sessions and files."""

    scheme: ClassVar[str] = "release"
    title: ClassVar[str] = "versioned releases, their tables and sessions"
    versions: ClassVar[bool] = True
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "releases"
    draws: ClassVar[bool] = True
    fetch_options: ClassVar[type] = FetchOptions
    columns: ClassVar[tuple[str, ...]] = ("address", "title", "bucket", "here")
    in_buckets: ClassVar[bool] = True
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "release:visual-behavior-ophys@1.0.0",
            "one version, whole",
        ),
        Example(
            "release:visual-behavior-ophys",
            "the version used last, else the newest",
            web=("s3://visual-behavior-ophys-data/visual-behavior-ophys/", f"https://{_HOST}/"),
        ),
        Example("release:visual-behavior-ophys/ophys_experiment/951980471", "one session"),
        Example("release:visual-behavior-ophys/ophys_experiment_table", "one table"),
        Example(
            "release:visual-behavior-ophys/ophys_experiment?targeted_structure=VISp",
            "sessions whose rows match",
        ),
        Example(
            f"release:visual-behavior-ophys/files/{_FILE}",
            "one file by its key",
            web=(
                f"s3://visual-behavior-ophys-data/visual-behavior-ophys/{_FILE}",
                f"https://{_HOST}/visual-behavior-ophys/{_FILE}",
                "https://s3.us-west-2.amazonaws.com/visual-behavior-ophys-data/"
                f"visual-behavior-ophys/{_FILE}",
            ),
        ),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._checked: dict[Path, Checked] = {}

    # --- addresses --------------------------------------------------------------------------------

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read the address of an object or a prefix in the bucket of a project."""
        if not web.bucket:
            return None
        found = held_by(web.bucket, web.key) or held_by(web.bucket, web.key, _added())
        if found is None:
            return None
        project, path = found
        parts = tuple(part for part in path.split("/") if part)
        if not parts or (parts == ("manifests",) and path.endswith("/")):
            return Address(cls.scheme, project)
        # Buckets without versions call the only one of an object "null".
        pinned = web.version_id if web.version_id != "null" else ""
        given = (Condition("version_id", "eq", pinned),) if pinned else ()
        return Address(cls.scheme, project, path=("files", *parts), conditions=given)

    def check_service(self, address: Address) -> None:
        """Check that the service has such a project at all; makes no request.

        Raises
        ------
        NotFoundError
            If it is the embedded sample, which has some projects only.
        """
        super().check_service(address)
        if not self.context.in_sample or not address.name:
            return
        from openallen.sources.releases.access import project_names, sampled

        held = sampled(self.context)
        if address.name in held or address.name not in project_names(self.context):
            return  # of a name that nobody knows the door says so itself
        raise NotFoundError(
            f"the embedded sample has nothing of {address.name}",
            address=str(address),
            why=f"it has {', '.join(held)}; the live service has them all",
            hint="openallen list release: --source live",
        )

    @classmethod
    def parse(cls, address: AddressLike) -> Address:
        """Read the address of a project, or of a part of it.

        Raises
        ------
        UsageError
            If it is of something else.
        """
        where = Address.parse(address)
        if where.scheme != cls.scheme or not where.name:
            raise UsageError("no release named", address=str(where), hint=cls.show_command())
        return where

    def options(
        self, kind: type, address: Address, given: Mapping[str, Any]
    ) -> tuple[Any, Address]:
        """Read options from keywords alone: conditions of an address are filters."""
        return read_options(kind, given, str(address)), address

    def _meant(self, address: Address) -> Address:
        """Return an address by kind and id, or by the path of a file, of one that is neither."""
        from openallen.sources.releases.projects import meant

        return meant(address, self.context.settings.projects)

    def _one(self, address: Address, done: str) -> None:
        """Check that an address names a project."""
        if not address.name:
            raise UsageError(
                f"cannot be {done} as a whole",
                address=str(address),
                hint=f"openallen list {self.scheme}:",
            )

    # --- list -------------------------------------------------------------------------------------

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return the projects; of one its versions and the files of one of them."""
        whole = Address(address.scheme, address.name)
        if address.path or not address.name:
            return () if address.path else (whole,)
        return (whole, Address(address.scheme, address.name, address.version, ("files",)))

    def rows(
        self, address: Address, conditions: Sequence[Condition], options: Any, limit: int | None
    ) -> Rows:
        """Return projects, versions of one, files of a version, or rows of a table."""
        from openallen.sources.releases import lists

        del options
        address = self._meant(address)
        asked = lists.Asked(
            address, (*address.conditions, *conditions), limit, self.context.source_flag
        )
        if not address.name:
            return lists.list_projects(self.context, asked)
        if address.path == ("files",):
            return lists.list_files(self.context, asked)
        if address.path:
            return lists.list_table(self.context, asked)
        if lists.by_data_set(self.context, address.name):
            return lists.list_data_sets(self.context, asked)
        if address.version:
            raise UsageError(
                "a version has nothing to list but its files and tables",
                address=str(address),
                hint=f"openallen list {address}/files",
            )
        return lists.list_versions(self.context, asked)

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what is known of a version, a table, a kind of files, a session or a file."""
        from openallen.sources.releases import shown

        del options
        self._one(address, "shown")
        if not address.path:
            self._no_conditions(address)
        address = self._meant(address)
        return shown.facts_of(self.context, address)

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: FetchOptions) -> Job:
        """Return the job that fetches a version, or a part of it."""
        from openallen.sources.releases.jobs import release_job

        self._one(address, "fetched")
        return release_job(self.context, self._meant(address), to, mirror=options.mirror)

    def open(
        self,
        address: Address,
        *,
        to: Path | str | None = None,
        remote: bool | None = None,
        **options: Any,
    ) -> Any:
        """Open a version, a table, a session or a file.

        Parameters
        ----------
        address
            The address.
        to
            The folder of the project; the store's own where None.
        remote
            False fetches a file first, True reads it remotely even if it is here; None takes the
            file that is here, else reads the remote one.
        **options
            Of a session: as for `openallen.sessions.BehaviorSession`. Of a file: what its kind
            takes.
        """
        self._one(address, "opened")
        if address.path:
            from openallen.sources.releases.opening import open_part

            return open_part(self.context, self._meant(address), to, remote, options)
        from openallen.sources.releases.access import release_of

        given = options if remote is None else {"remote": remote, **options}
        self.no_options(given, address)
        self._no_conditions(address)
        return release_of(self.context, address, to, use=True)[1]

    def compare(self, address: Address, newer: str) -> Comparison:
        """Return what changed between two versions; the version in use stays what it is.

        Parameters
        ----------
        address
            The release, with its older version.
        newer
            The other version.

        Raises
        ------
        NotFoundError
            If there is no such version.
        UsageError
            If the address names a part of a release.
        """
        from openallen.sources.releases.access import release_of

        if address.path:
            raise UsageError(
                "versions of whole releases are compared",
                address=str(address),
                hint=f"openallen diff release:{address.name}@{address.version} {newer}",
            )
        self._no_conditions(address)
        return release_of(self.context, address)[1].compare(newer)

    @staticmethod
    def _no_conditions(address: Address) -> None:
        if address.conditions:
            raise UsageError(
                f"'{address.conditions[0]}' is not allowed here",
                address=str(address),
                why="conditions choose rows of a table, or files of one kind",
                hint=f"openallen list release:{address.name}/files",
            )

    # --- folders ----------------------------------------------------------------------------------

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise a cache of AllenSDK, a mirror, or our own folder by the names of manifests."""
        if place.path is None or not place.is_folder:
            return 0
        from openallen.sources.releases.folders import is_release

        return SURE if is_release(place.path.absolute()) else 0

    def open_place(self, place: Place, **options: Any) -> Release:
        """Open the release in a folder; nothing is asked of a service."""
        from openallen.sources.releases.access import release_in

        self.no_options(options, place.name)
        assert place.path is not None
        return release_in(self.context, place.path.absolute())[1]

    def place_facts(self, place: Place, options: Any) -> Facts:
        """Return what is known of the release in a folder; nothing is asked of a service."""
        from openallen.sources.releases import shown

        del options
        assert place.path is not None
        return shown.folder_facts(self.context, place.path.absolute())

    # --- what is here -----------------------------------------------------------------------------

    def held(self) -> Iterator[Row]:
        """Return a row for each version in the store, with its files and bytes."""
        from openallen.sources.releases.maintenance import held_rows

        yield from held_rows(self.context)

    def verify(self, folder: Path) -> Iterator[Checked]:
        """Compare every file of a folder with the manifests in it, on all cores.

        Raises
        ------
        NotFoundError
            If it has none.
        """
        from openallen.sources.releases.maintenance import verify_folder

        return verify_folder(self.context, folder.absolute(), self._checked)

    def repair_job(self, folder: Path) -> Job | None:
        """Return the job that fetches again what is damaged in a folder; None without manifests."""
        from openallen.sources.releases.folders import is_release
        from openallen.sources.releases.jobs import repair_job

        place = folder.absolute()
        return repair_job(self.context, place) if is_release(place) else None

    def prune(self, address: Address, *, dry_run: bool) -> Row:
        """Remove a version from the store; bytes that other versions share stay.

        Raises
        ------
        UsageError
            If the address names no version, or a part of one.
        NotFoundError
            If the version is not here.
        """
        from openallen.sources.releases import retention
        from openallen.sources.releases.access import cache_of
        from openallen.sources.releases.models import Version

        if not (address.name and address.version) or address.path or address.conditions:
            raise UsageError(
                "no version given" if not address.path else "versions are removed whole",
                address=str(address),
                hint="openallen store ls",
            )
        cache, version = cache_of(self.context, address.name), Version(address.version)
        (done,) = retention.prune(cache, [version], dry_run=dry_run)
        return done.to_dict()

    def adopt(
        self, folder: Path, *, in_place: bool, step: Callable[[object], None]
    ) -> Facts | None:
        """Adopt a cache of AllenSDK; return None if the folder is of another kind."""
        from openallen.sources.releases.folders import projects_in
        from openallen.sources.releases.maintenance import adopt

        if not projects_in(folder):
            return None
        return adopt(self.context, folder, in_place, step).facts()


def _added() -> tuple[Any, ...]:
    """Return where projects of the settings are; none where the settings cannot be read."""
    from openallen.errors import OpenAllenError
    from openallen.settings import Settings

    try:
        return held_in_settings(Settings.load().projects)
    except OpenAllenError:
        return ()  # whoever needs them next says what is wrong with them
