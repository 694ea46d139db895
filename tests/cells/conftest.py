from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cellfiles import write_archive


@pytest.fixture(scope="session")
def cells_root(tmp_path_factory) -> Path:
    """The folder of an archive of cells; not to be changed."""
    return write_archive(tmp_path_factory.mktemp("archive") / "cells")


@pytest.fixture(scope="session")
def cells_url(cells_root) -> Iterator[str]:
    """The archive of cells, served on loopback."""
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    with serving(archive_app(cells_root)) as url:
        yield url


@pytest.fixture
def cells(cells_url, monkeypatch) -> str:
    """The same as the source of every call."""
    monkeypatch.setenv("OPENALLEN_SOURCE", cells_url)
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    return cells_url
