"""The page of a two-photon session of Visual Coding: what the server answers for it."""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any

import numpy as np
import pytest
from visualcoding import FIRST_S, SHOWN, STEP_S, write_ophys

import openallen as oa
from openallen.viewer.items import to_key


def get(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body = answer.read()
        packed = answer.headers.get("content-encoding") == "gzip"
        return answer.headers["content-type"], gzip.decompress(body) if packed else body


@pytest.fixture
def served(view, tmp_path):
    """A file, and what is told of a part of its page."""
    path = write_ophys(tmp_path / "x.nwb", eye=False)
    url = view(tmp_path / "store", places={"it": path})

    def told(place: str) -> Any:
        return json.loads(get(f"{url}/v/{to_key('place/it')}/{place}")[1])

    told.url = url
    return path, told


def test_traces_cells_and_stimuli_are_on_the_page(served):
    path, told = served
    meta = told("traces/meta.json")
    assert (meta["from_s"], meta["to_s"]) == (FIRST_S, FIRST_S + 899 * STEP_S)
    assert [i["name"] for i in meta["intervals"]] == ["epochs", "stimuli"]
    assert {t["group"] for t in meta["tracks"]} == {"ΔF/F", "running"}
    epochs = told("traces/intervals/epochs.json?px=8192")
    assert len(epochs["start"]) == len(SHOWN["three_session_A"])
    with oa.open(path) as session:
        assert meta["rois"]["ids"] == session.get_cell_specimen_ids().tolist()
        shown = session.stimulus_epochs
        masks = session.get_roi_mask_array()
    assert np.allclose(epochs["start"], shown["start_time"], atol=0.01)
    key = f"{told.url}/v/{to_key('place/it')}/traces/rois"
    labels = np.frombuffer(get(f"{key}/labels.bin")[1], "uint16").reshape(20, 40)
    assert np.array_equal(labels > 0, masks.any(axis=0))
    assert get(f"{key}/image.png")[0] == "image/png"


def test_its_tables_are_on_the_page(served):
    _, told = served
    for name in ("cell_specimen_table", "stimulus_epochs", "stimulus_presentations"):
        assert told(f"{name}/rows.json")["rows"]


def test_the_page_itself_answers(served):
    _, told = served
    media, body = get(f"{told.url}/place/it")
    assert media.startswith("text/html")
    assert "three_session_A" in body.decode()
