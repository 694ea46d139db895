from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sectionfiles import write_archive


@pytest.fixture(scope="session")
def sections_root(tmp_path_factory) -> Path:
    """The folder of an archive of section images; not to be changed."""
    return write_archive(tmp_path_factory.mktemp("archive") / "sections")


@pytest.fixture(scope="session")
def sections_url(sections_root) -> Iterator[str]:
    """The archive of section images, served on loopback."""
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    with serving(archive_app(sections_root)) as url:
        yield url


@pytest.fixture
def sections(sections_url, monkeypatch, tmp_path) -> str:
    """The same as the source of every call, with a store of its own."""
    monkeypatch.setenv("OPENALLEN_SOURCE", sections_url)
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    return sections_url
