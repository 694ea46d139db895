"""Remote sessions: only the ranges that are touched are requested, and cached."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from openallen.transport import Http, Retry
from openallen.transport.ranges import BLOCK_BYTES, RangeFile

if TYPE_CHECKING:
    from pathlib import Path

    from openallen.formats.nwb import H5Tree

__all__ = ["remote_tree"]


def remote_tree(
    http: Http,
    url: str,
    name: str,
    *,
    blocks: Path | None,
    immutable: bool = False,
    retry: Retry | None = None,
) -> H5Tree:
    """Open a remote HDF5 file.

    Parameters
    ----------
    http
        Who asks; closed with the tree.
    url
        Where the file is.
    name
        What it is called in messages.
    blocks
        Folder of the cache of ranges; None for none.
    immutable
        Whether the URL names one version for good.
    retry
        When a range is asked for again.

    Raises
    ------
    NotFoundError, AnswerError
        If there is no such file, or it cannot be read by ranges.
    CorruptError
        If it is not an HDF5 file.
    """
    from openallen.formats.nwb import open_h5
    from openallen.store.blocks import Blocks

    memory = Blocks(blocks, url, BLOCK_BYTES) if blocks is not None else None
    try:
        raw = RangeFile(http, url, memory=memory, immutable=immutable, retry=retry)
        tree = open_h5(raw, name, raw)
    except BaseException:
        if memory is not None:
            memory.close()
        http.close()
        raise
    tree.also_close(raw.close, http.close)
    # HDF5 closes its files as the process ends, when no Python can answer it any more.
    weakref.finalize(tree, _close, tree.file, raw, http)
    return tree


def _close(file: Any, raw: RangeFile, http: Http) -> None:
    with suppress(Exception):
        file.close()
    raw.close()
    http.close()
