"""Arrays that belong together are equally long, or it is said which are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError

if TYPE_CHECKING:
    from openallen.formats.nwb import Tree

__all__ = ["same_length"]


def same_length(tree: Tree, path: str, found: Mapping[str, Any]) -> None:
    """Check that arrays that belong together are equally long.

    Raises
    ------
    CorruptError
        If one has another length, with all of them.
    """
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise CorruptError(
            "times and values differ in number",
            address=tree.name,
            why=f"{path}: {', '.join(f'{n:,} {name}' for name, n in lengths.items())}",
        )
