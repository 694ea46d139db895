"""Plan and fetch: the job an address stands for."""

from __future__ import annotations

from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import SCHEMES, Address, AddressLike, Condition
from openallen.errors import UsageError
from openallen.settings import Settings
from openallen.verbs.asset import asset_job
from openallen.verbs.place import destination
from openallen.verbs.release import release_job
from openallen.verbs.running import run
from openallen.verbs.source import connected

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.plans import Plan
    from openallen.transfer import Observer
    from openallen.transfer.job import Job


__all__ = ["fetch", "job", "plan", "with_options"]


def job(client: Client, address: Address, to: Path, **options: Any) -> Job:
    """Give the job that fetches what an address names into a folder.

    Raises
    ------
    UsageError
        If it cannot be fetched, or an option does not go with it.
    """
    if address.scheme == "stack":
        from openallen.sources.stacks import Options, StackJob, describe, parse_planes

        planes = options.pop("planes", None)
        if isinstance(planes, (str, int)):
            planes = parse_planes(str(planes))
        _known_options(options, Options)
        chosen = Options(planes=planes or slice(None), **options)
        return StackJob.of(client, describe(client, address.id), chosen, to)
    address = with_options(address, options)
    mirror = bool(options.pop("mirror", False)) and address.scheme == "release"
    if options:
        raise UsageError(
            f"'{next(iter(options))}' goes with stacks only",
            address=str(address),
            hint="options of an image belong in its address: image:321549654?downsample=3",
        )
    if address.scheme == "release":
        return release_job(client, address, to, mirror=mirror)
    if address.scheme in {"grid", "atlas"}:
        from openallen.sources.atlases.plan import plan_atlas, plan_grid

        return (plan_grid if address.scheme == "grid" else plan_atlas)(client, address, to)
    if address.scheme in {"asset", "recording"}:
        return asset_job(client, address, to)
    if address.scheme in {"image", "file"}:
        from openallen.brainmap.plan import plan_file, plan_image

        return (plan_image if address.scheme == "image" else plan_file)(client, address, to)
    raise UsageError(
        f"'{address.scheme}:' cannot be fetched yet" if address.scheme in SCHEMES else "no address",
        address=str(address),
        hint="stack:313862022, grid:69855739, atlas:P56, release:visual-behavior-ophys",
    )


def with_options(address: Address, options: dict[str, Any]) -> Address:
    """Move options of a grid, ``include`` and ``resolution``, into its address.

    Raises
    ------
    UsageError
        If it is the address of something else.
    """
    for name in ("include", "resolution"):
        value = options.pop(name, None)
        if value is None:
            continue
        if address.scheme != "grid":
            raise UsageError(f"'{name}' goes with grids only", address=str(address))
        text = ",".join(value) if isinstance(value, (list, tuple)) else str(value)
        told = Condition(name, "eq", text)
        address = replace(address, conditions=(*address.conditions, told))
    return address


def _known_options(given: dict[str, Any], kind: type[Any]) -> None:
    names = [f.name for f in fields(kind)]
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = near[0] if near else ", ".join(names)
            raise UsageError(f"there is no option '{name}'", hint=hint)


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
    from openallen.transfer import with_status

    settings = Settings.load(source=source)
    where = Address.parse(address)
    with connected(settings) as client:
        return with_status(job(client, where, destination(where, to, settings), **options).plan)


def fetch(
    address: AddressLike,
    to: Path | str | None = None,
    *,
    source: str | None = None,
    observer: Observer | None = None,
    verify_later: bool | None = None,
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
        ``live`` (the default), ``sample``, or the URL of an archive.
    observer
        Is told of progress.
    verify_later
        Compare only sizes now, and published digests with ``openallen store verify``.
    **options
        For a stack: ``downsample`` (halvings), ``planes`` (a slice, or its text), ``quality`` (0
        to 100), ``projections`` and ``morphology`` (booleans). For a grid: ``include`` (text or a
        list: ``["energy", "density"]``), ``resolution`` in µm. For a release: ``mirror``, to lay
        the folder out as the bucket is.

    Returns
    -------
    ImageStack, ExpressionGrid, ConnectivityGrid, Atlas or Path
        What was fetched, opened; the path of a single image or file; the folder of a release's
        version, or of an asset.

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
    settings = Settings.load(source=source, verify_later=verify_later)
    where = Address.parse(address)
    with connected(settings) as client:
        work = job(client, where, destination(where, to, settings), **options)
        fetched = run(client, work, settings, observer)
    fetched.report.raise_if_failed()
    return work.result()
