"""Overviews of planes: small pictures, kept in the store beside the stacks, never in their folders.

The folder of a stack holds what was fetched and nothing else, wherever it lies. Overviews are a
cache: ``overviews/stacks/313862022/12-0123456789abcdef.jpg`` in the store, named by place and
digest of the plane, so that one of other bytes is never taken for it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.overview import encode_jpeg, overview_factor, reduced, write_overview

if TYPE_CHECKING:
    from openallen.formats.jpeg import Buffer, JpegFacts

__all__ = ["KeepOverview", "forget_overviews", "kept_keys", "overviews_folder", "plane_key", "tidy"]

_LOG: Final = logging.getLogger("openallen.store")
_FOLDER: Final = "overviews"
_ELSEWHERE: Final = "elsewhere"
_MOST_SCALE: Final = 8
_KEY: Final = re.compile(r"(\d+)-[0-9a-f]{16}")


def overviews_folder(store: Path, folder: Path) -> Path:
    """Return where the overviews of a stack are kept.

    Parameters
    ----------
    store
        The store.
    folder
        The folder of the stack, in the store or elsewhere.
    """
    root, where = store.absolute(), folder.absolute()
    if where.is_relative_to(root):
        return root / _FOLDER / where.relative_to(root)
    told = hashlib.sha256(str(where).encode("utf-8", "surrogateescape")).hexdigest()
    return root / _FOLDER / _ELSEWHERE / f"{where.name[:60]}-{told[:16]}"


def plane_key(position: int, sha256: str) -> str:
    """Return what names a plane and its bytes.

    Parameters
    ----------
    position
        Its place in the stack.
    sha256
        Digest of its JPEG, as hex.
    """
    return f"{position}-{sha256[:16]}"


def kept_keys(folder: Path) -> dict[int, str]:
    """Return the key of the overview of each plane that has one, by the place of the plane.

    Parameters
    ----------
    folder
        Where overviews are kept.
    """
    found: dict[int, tuple[int, str]] = {}
    try:
        for path in folder.glob("*.jpg"):
            match = _KEY.fullmatch(path.stem)
            if match is not None:
                newest = (path.stat().st_mtime_ns, path.stem)
                found[int(match[1])] = max(found.get(int(match[1]), newest), newest)
    except OSError:
        return {}
    return {position: key for position, (_, key) in found.items()}


def tidy(folder: Path, keys: Iterable[str]) -> None:
    """Remove overviews of planes that are no longer there, or have other bytes now.

    Parameters
    ----------
    folder
        Where overviews are kept.
    keys
        Keys of the planes that are there.
    """
    wanted = set(keys)
    with suppress(OSError):
        for path in folder.glob("*.jpg"):
            if path.stem not in wanted:
                path.unlink(missing_ok=True)


def forget_overviews(store: Path, folder: Path) -> None:
    """Remove the overviews of a stack.

    Parameters
    ----------
    store, folder
        As for `overviews_folder`.
    """
    shutil.rmtree(overviews_folder(store, folder), ignore_errors=True)


@dataclass(frozen=True)
class KeepOverview:
    """Makes the overview of a plane of what its check has decoded.

    Nothing that goes wrong here fails the fetch: overviews can be made later too.

    Parameters
    ----------
    folder
        Where overviews are kept.
    position
        Place of the plane in the stack.
    arrived
        Called before, for each plane that passed its check.
    """

    folder: Path
    position: int
    arrived: Callable[[], object]

    def factor(self, facts: JpegFacts) -> int:
        """Return how many times smaller the overview is, as far as decoders can do that."""
        factor = overview_factor(facts.width_px, facts.height_px)
        return _MOST_SCALE if factor == 1 else min(_MOST_SCALE, factor)

    def keep(self, data: Buffer, facts: JpegFacts, pixels: Any) -> None:
        """Write the overview, named by the digest of the plane."""
        try:
            self.arrived()
            factor = overview_factor(facts.width_px, facts.height_px)
            if pixels is None or factor == 1:
                return  # no decoder, or a plane that is small enough as it is
            gray = pixels.shape[-1] == 1
            small = reduced(pixels[..., 0] if gray else pixels, factor // self.factor(facts))
            sha256 = hashlib.sha256(data, usedforsecurity=False).hexdigest()
            write_overview(self.folder, plane_key(self.position, sha256), encode_jpeg(small))
        except Exception as error:  # noqa: BLE001 - whatever it is, the plane itself is whole
            _LOG.debug("no overview of plane %d: %s", self.position, error)
