"""The services of brain-map.org as an ASGI app over an archive folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from email.utils import formatdate
from html import escape
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from openallen.archive.answers import kept_first
from openallen.archive.envelopes import csv_answer, failure, json_answer, xml_answer, xml_failure
from openallen.archive.evaluate import Result, evaluate
from openallen.archive.faults import Fault, Misbehaving
from openallen.archive.holdings import SAMPLE, Holdings
from openallen.archive.parts import file_tag, open_plain, sent_file
from openallen.archive.pictures import Pictures, View
from openallen.archive.recent import Recent
from openallen.archive.relations import Refusal
from openallen.archive.s3 import is_for_buckets, s3_app
from openallen.archive.trees import relatives, structure_graph
from openallen.archive.volumes import Volume, Volumes
from openallen.brainmap.images import tier_size_px
from openallen.brainmap.parser import parse
from openallen.brainmap.schema import Model, schema
from openallen.errors import IntegrityError, UsageError, requiring
from openallen.serving import App, BusyError, Gate, GoneError, Policy, guarded

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from openallen.serving.asgi import Receive, Scope, Send

__all__ = ["archive_app"]

_ROWS_BYTES: Final = 48_000_000
_IMAGE_SERVICES: Final = ("image", "section_image", "projection_image", "atlas_image")
_BOUNDS: Final = {"downsample": (0, 16), "quality": (0, 100)}
_UNDERSTOOD: Final = frozenset({"downsample", "quality", "left", "top", "width", "height"})


def archive_app(
    root: Path | str = SAMPLE, *, faults: tuple[Fault, ...] = (), hosts: tuple[str, ...] = ()
) -> App:
    """Return the app of an archive.

    Parameters
    ----------
    root
        The archive folder; ``"sample"`` for the one that comes with the package.
    faults
        Faults on request, for tests.
    hosts
        Names it answers to beside those of loopback, with or without a port.

    Raises
    ------
    NotFoundError, CorruptError
        If the folder is not an archive, or a part of it cannot be read.
    MissingExtraError
        Without the extra ``web``.
    """
    with requiring("serving an archive", "web"):
        from starlette.applications import Starlette
        from starlette.routing import Route
    holdings = Holdings(SAMPLE if root == "sample" else Path(root))
    services = _Services(holdings)
    routes = [
        Route("/openallen/about.json", services.about),
        Route("/api/v2/data.{form}", services.enumerate),
        Route("/api/v2/data/enumerate.{form}", services.enumerate),
        Route("/api/v2/data/{model}/describe.{form}", services.describe),
        Route("/api/v2/data/query.{form}", services.query),
        Route("/api/v2/data/{model}/query.{form}", services.query),
        Route("/api/v2/data/{model}.{form}", services.describe),
        Route("/api/v2/data/{model}/{row:int}.{form}", services.query),
        Route("/api/v2/well_known_file_download/{id:int}", services.file),
        Route("/neuronal_model/download/{id:int}", services.model),
        Route("/api/v2/svg/{id:int}", services.drawing),
        Route("/api/v2/svg_download/{id:int}", services.drawing),
        Route("/cgi-bin/imageservice", services.picture),
        Route("/api/v2/structure_graph_download/{id:int}.{form}", services.graph),
        Route("/api/v2/tree_search/{model}/{id:int}.{form}", services.tree),
        Route("/grid_data/download/{id:int}", services.grid),
        Route("/grid_data/download/{id:int}.zip", services.grid),
        Route("/grid_data/download_file/{id:int}", services.connectivity),
        Route("/informatics-archive/{path:path}", services.published),
        *(Route(f"/api/v2/{name}_download/{{id:int}}", services.image) for name in _IMAGE_SERVICES),
    ]
    names = frozenset(route.path.split("/")[1] for route in routes)
    app = _split(Starlette(routes=routes), s3_app(holdings.buckets), names)
    app = kept_first(holdings.answers, holdings.buckets, app)
    faulty = Misbehaving(app, faults) if faults else app
    # Keys and versions of objects may be long numbers, and buckets are hosts too.
    policy = Policy(hosts=hosts, any_port=True)
    for_buckets = replace(policy, below_localhost=True, long_numbers=True)
    return _split(guarded(faulty, policy), guarded(faulty, for_buckets), names)


def _split(services: App, buckets: App, names: Collection[str]) -> App:
    """Return an app that hands requests of S3 to one app, those of services to the other."""

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        await (buckets if is_for_buckets(scope, names) else services)(scope, receive, send)

    return split


class _Services:
    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._pictures = Pictures(holdings)
        self._volumes = Volumes(holdings)
        self._gate = Gate()
        self._answered: Recent[tuple[bytes, str]] = Recent(_ROWS_BYTES)

    def about(self, request: Request) -> Response:
        del request
        from starlette.responses import JSONResponse

        about = {k: v for k, v in self._holdings.about.items() if k not in {"simulated", "files"}}
        # A mirror of an archive has pictures as they came, and no recipes for them.
        told = self._holdings.about.get("simulated_pixels") is True
        about["simulated_pixels"] = told or bool(self._holdings.about.get("simulated"))
        held: dict[str, Any] = {
            "tables": sorted(self._holdings.columns),
            "buckets": self._holdings.buckets.names(),
        }
        held |= {"answers": len(self._holdings.answers)}
        return JSONResponse(about | held)

    # --- rows -----------------------------------------------------------------------------------

    async def query(self, request: Request) -> Response:
        return await self._rows(request, self._evaluated)

    async def graph(self, request: Request) -> Response:
        return await self._rows(request, self._graph)

    async def tree(self, request: Request) -> Response:
        return await self._rows(request, self._tree)

    async def _rows(
        self, request: Request, make: Callable[[Request], tuple[bytes, str] | Response]
    ) -> Response:
        """Return rows; tables do not change while they are served, so answers are kept a while."""
        asked = (request.url.path, request.url.query)

        def made(_: Callable[[], bool]) -> Response:
            found = make(request)
            if not isinstance(found, tuple):
                return found
            self._answered.keep(asked, found, len(found[0]))
            return _streamed(*found)

        kept = self._answered.get(asked)
        return await self._worked(request, made) if kept is None else _streamed(*kept)

    def _evaluated(self, request: Request) -> tuple[bytes, str] | Response:
        form = request.path_params["form"]
        if form not in {"json", "xml", "csv"}:
            return _page(404, f"no format {form}")
        path, query = request.url.path, request.url.query
        try:
            asked = parse(f"http://archive{path}?{query}" if query else f"http://archive{path}")
            result = evaluate(self._holdings, asked)
        except (Refusal, UsageError) as error:
            return self._refuse(form, str(error).partition("\n")[0])
        return _written(result, form)

    def _graph(self, request: Request) -> tuple[bytes, str] | Response:
        form = request.path_params["form"]
        try:
            return _written(structure_graph(self._holdings, request.path_params["id"]), form)
        except Refusal as error:
            return self._refuse(form, str(error))

    def _tree(self, request: Request) -> tuple[bytes, str] | Response:
        given, form = request.path_params, request.path_params["form"]
        asked = {
            name: request.query_params.get(name, "false") == "true"
            for name in ("ancestors", "descendants")
        }
        try:
            return _written(relatives(self._holdings, given["model"], given["id"], **asked), form)
        except Refusal as error:
            return self._refuse(form, str(error))

    @staticmethod
    def _refuse(form: str, message: str) -> Response:
        if form == "json":
            return _streamed(failure(message), "application/json")
        if form == "xml":
            return _streamed(xml_failure(message), "application/xml")
        return _page(500, message)

    def describe(self, request: Request) -> Response:
        known = schema().get(request.path_params["model"])
        if known is None:
            return _page(404, f"no model {request.path_params['model']}")
        return _description([known])

    def enumerate(self, request: Request) -> Response:
        del request
        return _description(schema().models.values())

    # --- bytes ----------------------------------------------------------------------------------

    async def _worked(
        self, request: Request, work: Callable[[Callable[[], bool]], Response]
    ) -> Response:
        """Return what takes processor time, made for a few at once and for clients still there."""
        from starlette.responses import Response

        try:
            return await self._gate.run(request, work)
        except BusyError:
            return Response("busy", 503, headers={"retry-after": "2"}, media_type="text/plain")
        except GoneError:
            return Response(status_code=499)

    async def file(self, request: Request) -> Response:
        return await self._worked(request, lambda _: self._file(request))

    def _file(self, request: Request) -> Response:
        path = self._holdings.file(request.path_params["id"])
        if path is None:
            volume = self._volumes.file(request.path_params["id"])
            return _page(404, "no such file") if volume is None else _bytes(request, volume)
        return self._sent(request, path)

    async def model(self, request: Request) -> Response:
        """Return the package of a model."""
        return await self._worked(request, lambda _: self._model(request))

    def _model(self, request: Request) -> Response:
        path = self._holdings.model(request.path_params["id"])
        return _page(404, "no such model") if path is None else self._sent(request, path)

    def _sent(self, request: Request, path: Path) -> Response:
        made = self._holdings.is_simulated(path)
        kind = guess_type(path.name)[0] or "text/plain"
        told = {"openallen-simulated": "true"} if made else {}
        told["content-disposition"] = f"attachment; filename*=utf-8''{quote(path.name)}"
        return _stored(request, path, told | {"content-type": kind})

    async def grid(self, request: Request) -> Response:
        include, number = request.query_params.get("include", ""), request.path_params["id"]
        return await self._worked(
            request, lambda _: _volume(request, lambda: self._volumes.grid(number, include))
        )

    async def connectivity(self, request: Request) -> Response:
        """Return one NRRD; defaults are those of the service."""
        image = request.query_params.get("image", "projection_density")
        resolution = request.query_params.get("resolution", "25")
        if not (resolution.isascii() and resolution.isdigit()):
            return _page(400, f"'{resolution}' is not a number")
        number, um = request.path_params["id"], int(resolution)
        return await self._worked(
            request,
            lambda _: _volume(request, lambda: self._volumes.connectivity(number, image, um)),
        )

    async def published(self, request: Request) -> Response:
        path = request.path_params["path"]
        return await self._worked(
            request, lambda _: _volume(request, lambda: self._volumes.published(path))
        )

    def image(self, request: Request) -> Response:
        """Redirect to the image server, as the service does."""
        from starlette.responses import Response

        try:
            row = self._pictures.row(request.path_params["id"])
            query = dict(request.query_params)
            path = _path_of(row, query.pop("view", ""))
            given = _numbers(query)
        except Refusal as error:
            return _page(404, str(error))
        except UsageError as error:
            return _page(400, str(error))
        downsample = given.get("downsample", 0)
        width, height = tier_size_px(row["width"], row["height"], downsample)
        asked: dict[str, Any] = {"mime": 1, "path": path}
        asked |= {"left": row["x"], "top": row["y"], "width": width, "height": height}
        asked |= given | {"downsample": downsample}
        location = f"//{request.url.netloc}/cgi-bin/imageservice?{urlencode(asked, safe='/')}"
        return Response(status_code=302, headers={"location": location})

    def drawing(self, request: Request) -> Response:
        """Return a drawing as it is stored; groups and downsampling are not supported."""
        path = self._holdings.drawing(request.path_params["id"])
        if path is None:
            return _page(404, "no such drawing")
        if request.query_params:
            return _page(400, f"this archive does not support {', '.join(request.query_params)}")
        return _streamed(path.read_bytes(), "image/svg+xml")

    async def picture(self, request: Request) -> Response:
        return await self._worked(request, lambda gone: self._picture(request, gone))

    def _picture(self, request: Request, gone: Callable[[], bool]) -> Response:
        given = dict(request.query_params)
        path = given.pop("path", "")
        given.pop("mime", None)
        try:
            numbers = _numbers(given)
            row = self._holdings.row("sub_images", "path", path)
            row = row or self._holdings.row("sub_images", "expression_path", path)
            row = row or {"x": 0, "y": 0}
            # The scanned image has a border that the picture is cut out of: its corner is (x, y).
            view = View(
                numbers.get("downsample", 0),
                max(0, numbers.get("left", 0) - row["x"]),
                max(0, numbers.get("top", 0) - row["y"]),
                numbers.get("width"),
                numbers.get("height"),
                numbers.get("quality"),
            )
            picture = self._pictures.by_path(path, view, gone)
        except Refusal as error:
            return _page(404, str(error))
        except UsageError as error:
            return _page(400, str(error))
        headers = {"openallen-simulated": "true"} if picture.simulated else {}
        return _streamed(picture.jpeg, "image/jpeg", headers)


def _path_of(row: dict[str, Any], view: str) -> str:
    """Return the path of an image at the image server, or of a view of it."""
    if not view:
        return str(row["path"])
    if view != "expression":
        raise UsageError(f"this archive does not support view={view}")
    if not row.get("expression_path"):
        raise Refusal(f"image {row['id']} has no segmented expression")
    return str(row["expression_path"])


def _numbers(given: dict[str, str]) -> dict[str, int]:
    unknown = sorted(set(given) - _UNDERSTOOD)
    if unknown:
        raise UsageError(f"this archive does not support {', '.join(unknown)}")
    try:
        found = {name: int(text) for name, text in given.items()}
    except ValueError as error:
        raise UsageError(f"a number is needed: {error}") from None
    for name, number in found.items():
        least, most = _BOUNDS.get(name, (0, 1 << 20))
        if not least <= number <= most:
            raise UsageError(f"{name} is {number}, not between {least} and {most}")
    return found


def _written(result: Result, form: str) -> tuple[bytes, str]:
    """Return the body and its type."""
    if form == "json":
        return json_answer(result), "application/json"
    if form == "xml":
        return xml_answer(result), "application/xml"
    return csv_answer(result), "text/csv"


def _description(models: Any) -> Response:
    described = [
        {
            "DataDescription": {
                model.name: {
                    "fields": [{"name": f.name, "type": f.type} for f in model.fields.values()],
                    "associations": [
                        {"name": a.name, "type": a.kind, "class": a.model}
                        for a in model.associations.values()
                    ],
                    "table": model.table,
                }
            }
        }
        for model in _listed(models)
    ]
    import json

    return _streamed(
        json.dumps({"success": True, "id": 0, "msg": described}).encode(), "application/json"
    )


def _listed(models: Any) -> list[Model]:
    return list(models)


def _streamed(body: bytes, kind: str, headers: dict[str, str] | None = None) -> Response:
    """Return a response without a length, as the service sends them."""
    from starlette.responses import StreamingResponse

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    return StreamingResponse(pieces(), media_type=kind, headers=headers)


def _volume(request: Request, find: Callable[[], Volume]) -> Response:
    """Return a response with a volume, or the message of a refusal."""
    try:
        return _bytes(request, find())
    except (Refusal, IntegrityError) as error:
        return _page(404, str(error))


def _bytes(request: Request, volume: Volume) -> Response:
    from starlette.responses import Response

    kind = "application/octet-stream"
    headers = {"openallen-simulated": "true"} if volume.simulated else {}
    if isinstance(volume.data, Path):
        return _stored(request, volume.data, headers | {"content-type": kind})
    return Response(volume.data, media_type=kind, headers=headers)


def _stored(request: Request, path: Path, told: dict[str, str]) -> Response:
    """Return a response with a file of the archive, piece by piece, or with a part of it."""
    try:
        here = path.lstat()
        file = open_plain(path, here.st_size)
    except OSError:
        return _page(404, f"{path.name} is no longer there")
    told |= {"etag": f'"{file_tag(here)}"', "last-modified": formatdate(here.st_mtime, usegmt=True)}
    return sent_file(file, here.st_size, told, request.method, request.headers)


def _page(status: int, text: str) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(f"<!DOCTYPE html><html><body>{escape(text)}</body></html>", status)
