"""Connectivity on loopback: a made-up archive, and an empty store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tracing import write_archive

import openallen as oa
from openallen.archive.app import archive_app
from openallen.serving.server import serving
from openallen.sources.connectivity import Connectivity


@pytest.fixture(scope="session")
def traced_url(tmp_path_factory) -> Iterator[str]:
    """The made-up archive, served."""
    root = write_archive(tmp_path_factory.mktemp("traced") / "archive")
    with serving(archive_app(root)) as url:
        yield url


@pytest.fixture
def traced(traced_url, monkeypatch) -> Connectivity:
    """All experiments of it."""
    monkeypatch.setenv("OPENALLEN_SOURCE", traced_url)
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    return oa.open("connectivity:")
