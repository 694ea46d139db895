"""List, show, plan, fetch, open: find the source an address is of, and hand over.

Every face (library, command line, web view, notebook) calls these and shows what they return. None
of them knows a source by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Address, AddressLike, Condition
from openallen.again import Again
from openallen.display import picture_path
from openallen.errors import AddressError, UsageError
from openallen.paths import existing
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.facts import NO_PICTURE, Facts
from openallen.sources.options import describe, read_options
from openallen.sources.registry import SCHEMES
from openallen.sources.tables import Rows, row_limit
from openallen.web_address import is_web

if TYPE_CHECKING:
    from distributed import Client

    from openallen.plans import Plan, Report
    from openallen.sources.base import Source, View
    from openallen.transfer import Cluster, Interruption, Observer
    from openallen.transfer.job import Job

__all__ = [
    "Prepared", "address_of", "fetch", "folder_of_one", "list", "listing", "open", "options_of",
    "picture", "plan", "preparing", "search", "show", "views",
]  # fmt: skip

Say = Callable[[str], object]


# --- list -----------------------------------------------------------------------------------------


def list(  # noqa: A001 - the verb of the house
    address: AddressLike,
    *conditions: str | Condition,
    limit: int | None = None,
    source: str | None = None,
    settings: Settings | None = None,
    **filters: Any,
) -> Rows:
    """Return rows of what there is.

    Parameters
    ----------
    address
        ``stack:`` for cells with images, ``grid:`` for section data sets, ``asset:`` for AIND
        assets, ``release:`` for projects and ``release:NAME`` for versions,
        ``rma:Model?field=value`` for rows of brain-map.org; any scheme that `openallen list` knows.
    *conditions
        Filters, as text (``"species=Mus musculus"``) or `Condition`.
    limit
        Rows at most; all where None.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    **filters
        ``field=value``, or with an operator: ``width_px__gt=6000``; and the options that listing
        this address takes (``refresh=True``).

    Raises
    ------
    UsageError
        If the address names nothing that can be listed, or a filter is on no column.

    Examples
    --------
    >>> import openallen as oa
    >>> oa.list("grid:", gene="Pdyn", source="sample").columns[:3]
    ('id', 'gene', 'plane')
    """
    with listing(
        address, *conditions, limit=limit, source=source, settings=settings, **filters
    ) as rows:
        _ = rows.loaded().notes  # asked for while the service can be
        return rows


def search(
    address: AddressLike, *conditions: str | Condition, source: str | None = None, **filters: Any
) -> Rows:
    """Return rows of what there is; the same as `list`.

    Parameters
    ----------
    address, *conditions, source, **filters
        As for `list`.
    """
    return list(address, *conditions, source=source, **filters)


@contextmanager
def listing(
    address: AddressLike,
    *conditions: str | Condition,
    limit: int | None = None,
    source: str | None = None,
    settings: Settings | None = None,
    say: Say = lambda _: None,
    **filters: Any,
) -> Iterator[Rows]:
    """Return rows as `list` does, read as they are wanted while the context lasts.

    Parameters
    ----------
    address, *conditions, limit, source, settings, **filters
        As for `list`.
    say
        Called with what a person may want to know meanwhile.
    """
    where = Address.parse(address)
    given = [c if isinstance(c, Condition) else Condition.parse(c) for c in conditions]
    limit = row_limit(limit)
    with Context(settings, source=source, say=say) as context:
        found = context.source(where)
        names = {d.name for d in describe(found.list_options)}
        told = {name: value for name, value in filters.items() if name in names}
        given += [Condition.of(n, v) for n, v in filters.items() if n not in names]
        options: Any = read_options(found.list_options, told, str(where))
        yield found.rows(where, given, options, limit)


# --- show -----------------------------------------------------------------------------------------


def show(
    what: AddressLike | Path,
    *,
    picture: Path | str | None = None,
    source: str | None = None,
    settings: Settings | None = None,
    say: Say = lambda _: None,
    **options: Any,
) -> Facts:
    """Return what is known of one thing, without fetching it.

    Parameters
    ----------
    what
        An address, a web address, a file or a folder.
    picture
        Draw a picture of it into this file (png, svg, pdf); what that needs is fetched.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    say
        Is told what a person may want to know meanwhile.
    **options
        What showing this kind of address takes: ``openallen show SCHEME: --help``.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    UsageError
        If it takes no such option, or there is no picture of it.
    """
    if picture is not None:
        picture_path(picture, str(what))
    with Context(settings, source=source, say=say) as context:
        facts = _facts(context, what, options, picture=picture is not None)
        if picture is None:
            return facts
        drawn = facts.save_picture(picture)
        return replace(facts, notes=(*facts.notes, f"picture: {drawn}"))


def picture(
    what: AddressLike | Path,
    path: Path | str,
    *,
    name: str = "",
    settings: Settings | None = None,
) -> Path:
    """Draw a picture of a thing into a file, and return its path.

    Parameters
    ----------
    what
        As for `show`.
    path
        The file: png, svg or pdf.
    name
        Which of the pictures `show` names; the first where empty.
    settings
        Settings to use; loaded from the environment and files if None.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    UsageError
        If there is no such picture of it.
    """
    picture_path(path, str(what))
    with Context(settings) as context:
        return _facts(context, what, {}, picture=True).save_picture(path, name)


def _facts(
    context: Context, what: AddressLike | Path, options: Mapping[str, Any], *, picture: bool
) -> Facts:
    where = address_of(what)
    if where is not None:
        found = context.source(where)
        if picture and not found.draws:
            raise UsageError("no picture available", address=str(where), why=NO_PICTURE)
        read, plain = found.options(found.show_options, where, options)
        return found.facts(plain, read)
    place = context.place(what if isinstance(what, Path) else str(what))
    known = context.recognise(place)
    if known is None:
        raise context.unknown(place)
    return known.place_facts(place, read_options(known.show_options, options, place.name))


def address_of(what: AddressLike | Path) -> Address | None:
    """Return the address a text means; None where it means a file, a folder, or any web address.

    Parameters
    ----------
    what
        An address, its text, a path, or a web address.

    Raises
    ------
    AddressError
        If it is none of these.
    """
    if isinstance(what, Address):
        return what
    if isinstance(what, Path):
        return None
    text = what if isinstance(what, str) else ""
    if text and not is_web(text) and existing(text) is not None:
        return None
    try:
        return Address.parse(what)
    except AddressError:
        scheme = text.partition(":")[0]
        is_drive = len(scheme) == 1 and scheme.isalpha()
        is_path = isinstance(what, str) and ":" not in text
        if is_web(text) or is_path or is_drive or ("/" in scheme or "\\" in scheme):
            return None
        raise


# --- plan and fetch -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """A thing about to be fetched: its job, the plan with what is here, and how to run it.

    Parameters
    ----------
    context
        Open as long as this is used.
    source, address, options
        Who answers, for what, how.
    job
        What would be done.
    """

    context: Context
    source: Source
    address: Address
    options: Any
    job: Job

    @functools.cached_property
    def plan(self) -> Plan:
        """What it would take, with what is here already; looked at once."""
        return self.context.plan(self.job)

    def run(
        self,
        observer: Observer | None = None,
        interruption: Interruption | None = None,
        cluster: Cluster | None = None,
    ) -> Report:
        """Fetch it; failures are in the report.

        Parameters
        ----------
        observer
            Receives progress.
        interruption
            Ends the run from another thread; what is here by then stays, and a later run goes on.
        cluster
            A cluster whose workers share the files.

        Raises
        ------
        SpaceError
            If the disk cannot hold what is missing.
        Interrupted
            On Ctrl-C, or when `interruption` is asked for.
        """
        return self.context.run(self.job, observer, self.plan, interruption, cluster)

    def written(self, report: Report) -> dict[str, Path]:
        """Return files that were written beside the fetched ones, by what they are.

        Parameters
        ----------
        report
            The report of `run`.
        """
        return self.source.written(report, self.options)


def folder_of_one(address: Address, to: Path | None, *, several: bool) -> Path | None:
    """Return the folder one of several things goes to: its own below `to`, where it needs one.

    Parameters
    ----------
    address
        The address.
    to
        The folder for all of them; None for the store.
    several
        Whether there are several.
    """
    own = SCHEMES[address.scheme].own_folder
    return to / address.name if to is not None and several and own else to


def options_of(address: Address, given: Mapping[str, Any], *, several: bool) -> dict[str, Any]:
    """Return the options an address takes; of several addresses, each takes its own.

    Parameters
    ----------
    address
        The address.
    given
        Options by name.
    several
        Whether there are several addresses.
    """
    if not several:
        return dict(given)
    names = {d.name for d in describe(SCHEMES[address.scheme].fetch_options)}
    return {name: value for name, value in given.items() if name in names}


@contextmanager
def preparing(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Iterator[Prepared]:
    """Prepare to fetch a thing: nothing but what the plan needs is asked for.

    Parameters
    ----------
    address, to, source, settings, **options
        As for `fetch`.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    UsageError
        If it takes no such option.
    """
    where = Address.parse(address)
    with Context(settings, source=source) as context:
        found = context.source(where)
        read, plain = found.options(found.fetch_options, where, options)
        folder = context.folder(where, to)
        yield Prepared(context, found, where, read, found.job(plain, folder, read))


def plan(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Plan:
    """Return what fetching would take; fetches nothing.

    Parameters
    ----------
    address
        What to fetch.
    to
        The folder it would go to; the store's own where None.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    **options
        As for `fetch`.
    """
    with preparing(address, to, source=source, settings=settings, **options) as work:
        return work.plan


def fetch(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    verify_later: bool | None = None,
    processes: int | None = None,
    scheduler: str | Path | Client | None = None,
    own_disks: bool = False,
    **options: Any,
) -> Any:
    """Fetch what an address names, verified; what is here and intact is left alone.

    Parameters
    ----------
    address
        ``stack:313862022``, ``image:321549654?downsample=3``, ``file:491120155``,
        ``release:visual-behavior-ophys/ophys_experiment/951980471``, ``grid:69855739``,
        ``atlas:ccf-2017/annotation/25``, ``asset:NAME/behavior/*.csv``.
    to
        The folder it goes to; a folder of the store where None.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    observer
        Receives progress.
    verify_later
        Compare only sizes now, and published digests at the next fetch or with
        ``openallen verify``.
    processes
        Number of processes that share the files; chosen by their size and the processors where
        None.
    scheduler
        A cluster of dask whose workers share the files: the address of its scheduler, the
        scheduler's ``.json`` file, ``local:N`` for N workers on this machine, a
        ``distributed.Client``, or a cluster object of dask.
    own_disks
        Have each worker of the cluster fetch to `to` on its own disk; else `to` is a folder that
        all of them share with the caller.
    **options
        What fetching this kind of address takes: for a stack ``downsample`` (halvings), ``planes``
        (a slice, or its text), ``quality`` (0 to 100), ``projections`` and ``morphology``
        (booleans); for a grid ``include`` (text or a list: ``["energy", "density"]``) and
        ``resolution`` in µm; for a release ``mirror``, to lay the folder out as the bucket is.

    Returns
    -------
    ImageStack, ExpressionGrid, ConnectivityGrid, Atlas or Path
        What was fetched, opened; the path of a single image or file; the folder of a release's
        version, or of an asset. With `own_disks` the `Report`, which says where each file is.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    UnreachableError
        If the scheduler does not answer, or it has no worker.
    UsageError
        If a worker has another version of openallen, or none.
    StoreError
        If a worker does not see the folder.
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
    from openallen.transfer import Cluster

    told = {"source": source, "verify_later": verify_later, "processes": processes}
    chosen = settings or Settings.load(**told)
    cluster = Cluster.chosen(scheduler, own_disks=own_disks, to=to)
    with preparing(address, to, settings=chosen, **options) as work:
        report = work.run(observer, cluster=cluster)
        report.raise_if_failed()
        return report if own_disks else work.job.result()


# --- open and view --------------------------------------------------------------------------------


def open(  # noqa: A001 - the verb of the house
    what: AddressLike | Path,
    *,
    source: str | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Any:
    """Open a thing by address, web address, file or folder, as what it is.

    Parameters
    ----------
    what
        ``release:visual-behavior-ophys``,
        ``release:visual-behavior-ophys/ophys_experiment/951980471``, ``stack:313862022``, an NWB
        file or its web address, a folder that was fetched, an OME-Zarr store; an asset of AIND or
        part of it (``asset:NAME/SPIM.ome.zarr/tile_000000_ch_561.zarr``), a recording.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    **options
        For sessions: ``remote`` (False fetches first, True reads remotely) and those of
        `openallen.sessions.BehaviorSession`. For parts of assets: ``remote``, and for tables
        ``columns`` and ``nrows``.

    Returns
    -------
    Release, BehaviorSession, BehaviorOphysExperiment, BehaviorEcephysSession, ImageStack, OmeZarr,
    ExpressionGrid, ConnectivityGrid, Atlas, Structures, Asset, Morphology, NwbTables, Recording,
    DataArray, DataFrame, dict
        By what the address names, or the file or folder holds. A part of an atlas
        (``atlas:ccf-2017/annotation/25``) is a labelled volume.

    Raises
    ------
    NotFoundError
        If it is not here, with the command that fetches it.
    UsageError
        If it is of no kind that opens, with what it holds.
    """
    where = address_of(what)
    with Context(settings, source=source) as context:
        if where is not None:
            opened, named = context.source(where).open(where, **options), str(where)
        else:
            place = context.place(what if isinstance(what, Path) else str(what))
            opened, named = context.open_place(place, **options), place.url
            named = named if place.path is None else str(place.path.absolute())
        if isinstance(opened, Again):
            opened.opened_by(_open_again, named, context.settings.to_dict(), options)
        return opened


def _open_again(named: str, settings: dict[str, Any], options: dict[str, Any]) -> Any:
    """Open a thing by its address alone, in another process too."""
    return open(named, settings=Settings(**settings), **options)


def views(
    what: AddressLike, *, source: str | None = None, settings: Settings | None = None
) -> tuple[View, ...]:
    """Return pages of viewers that show an item.

    Parameters
    ----------
    what
        The address.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.

    Raises
    ------
    UsageError
        If things of this kind have none.
    NotFoundError
        If nothing to view.
    """
    where = Address.parse(what)
    with Context(settings, source=source) as context:
        return tuple(context.source(where).views(where))
