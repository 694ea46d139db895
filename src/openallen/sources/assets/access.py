"""Asking for assets by the settings: the catalogue, SQL over it, one asset."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.errors import OpenAllenError, UsageError
from openallen.plans import safe_name
from openallen.settings import Settings
from openallen.sources.assets.catalogues import Catalogue
from openallen.sources.assets.options import SIDECARS
from openallen.sources.assets.read import Asset
from openallen.sources.assets.record import PUBLIC_BUCKET
from openallen.sources.assets.search import DOCDB_URL, Places, load_catalogue
from openallen.sources.context import bucket_endpoint
from openallen.sources.services import VIEWS_BUCKET
from openallen.store import Store
from openallen.transport import Http, Retry
from openallen.transport.configured import http_for
from openallen.transport.s3 import Bucket

if TYPE_CHECKING:
    from openallen.sources.assets.provenance import Family
    from openallen.transport.objects import RemoteObjects

__all__ = ["bucket_for", "catalogue", "kin_of", "open_asset", "sql"]

_REGION: Final = "us-west-2"


def bucket_for(http: Http, settings: Settings, name: str = PUBLIC_BUCKET) -> Bucket:
    """Return a bucket of AIND, where the settings say buckets are."""
    return Bucket(
        http=http,
        name=name,
        endpoint=bucket_endpoint(settings),
        region=_REGION,
        retry=Retry(attempts=settings.attempts),
    )


def catalogue(
    *,
    refresh: bool = False,
    settings: Settings | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Catalogue:
    """Return the catalogue of assets; downloaded again once a week, or on request.

    Parameters
    ----------
    refresh
        Ask anew now.
    settings
        Settings to use; loaded from the environment and files if None.
    tell
        Is told which source answered, and why others did not.

    Raises
    ------
    OfflineError
        If there is no copy here, and no network.
    ServiceError
        If no source answers.
    MissingExtraError
        Without the extra ``tables``.
    """
    settings = settings or Settings.load()
    elsewhere = bool(settings.s3_endpoint) or settings.source != "live"
    with http_for(settings) as http:
        places = Places(
            assets=bucket_for(http, settings),
            views=bucket_for(http, settings, VIEWS_BUCKET),
            http=http,
            docdb_url=settings.docdb_url or ("" if elsewhere else DOCDB_URL),
            retry=Retry(attempts=settings.attempts),
        )
        folder = Store(settings.store).root / "assets"
        return load_catalogue(places, folder, refresh=refresh, tell=tell)


def sql(text: str, *parameters: Any) -> list[dict[str, Any]]:
    """Ask the catalogue in SQL: ``sql("select name from assets where level = ?", "derived")``.

    Returns
    -------
    list of dict
        One for each row.

    Raises
    ------
    UsageError
        If DuckDB does not take it.
    """
    return catalogue().sql(text, parameters)


def open_asset(name: str, settings: Settings | None = None) -> Asset:
    """Return one asset of ``aind-open-data``; asks nothing yet.

    Raises
    ------
    UsageError
        If the name can be no folder's.
    """
    if not name or safe_name(name, "") != name:
        raise UsageError("this is not the name of an asset", address=f"asset:{name}")
    chosen = settings or Settings.load()

    @contextmanager
    def connect() -> Iterator[Bucket]:
        with http_for(chosen) as http:
            yield bucket_for(http, chosen)

    found = Asset(name, connect, Store(chosen.store).root / "assets" / SIDECARS / name)
    found.opening = functools.partial(_open_part, name, chosen)
    found.looking = functools.partial(_objects, name, chosen)
    found.kin = functools.partial(kin_of, name, chosen)
    return found


def kin_of(name: str, settings: Settings) -> Family:
    """Return the assets connected with one: by the catalogue that is here, else by its name.

    Parameters
    ----------
    name
        Name of the asset.
    settings
        Settings; no service is asked.
    """
    from openallen.sources.assets.names import parse_name
    from openallen.sources.assets.provenance import family_of

    subject = parse_name(name).subject_id
    rows: list[dict[str, Any]] = []
    with suppress(OpenAllenError):
        here = catalogue(settings=replace(settings, offline=True))
        rows = here.select([Condition("subject_id", "eq", subject)]) if subject else []
    return family_of(name, rows)


def _open_part(name: str, settings: Settings, path: str, **options: Any) -> Any:
    """Open a part of an asset, in a context of its own: an asset outlives the one it came from."""
    from openallen.address import Address
    from openallen.sources.context import Context

    parts = tuple(part for part in path.split("/") if part)
    where = Address("asset", name, path=parts)
    with Context(settings) as context:
        return context.source(where).open(where, **options)


def _objects(name: str, settings: Settings) -> RemoteObjects:
    from openallen.sources.context import Context

    with Context(settings) as context:
        return context.remote_objects(PUBLIC_BUCKET, f"{name}/", region=_REGION)
