from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.transport.sniff import describe, sniff


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "jpeg"),
        (b"\x89PNG\r\n\x1a\n\x00", "png"),
        (b"PK\x03\x04data_set.xml", "zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"NRRD0004\n# comment", "nrrd"),
        (b'{"success": true}', "json"),
        (b" \n [1, 2]", "json"),
        (b'\xef\xbb\xbf{"a": 1}', "json"),
        (b"<Response success='true'>", "xml"),
        (b"<?xml version='1.0'?><Response>", "xml"),
        (b"<!DOCTYPE html>\n<html>", "html"),
        (b"\n\n<HTML><head>", "html"),
        (b"# id,type,x,y,z,r,pid\n1 1 415.6", "text"),
        (b"##x,y,z,radius", "text"),
        (b"caf\xe9 au lait\n" * 10, "text"),
        (b"\x00\x01\x02\x03", "binary"),
        (b"\xfe\x01\x02\x03\xff", "binary"),
    ],
)
def test_kinds_by_their_first_bytes(head, kind):
    assert sniff(head) == kind
    assert describe(kind)


def test_the_recorded_error_page_is_html(data):
    assert sniff((data / "rma" / "rails_500_page_head.html").read_bytes()) == "html"


@given(st.binary(max_size=3000))
def test_anything_is_some_kind(head):
    assert describe(sniff(head))


@given(st.dictionaries(st.text(), st.integers(), max_size=3) | st.lists(st.text(), max_size=3))
def test_json_objects_and_lists_are_json(value):
    assert sniff(json.dumps(value).encode()) == "json"


@given(
    st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="<{["), min_size=2)
)
def test_text_cut_anywhere_is_text(text):
    encoded = (text * 400).encode()
    assert sniff(encoded[:1024]) in {"text", "gif", "nrrd", "zip", "tiff"}
