"""The web view as an ASGI app: pages, their JSON, and what their views ask for."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen import maintenance, verbs
from openallen.errors import (
    ExitCode,
    NotFoundError,
    OpenAllenError,
    RefusedError,
    ServiceError,
    UsageError,
    requiring,
)
from openallen.serving import App, BusyError, Gate, GoneError, guarded
from openallen.settings import Settings
from openallen.viewer.answers import Answer, Query, json_answer
from openallen.viewer.assets import assets
from openallen.viewer.items import Items, from_key
from openallen.viewer.kinds import Kinds
from openallen.viewer.pages import (
    Document,
    compare_page,
    error_page,
    home_page,
    item_page,
    list_page,
    rendered,
)
from openallen.viewer.security import Token, policy

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["ViewerOptions", "viewer_app"]

_ROWS: Final = 100
_MOST_ROWS: Final = 10_000
_DECODES: Final = 2
_WORKERS: Final = 6


@dataclass(frozen=True, kw_only=True)
class ViewerOptions:
    """How the web view is served.

    Parameters
    ----------
    places
        Folders and files that may be looked at beside the store, by name.
    read_only
        Whether nothing may be fetched or removed from a page.
    allow_hosts
        Names of a proxy in front of it.
    """

    places: Mapping[str, Path] = field(default_factory=dict)
    read_only: bool = False
    allow_hosts: tuple[str, ...] = ()


def viewer_app(settings: Settings | None = None, options: ViewerOptions | None = None) -> App:
    """Return the app of the web view.

    Parameters
    ----------
    settings
        Settings to use; loaded from the environment and files if None.
    options
        How it is served.

    Raises
    ------
    MissingExtraError
        Without the extra ``web``.
    """
    with requiring("the web view", "web"):
        import jinja2  # noqa: F401 - said now rather than at the first page
        from starlette.applications import Starlette
        from starlette.routing import Route
    chosen = options or ViewerOptions()
    viewer = Viewer(settings or Settings.load(), chosen)
    routes = [
        Route("/", viewer.home),
        Route("/index.json", viewer.home),
        Route("/list/{scheme}", viewer.listing),
        Route("/item/{what:path}", viewer.item),
        Route("/place/{what:path}", viewer.place),
        Route("/compare", viewer.compare),
        Route("/compare.json", viewer.compare),
        Route("/v/{key}/{name}/{path:path}", viewer.data),
        Route("/thumb/{key}", viewer.thumbnail),
        Route("/static/{version}/{name}", viewer.static),
        Route("/favicon.ico", viewer.icon),
    ]
    app: App = Starlette(routes=routes)
    return guarded(app, policy(chosen.allow_hosts))


class Viewer:
    """The answers of the web view.

    Parameters
    ----------
    settings
        Settings.
    options
        How it is served.
    """

    def __init__(self, settings: Settings, options: ViewerOptions) -> None:
        self.settings = settings
        self.items = Items(settings, options.places)
        self.kinds = Kinds()
        self.token = Token(read_only=options.read_only)
        # Pages and small answers never wait for pictures that are being decoded.
        self._heavy = Gate(_DECODES, newest_first=True)
        self._light = Gate(_WORKERS)

    # --- pages ------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        """Return the front page."""

        def made(_: Callable[[], bool]) -> Document:
            held = maintenance.held(self.settings)
            return home_page(held.to_dicts(), held.notes, request.query_params.get("q", ""))

        as_json = request.url.path.endswith(".json")
        return await self._page(request, made, "/index", as_json=as_json)

    async def listing(self, request: Request) -> Response:
        """Return a page of rows."""
        scheme, as_json = _split(request.path_params["scheme"])
        given = {k: v for k, v in request.query_params.items() if v != ""}

        def made(_: Callable[[], bool]) -> Document:
            limit = Query(given).whole("limit", _ROWS, 1, _MOST_ROWS)
            filters = {k: v for k, v in given.items() if k != "limit"}
            rows = verbs.list(f"{scheme}:", limit=limit, settings=self.settings, **filters)
            whole = rows.total is None or rows.total <= len(rows)
            query = {**filters, "limit": str(min(_MOST_ROWS, limit * 4))}
            more = (
                ""
                if whole and len(rows) < limit
                else str(request.url.include_query_params(**query))
            )
            return list_page(scheme, rows, filters, more)

        return await self._page(request, made, f"/list/{scheme}", as_json=as_json)

    async def item(self, request: Request) -> Response:
        """Return the page of one thing."""
        what, as_json = _split(request.path_params["what"])
        return await self._item(request, what, as_json=as_json)

    async def place(self, request: Request) -> Response:
        """Return the page of a folder named on the command line."""
        what, as_json = _split(request.path_params["what"])
        return await self._item(request, f"place/{what}", as_json=as_json)

    async def compare(self, request: Request) -> Response:
        """Return the page of several grids side by side: ``/compare?of=ADDRESS&of=ADDRESS``."""

        def made(_: Callable[[], bool]) -> Document:
            each = request.query_params.getlist("of")
            what = self.items.together(each)
            return compare_page(what, each, self.items.get(what), self.kinds)

        as_json = request.url.path.endswith(".json")
        return await self._page(request, made, "", as_json=as_json)

    async def _item(self, request: Request, what: str, *, as_json: bool) -> Response:
        def made(_: Callable[[], bool]) -> Document:
            why = ""
            try:
                item = self.items.get(what)
            except OpenAllenError as error:
                item, why = None, str(error)
            return item_page(what, self.items.facts(what), item, why, self.kinds)

        path = request.url.path.removesuffix(".json")
        return await self._page(request, made, path, as_json=as_json)

    # --- what views ask for -----------------------------------------------------------------------

    async def data(self, request: Request) -> Response:
        """Return what a view asks for."""
        given = request.path_params
        query = Query(dict(request.query_params))

        def found() -> tuple[Any, Any]:
            visual = self.items.get(from_key(given["key"])).visual(given["name"])
            return visual, self.kinds[visual.kind]

        try:
            visual, kind = await asyncio.to_thread(found)
            gate = self._heavy if kind.heavy else self._light
            answer = await gate.run(
                request, lambda gone: kind.answer(visual, given["path"], query, gone)
            )
        except (OpenAllenError, BusyError, GoneError) as error:
            return self._failed(request, error, as_json=True)
        return _response(request, answer)

    async def thumbnail(self, request: Request) -> Response:
        """Return a small picture of a thing; an empty one where it has none."""

        def made(_: Callable[[], bool]) -> Answer:
            for visual in self.items.get(from_key(request.path_params["key"])).visuals:
                found = self.kinds[visual.kind].thumbnail(visual)
                if found is not None:
                    return found
            return Answer(body=_NO_PICTURE, media="image/svg+xml")

        try:
            return _response(request, await self._heavy.run(request, made))
        except (OpenAllenError, BusyError, GoneError):
            return _response(request, Answer(body=_NO_PICTURE, media="image/svg+xml"))

    async def static(self, request: Request) -> Response:
        """Return a file of the front end."""
        try:
            return _response(request, assets().answer(request.path_params["name"]))
        except OpenAllenError as error:
            return self._failed(request, error, as_json=True)

    async def icon(self, request: Request) -> Response:
        """Return the icon, where browsers look for it."""
        body = assets().files.get("favicon.svg", _NO_PICTURE)
        return _response(request, Answer(body=body, media="image/svg+xml"))

    # --- answers ----------------------------------------------------------------------------------

    async def _page(
        self,
        request: Request,
        made: Callable[[Callable[[], bool]], Document],
        path: str,
        *,
        as_json: bool,
    ) -> Response:
        try:
            document = await self._light.run(request, made)
        except (OpenAllenError, BusyError, GoneError) as error:
            return self._failed(request, error, as_json=as_json)
        return self._shown(request, document, path, as_json=as_json)

    def _shown(self, request: Request, document: Document, path: str, *, as_json: bool) -> Response:
        from starlette.responses import HTMLResponse

        if as_json:
            return _response(request, json_answer(document.data), document.status)
        text = rendered(document, token=self.token, path=path)
        return HTMLResponse(text, document.status, headers={"cache-control": "no-store"})

    def _failed(self, request: Request, error: Exception, *, as_json: bool) -> Response:
        from starlette.responses import Response

        if isinstance(error, GoneError):
            return Response(status_code=499)
        if isinstance(error, BusyError):
            return Response("busy", 503, headers={"retry-after": "1"}, media_type="text/plain")
        if not isinstance(error, OpenAllenError):
            raise error
        return self._shown(request, error_page(error, _status(error)), "", as_json=as_json)


_NO_PICTURE: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3" width="160" height="120"></svg>'
)


def _split(path: str) -> tuple[str, bool]:
    """Return what a path names, and whether its JSON is wanted."""
    if path.endswith(".json"):
        return path.removesuffix(".json"), True
    return path.removesuffix(".html"), False


def _status(error: OpenAllenError) -> int:
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, RefusedError):
        return 403
    if isinstance(error, ServiceError) or error.exit_code is ExitCode.OFFLINE:
        return 502
    return 500


def _response(request: Request, answer: Answer, status: int = 200) -> Response:
    from starlette.responses import Response

    accepted = request.headers.get("accept-encoding", "")
    if answer.encoding and answer.encoding not in accepted:
        answer = replace(answer, body=gzip.decompress(answer.body), encoding="")

    kept = "max-age=31536000, immutable" if answer.immutable else "no-cache"
    headers = {"cache-control": kept if status == 200 else "no-store"}
    if answer.encoding:
        headers["content-encoding"] = answer.encoding
    return Response(answer.body, status, headers=headers, media_type=answer.media)
