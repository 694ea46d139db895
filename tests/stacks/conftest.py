from __future__ import annotations

from pathlib import Path

import pytest

import openallen as oa

STACK = "stack:313862022"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory, sample_url) -> Path:
    """The sample's stack at a thirty-second of its size; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENALLEN_STORE", str(tmp_path_factory.mktemp("store")))
        return oa.fetch(
            STACK, to=tmp_path_factory.mktemp("cell"), source=sample_url, downsample=5
        ).folder
