"""SVG: whether a drawing is whole. Atlas images come with their structures drawn in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

from openallen.errors import CorruptError, TruncatedError

__all__ = ["SvgCheck", "inspect_svg"]


def inspect_svg(data: bytes) -> int:
    """Read a drawing to its end; give the number of its paths.

    Entities are not expanded, so a hostile one costs nothing.

    Raises
    ------
    TruncatedError
        If it ends before its root does.
    CorruptError
        If it is no XML, declares entities, or its root is not ``svg``.
    """
    names: list[str] = []

    def begin(name: str, _: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if not names and local != "svg":
            raise CorruptError("not an SVG", why=f"its root is {name!r}")
        names.append(local)

    def entity(name: str, *_: object) -> None:
        raise CorruptError("an SVG with entities of its own", why=f"it declares {name!r}")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        cut = error.code in _CUT and names
        kind = TruncatedError if cut else CorruptError
        raise kind("the drawing cannot be read", why=str(error)) from error
    except CorruptError:
        raise
    except (LookupError, ValueError) as error:  # an encoding that Python cannot give to expat
        raise CorruptError("the drawing cannot be read", why=str(error)) from error
    return names.count("path")


_CUT = {
    expat.errors.codes[text]
    for text in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}


@dataclass(frozen=True)
class SvgCheck:
    """Looks at a downloaded drawing before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Read all of it.

        Raises
        ------
        TruncatedError, CorruptError
            If the drawing is not whole.
        """
        return {"paths": inspect_svg(path.read_bytes())}
