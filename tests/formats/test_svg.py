from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.errors import CorruptError, TruncatedError
from openallen.formats.svg import inspect_svg

DRAWING = b"""<?xml version="1.0" encoding="utf-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">
 <g id="28"><path structure_id="385" d="M10,10 L50,10 Z"/><path d="M60,60 L90,60 Z"/></g>
</svg>
"""


def test_a_drawing_is_read_to_its_end():
    assert inspect_svg(DRAWING) == 2
    assert inspect_svg(b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>") == 0


@given(st.integers(DRAWING.index(b"<g"), len(DRAWING) - 8))
def test_a_drawing_that_is_cut_off_is_told(at):
    with pytest.raises(TruncatedError):
        inspect_svg(DRAWING[:at])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no markup",
        b"<html><body>500</body></html>",
        b"<svg><g></svg>",
        b"<!DOCTYPE svg [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>",
        b"\xff\xfe\x00",
        b"<?xml version='1.0' encoding='utd-8'?><svg/>",
        b"<?xml version='1.0' encoding='rot13'?><svg/>",
        b"<?xml version='1.0' encoding='shift_jis'?><svg/>",
        b"<?xml version='1.0' encoding='idna'?><svg/>",
    ],
)
def test_what_is_no_drawing(data):
    with pytest.raises(CorruptError):
        inspect_svg(data)


def test_a_drawing_is_fetched_from_an_archive(archive, tmp_path):
    (tmp_path / "own" / "images").mkdir(parents=True)
    (tmp_path / "own" / "images" / "100960033.svg").write_bytes(DRAWING)
    (tmp_path / "own" / "images" / "7.svg").write_bytes(DRAWING[:-20])
    url = archive(root=tmp_path / "own")
    oa.fetch("image:100960033?service=svg", to=tmp_path / "got", source=url)
    assert (tmp_path / "got" / "100960033.svg").read_bytes() == DRAWING
    with pytest.raises(TruncatedError):
        oa.fetch("image:7?service=svg", to=tmp_path / "got", source=url)
    assert [p.name for p in (tmp_path / "got").glob("*.svg")] == ["100960033.svg"]
