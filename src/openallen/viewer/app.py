"""The web view as an ASGI app: pages, their JSON, and what their views ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from openallen import maintenance, verbs
from openallen.errors import NotFoundError, OpenAllenError, requiring
from openallen.serving import App, Gate, guarded
from openallen.settings import Settings
from openallen.viewer.answers import Answer, Query, json_answer
from openallen.viewer.assets import assets
from openallen.viewer.files import FILES, Files, origin_of
from openallen.viewer.icons import NO_PICTURE, icon
from openallen.viewer.item_pages import Around, compare_page, item_page
from openallen.viewer.items import Item, Items, from_key
from openallen.viewer.kinds import Kind, Kinds
from openallen.viewer.lists import Asked, Listings, built, list_page
from openallen.viewer.openapi import openapi
from openallen.viewer.pages import Document, Held, error_page, home_page
from openallen.viewer.responses import FAILURES, Responder, response_of, split_json
from openallen.viewer.security import Token, policy
from openallen.viewer.warm import warm
from openallen.viewer.work import Work

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["ViewerOptions", "viewer_app"]

_DECODES: Final = 2
_WORKERS: Final = 6
_SLOW: Final = 2


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
    neuroglancer
        URL of a neuroglancer that may read the files of `places`; empty for none.
    """

    places: Mapping[str, Path] = field(default_factory=dict)
    read_only: bool = False
    allow_hosts: tuple[str, ...] = ()
    neuroglancer: str = ""


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
    chosen = options or ViewerOptions()
    viewer = Viewer(settings or Settings.load(), chosen)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        warm(viewer.kinds)
        yield
        await asyncio.to_thread(viewer.work.close)

    routes, guest = viewer.routes(), None
    if chosen.neuroglancer:
        guest = (FILES, origin_of(chosen.neuroglancer))
        routes.append(Files(chosen.places, guest[1]).route())
    refusals = {404: viewer.refused, 405: viewer.refused}
    app: App = Starlette(routes=routes, lifespan=lifespan, exception_handlers=refusals)
    return guarded(app, policy(chosen.allow_hosts, guest))


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
        self.kinds = Kinds(settings.store / "views")
        self.listings = Listings(settings)
        token = Token(read_only=options.read_only)
        # Small answers never wait for pictures that are being decoded, nor for pages, which may
        # have to ask a service; what the store holds is told however long that takes.
        self._heavy = Gate(_DECODES, newest_first=True)
        self._light = Gate(_WORKERS)
        self._slow = Gate(_SLOW)
        self._opening = Gate(_WORKERS)
        self._store = Gate(_SLOW)
        self._drawing = Gate(1)  # matplotlib is not made for several threads at once
        self._respond = Responder(token, Gate(_WORKERS))
        self.work = Work(settings, self.items, token, self._respond, self.listings.forget)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Return what tells that there is no such page, or that it takes no such request."""
        status = getattr(error, "status_code", 404)
        what = "no such page" if status == 404 else f"{request.method} is not taken here"
        told = error_page(NotFoundError(what, address=request.url.path[:200]), status)
        as_json = request.url.path.endswith(".json")
        return self._respond.shown(request, told, "", as_json=as_json)

    def routes(self) -> list[Any]:
        """Return the routes of the app."""
        from starlette.routing import Route

        work = self.work
        both = ["GET", "POST"]
        return [
            Route("/", self.home),
            Route("/index.json", self.home),
            Route("/list/{what:path}", self.listing),
            Route("/item/{what:path}", self.item),
            Route("/place/{what:path}", self.place),
            Route("/compare", self.compare),
            Route("/compare.json", self.compare),
            Route("/v/{key}/{name}/{path:path}", self.data),
            Route("/thumb/{key}", self.thumbnail),
            Route("/picture/{key}/{name:path}", self.picture),
            Route("/plan", work.plan, methods=both),
            Route("/plan.json", work.plan, methods=both),
            Route("/fetch", work.fetch, methods=["POST"]),
            Route("/verify", work.verify, methods=["POST"]),
            Route("/remove", work.remove, methods=both),
            Route("/jobs", work.list),
            Route("/jobs.json", work.list),
            Route("/jobs/{id}", work.list),
            Route("/jobs/{id}/{action}", work.act, methods=["POST"]),
            Route("/events", work.events),
            Route("/openapi.json", self.openapi),
            Route("/static/{version}/{name}", self.static),
            Route("/favicon.ico", self.icon),
        ]

    # --- pages ------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        """Return the front page."""

        def made(_: Callable[[], bool]) -> Document:
            held = maintenance.held(self.settings)
            own = self.work.jobs.folders()
            elsewhere = maintenance.under_way(self.settings)
            store = Held(
                rows=held.to_dicts(),
                notes=held.notes,
                elsewhere=[row for row in elsewhere if row["folder"] not in own],
                folder=str(self.settings.store),
                source=self.settings.source,
            )
            return home_page(store, request.query_params.get("q", ""), self.work.jobs.states())

        as_json = request.url.path.endswith(".json")
        return await self._respond.page(request, made, "/index", as_json=as_json, gate=self._store)

    async def listing(self, request: Request) -> Response:
        """Return a page of rows."""
        from starlette.responses import RedirectResponse

        what, as_json = split_json(request.path_params["what"])
        given = dict(request.query_params)
        filtered = built(given)
        if filtered is not None:  # the form for a filter: the same page, with that filter's address
            try:
                path = Asked.of(what, filtered).path()
            except OpenAllenError as error:
                return self._respond.failed(request, error, as_json=as_json)
            return RedirectResponse(path, 303)

        def made(_: Callable[[], bool]) -> Document:
            asked = Asked.of(what, given)
            return list_page(asked, self.listings.get(asked))

        query = f"?{request.url.query}" if request.url.query else ""
        path = request.url.path.removesuffix(".json").removesuffix(".html")
        return await self._respond.page(request, made, f"{path}.json{query}", as_json=as_json)

    async def item(self, request: Request) -> Response:
        """Return the page of one thing."""
        what, as_json = split_json(request.path_params["what"])
        return await self._item(request, what, as_json=as_json)

    async def place(self, request: Request) -> Response:
        """Return the page of a folder named on the command line."""
        what, as_json = split_json(request.path_params["what"])
        return await self._item(request, f"place/{what}", as_json=as_json)

    async def compare(self, request: Request) -> Response:
        """Return the page of several grids side by side: ``/compare?of=ADDRESS&of=ADDRESS``."""

        def made(_: Callable[[], bool]) -> Document:
            each = request.query_params.getlist("of")
            what = self.items.together(each)
            return compare_page(what, each, self.items.get(what), self.kinds)

        as_json = request.url.path.endswith(".json")
        return await self._respond.page(request, made, "", as_json=as_json)

    async def _item(self, request: Request, what: str, *, as_json: bool) -> Response:
        def made(_: Callable[[], bool]) -> Document:
            facts = self.items.facts(what)
            opened: Item | OpenAllenError
            try:
                opened = self.items.get(what)
            except OpenAllenError as error:
                opened = error
            return item_page(what, facts, opened, self.kinds, self._around(what))

        path = request.url.path.removesuffix(".json")
        return await self._respond.page(request, made, path, as_json=as_json)

    def _around(self, what: str) -> Around:
        if what.startswith("place/"):
            return Around()
        own = what.partition("?")[0].partition("/")[0]
        rows = [
            row
            for row in maintenance.held(self.settings)
            if row["address"] == own or str(row["address"]).startswith(f"{own}@")
        ]
        jobs = [job for job in self.work.jobs.states() if job["address"].partition("?")[0] == what]
        return Around(held=rows, jobs=jobs[:1])

    # --- what views ask for -----------------------------------------------------------------------

    async def data(self, request: Request) -> Response:
        """Return what a view asks for."""
        given = request.path_params
        query = Query(dict(request.query_params))

        try:
            what = from_key(given["key"])
            item = self.items.peek(what)
            if item is None:
                item = await self._opening.run(request, lambda _: self.items.get(what))
            visual = item.visual(given["name"])
            kind = self.kinds[visual.kind]
            answer = await self._gate(kind, given["path"]).run(
                request, lambda gone: kind.answer(visual, given["path"], query, gone)
            )
        except FAILURES as error:
            return self._respond.failed(request, error, as_json=True)
        return response_of(request, answer)

    def _gate(self, kind: Kind, path: str) -> Gate:
        """Return where a request waits: small answers never wait for those that decode."""
        weight = getattr(kind, "weight", None)
        told = weight(path) if weight is not None else "heavy" if kind.heavy else "light"
        return {"light": self._light, "slow": self._slow}.get(told, self._heavy)

    async def thumbnail(self, request: Request) -> Response:
        """Return a small picture of a thing; a drawing of its kind where it has none."""

        def made(_: Callable[[], bool]) -> Answer:
            visuals = self.items.get(from_key(request.path_params["key"])).visuals
            for visual in visuals:
                found = self.kinds[visual.kind].thumbnail(visual)
                if found is not None:
                    return found
            return icon(visuals[0].kind if visuals else "")

        try:
            return response_of(request, await self._heavy.run(request, made))
        except FAILURES:
            return response_of(request, icon(""))

    async def picture(self, request: Request) -> Response:
        """Return a picture that is drawn of a thing, as PNG."""
        given = request.path_params

        def made(_: Callable[[], bool]) -> Answer:
            if not given["name"].endswith(".png"):
                raise NotFoundError("no such picture", address=given["name"][:80])
            what, name = from_key(given["key"]), given["name"].removesuffix(".png")
            # Only what is here is drawn: a picture of what is not fetches what it needs.
            self.items.get(what)
            with TemporaryDirectory() as folder:
                path = verbs.picture(
                    self.items.named(what),
                    Path(folder, "picture.png"),
                    name=name,
                    settings=self.items.here,
                )
                return Answer(body=path.read_bytes(), media="image/png")

        try:
            return response_of(request, await self._drawing.run(request, made))
        except FAILURES as error:
            return self._respond.failed(request, error, as_json=True)

    async def openapi(self, request: Request) -> Response:
        """Return the description of the JSON routes."""
        return response_of(request, json_answer(openapi()))

    async def static(self, request: Request) -> Response:
        """Return a file of the front end."""
        try:
            return response_of(request, assets().answer(request.path_params["name"]))
        except OpenAllenError as error:
            return self._respond.failed(request, error, as_json=True)

    async def icon(self, request: Request) -> Response:
        """Return the icon, where browsers look for it."""
        body = assets().files.get("favicon.svg", NO_PICTURE)
        return response_of(request, Answer(body=body, media="image/svg+xml"))
