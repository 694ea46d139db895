"""Plans for single images and single well-known files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from openallen.address import Address
from openallen.brainmap.builder import Search
from openallen.brainmap.client import Client
from openallen.brainmap.files import (
    EPHYS_TYPE,
    MARKER_TYPE,
    MODEL_DESCRIPTION_TYPE,
    MODEL_PARAMETERS_TYPE,
    MORPHOLOGY_THUMBNAIL_TYPE,
    RECONSTRUCTION_TYPE,
    FileType,
    WellKnownFile,
    file_url,
)
from openallen.brainmap.images import DrawingRequest, ImageRequest, tier_size_px
from openallen.formats.checks import Hdf5Check, JsonCheck
from openallen.formats.jpeg import JpegCheck
from openallen.formats.marker import MarkerCheck
from openallen.formats.png import PngCheck
from openallen.formats.svg import SvgCheck
from openallen.formats.swc import SwcCheck
from openallen.plans import Check, Plan, RemoteFile, fetch_command, safe_name
from openallen.transfer.job import FileJob

__all__ = [
    "IMAGE_CONNECTIONS",
    "check_for",
    "expected",
    "picture_file",
    "plan_file",
    "plan_image",
    "well_known",
]

IMAGE_CONNECTIONS: Final = 16
"""Requests at once the image services are asked: they are slow, and one in ten hangs."""

# Bytes of a full-size JPEG by its pixels, from planes of about 2 MB at 5,760 x 7,568; smaller tiers
# hold more detail in a pixel.
_BYTES_PER_PX: Final = 0.046
_BYTES_PER_PX_SMALL: Final = 0.1

_TEXT: Final = frozenset({"text"})
_PICTURE: Final = frozenset({"jpeg"})
_DRAWING: Final = frozenset({"xml"})


def plan_image(client: Client, address: Address, to: Path) -> FileJob:
    """Plan one image: ``image:321549654?downsample=3``, or a drawing with ``service=svg``.

    Raises
    ------
    UsageError
        For options the image services do not have.
    """
    drawn = any(c.field == "service" and c.value == "svg" for c in address.conditions)
    request = (DrawingRequest if drawn else ImageRequest).from_address(address)
    options = "".join(f"_{name}-{text}" for name, text in request.options.items())
    suffix = "svg" if drawn else "jpg"
    file = RemoteFile(
        address=str(address),
        url=request.url(client.base_url),
        path=safe_name(f"{request.image_id}{options}.{suffix}", f"{request.image_id}.{suffix}"),
        kind="images",
        expects=_DRAWING if drawn else _PICTURE,
        ranges=False,
        check=SvgCheck() if drawn else JpegCheck(),
        retry=fetch_command(address, to=to, source=client.source),
    )
    return FileJob(_plan(client, address, to, f"Image {request.image_id}", file))


def picture_file(
    client: Client,
    request: ImageRequest,
    size_px: tuple[int, int],
    path: str,
    *,
    kind: str,
    retry: str,
    address: str = "",
    last_digest: str = "",
    last_bytes: int | None = None,
) -> RemoteFile:
    """Return one picture as a part of a larger plan, its size known beforehand.

    Parameters
    ----------
    client
        The service.
    request
        What is asked of it.
    size_px
        Width and height of the picture at full size, as its row has them.
    path
        Where it goes, relative to the folder of the plan.
    kind
        What it is, for people.
    retry
        The command that fetches it.
    address
        What names it; made from the request where left out.
    last_digest, last_bytes
        What a manifest recorded of it.
    """
    width, height = tier_size_px(*size_px, request.downsample or 0)
    per_px = _BYTES_PER_PX_SMALL if request.downsample else _BYTES_PER_PX
    return RemoteFile(
        address=address or request.address,
        url=request.url(client.base_url),
        path=path,
        kind=kind,
        estimate_bytes=int(width * height * per_px),
        last_digest=last_digest,
        last_bytes=last_bytes,
        expects=_PICTURE,
        ranges=False,
        check=JpegCheck(width, height, tolerance_px=1),
        retry=retry,
    )


def plan_file(client: Client, address: Address, to: Path) -> FileJob:
    """Plan one well-known file: ``file:491120155``.

    Its row is requested first, for its name and type. Not every file has a row that can be
    queried; such a file is fetched under its id.
    """
    rows = list(client.rows(Search.of("WellKnownFile").where(id=address.id).query, 1))
    known = WellKnownFile.from_row(rows[0]) if rows else WellKnownFile(id=address.id, type_id=None)
    file = RemoteFile(
        address=str(address),
        url=file_url(client.base_url, address.id),
        path=safe_name(known.path, str(address.id)),
        kind="files",
        expects=expected(known),
        check=check_for(known),
        retry=fetch_command(address, to=to, source=client.source),
    )
    return FileJob(_plan(client, address, to, f"Well-known file {address.id}", file))


def well_known(
    client: Client, known: WellKnownFile, path: str, *, kind: str, retry: str, last_digest: str = ""
) -> RemoteFile:
    """Return a well-known file as a part of a larger plan."""
    return RemoteFile(
        address=f"file:{known.id}",
        url=known.url(client.base_url),
        path=path,
        kind=kind,
        expects=expected(known),
        check=check_for(known),
        retry=retry,
        last_digest=last_digest,
    )


_EXPECTED: Final[Mapping[FileType, frozenset[str]]] = {
    RECONSTRUCTION_TYPE: _TEXT,
    MARKER_TYPE: _TEXT,
    MORPHOLOGY_THUMBNAIL_TYPE: frozenset({"png"}),
    EPHYS_TYPE: frozenset({"hdf5"}),
    MODEL_PARAMETERS_TYPE: frozenset({"json"}),
    MODEL_DESCRIPTION_TYPE: frozenset({"text", "json"}),
}
_CHECKS: Final[Mapping[FileType, Callable[[], Check]]] = {
    RECONSTRUCTION_TYPE: SwcCheck,
    MARKER_TYPE: MarkerCheck,
    MORPHOLOGY_THUMBNAIL_TYPE: PngCheck,
    EPHYS_TYPE: Hdf5Check,
    MODEL_PARAMETERS_TYPE: JsonCheck,
}


def expected(known: WellKnownFile) -> frozenset[str]:
    """Return the kinds of content a file may have; empty, for any, where its type is unknown."""
    return next((kinds for kind, kinds in _EXPECTED.items() if known.is_a(kind)), frozenset())


def check_for(known: WellKnownFile) -> Check | None:
    """Return the check that goes with the type of a file."""
    return next((make() for kind, make in _CHECKS.items() if known.is_a(kind)), None)


def _plan(client: Client, address: Address, to: Path, title: str, file: RemoteFile) -> Plan:
    return Plan(
        address=str(address),
        title=title,
        source=client.source,
        to=to,
        files=(file,),
        notes=client.notes,
        connections=IMAGE_CONNECTIONS,
    )
