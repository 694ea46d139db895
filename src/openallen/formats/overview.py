"""Small pictures of whole planes, and what can be computed of them: projections and focus.

A plane of 44 million pixels takes a tenth of a second to decode; at an eighth of its size it is
40 kB, which a browser shows at once. The check of a download decodes each plane at that size
anyway.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError, requiring
from openallen.formats.focus import focus_measure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "AXES",
    "FUNCTIONS",
    "Sides",
    "encode_jpeg",
    "is_coloured",
    "luminance",
    "overview_factor",
    "read_overview",
    "reduced",
    "scaled_jpeg",
    "write_overview",
]

AXES: Final = ("xy", "xz", "yz")
FUNCTIONS: Final = ("min", "max", "mean")

_LONGEST_PX: Final = 1024
_QUALITY: Final = 85
_DECODER_FACTORS: Final = 8  # the decoder itself scales down to an eighth, at less cost
_COLOUR: Final = 12  # of 255: what JPEG makes of gray differs less between channels


def overview_factor(width_px: int, height_px: int) -> int:
    """Return how many times smaller the overview of a plane is: a power of two.

    Parameters
    ----------
    width_px, height_px
        Size of the plane.
    """
    factor = 1
    while max(width_px, height_px) > factor * _LONGEST_PX:
        factor *= 2
    return factor


def scaled_jpeg(data: Any, factor: int, *, gray: bool) -> NDArray[np.uint8]:
    """Decode a JPEG at a part of its size; every coded bit is read all the same.

    Parameters
    ----------
    data
        All bytes of the file.
    factor
        How many times smaller; a power of two.
    gray
        Give luminance alone.

    Returns
    -------
    numpy.ndarray
        uint8, shape (y, x) or (y, x, 3); sides are rounded up.

    Raises
    ------
    CorruptError
        If it does not decode.
    MissingExtraError
        Without the extra ``images``.
    """
    with requiring("decoding pictures", "images"):
        import simplejpeg
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        by = min(factor, _DECODER_FACTORS)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            colorspace="GRAY" if gray else "RGB",
            min_height=-(-height // by),
            min_width=-(-width // by),
            min_factor=1,
            strict=True,
        )
    except ValueError as error:
        raise CorruptError("the picture does not decode", why=str(error)) from error
    return reduced(pixels[..., 0] if gray else pixels, factor // by)


def reduced(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return a picture made smaller by a whole factor: means, sides rounded up.

    Parameters
    ----------
    pixels
        uint8, shape (y, x) or (y, x, 3).
    factor
        How many times smaller.
    """
    if factor <= 1:
        return pixels
    with requiring("reducing pictures", "images"):
        import numpy as np
        from PIL import Image
    return np.asarray(Image.fromarray(pixels).reduce(factor))


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = _QUALITY) -> bytes:
    """Return pixels as a JPEG.

    Parameters
    ----------
    pixels
        uint8, shape (y, x) or (y, x, 3).
    quality
        1 to 100.

    Raises
    ------
    MissingExtraError
        Without the extra ``images``.
    """
    with requiring("encoding pictures", "images"):
        import numpy as np
        import simplejpeg
    gray = pixels.ndim == 2
    body: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels[..., None] if gray else pixels),
        quality=quality,
        colorspace="GRAY" if gray else "RGB",
        colorsubsampling="Gray" if gray else "420",
        fastdct=True,
    )
    return body


def is_coloured(pixels: NDArray[np.uint8]) -> bool:
    """Return whether a picture has any colour beyond what coding makes of gray.

    Parameters
    ----------
    pixels
        uint8, shape (y, x) or (y, x, 3).
    """
    import numpy as np

    if pixels.ndim == 2:
        return False
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    return bool(np.mean(high - low > _COLOUR) > 0.001)


def read_overview(folder: Path | None, key: str) -> bytes | None:
    """Return a kept overview; None where there is none, or it is not whole.

    Parameters
    ----------
    folder
        Where overviews are kept; None for nowhere.
    key
        What names the plane and its bytes.
    """
    if folder is None:
        return None
    try:
        body = (folder / f"{key}.jpg").read_bytes()
    except (OSError, ValueError):
        return None
    # Nothing waits for the disk when these are written: after a power failure one may be empty.
    return body if body[:2] == b"\xff\xd8" and body[-2:] == b"\xff\xd9" else None


