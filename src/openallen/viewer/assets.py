"""The built front end: scripts, styles, the icon; below an address that changes when they do."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from openallen.errors import NotFoundError
from openallen.viewer.answers import Answer

__all__ = ["Assets", "assets"]

_FOLDER: Final = Path(__file__).parent / "static"
_IMPORT: Final = re.compile(rb'(?:from|import) ?"\./([\w-]+\.js)"')
_MEDIA: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Assets:
    """The files of the front end.

    Parameters
    ----------
    files
        Bytes by name.
    version
        A digest of all of them.
    """

    files: dict[str, bytes]
    version: str

    def address(self, name: str) -> str:
        """Return where a file is; empty where it is not there, as in a checkout without build."""
        return f"/static/{self.version}/{name}" if name in self.files else ""

    def needed(self, *kinds: str) -> list[str]:
        """Return where the modules of some views are, and those that these import.

        A page that names them lets the browser ask for all at once: else it learns of each from
        the one before, which takes a round trip a time.

        Parameters
        ----------
        kinds
            Names of modules, without ``.js``; what is not there is left out.
        """
        found: dict[str, None] = {}
        todo = [f"{kind}.js" for kind in kinds]
        while todo:
            name = todo.pop(0)
            if name in self.files and name not in found:
                found[name] = None
                todo += [one.decode() for one in _IMPORT.findall(self.files[name])]
        return [self.address(name) for name in found]

    def answer(self, name: str) -> Answer:
        """Return a file.

        Raises
        ------
        NotFoundError
            If there is no such file.
        """
        body = self.files.get(name)
        if body is None:
            raise NotFoundError("no such file", address=name[:80])
        return Answer(body=body, media=_MEDIA[Path(name).suffix], immutable=True)


@cache
def assets() -> Assets:
    """Return the files of the front end, read once."""
    paths = sorted(p for p in _FOLDER.iterdir() if p.suffix in _MEDIA) if _FOLDER.is_dir() else []
    files = {path.name: path.read_bytes() for path in paths}
    told = hashlib.sha256(b"".join(n.encode() + b"\0" + b for n, b in sorted(files.items())))
    return Assets(files, told.hexdigest()[:12])
