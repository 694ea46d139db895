"""The planes of a packaged stack, each decoded when it is asked for, not before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from openallen.display import count_text
from openallen.errors import CorruptError, NotFoundError
from openallen.sources.stacks.manifest import PlaneEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PlaneImage", "Planes"]


@dataclass(frozen=True)
class PlaneImage:
    """One plane of a packaged stack.

    Parameters
    ----------
    entry
        What the manifest says of it.
    path
        Where its JPEG is.
    """

    entry: PlaneEntry
    path: Path

    @property
    def section_number(self) -> int:
        """Its number in the data set."""
        return self.entry.section_number

    @property
    def z_um(self) -> float:
        """Its depth below the first section, in µm."""
        return self.entry.z_um

    def jpeg(self) -> bytes:
        """Return the JPEG as the service sent it.

        Raises
        ------
        NotFoundError
            If the file is gone since the stack was fetched.
        CorruptError
            If its bytes are not those the manifest tells of.
        """
        address, hint = str(self.path), "run the command that fetched the stack again"
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError("a plane is gone", address=address, hint=hint) from error
        told = self.entry.sha256
        if told and hashlib.sha256(data, usedforsecurity=False).hexdigest() != told:
            raise CorruptError(
                "a plane is damaged",
                address=address,
                why="its SHA-256 is not the one in the manifest",
                hint=hint,
            )
        return data

    def read(self, *, gray: bool = False) -> NDArray[np.uint8]:
        """Decode it: uint8, (y, x, 3) red, green, blue, or (y, x) for gray.

        Raises
        ------
        NotFoundError, CorruptError
            As `jpeg` does, and if it does not decode.
        MissingExtraError
            Without the extra ``images``.
        """
        from openallen.formats.jpeg import decode

        return decode(self.jpeg(), gray=gray)


class Planes(Sequence[PlaneImage]):
    """The planes that are here, in the order of the sections; decoded one by one when asked."""

    def __init__(self, images: Sequence[PlaneImage]) -> None:
        self._images = tuple(images)

    @overload
    def __getitem__(self, index: int) -> PlaneImage: ...
    @overload
    def __getitem__(self, index: slice) -> Planes: ...
    def __getitem__(self, index: int | slice) -> PlaneImage | Planes:
        return Planes(self._images[index]) if isinstance(index, slice) else self._images[index]

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