def write_overview(folder: Path, key: str, body: bytes) -> None:
    """Keep an overview, whole or not at all.

    Parameters
    ----------
    folder
        Where; it is made if need be.
    key
        What names the plane and its bytes.
    body
        The JPEG.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{key}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        draft.write_bytes(body)
        draft.replace(folder / f"{key}.jpg")
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


class Sides:
    """Projections along each axis, and the focus of each plane, from overviews in any order.

    Parameters
    ----------
    planes
        Number of planes.
    height_px, width_px
        Size of an overview.
    colour
        Whether overviews have three channels, each of which is projected.

    Attributes
    ----------
    focus : list of float or None
        Variance of the Laplacian of each plane; None for those that were not added.
    """

    def __init__(self, planes: int, height_px: int, width_px: int, *, colour: bool = False) -> None:
        import numpy as np

        more = (3,) if colour else ()
        flat, xz, yz = (
            (*size, *more)
            for size in ((height_px, width_px), (planes, width_px), (height_px, planes))
        )
        self.focus: list[float | None] = [None] * planes
        self._size = flat
        self._flat = {"min": np.full(flat, 255, np.uint8), "max": np.zeros(flat, np.uint8)}
        self._sum = np.zeros(flat, np.uint32)
        self._beside = {
            (name, axes): np.zeros(shape, np.uint8)
            for name in FUNCTIONS
            for axes, shape in (("xz", xz), ("yz", yz))
        }
        self._count = 0

    def add(self, z: int, pixels: NDArray[np.uint8]) -> None:
        """Add a plane that was not added before.

        Parameters
        ----------
        z
            Its place.
        pixels
            Its overview: uint8, shape (y, x), or (y, x, 3) in colour.

        Raises
        ------
        CorruptError
            If it is of another size.
        NotFoundError
            If there is no such place.
        """
        import numpy as np

        if pixels.shape != self._size:
            raise CorruptError(
                "a plane of another size", why=f"{pixels.shape} pixels, not {self._size}"
            )
        if not 0 <= z < len(self.focus):
            raise NotFoundError(f"no plane {z}")
        np.minimum(self._flat["min"], pixels, out=self._flat["min"])
        np.maximum(self._flat["max"], pixels, out=self._flat["max"])
        self._sum += pixels
        for axis, axes in ((0, "xz"), (1, "yz")):
            lines = {
                "min": pixels.min(axis=axis),
                "max": pixels.max(axis=axis),
                "mean": np.rint(pixels.mean(axis=axis)).astype(np.uint8),
            }
            for name, line in lines.items():
                self._beside[name, axes][z if axis == 0 else (slice(None), z)] = line
        self._count += 1
        self.focus[z] = focus_measure(luminance(pixels))

    def projection(self, function: str, axes: str) -> NDArray[np.uint8]:
        """Return a projection of the planes added so far.

        Parameters
        ----------
        function
            One of `FUNCTIONS`.
        axes
            ``xy``, shape (y, x); ``xz``, shape (z, x); ``yz``, shape (y, z); with a third axis in
            colour. One pixel for each plane in z; 0 where a plane was not added.

        Raises
        ------
        NotFoundError
            If there is no such projection, or nothing was added.
        """
        import numpy as np

        if function not in FUNCTIONS or axes not in AXES or not self._count:
            raise NotFoundError("no such projection", address=f"{function}_{axes}"[:40])
        if axes != "xy":
            return self._beside[function, axes].copy()
        if function == "mean":
            return np.rint(self._sum / np.float32(self._count)).astype(np.uint8)
        return self._flat[function].copy()


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luminance of colours, as JPEG has it.

    Parameters
    ----------
    pixels
        uint8, shape (y, x) or (y, x, 3).
    """
    import numpy as np

    if pixels.ndim == 2:
        return pixels
    weighed: Any = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    found: NDArray[np.uint8] = np.rint(weighed).astype(np.uint8)
    return found
