"""The planes of a packaged stack, each decoded when it is read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

from openallen.display import card, count_text, table_html
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.sources.stacks.manifest import PlaneEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PlaneImage", "PlaneIndexError", "Planes", "thumbnail"]

_SHOWN: Final = 10
_THUMBNAIL_BYTES: Final = 400_000


class PlaneIndexError(NotFoundError, IndexError):
    """A plane was asked for that is not among those here."""


@dataclass(frozen=True, repr=False)
class PlaneImage:
    """One plane of a packaged stack, with its JPEG here.

    Parameters
    ----------
    entry
        Its entry in the manifest.
    path
        Path of its JPEG.
    """

    entry: PlaneEntry
    path: Path

    def __repr__(self) -> str:
        return repr(self.entry)

    def _repr_html_(self) -> str:
        e = self.entry
        facts = {
            "section": e.section_number,
            "z": f"{e.z_um:g} µm",
            "size": e.size_text,
            "file": self.path,
            "pixels": "simulated" if e.simulated else None,
        }
        return card(f"Plane {e.position}", facts, image=thumbnail(self.path))

    @property
    def section_number(self) -> int:
        """Section number in the data set."""
        return self.entry.section_number

    @property
    def z_um(self) -> float:
        """Depth below the first section, in µm."""
        return self.entry.z_um

    def jpeg(self) -> bytes:
        """Return the JPEG as the service sent it.

        Raises
        ------
        NotFoundError
            If the file has been removed since the stack was fetched.
        CorruptError
            If its SHA-256 is not the one in the manifest.
        """
        address, hint = str(self.path), "run the command that fetched the stack again"
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError("a plane is missing", address=address, hint=hint) from error
        known = self.entry.sha256
        if known and hashlib.sha256(data, usedforsecurity=False).hexdigest() != known:
            raise CorruptError(
                "a plane is damaged",
                address=address,
                why="its SHA-256 is not the one in the manifest",
                hint=hint,
            )
        return data

    def read(self, *, gray: bool = False) -> NDArray[np.uint8]:
        """Decode the plane.

        Parameters
        ----------
        gray
            Luminance only.

        Returns
        -------
        numpy.ndarray
            uint8, shape (y, x, 3) red, green, blue; or (y, x) for gray.

        Raises
        ------
        NotFoundError, CorruptError
            As `jpeg` does; CorruptError also if it does not decode.
        MissingExtraError
            Without the extra ``images``.
        """
        from openallen.formats.jpeg import decode

        return decode(self.jpeg(), gray=gray)


class Planes(Sequence[PlaneImage]):
    """The planes that are here, in the order of the sections; each is decoded when it is read.

    Parameters
    ----------
    images
        The planes.
    address
        Address of their stack, for messages.

    Raises
    ------
    PlaneIndexError
        For an index beyond the planes that are here.
    """

    def __init__(self, images: Sequence[PlaneImage], address: str = "") -> None:
        self._images = tuple(images)
        self._address = address

    @overload
    def __getitem__(self, index: int) -> PlaneImage: ...
    @overload
    def __getitem__(self, index: slice) -> Planes: ...
    def __getitem__(self, index: int | slice) -> PlaneImage | Planes:
        if isinstance(index, slice):
            return Planes(self._images[index], self._address)
        try:
            return self._images[index]
        except IndexError:
            raise self._none(index) from None
        except TypeError as error:
            raise UsageError(
                "planes are counted with integers or slices",
                address=self._address,
                why=f"not with {index!r}",
            ) from error

    def _none(self, index: int) -> PlaneIndexError:
        count = len(self._images)
        why = f"{count_text(count, 'plane')} here, 0 to {count - 1}" if count else "none is here"
        return PlaneIndexError(f"no plane {index}", address=self._address, why=why)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[PlaneImage]:
        return iter(self._images)

    def __repr__(self) -> str:
        if not self._images:
            return "no planes"
        first, last = self._images[0], self._images[-1]
        return (
            f"{count_text(len(self), 'plane')}, sections {first.section_number} to"
            f" {last.section_number}, z {first.z_um:g} to {last.z_um:g} µm"
        )

    def _repr_html_(self) -> str:
        entries = [image.entry for image in self._images]
        left_out = len(entries) - _SHOWN
        note = f"{left_out:,} more" if left_out > 0 else ""
        rows = [
            (e.position, e.section_number, f"{e.z_um:g}", e.size_text) for e in entries[:_SHOWN]
        ]
        return table_html(
            ("plane", "section", "z (µm)", "size"),
            rows,
            note=". ".join(filter(None, [repr(self), note])),
        )


def thumbnail(path: Path | None) -> str:
    """Return a JPEG as a small ``data:`` URI; empty where it is missing or cannot be decoded."""
    try:
        data = path.read_bytes() if path is not None else b""
    except OSError:
        return ""
    if len(data) > _THUMBNAIL_BYTES:
        data = _shrunk(data)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else ""


def _shrunk(data: bytes) -> bytes:
    """Return a picture small enough for a notebook; nothing where no decoder is installed."""
    try:
        import simplejpeg
    except ImportError:
        return b""
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="GRAY", min_height=320, min_width=1)
    except ValueError:
        return b""
    small: bytes = simplejpeg.encode_jpeg(pixels, quality=80, colorspace="GRAY")
    return small
