"""``oa.mirror`` and what the command line calls: where to, what, and the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Address, AddressLike
from openallen.errors import AddressError, NotFoundError, UsageError
from openallen.mirroring import ledger as ledgers
from openallen.mirroring.folders import alone, check_folder
from openallen.mirroring.homes import FolderHome, Home
from openallen.mirroring.ledger import Ledger
from openallen.mirroring.run import Mirror, Wanted, running
from openallen.plans import Report
from openallen.settings import Settings
from openallen.sources.context import folder_for
from openallen.sources.options import check_known, describe
from openallen.sources.registry import SCHEMES, source_classes

if TYPE_CHECKING:
    from openallen.mirroring.copying import Copy
    from openallen.transfer import Observer

__all__ = ["mirror", "mirroring"]


@contextmanager
def mirroring(
    addresses: tuple[AddressLike, ...],
    to: Path | str,
    *,
    settings: Settings,
    files: bool = False,
    limit: int | None = None,
    refresh: bool = False,
    dry_run: bool = False,
    endpoint_url: str = "",
    say: Callable[[str], object] = lambda _: None,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Mirror | Copy]:
    """Prepare a mirror: sources are asked, and nothing is fetched before `run` is called.

    Parameters
    ----------
    addresses
        What to mirror; what was mirrored there before where there is none. Alone, ``s3://…`` of a
        mirror, or the folder of one: it is copied.
    to
        A folder, or ``s3://BUCKET/PREFIX``.
    settings
        Settings, with the service.
    files
        Whether files of each row of a list are wanted.
    limit
        Rows of lists at most.
    refresh
        Whether files are fetched again of which nothing says whether they have changed.
    dry_run
        Whether only the plan is wanted.
    endpoint_url
        The S3-compatible server; that of the environment, or AWS, where empty.
    say
        Is told what a person may want to know meanwhile.
    options
        Options of fetch.

    Raises
    ------
    RefusedError
        If the place holds something else, or another process is at it.
    NotFoundError
        If there is no such thing, or nothing was mirrored there before.
    StoreError
        If it cannot be written.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    copied = _copied(addresses)
    if copied:
        if given or files or limit is not None:
            raise UsageError(
                "a mirror is copied whole",
                address=copied,
                why="options, files and a limit are for addresses",
            )
        from openallen.mirroring.copying import copying

        with copying(copied, to, settings, endpoint_url=endpoint_url, dry_run=dry_run) as copy:
            yield copy
        return
    _check_options(addresses, given, files=files)
    wanted = tuple(_read(a, given, files, settings.source, limit) for a in addresses)
    with _home(to, settings, endpoint_url=endpoint_url, dry_run=dry_run) as home:
        if not wanted:
            wanted, settings = _known(home, settings)
        asked = Wanted(wanted, refresh)
        with running(home, settings, asked, dry_run=dry_run, say=say) as run:
            yield run


@contextmanager
def _home(
    to: Path | str, settings: Settings, *, endpoint_url: str, dry_run: bool
) -> Iterator[Home]:
    if isinstance(to, str) and to.lower().startswith("s3://"):
        from openallen.mirroring.s3home import s3_home

        with s3_home(to, endpoint_url=endpoint_url) as there:
            yield there
        return
    root = folder_for(to)
    check_folder(root, settings)
    if dry_run:
        yield FolderHome(root)
        return
    with alone(root):
        yield FolderHome(root)


def _copied(addresses: tuple[AddressLike, ...]) -> str:
    """Return the mirror that is to be copied; empty where addresses are wanted."""
    if len(addresses) != 1 or not isinstance(addresses[0], (str, Path)):
        return ""
    text = str(addresses[0])
    if text.lower().startswith("s3://"):
        try:
            Address.parse(text)
        except AddressError:
            return text
        return ""
    folder = Path(text)
    return text if ":" not in text and ledgers.is_mirror(folder) else ""


