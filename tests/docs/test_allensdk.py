"""The list of AllenSDK's calls tells the truth: each expression runs on the sample."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).parents[2] / "docs" / "reference" / "allensdk.toml"

if not LIST.is_file():
    pytest.skip("the documentation is not here", allow_module_level=True)

AREAS: list[dict[str, Any]] = tomllib.loads(LIST.read_text("utf-8")).get("area", [])
NOTEBOOKS: list[dict[str, Any]] = tomllib.loads(LIST.read_text("utf-8"))["notebook"]
HOW_TO = LIST.parents[1] / "how-to" / "from-allensdk.md"
CALLS = [(area["title"], call) for area in AREAS for call in area["call"]]


@pytest.fixture(scope="module")
def places(sample_url, published, tmp_path_factory) -> dict[str, dict[str, str]]:
    """Settings under which the calls of an area run, by what it needs."""
    from vbncache import NAME, write_cache

    store = tmp_path_factory.mktemp("store")
    (store / "releases" / NAME).mkdir(parents=True)
    write_cache(store / "releases" / NAME)
    return {
        "": {"OPENALLEN_SOURCE": sample_url},
        "a bucket": {"OPENALLEN_S3_ENDPOINT": published.endpoint},
        "a folder": {"OPENALLEN_STORE": str(store), "OPENALLEN_OFFLINE": "1"},
    }


@pytest.fixture(scope="module")
def prepared(places):
    """Names that the setup of an area defines, made once for each area; and its settings."""
    made: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}

    def prepare(title: str) -> tuple[dict[str, Any], dict[str, str]]:
        if title not in made:
            area = next(area for area in AREAS if area["title"] == title)
            names: dict[str, Any] = {}
            with pytest.MonkeyPatch.context() as patch:
                for name, value in places[area.get("needs", "")].items():
                    patch.setenv(name, value)
                exec(area["setup"], names)
            made[title] = (names, places[area.get("needs", "")])
        return made[title]

    return prepare


@pytest.mark.parametrize(
    ("title", "call"), CALLS, ids=[f"{title}: {call['allensdk']}" for title, call in CALLS]
)
def test_what_does_the_same_runs(title, call, prepared, monkeypatch):
    assert set(call) <= {"allensdk", "ours", "state", "note", "run", "reason"}
    assert ("run" in call) == ("reason" in call), "what is not run has a reason"
    assert call["state"] in {"same", "differs", "no"}
    assert call["state"] == "same" or call["note"], "what differs is said"
    if not call.get("ours"):
        assert call["state"] == "no"
        return
    if "run" in call:
        assert call["run"] is False
        compile(call["ours"], call["allensdk"], "eval")
        return
    names, settings = prepared(title)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert eval(call["ours"], dict(names)) is not None


def test_steps_of_notebooks_are_counted():
    for row in NOTEBOOKS:
        assert 0 <= row["whole"] <= row["steps"]
        assert (row["whole"] == row["steps"]) != bool(row.get("rest")), "what is not whole is said"
    steps, whole = (sum(row[name] for row in NOTEBOOKS) for name in ("steps", "whole"))
    said = f"Of the {steps} data steps in {len(NOTEBOOKS)} of AllenSDK's example notebooks"
    text = HOW_TO.read_text("utf-8")
    assert said in text
    assert f"is not counted), {whole} give the same values" in text


def test_few_calls_are_not_run():
    not_run = [call for _, call in CALLS if "run" in call]
    assert len(not_run) < len(CALLS) / 8
