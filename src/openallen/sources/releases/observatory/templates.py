"""Stimuli of Visual Coding Neuropixels as arrays: frames of movies, and scenes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, requiring

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_movie", "read_scene"]

_NPY: Final = b"\x93NUMPY"
_MOST_PIXELS: Final = 1 << 28


def read_movie(path: Path) -> np.ndarray[Any, Any]:
    """Return the frames of a movie: frame x row x column.

    Parameters
    ----------
    path
        The file. It is called ``.h5`` and is an ``.npy``, as AllenSDK reads it too.

    Raises
    ------
    CorruptError
        If it is none, or is cut off.
    """
    with requiring("the frames of a movie", "images"):
        import numpy as np
    try:
        with path.open("rb") as file:
            if file.read(len(_NPY)) != _NPY:
                raise CorruptError("not the frames of a movie", address=str(path), why="no .npy")
        frames: np.ndarray[Any, Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, CorruptError):
            raise
        raise CorruptError(
            "not the frames of a movie", address=str(path), why=str(error)[:200]
        ) from error
    return frames


def read_scene(path: Path) -> np.ndarray[Any, Any]:
    """Return the pixels of a scene: row x column.

    Parameters
    ----------
    path
        The file, a TIFF.

    Raises
    ------
    CorruptError
        If it is none, is cut off, or is larger than any screen.
    """
    with requiring("the pixels of a scene", "images"):
        import numpy as np
        from PIL import Image, UnidentifiedImageError
    try:
        with warnings.catch_warnings(action="error"), Image.open(path, formats=("TIFF",)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise CorruptError("not a scene", address=str(path), why=f"{image.size} pixels")
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Warning) as error:
        if isinstance(error, CorruptError):
            raise
        raise CorruptError("not a scene", address=str(path), why=str(error)[:200]) from error
