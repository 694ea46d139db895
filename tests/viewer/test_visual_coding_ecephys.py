"""A Visual Coding Neuropixels session in the web view: what the server answers."""

from __future__ import annotations

import gzip
import json
import urllib.request

import pytest
from neuropixels import session_file

from openallen.viewer.items import to_key


def got(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.status == 200
        body = answer.read()
        return gzip.decompress(body) if answer.headers.get("content-encoding") == "gzip" else body


@pytest.fixture
def base(view, tmp_path):
    path = session_file(tmp_path / "session.nwb")
    return view(tmp_path / "store", places={"it": path})


def test_the_page_names_the_session_and_its_views(base):
    page = got(f"{base}/place/it").decode()
    assert "700000001" in page
    assert "Stimulus conditions" in page
    for name in ("raster", "traces", "units", "stimulus_epochs"):
        assert f"/{name}" in page, name


def test_spikes_are_aligned_to_stimuli_and_counted(base):
    raster = f"{base}/v/{to_key('place/it')}/raster/"
    meta = json.loads(got(f"{raster}meta.json"))
    assert meta["units"] == 4
    assert [track["name"] for track in meta["intervals"]] == ["blocks", "presentations", "light"]
    rows = json.loads(got(f"{raster}units.json"))["rows"]
    assert [row[0] for row in rows] == [902, 900, 906, 904]
    asked = f"{raster}aligned.json?row=1&events=presentations&label=flashes&bins=10"
    assert json.loads(got(asked))
    assert got(f"{raster}picture.png")[:4] == b"\x89PNG"
    traces = json.loads(got(f"{base}/v/{to_key('place/it')}/traces/meta.json"))
    assert "running" in json.dumps(traces)
