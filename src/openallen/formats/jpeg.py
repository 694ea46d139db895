"""JPEG: whether the bytes are whole, how large the picture is, and decoding it.

The image services send no length, so a picture that was cut off can only be told by its own
bytes. Structure alone is checked without any other library; where the extra ``images`` is
installed the coded data is really decoded too, at an eighth of the size, and whatever makes the
decoder complain is damage. No check can find every flipped bit (most are still valid code): from
then on the digest taken on the way in guards the bytes.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import CorruptError, TruncatedError, requiring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["JpegCheck", "JpegFacts", "Keeper", "decode", "decode_into", "inspect"]

Buffer = bytes | bytearray | memoryview | mmap.mmap

_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SEARCHED_BYTES: Final = 1 << 21


@dataclass(frozen=True, slots=True)
class JpegFacts:
    """What the head of a JPEG tells.

    Parameters
    ----------
    width_px, height_px
        Size of the picture.
    components
        1 for gray, 3 for colour.
    progressive
        Whether it is coded in passes.
    """

    width_px: int
    height_px: int
    components: int
    progressive: bool


_MOST_PADDING_BYTES: Final = 4096
_MOST_PIXELS_A_BYTE: Final = 512
"""Each block of 8 x 8 pixels takes a bit at least, so that a few bytes cannot ask for gigabytes."""


def inspect(data: Buffer) -> JpegFacts:
    """Walk through the structure of a JPEG from its first marker to its last.

    Parameters
    ----------
    data
        All bytes of the file.

    Raises
    ------
    TruncatedError
        If it ends before its end marker.
    CorruptError
        With the offset of what should not be there.
    """
    if bytes(data[:2]) != b"\xff\xd8":
        raise CorruptError("not a JPEG", why=f"it begins with {bytes(data[:8])!r}")
    facts: JpegFacts | None = None
    scans = 0
    for marker, at, body in _segments(data):
        if marker in _FRAMES:
            facts = _frame(marker, at, body)
        elif marker == 0xDA:
            scans += 1
    if facts is None or not scans:
        raise CorruptError("a JPEG without a picture", why=f"{scans} scans, frame: {facts}")
    pixels = facts.width_px * facts.height_px
    if pixels > _MOST_PIXELS_A_BYTE * len(data):
        raise CorruptError("a JPEG too small for its picture", why=f"{len(data):,} bytes, {facts}")
    return facts


def _segments(data: Buffer) -> Iterator[tuple[int, int, bytes]]:
    """Return (marker, offset, body) of each segment; ends at the end marker or raises."""
    at = 2
    size = len(data)
    while at + 2 <= size:
        if data[at] != 0xFF:
            raise CorruptError("damaged JPEG", why=f"no marker at byte {at:,}")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xD9:
            _nothing_behind(data, at + 2)
            return
        if at + 4 > size:
            break
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if length < 2:
            raise CorruptError("damaged JPEG", why=f"an empty segment at byte {at:,}")
        yield marker, at, bytes(data[at + 4 : at + 2 + length])
        at += 2 + length
        if marker == 0xDA:
            found = _marker_in_scan(data, at)
            if found is None:
                break
            at = found
    raise TruncatedError("truncated picture", why=f"no end marker within {size:,} bytes")


def _marker_in_scan(data: Buffer, start: int) -> int | None:
    """Return where the coded data from `start` on end: at a marker other than a restart."""
    try:
        import numpy as np
    except ImportError:
        found = _MARKER_IN_SCAN.search(data, start)
        return found.start() if found else None
    # A search by pattern holds the interpreter lock for all of it, so many threads wait for it.
    codes = np.frombuffer(data, np.uint8)
    for at in range(start, len(codes) - 1, _SEARCHED_BYTES):
        block = codes[at : at + _SEARCHED_BYTES + 1]
        places = np.flatnonzero((block[:-1] == 0xFF) & (block[1:] != 0))
        code = block[1:][places]
        places = places[(code & 0xF8 != 0xD0) & (code != 0xFF)]
        if len(places):
            return at + int(places[0])
    return None


def _nothing_behind(data: Buffer, end: int) -> None:
    # Some encoders pad with zeros or a line break; anything else is a sign of two files in one, or
    # of an answer that did not end where the picture did.
    rest = bytes(data[end : end + _MOST_PADDING_BYTES]).strip(b"\x00\r\n\xff\xd9")
    if rest or len(data) - end > _MOST_PADDING_BYTES:
        raise CorruptError("bytes after the end of the JPEG", why=f"{len(data) - end:,} at {end:,}")


def _frame(marker: int, at: int, body: bytes) -> JpegFacts:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise CorruptError("damaged JPEG", why=f"a short frame header at byte {at:,}")
    height, width, components = struct.unpack(">HHB", body[1:6])
    if not (width and height and components):
        raise CorruptError("damaged JPEG", why=f"a picture of {width} x {height} pixels")
    return JpegFacts(width, height, components, marker in {0xC2, 0xC6, 0xCA, 0xCE})


class Keeper(Protocol):
    """Keeps what a check has decoded; must not fail."""

    def factor(self, facts: JpegFacts) -> int:
        """Return how many times smaller the pixels should be: 1, 2, 4 or 8."""
        ...

    def keep(self, data: Buffer, facts: JpegFacts, pixels: NDArray[np.uint8] | None) -> None:
        """Keep pixels of a picture.

        Parameters
        ----------
        data
            All bytes of the file.
        facts
            What its head tells.
        pixels
            uint8, shape (y, x, 1 or 3); None where no decoder is installed.
        """
        ...


@dataclass(frozen=True)
class JpegCheck:
    """Looks at a downloaded JPEG before it gets its name; a `openallen.plans.Check`.

    Parameters
    ----------
    width_px, height_px
        What the size should be; None for any.
    tolerance_px
        How far off it may be: services round odd sizes each in their own way.
    keeper
        Is given the pixels of a picture that passed; decoding them once more would take as long.
    """

    width_px: int | None = None
    height_px: int | None = None
    tolerance_px: int = 0
    keeper: Keeper | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Elsewhere there is nobody to keep the pixels for.
        return (JpegCheck, (self.width_px, self.height_px, self.tolerance_px))

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Check structure and size, and the coded data where it can be decoded.

        Raises
        ------
        TruncatedError, CorruptError
            If the picture is not whole, not right, or not the one asked for.
        """
        with path.open("rb") as file:
            if not file.read(1):
                raise TruncatedError("the picture is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                facts = inspect(data)
                self._compare(facts)
                if self.keeper is None:
                    _decoded(data, facts, 8, colour=False)
                else:
                    colour = facts.components == 3
                    factor = self.keeper.factor(facts)
                    pixels = _decoded(data, facts, factor, colour=colour)
                    self.keeper.keep(data, facts, pixels)
        return {"width_px": facts.width_px, "height_px": facts.height_px}

    def _compare(self, facts: JpegFacts) -> None:
        wanted = (self.width_px, self.height_px)
        for found, expected in zip((facts.width_px, facts.height_px), wanted, strict=True):
            if expected is not None and abs(found - expected) > self.tolerance_px:
                raise CorruptError(
                    "wrong picture size",
                    why=f"{facts.width_px} x {facts.height_px} pixels, not "
                    f"{self.width_px} x {self.height_px}",
                )


def _decoded(
    data: mmap.mmap, facts: JpegFacts, factor: int, *, colour: bool
) -> NDArray[np.uint8] | None:
    """Decode at a part of the size: every coded bit is read, little memory is used."""
    try:
        import simplejpeg
    except ImportError:
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            colorspace="RGB" if colour else "GRAY",
            min_height=-(-facts.height_px // factor),
            min_width=-(-facts.width_px // factor),
            min_factor=1,
            strict=True,
        )
    except ValueError as error:
        raise CorruptError("the picture does not decode", why=str(error)) from error
    return pixels


def decode(data: bytes, *, gray: bool = False) -> NDArray[np.uint8]:
    """Decode a JPEG; threads decode at the same time.

    Parameters
    ----------
    data
        All bytes of the file.
    gray
        Give luminance alone.

    Returns
    -------
    numpy.ndarray
        uint8, shape (y, x) for gray, (y, x, 3) in the order red, green, blue otherwise. A picture
        stored gray is gray whatever was asked.

    Raises
    ------
    CorruptError, TruncatedError
        If it does not decode.
    MissingExtraError
        Without the extra ``images``.
    """
    gray = gray or inspect(data).components == 1
    pixels = _pixels(data, "GRAY" if gray else "RGB", None)
    return pixels[..., 0] if gray else pixels


def decode_into(data: bytes, out: NDArray[np.uint8], *, gray: bool) -> NDArray[np.uint8]:
    """Decode a JPEG into memory that is there; threads decode at the same time.

    New memory for each picture costs the system as much as a fifth of the decoding, and more the
    more threads ask for it.

    Parameters
    ----------
    data
        All bytes of the file.
    out
        uint8, one-dimensional, at least as large as the pixels.
    gray
        Give luminance alone, else colours, also of a picture that is stored gray.

    Returns
    -------
    numpy.ndarray
        uint8, a part of `out`: shape (y, x) for gray, (y, x, 3) in the order red, green, blue
        otherwise.

    Raises
    ------
    CorruptError
        If it does not decode, or does not fit.
    MissingExtraError
        Without the extra ``images``.
    """
    pixels = _pixels(data, "GRAY" if gray else "RGB", out)
    return pixels[..., 0] if gray else pixels


def _pixels(data: bytes, colorspace: str, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    with requiring("decoding pictures", "images"):
        import simplejpeg
    try:
        found: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colorspace=colorspace, buffer=out, strict=True
        )
    except ValueError as error:
        raise CorruptError("the picture does not decode", why=str(error)) from error
    return found
