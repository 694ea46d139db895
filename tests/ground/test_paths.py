from __future__ import annotations

from pathlib import Path

import pytest

from openallen.errors import UsageError
from openallen.paths import existing, expanded


def test_a_home_folder_is_filled_in():
    assert expanded("~/x") == Path.home() / "x"
    assert expanded(Path("a/b")) == Path("a/b")


@pytest.mark.parametrize("text", ["", "~nobody-of-that-name/x", "a\0b", b"a", None, 3, 1.5, ["a"]])
def test_what_cannot_be_a_path_is_a_wrong_use(text):
    with pytest.raises(UsageError):
        expanded(text)
    assert existing(text) is None


@pytest.mark.parametrize("text", ["x" * 5000, "/" + "y" * 300, "\ud800"])
def test_a_text_no_file_can_have_names_nothing(text):
    assert existing(text) is None


def test_what_is_here_is_found(tmp_path):
    assert existing(str(tmp_path)) == tmp_path
    assert existing(tmp_path / "none") is None
