"""What pages may write: plans, fetches, verifying, removing; and what tells of it meanwhile.

Everything that changes something is a POST with the token of this server: in a header where a
script sends it, in a field of the form where the page has none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen import maintenance, verbs
from openallen.address import Address
from openallen.errors import RefusedError, UsageError
from openallen.json_text import load_json
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.registry import SCHEMES
from openallen.viewer.answers import json_answer
from openallen.viewer.forms import given_options, read_form
from openallen.viewer.item_pages import plan_page, remove_page
from openallen.viewer.items import Items
from openallen.viewer.jobs import Job, Jobs
from openallen.viewer.links import item_path
from openallen.viewer.pages import Document, jobs_page
from openallen.viewer.responses import FAILURES, Responder, response_of, split_json
from openallen.viewer.security import Token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Work"]

_LOOK_S: Final = 0.3
_ALIVE_S: Final = 15.0
_MOST_LISTENERS: Final = 64


class Work:
    """The routes that plan, fetch, verify and remove.

    Parameters
    ----------
    settings, items, token, respond
        Of the web view.
    changed
        Called when what is in the store has changed.
    """

    def __init__(
        self,
        settings: Settings,
        items: Items,
        token: Token,
        respond: Responder,
        changed: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._items = items
        self._token = token
        self._respond = respond
        self._changed = changed
        self._listeners = 0
        self._ended = False
        self.jobs = Jobs(settings, self._after)

    def _after(self, address: str) -> None:
        self._items.forget(address)
        self._changed()

    def close(self) -> None:
        """End: jobs are interrupted, listeners let go."""
        self._ended = True
        self.jobs.close()

    # --- plan and fetch ---------------------------------------------------------------------------

    async def plan(self, request: Request) -> Response:
        """Return what a fetch takes: of a query, or of a form, which needs no token."""
        as_json = request.url.path.endswith(".json")
        try:
            form = dict(request.query_params)
            if request.method == "POST":
                form |= (await self._form(request))[0]
            address = _address(form)
            options = _options(address, form)
        except FAILURES as error:
            return self._respond.failed(request, error, as_json=as_json)

        def made(_: Callable[[], bool]) -> Document:
            plan = verbs.plan(address, settings=self._settings, **options)
            return plan_page(address, plan, options, self._settings.confirm_bytes)

        return await self._respond.page(request, made, "", as_json=as_json)

    async def fetch(self, request: Request) -> Response:
        """Begin to fetch a thing into the store."""

        def begun(form: Mapping[str, str]) -> Job:
            address = _address(form)
            return self.jobs.add("fetch", address, _options(address, form))

        return await self._write(request, begun)

    async def verify(self, request: Request) -> Response:
        """Begin to verify a thing in the store."""
        return await self._write(request, lambda form: self.jobs.add("verify", _address(form)))

    async def act(self, request: Request) -> Response:
        """Pause, resume, cancel, confirm, verify or repair a job."""
        given = request.path_params
        return await self._write(request, lambda _: self.jobs.act(given["id"], given["action"]))

    async def remove(self, request: Request) -> Response:
        """Ask whether to remove a thing from the store; with ``sure=yes``, remove it."""
        from starlette.responses import RedirectResponse

        as_json = False
        try:
            form = dict(request.query_params)
            if request.method == "POST":
                form, as_json = await self._form(request)
                self._token.check(request, form.get("token", ""))
            elif self._token.read_only:
                self._token.check(request)
            address = _address(form)
            sure = request.method == "POST" and form.get("sure") == "yes"
            row = await asyncio.to_thread(self._removed, address, sure=sure)
        except FAILURES as error:
            return self._respond.failed(request, error, as_json=as_json)
        if not sure or as_json:
            document = remove_page(address, row)
            return self._respond.shown(request, document, "", as_json=as_json)
        return RedirectResponse("/", 303)

    def _removed(self, address: str, *, sure: bool) -> dict[str, Any]:
        if self.jobs.busy_with(address):
            raise RefusedError("it is being fetched or verified", address=address, hint="/jobs")
        root = self._settings.store.resolve()
        with Context(self._settings) as context:
            folder = context.folder(Address.parse(address))
        if not folder.resolve().is_relative_to(root):
            raise RefusedError(
                "not in the store itself, so not removed from a page",
                address=address,
                why=f"it was adopted in place: {folder}",
            )
        rows = maintenance.prune([address], dry_run=not sure, settings=self._settings)
        if sure:
            self._after(address)
        return dict(rows[0])

    # --- jobs -------------------------------------------------------------------------------------

    async def list(self, request: Request) -> Response:
        """Return the jobs, or one of them."""
        name, as_json = split_json(request.path_params.get("id", ""))
        as_json = as_json or request.url.path == "/jobs.json"
        try:
            states = [self.jobs.get(name).to_dict()] if name else self.jobs.states()
        except FAILURES as error:
            return self._respond.failed(request, error, as_json=as_json)
        path = f"/jobs/{name}" if name else "/jobs"
        return self._respond.shown(request, jobs_page(states, name), path, as_json=as_json)

    async def events(self, request: Request) -> Response:
        """Return the states of jobs as they change, as server-sent events.

        Each listener is told the latest state of each job that changed since it was told last: one
        that reads slowly misses states in between, and costs no memory.
        """
        from starlette.responses import Response, StreamingResponse

        if self._listeners >= _MOST_LISTENERS:
            return Response("too many listen", 503, headers={"retry-after": "5"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(
            self._told(request), media_type="text/event-stream", headers=headers
        )

    async def _told(self, request: Request) -> AsyncIterator[str]:
        self._listeners += 1
        told: dict[str, dict[str, Any]] = {}
        silent_s = 0.0
        try:
            yield "retry: 2000\n\n"
            while not self._ended and not await request.is_disconnected():
                for state in reversed(self.jobs.states()):
                    if told.get(state["id"]) != state:
                        told[state["id"]] = state
                        silent_s = 0.0
                        yield f"event: job\ndata: {json.dumps(state)}\n\n"
                silent_s += _LOOK_S
                if silent_s > _ALIVE_S:
                    silent_s = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(_LOOK_S)
        finally:
            self._listeners -= 1

    # --- forms ------------------------------------------------------------------------------------

    async def _write(self, request: Request, begun: Callable[[Mapping[str, str]], Job]) -> Response:
        from starlette.responses import RedirectResponse

        as_json = _sends_json(request)
        try:
            form, as_json = await self._form(request)
            self._token.check(request, form.get("token", ""))
            job = await asyncio.to_thread(begun, form)
        except FAILURES as error:
            return self._respond.failed(request, error, as_json=as_json)
        if as_json:
            return response_of(request, json_answer(job.to_dict()), 202)
        return RedirectResponse(_back(form, job), 303)

    async def _form(self, request: Request) -> tuple[dict[str, str], bool]:
        """Return what was sent, and whether as JSON."""
        if not _sends_json(request):
            return await read_form(request.stream()), False
        text = (await _body(request)).decode("utf-8", "replace")
        try:
            sent = load_json(text)
        except ValueError as error:
            raise UsageError("not JSON", why=str(error)[:100]) from None
        if not isinstance(sent, dict):
            raise UsageError("not a JSON object")
        options = sent.pop("options", None) or {}
        if not isinstance(options, dict):
            raise UsageError("options are a JSON object")
        return {str(k): _text(v) for k, v in {**options, **sent}.items()}, True


async def _body(request: Request, most: int = 1 << 16) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise UsageError("too large")
    return body


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _sends_json(request: Request) -> bool:
    """Return whether a program asks: browsers without script send forms."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind not in {"application/x-www-form-urlencoded", "multipart/form-data"}


def _address(form: Mapping[str, str]) -> str:
    text = form.get("address", "")
    if not text:
        raise UsageError("no address given", hint="address=stack:313862022")
    return str(Address.parse(text))


def _options(address: str, form: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a fetch; where it goes is none of them: always the store."""
    return given_options(SCHEMES[Address.parse(address).scheme].fetch_options, form)


def _back(form: Mapping[str, str], job: Job) -> str:
    """Return the page to go on with: the one the form was on, as far as it is one of ours."""
    back = form.get("back", "")
    if back == "item":
        return item_path(job.address)
    return back if back in {"/", "/jobs"} else f"/jobs/{job.id}"
