"""The planes of a packaged stack that are here, each decoded when it is read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, overload

from openallen.display import card, count_text, table_html
from openallen.errors import CorruptError, NotFoundError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PlaneFacts", "PlaneImage", "PlaneIndexError", "Planes", "thumbnail"]

_SHOWN: Final = 10
_THUMBNAIL_BYTES: Final = 400_000


class PlaneFacts(Protocol):
    """What a manifest says of a plane, whatever stack it is of."""

    @property
    def position(self) -> int:
        """Place in the stack, from 0."""

    @property
    def section_number(self) -> int:
        """Section number in the data set."""

    @property
    def z_um(self) -> float | None:
        """Depth below the first section, in µm; None where the step is not known."""

    @property
    def sha256(self) -> str | None:
        """Digest of its JPEG, as hex."""

    @property
    def simulated(self) -> bool:
        """Whether its pixels are made up."""

    @property
    def size_text(self) -> str:
        """Size in pixels and in bytes."""


E = TypeVar("E", bound=PlaneFacts)


class PlaneIndexError(NotFoundError, IndexError):
    """A plane was asked for that is not among those here."""


@dataclass(frozen=True, repr=False)
class PlaneImage(Generic[E]):
    """One plane of a packaged stack, with its JPEG here.

    Parameters
    ----------
    entry
        Its entry in the manifest.
    path
        Path of its JPEG.
    """

    entry: E
    path: Path

    def __repr__(self) -> str:
        return repr(self.entry)

    def _repr_html_(self) -> str:
        e = self.entry
        facts = {
            "section": e.section_number,
            "z": _z_text(e.z_um),
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
    def z_um(self) -> float | None:
        """Depth below the first section, in µm; None where the step is not known."""
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


class Planes(Sequence[PlaneImage[E]]):
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

    def __init__(self, images: Sequence[PlaneImage[E]], address: str = "") -> None:
        self._images = tuple(images)
        self._address = address

    @overload
    def __getitem__(self, index: int) -> PlaneImage[E]: ...
    @overload
    def __getitem__(self, index: slice) -> Planes[E]: ...
    def __getitem__(self, index: int | slice) -> PlaneImage[E] | Planes[E]:
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

    def __iter__(self) -> Iterator[PlaneImage[E]]:
        return iter(self._images)

    def __repr__(self) -> str:
        if not self._images:
            return "no planes"
        first, last = self._images[0], self._images[-1]
        known = first.z_um is not None and last.z_um is not None
        depth = f", z {first.z_um:g} to {last.z_um:g} µm" if known else ""
        return (
            f"{count_text(len(self), 'plane')}, sections {first.section_number} to"
            f" {last.section_number}{depth}"
        )

    def _repr_html_(self) -> str:
        entries = [image.entry for image in self._images]
        left_out = len(entries) - _SHOWN
        note = f"{left_out:,} more" if left_out > 0 else ""
        rows = [
            (e.position, e.section_number, "" if e.z_um is None else f"{e.z_um:g}", e.size_text)
            for e in entries[:_SHOWN]
        ]
        return table_html(
            ("plane", "section", "z (µm)", "size"),
            rows,
            note=". ".join(filter(None, [repr(self), note])),
        )


def _z_text(z_um: float | None) -> str | None:
    return None if z_um is None else f"{z_um:g} µm"


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
