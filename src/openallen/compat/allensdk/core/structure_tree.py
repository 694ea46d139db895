"""AllenSDK's ``StructureTree``: the ontology of structures."""

from __future__ import annotations

from typing import Any

from openallen.compat.asking import later
from openallen.compat.elsewhere import named

_unknown = named(__name__)


def __getattr__(name: str) -> Any:
    if name != "StructureTree":
        return _unknown(name)
    return later("openallen.sources.atlases", name)