def _check_options(
    addresses: tuple[AddressLike, ...], options: Mapping[str, Any], *, files: bool
) -> None:
    """Refuse options that nothing wanted takes: a size that is mistyped would be all of it."""
    if options and not addresses:
        raise UsageError(
            f"{', '.join(options)} without an address",
            why="what was mirrored before is asked for again with the options it had",
        )
    wanted = [Address.parse(address) for address in addresses]
    # Rows of lists may be of other kinds than the list.
    sources = source_classes() if files else [SCHEMES[where.scheme] for where in wanted]
    told = str(wanted[0]) if len(wanted) == 1 else ""
    check_known((source.fetch_options for source in sources), options, told)


def _read(
    address: AddressLike,
    options: Mapping[str, Any],
    files: bool,
    source: str,
    limit: int | None,
) -> ledgers.Address:
    """Return an address with those of the options that it takes."""
    where = Address.parse(address)
    names = {d.name for d in describe(SCHEMES[where.scheme].fetch_options)}
    own = {name: value for name, value in options.items() if name in names or files}
    return ledgers.Address(str(where), own, files, source, limit)


def _known(home: Home, settings: Settings) -> tuple[tuple[ledgers.Address, ...], Settings]:
    """Return what was mirrored before, and the settings with the service it came from."""
    ledger = Ledger(home.root)
    found = tuple(ledger.addresses.values())
    if not found:
        raise NotFoundError(
            "nothing was mirrored here yet",
            address=home.name,
            why="no address is given, and no ledger names one",
            hint="openallen mirror --help",
        )
    if settings.source == "live":
        settings = replace(settings, source=found[-1].source)
    return found, settings


def mirror(
    *addresses: AddressLike,
    to: Path | str,
    source: str | None = None,
    settings: Settings | None = None,
    files: bool = False,
    limit: int | None = None,
    refresh: bool = False,
    endpoint_url: str = "",
    observer: Observer | None = None,
    **options: Any,
) -> Report:
    """Mirror things into a folder or an S3-compatible store, from which an archive serves them.

    What is there and has not changed is not fetched again.

    Parameters
    ----------
    *addresses
        What to mirror: ``"stack:313862022"`` with its rows and files, ``"cell:"`` the rows of a
        list. Without any, all that was mirrored there is brought up to date. A mirror itself
        (``s3://BUCKET/PREFIX``, or its folder) is copied.
    to
        A folder, or ``s3://BUCKET/PREFIX``.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.
    files
        Whether files of each row of a list are mirrored, too.
    limit
        Rows of lists at most; all where None.
    refresh
        Whether files are fetched again of which nothing says whether they have changed.
    endpoint_url
        The S3-compatible server; that of the environment, or AWS, where empty.
    observer
        Receives progress.
    **options
        What fetching these addresses takes: ``downsample``, ``include``, …

    Returns
    -------
    Report
        What became of each file.

    Raises
    ------
    NotFoundError
        If there is no such thing.
    UsageError
        If none of these addresses takes an option.
    RefusedError
        If the folder holds something else, or the disk is too small.
    IncompleteError
        If some files failed; the others are there, and the same call goes on.

    Examples
    --------
    >>> import openallen as oa
    >>> oa.mirror("cell:313862022", to="museum", source="sample").ok
    True
    """
    chosen = settings or Settings.load(source=source)
    if not isinstance(chosen, Settings):
        raise UsageError(f"settings are a Settings, not {type(settings).__name__}")
    if not isinstance(files, bool) or not isinstance(refresh, bool):
        raise UsageError("files and refresh are True or False")
    if not isinstance(endpoint_url, str):
        raise UsageError(f"endpoint_url is text, not {type(endpoint_url).__name__}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"limit is a number of rows from 1, not {limit!r}")
    with mirroring(
        addresses,
        to,
        settings=chosen,
        files=files,
        limit=limit,
        refresh=refresh,
        endpoint_url=endpoint_url,
        options=options,
    ) as run:
        report = run.run(observer)
    report.raise_if_failed()
    return report
