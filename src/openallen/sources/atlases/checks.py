"""Looking at volumes and ontologies as they come; nothing but the standard library is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openallen.errors import AnswerError, CorruptError
from openallen.formats.inflate import fits, inflated
from openallen.formats.metaimage import parse_header
from openallen.formats.zips import Zip
from openallen.sources.atlases.structures import Structures

__all__ = ["OntologyCheck", "VolumesCheck"]


@dataclass(frozen=True)
class VolumesCheck:
    """The check of a zip of volumes before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Check that each header's data are there, whole, and of the size the header says.

        Raises
        ------
        IntegrityError
            If they are not, or there is no volume at all.
        """
        with Zip(path) as packed:
            heads = [name for name in packed.names if name.endswith(".mhd")]
            if not heads:
                raise CorruptError("no volume in this zip", why=", ".join(packed.names[:8]))
            for name in heads:
                self._one(packed, name)
        return {"volumes": [name.rpartition("/")[2].removesuffix(".mhd") for name in heads]}

    @staticmethod
    def _one(packed: Zip, name: str) -> None:
        head = packed.read(name)
        header = parse_header(head, name)
        local = header.data_file == "LOCAL"
        raw = head[header.size_bytes :] if local else packed.beside(name)(header.data_file)
        size = sum(map(len, inflated(raw))) if header.compressed else len(raw)
        fits(size, header.data_bytes, name)


@dataclass(frozen=True)
class OntologyCheck:
    """The check of a downloaded ontology before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Check that it is a tree of structures.

        Raises
        ------
        IntegrityError
            If it is not.
        """
        try:
            return {"structures": len(Structures.from_graph(path.read_bytes()))}
        except AnswerError as error:
            raise CorruptError("not an ontology", why=str(error)) from error
