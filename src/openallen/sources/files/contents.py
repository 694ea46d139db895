"""Files and stores of standard formats: what they are, and how they open, here or remote.

NWB and other HDF5, NWB in Zarr, OME-Zarr and any Zarr, tables, JSON, NumPy arrays, reconstructions,
meshes, pictures, matrices of cells x genes (``.h5ad``). Endings count in any case.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import MissingExtraError, NotFoundError, UsageError, requiring
from openallen.formats.documents import COLUMNAR, ENDINGS, read_document
from openallen.formats.kinds import H5
from openallen.sources.base import LIKELY, MAYBE, Place

if TYPE_CHECKING:
    from openallen.formats.nwb import Tree
    from openallen.sources.context import Context

__all__ = ["open_contents", "open_session", "sureness"]

_PICTURES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_H5AD: Final = ".h5ad"
_FOLDERS: Final = frozenset({"session", "image", "zarr"})


def sureness(place: Place) -> int:
    """Return how sure it is that a place is of a format that opens here."""
    if place.is_folder and place.kind:
        return LIKELY if place.kind in _FOLDERS else 0
    if place.ends(*H5, *ENDINGS, *_PICTURES, ".obj", _H5AD):
        return MAYBE
    # An http address without an ending may lead to HDF5: DANDI's do, which end with a slash, and
    # signed ones. A folder that an address names is one, and no more.
    as_typed = place.file or place.name == place.url
    return MAYBE if as_typed and place.url.startswith("http") and "." not in place.file else 0


def open_contents(context: Context, place: Place, **options: Any) -> Any:
    """Open a place by its format.

    Raises
    ------
    UsageError
        If an option does not go with it.
    CorruptError
        If it is not what it looks like.
    """
    if place.kind == "session" or place.ends(*H5):
        return open_session(context, place, **options)
    if place.ends(*ENDINGS):
        return _document(context, place, **options)
    if options:
        raise UsageError(f"no such option '{next(iter(options))}' here", address=place.name)
    if place.kind:
        return _store(place)
    if place.ends(_H5AD):
        return _h5ad(context, place)
    if place.ends(*_PICTURES):
        return _picture(place)
    return _mesh(place) if place.ends(".obj") else open_session(context, place)


def open_session(context: Context, place: Place, **options: Any) -> Any:
    """Open NWB or other HDF5, here or by ranges."""
    from openallen.sessions.read import any_session_of, open_nwb

    if place.path is not None:
        return open_nwb(place.path, **options)
    opened = any_session_of(_opener(context, place), place.name, **options)
    opened.reopen = (_Reopen(options, context.settings.to_dict()), (place.url or place.name,))
    return opened


def _opener(context: Context, place: Place) -> Callable[[], Tree]:
    def opener() -> Tree:
        from openallen.formats.nwb import open_zarr

        if place.kind:
            return open_zarr(place.objects, place.name, around=place.around, at=place.at)
        return context.h5(place.url, place.name, immutable=place.immutable)

    return opener


class _Reopen:
    """Opens a remote session again, in another process too."""

    def __init__(self, options: dict[str, Any], settings: dict[str, Any]) -> None:
        self._options = options
        self._settings = settings

    def __call__(self, url: str) -> Any:
        from openallen.settings import Settings
        from openallen.sources.context import Context

        with Context(Settings(**self._settings)) as context:
            return open_session(context, context.place(url), **self._options)


def _h5ad(context: Context, place: Place) -> Any:
    """Open a matrix of cells x genes, here or by ranges."""
    with requiring("an .h5ad", "nwb"):
        from openallen.formats.h5ad import H5ad, open_h5ad
    if place.path is not None:
        return open_h5ad(place.path)
    return H5ad(lambda: context.h5(place.url, place.name, immutable=place.immutable), place.name)


def _document(context: Context, place: Place, **options: Any) -> Any:
    strange = [name for name in options if name not in {"columns", "nrows"}]
    if strange:
        raise UsageError(
            f"no such option '{strange[0]}' of tables",
            address=place.name,
            hint="columns, nrows",
        )
    if place.path is not None:
        with place.path.open("rb") as file:
            return read_document(place.objects, place.file, file, **options)
    if place.objects.stat(place.file) is None:
        raise NotFoundError("no such file", address=place.name)
    columnar = place.ends(*COLUMNAR)
    with (
        context.ranged(place.url, immutable=place.immutable) if columnar else nullcontext() as file
    ):
        return read_document(place.objects, place.file, file, **options)


def _store(place: Place) -> Any:
    try:
        if place.kind == "image":
            from openallen.formats.omezarr import OmeZarr

            return OmeZarr(place.objects)
        from openallen.formats.zarrs import Hierarchy
    except ImportError:
        raise MissingExtraError("images", "reading Zarr") from None
    return Hierarchy(place.objects)


def _mesh(place: Place) -> Any:
    from openallen.formats.obj import read_obj

    return read_obj(_body(place), place.name)


_PICTURE_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_MOST_PIXELS: Final = 1 << 28
_BROKEN_PICTURE: Final = (OSError, ValueError, SyntaxError, LookupError, EOFError, TypeError,
                          struct.error, zlib.error, MemoryError, OverflowError)  # fmt: skip


def _picture(place: Place) -> Any:
    """Return pixels: (y, x) or (y, x, channel)."""
    with requiring("a picture", "images"):
        import io

        import numpy as np
        from PIL import Image
    from openallen.errors import CorruptError

    try:
        # By name: Pillow would hand some formats (EPS) to other programs.
        with Image.open(io.BytesIO(_body(place)), formats=_PICTURE_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError(f"{picture.width:,} x {picture.height:,} pixels are too many")
            return np.asarray(picture)
    except (*_BROKEN_PICTURE, Image.DecompressionBombError) as error:
        raise CorruptError(
            "this picture cannot be read", address=place.name, why=str(error)
        ) from error


def _body(place: Place) -> bytes:
    body = place.objects.get(place.file)
    if body is None:
        raise NotFoundError("no such file", address=place.name)
    return body
