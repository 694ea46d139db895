from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.errors import UsageError
from openallen.settings import Settings, parse_bytes, untrusted, user_file


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
    assert Settings.load().origins["attempts"] == f"project file {project}, line 1"
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


def test_an_unknown_variable_is_told_the_nearest(monkeypatch):
    monkeypatch.setenv("OPENALLEN_TEST_ANYTHING", "1")
    Settings.load()
    monkeypatch.setenv("OPENALLEN_SORE", "/data")
    with pytest.raises(UsageError, match="unknown setting 'OPENALLEN_SORE'") as caught:
        Settings.load()
    assert caught.value.hint == "OPENALLEN_STORE"
    monkeypatch.delenv("OPENALLEN_SORE")
    monkeypatch.setenv("OPENALLEN_FOO", "")
    with pytest.raises(UsageError, match="OPENALLEN_FOO") as caught:
        Settings.load()
    assert caught.value.hint.startswith("one of store, ")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("connections", "many", "'many' is not a whole number"),
        ("connections", "2.5", "'2.5' is not a whole number"),
        ("attempts", "", "'' is not a whole number"),
        ("attempts", "9" * 5000, "is not a whole number"),
        ("silence_timeout_s", "soon", "'soon' is not a number"),
        ("least_bytes_per_s", "1 kB", "'1 kB' is not a whole number"),
    ],
)
def test_numbers_that_are_none_are_told_in_plain_words(monkeypatch, name, value, says):
    monkeypatch.setenv(f"OPENALLEN_{name.upper()}", value)
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert says in caught.value.why
    assert "literal" not in str(caught.value)


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


@pytest.mark.parametrize(
    "line",
    [
        'validator = "/tmp/mine"', 's3_endpoint = "http://127.0.0.1:1"', 'verify_later = true',
        'docdb_url = "http://127.0.0.1:1"', 'source = "http://127.0.0.1:1"',
        '[projects.visual-behavior-ophys]\nbucket = "mine"', 'projects.a.bucket = "mine"',
        '"validator" = "/tmp/mine"',
    ],
)  # fmt: skip
def test_a_project_file_names_no_program_and_no_service(monkeypatch, tmp_path, line):
    write(tmp_path / "openallen.toml", f"attempts = 3\n\n{line}")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(UsageError, match=r"cannot be set in project file .*toml, line 3") as caught:
        Settings.load()
    assert str(user_file()) in str(caught.value)
    (tmp_path / "openallen.toml").unlink()
    write(user_file(), line)  # the user's own may
    assert Settings.load()


def test_settings_that_a_project_file_may_have(tmp_path):
    write(tmp_path / "openallen.toml", 'store = "/data/allen"\nsource = "sample"\noffline = true')
    found = Settings.load()
    assert (found.store, found.source, found.offline) == (Path("/data/allen"), "sample", True)


def test_a_project_file_that_others_may_change_is_not_read(tmp_path, caplog):
    path = write(tmp_path / "openallen.toml", "attempts = 3")
    path.chmod(0o666)
    assert Settings.load().attempts == 5
    assert Settings.load().attempts == 5
    assert [r.getMessage() for r in caplog.records] == [
        f"{path} is not read: everybody may change it"
    ]
    path.chmod(0o644)
    assert Settings.load().attempts == 3


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="only root gives files away")
def test_a_project_file_of_another_user_is_not_read(tmp_path):
    path = write(tmp_path / "openallen.toml", 'attempts = 3\nvalidator = "/tmp/mine"')
    os.chown(path, 12345, 12345)
    assert Settings.load().attempts == 5
    assert untrusted(path) == "it belongs to another user"
    (tmp_path / "mine.toml").write_text("attempts = 3")
    path.unlink()
    path.symlink_to(tmp_path / "mine.toml")
    os.lchown(path, 12345, 12345)  # somebody else's link to a file of ours
    assert Settings.load().attempts == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("attempts = 3\noffline = \n", "line 2"),
        ("attempts = 3\n\nconnections = 'x'\n", "line 3"),
        ("attempts = 3\nconfirm_bytes = " + "9" * 400, "line 2"),
        ("attempts = 3\nconnections = 1e400", "line 2"),
        ("attempts = 3\nconnections = " + "9" * 5000, "cannot be read"),
        ("attempts = 3\nsilence_timeout_s = nan", "line 2"),
        ("store = '~nosuchuser/x'", "line 1"),
        ("store = " + "[" * 3000, "cannot be read"),
        ("attempts = 3\nsource = '\udcff'", "line 2"),
    ],
)  # fmt: skip
def test_damaged_settings_name_the_line(text, says):
    path = write(user_file(), "")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
