"""The verbs: search, plan, fetch, open. Each takes an address; all faces call these.

This is where an address meets the room that knows it, and a source (``live``, ``sample``, a URL)
the service it stands for.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import SCHEMES, Address, AddressLike, Condition
from openallen.errors import NotFoundError, RefusedError, UsageError
from openallen.settings import Settings
from openallen.version import __version__

if TYPE_CHECKING:
    from openallen.brainmap import Client, Search
    from openallen.plans import Plan, Report
    from openallen.releases import Manifest, Release, ReleaseFile, Shelf
    from openallen.stacks import StackFacts
    from openallen.transfer import Observer
    from openallen.transfer.job import Job

__all__ = [
    "Fetched",
    "connected",
    "facts",
    "fetch",
    "job",
    "open",
    "open_release",
    "plan",
    "query",
    "run",
    "search",
    "shelf",
]


# --- where from -----------------------------------------------------------------------------------


@contextmanager
def connected(settings: Settings | None = None, *, source: str | None = None) -> Iterator[Client]:
    """Open a client for the source the settings name, while the context lasts.

    Parameters
    ----------
    settings
        What to go by; read afresh where None.
    source
        Goes before the settings: ``live``, ``sample``, or the URL of an archive.

    Raises
    ------
    UsageError
        If the source is none of these.
    """
    from openallen.brainmap.client import connect
    from openallen.transport import Http, Retry

    settings = settings or Settings.load(source=source)
    chosen = source or settings.source
    with Http(
        connect_timeout_s=settings.connect_timeout_s,
        silence_timeout_s=settings.silence_timeout_s,
        offline=settings.offline,
        user_agent=f"openallen/{__version__}",
    ) as http:
        yield connect(
            http,
            _base_url(chosen),
            chosen.rstrip("/"),
            retry=Retry(attempts=settings.attempts),
            connections=settings.connections or 8,
        )


def _base_url(source: str) -> str:
    from openallen.brainmap.client import LIVE_URL

    if source == "live":
        return LIVE_URL
    if source == "sample":
        return _sample_url()
    if source.startswith(("http://", "https://")):
        return source.rstrip("/")
    raise UsageError(f"unknown source '{source}'", hint="live, sample, or the URL of an archive")


_sample = ExitStack()
_sample_started: list[str] = []
_sample_lock = threading.Lock()


def _sample_url() -> str:
    """Serve the sample archive from this process, once, until it ends; gives its URL."""
    with _sample_lock:
        if not _sample_started:
            from openallen.archive.app import archive_app
            from openallen.archive.server import serving

            _sample_started.append(_sample.enter_context(serving(archive_app("sample"))))
            atexit.register(_sample.close)
        return _sample_started[0]


# --- search ---------------------------------------------------------------------------------------


def query(model_or_rma: str, *, source: str | None = None) -> Search:
    """Begin a query of brain-map.org.

    Parameters
    ----------
    model_or_rma
        A model's name (``"ProjectionImage"``), RMA text, or a request URL.
    source
        ``live`` (the default), ``sample``, or the URL of an archive.

    Returns
    -------
    Search
        Immutable; nothing is asked before rows are wanted.

    Raises
    ------
    QueryError
        If the text is no RMA.

    Examples
    --------
    >>> import openallen as oa
    >>> images = oa.query("ProjectionImage", source="sample").where(specimen_id=313862022)
    >>> images.count()
    4
    """
    from openallen.brainmap import Search

    chosen = Settings.load(source=source).source
    return Search.of(model_or_rma, connect=lambda: connected(source=chosen), source=chosen)


def search(
    address: AddressLike, *conditions: str | Condition, source: str | None = None, **filters: object
) -> list[dict[str, Any]]:
    """Find what there is: rows for an address that names a set.

    Parameters
    ----------
    address
        ``stack:`` for cells with images, ``rma:Model?field=value`` for rows of brain-map.org.
    *conditions
        More filters, as text (``"species=Mus musculus"``) or `Condition`.
    source
        ``live`` (the default), ``sample``, or the URL of an archive.
    **filters
        ``field=value``, or with an operator: ``width_px__gt=6000``.

    Raises
    ------
    UsageError
        If the address names no set that can be searched.
    """
    from openallen.brainmap.builder import filter_of

    given = [Condition.parse(c) if isinstance(c, str) else c for c in conditions]
    where = Address.parse(address)
    with connected(source=source) as client:
        asked, row = set_query(where, given)
        wanted = [filter_of(_told(where, name), value) for name, value in filters.items()]
        return [row(r) for r in client.rows(_narrowed(asked, wanted))]


def _told(address: Address, name: str) -> str:
    from openallen.stacks.search import COLUMNS

    field, _, op = name.partition("__")
    if address.scheme == "stack" and field in COLUMNS:
        return COLUMNS[field] + (f"__{op}" if op else "")
    return name


def _narrowed(asked: Any, filters: list[Any]) -> Any:
    last = asked.stages[-1]
    narrowed = replace(last, filters=(*last.filters, *filters))
    return replace(asked, stages=(*asked.stages[:-1], narrowed))


def set_query(address: Address, conditions: list[Condition]) -> tuple[Any, Any]:
    """Give the query for a set, and what turns an answered row into a shown one.

    Raises
    ------
    UsageError
        If the address names no set that can be searched.
    """
    from openallen.brainmap import Search
    from openallen.stacks.search import cell_row, search_cells

    wanted = [*address.conditions, *conditions]
    if address.scheme == "stack" and not address.name:
        return search_cells(wanted), cell_row
    if address.scheme == "rma" and address.name:
        return Search.of(address.name).where(*wanted).query, dict
    raise UsageError(
        "this names no set of rows", address=str(address), hint="stack: or rma:ProjectionImage"
    )


def facts(address: AddressLike, *, source: str | None = None) -> StackFacts:
    """Ask for all that is known of one stack, without fetching any of it.

    Raises
    ------
    NotFoundError
        If there is no such cell, or it has no stack.
    """
    from openallen.stacks.search import describe

    where = Address.parse(address)
    if where.scheme != "stack":
        raise UsageError("facts are known of stacks", address=str(where), hint="stack:313862022")
    with connected(source=source) as client:
        return describe(client, where.id)


# --- plan and fetch -------------------------------------------------------------------------------


def job(client: Client, address: Address, to: Path, **options: Any) -> Job:
    """Give the job that fetches what an address names into a folder.

    Raises
    ------
    UsageError
        If it cannot be fetched, or an option does not go with it.
    """
    if address.scheme == "stack":
        from openallen.stacks import Options, StackJob, describe, parse_planes

        planes = options.pop("planes", None)
        if isinstance(planes, (str, int)):
            planes = parse_planes(str(planes))
        _known_options(options, Options)
        chosen = Options(planes=planes or slice(None), **options)
        return StackJob.of(client, describe(client, address.id), chosen, to)
    mirror = bool(options.pop("mirror", False)) and address.scheme == "release"
    if options:
        raise UsageError(
            f"'{next(iter(options))}' goes with stacks only",
            address=str(address),
            hint="options of an image belong in its address: image:321549654?downsample=3",
        )
    if address.scheme == "release":
        return _release_job(client, address, to, mirror=mirror)
    if address.scheme in {"image", "file"}:
        from openallen.brainmap.plan import plan_file, plan_image

        return (plan_image if address.scheme == "image" else plan_file)(client, address, to)
    raise UsageError(
        f"'{address.scheme}:' cannot be fetched yet" if address.scheme in SCHEMES else "no address",
        address=str(address),
        hint="stack:313862022, image:321549654, file:491120155, release:visual-behavior-ophys",
    )


def _known_options(given: dict[str, Any], kind: type[Any]) -> None:
    names = [f.name for f in fields(kind)]
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = near[0] if near else ", ".join(names)
            raise UsageError(f"there is no option '{name}'", hint=hint)


def shelf(client: Client, name: str, settings: Settings, to: Path | str | None = None) -> Shelf:
    """Give a project's folder and bucket.

    Raises
    ------
    NotFoundError
        If there is no such project.
    """
    from openallen.releases.projects import find_project
    from openallen.releases.shelf import Shelf
    from openallen.transport.s3 import Bucket

    project = find_project(name, settings.projects)
    elsewhere = "" if settings.source == "live" else f"{client.base_url}/s3"
    bucket = Bucket(
        http=client.http,
        name=project.bucket,
        endpoint=settings.s3_endpoint or elsewhere,
        region=project.region,
        retry=client.retry,
    )
    folder = destination(Address("release", name), to, settings)
    mirror = project.form == "cloud-cache" and (folder / project.manifests_prefix).is_dir()
    return Shelf(project, bucket, folder, mirror)


def release_fetcher(
    client: Client, settings: Settings, observer: Observer | None = None
) -> Callable[..., None]:
    """Give what fetches files of a release into their places, or raises."""
    from openallen.releases.plan import ReleaseJob

    def fetch_files(where: Shelf, manifest: Manifest, files: Sequence[ReleaseFile]) -> None:
        work = ReleaseJob.of(where, manifest, files, address=manifest.address, source=client.source)
        run(client, work, settings, observer).report.raise_if_failed()

    return fetch_files


def _release_job(client: Client, address: Address, to: Path, *, mirror: bool = False) -> Job:
    from openallen.releases.plan import ReleaseJob
    from openallen.releases.search import files_of

    settings = Settings.load(source=client.source)
    where = shelf(client, address.name, settings, to)
    where = replace(where, mirror=mirror or where.mirror)
    version, notes = where.resolve(address.version)
    manifest = where.manifest(version)
    files = files_of(where, manifest, address, release_fetcher(client, settings))
    return ReleaseJob.of(
        where, manifest, files, address=str(address), source=client.source, notes=notes
    )


def destination(address: Address, to: Path | str | None, settings: Settings) -> Path:
    """Give the folder things go to: the one named, else the one in the store."""
    from openallen.store import Store

    return folder_for(Store(settings.store).folder(address) if to is None else to)


def folder_for(to: Path | str) -> Path:
    """Give a folder that things may go to, there or not yet.

    Raises
    ------
    RefusedError
        If it, or what it would lie in, is a file.
    """
    folder = Path(to).expanduser().absolute()
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        if place.exists():
            raise RefusedError(
                "this is a file, not a folder",
                address=str(place),
                hint="choose a folder with --to DIR",
            )
    return folder


def plan(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    **options: Any,
) -> Plan:
    """Say what fetching would take; fetches nothing.

    Parameters
    ----------
    address
        What to fetch.
    to
        The folder it would go to; the store's own where None.
    source
        ``live`` (the default), ``sample``, or the URL of an archive.
    **options
        As for `fetch`.
    """
    from openallen.transfer import survey

    settings = Settings.load(source=source)
    where = Address.parse(address)
    with connected(settings) as client:
        return survey(job(client, where, destination(where, to, settings), **options).plan)


@dataclass(frozen=True)
class Fetched:
    """What a run gave: the report, and the job to open it with."""

    job: Job
    report: Report


def run(client: Client, work: Job, settings: Settings, observer: Observer | None = None) -> Fetched:
    """Run a job: check the space, fetch, verify.

    Raises
    ------
    SpaceError
        If the disk cannot hold what is missing.
    """
    from openallen.store import Store
    from openallen.transfer import check_space, survey
    from openallen.transfer.job import Means
    from openallen.transport import Retry

    check_space(survey(work.plan))
    with Store(settings.store).index() as index:
        means = Means(
            http=client.http,
            index=index,
            retry=Retry(attempts=settings.attempts),
            observer=observer,
            connections=settings.connections,
        )
        return Fetched(work, work.run(means))


def fetch(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Any:
    """Fetch what an address names, verified; what is here and intact is left alone.

    Parameters
    ----------
    address
        ``stack:313862022``, ``image:321549654?downsample=3``, ``file:491120155``,
        ``release:visual-behavior-ophys/ophys_experiment/951980471``.
    to
        The folder it goes to; a folder of the store where None.
    source
        ``live`` (the default), ``sample``, or the URL of an archive.
    observer
        Is told of progress.
    **options
        For a stack: ``downsample`` (halvings), ``planes`` (a slice, or its text), ``quality`` (0
        to 100), ``projections`` and ``morphology`` (booleans). For a release: ``mirror``, to lay
        the folder out as the bucket is.

    Returns
    -------
    ImageStack or Path
        The stack, opened; the path of a single image or file; the folder of a release's version.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    RefusedError
        If the folder holds something else, or the disk is too small.
    IncompleteError
        If some files failed; the others are there, and the same call goes on.

    Examples
    --------
    >>> import openallen as oa
    >>> stack = oa.fetch("stack:313862022", to="cell", source="sample", downsample=5, planes=":4")
    >>> stack.planes
    4 planes, sections 2 to 5, z 0 to 0.84 µm
    """
    settings = Settings.load(source=source)
    where = Address.parse(address)
    with connected(settings) as client:
        work = job(client, where, destination(where, to, settings), **options)
        fetched = run(client, work, settings, observer)
    fetched.report.raise_if_failed()
    return work.result()


# --- open -----------------------------------------------------------------------------------------


def open_release(
    address: AddressLike, to: Path | str | None = None, *, source: str | None = None
) -> Release:
    """Open a version of a release: its files, addresses and tables.

    The manifest is asked for if it is not here; tables and files when they are wanted.

    Parameters
    ----------
    address
        ``release:visual-behavior-ophys``, with ``@1.0.1`` for one version. Without, the version
        last used is, and on an empty store the newest.
    to
        The folder of the project; the store's own where None. May be a cache AllenSDK made.
    source
        ``live`` (the default), or the URL of an archive.

    Raises
    ------
    NotFoundError
        If there is no such project or version.
    """
    from openallen.releases.read import Release

    where = Address.parse(address)
    if where.scheme != "release" or not where.name:
        raise UsageError("this is no release", address=str(where), hint=SCHEMES["release"].example)
    settings = Settings.load(source=source)

    @contextmanager
    def connect() -> Iterator[tuple[Shelf, Callable[..., None]]]:
        with connected(settings) as client:
            yield shelf(client, where.name, settings, to), release_fetcher(client, settings)

    with connect() as (place, _):
        version, notes = place.resolve(where.version)
        manifest = place.manifest(version)
        place.use(version)
    return Release(place, manifest, connect, notes)


def _open_place(place: Path) -> Any:
    from openallen.formats.omezarr import OmeZarr
    from openallen.stacks import ImageStack
    from openallen.stacks.manifest import MANIFEST_NAME

    if not place.exists():
        raise NotFoundError(
            "there is no such folder", address=str(place), hint="openallen list stack:"
        )
    if (place / "zarr.json").exists():
        return OmeZarr(place)
    return ImageStack(place.parent if place.name == MANIFEST_NAME else place)


def open(what: AddressLike | Path) -> Any:  # noqa: A001 - the verb of the house
    """Open a release, or what was fetched: a stack by its address or folder, an OME-Zarr store.

    Returns
    -------
    ImageStack, OmeZarr or Release
        By what the address names, or the folder holds.

    Raises
    ------
    NotFoundError
        If it is not here, with the command that fetches it.
    """
    from openallen.stacks import ImageStack

    if isinstance(what, str) and what.startswith("release:"):
        return open_release(what)
    place = Path(str(what)).expanduser() if not isinstance(what, Address) else None
    if place is not None and (place.exists() or isinstance(what, Path) or ":" not in str(what)):
        return _open_place(place)
    where = Address.parse(str(what))
    if where.scheme != "stack":
        raise UsageError("only stacks and releases can be opened so far", address=str(where))
    folder = destination(where, None, Settings.load())
    try:
        return ImageStack(folder)
    except NotFoundError as error:
        raise NotFoundError(
            "this stack is not in the store",
            address=str(where),
            why=f"there is no {folder}",
            hint=f"openallen fetch {where}",
        ) from error
