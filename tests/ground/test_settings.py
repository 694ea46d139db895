from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.errors import UsageError
from openallen.settings import Settings, parse_bytes, user_file


@pytest.fixture(autouse=True)
def _no_store_set(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENALLEN_STORE")
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_argument_beats_environment_beats_project_beats_user_beats_default(monkeypatch, tmp_path):
    assert Settings.load().attempts == 5
    assert Settings.load().origins["attempts"] == "default"
    write(user_file(), "attempts = 6")
    assert Settings.load().attempts == 6
    project = write(tmp_path / "openallen.toml", "attempts = 7")
    assert Settings.load().attempts == 7
    assert Settings.load().origins["attempts"] == f"project file {project}"
    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "8")
    assert Settings.load().attempts == 8
    assert Settings.load(attempts=9).attempts == 9
    assert Settings.load(attempts=None).attempts == 8


def test_the_project_file_is_found_from_below(monkeypatch, tmp_path):
    write(tmp_path / "openallen.toml", 'source = "sample"')
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert Settings.load().source == "sample"


def test_values_are_read_when_used(monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "yes")
    assert Settings.load().offline
    monkeypatch.setenv("OPENALLEN_OFFLINE", "0")
    assert not Settings.load().offline


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ATTEMPTS", "many"),
        ("ATTEMPTS", "0"),
        ("OFFLINE", "perhaps"),
        ("CONFIRM_BYTES", "big"),
        ("CONFIRM_BYTES", "9" * 400),
        ("CONNECTIONS", "9" * 5000),
        ("CONNECTIONS", "1e400"),
        ("CONNECT_TIMEOUT_S", "1e300"),
        ("SILENCE_TIMEOUT_S", "inf"),
        ("HEAD_TIMEOUT_S", "nan"),
        ("LEAST_BYTES_PER_S", "9" * 23),
        ("PROJECTS", "[" * 3000),
        ("PROJECTS", '{"a": 5}'),
    ],
)
def test_a_value_that_makes_no_sense_names_where_it_stands(monkeypatch, name, value):
    monkeypatch.setenv(f"OPENALLEN_{name}", value)
    with pytest.raises(UsageError, match=f"environment OPENALLEN_{name}"):
        Settings.load()


def test_an_unknown_name_in_a_file_is_told_the_nearest(tmp_path):
    write(tmp_path / "openallen.toml", "atempts = 3")
    with pytest.raises(UsageError, match="unknown setting 'atempts'") as caught:
        Settings.load()
    assert caught.value.hint == "attempts"


@pytest.mark.parametrize("text", ["attempts = ", "a = " + "[" * 3000, "a = " + "9" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path, text):
    path = write(tmp_path / "openallen.toml", text)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        Settings.load()
    assert caught.value.address == str(path)


def test_paths_are_whole(monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", "~/allen")
    assert Settings.load().store == Path.home() / "allen"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1500", 1500), ("1.5 GB", 1_500_000_000), ("16MiB", 16 << 20), (7, 7), ("2k", 2000)],
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@given(st.integers(0, 10**15))
def test_plain_numbers_are_bytes(size):
    assert parse_bytes(str(size)) == parse_bytes(f"{size:_}") == size
