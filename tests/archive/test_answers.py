"""Answers that an archive keeps: sent as they came, before made ones, or refused by name."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest
from archives import answer_line, keep, keep_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openallen.archive import archive_app, serving
from openallen.archive.answers import INDEX, Answers
from openallen.errors import CorruptError

PICTURE = bytes(range(256)) * 64
QUERY = "criteria=model::Structure,rma::criteria,[acronym$eq'VISp']&num_rows=all"
TABLE = '{"id": 385, "acronym": "VISp", "name": "made of the table"}\n'
KEPT = b'{"success": true, "id": 0, "msg": [{"name": "kept"}]}'


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(url, headers=told, method=method)) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("archive")
    (made / "tables").mkdir()
    (made / "tables" / "structures.jsonl").write_text(TABLE)
    (made / "buckets" / "lab-data").mkdir(parents=True)
    (made / "buckets" / "lab-data" / "x").write_bytes(b"of the bucket")
    keep(made, "/api/v2/section_image_download/7", PICTURE, "downsample=3")
    keep(made, "/cgi-bin/imageservice", PICTURE, "downsample=3&path=%2Fa%20b%2F7.aff")
    keep(made, "/api/v2/data/query.json", KEPT, QUERY, content_type="application/json")
    keep(made, "/gridData/other", b"", content_type="text/html; charset=utf-8")
    keep(made, "/lab-data/x", b"not of the bucket")
    keep(made, "/gone", b"<p>no such thing", status=404, content_type="text/html")
    return made


@pytest.fixture(scope="module")
def url(root):
    with serving(archive_app(root)) as found:
        yield found


def test_a_kept_answer_is_sent_as_it_came_and_before_a_made_one(url):
    place = f"{url}/api/v2/section_image_download/7?downsample=3"
    status, headers, body = ask(place)
    assert (status, body) == (200, PICTURE)
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-length"] == str(len(PICTURE))
    assert headers["etag"] == f'"{hashlib.sha256(PICTURE).hexdigest()}"'
    assert "sandbox" in headers["content-security-policy"]
    # The same picture under the path that the service redirects to.
    assert ask(f"{url}/cgi-bin/imageservice?path=/a+b/7.aff&downsample=3")[2] == PICTURE
    assert ask(f"{url}/cgi-bin/imageservice?downsample=3&path=%2Fa%20b%2F7.aff")[2] == PICTURE
    asked = urlencode({"num_rows": "all", "criteria": QUERY[9:-13]})
    status, headers, body = ask(f"{url}/api/v2/data/query.json?{asked}")
    assert (status, headers["content-type"], body) == (200, "application/json", KEPT)
    other = quote("model::Structure")
    assert b"made of the table" in ask(f"{url}/api/v2/data/query.json?criteria={other}")[2]
    assert ask(f"{url}/gridData/other")[::2] == (200, b"")
    assert ask(f"{url}/gone")[::2] == (404, b"<p>no such thing")
    assert ask(f"{url}/api/v2/section_image_download/7?downsample=2")[0] == 404
    assert ask(f"{url}/api/v2/section_image_download/7")[0] == 404
    assert ask(f"{url}/lab-data/x")[2] == b"of the bucket"
    assert json.loads(ask(f"{url}/openallen/about.json")[2])["answers"] == 6


def test_parts_heads_and_conditions(url):
    place = f"{url}/api/v2/section_image_download/7?downsample=3"
    tag, size = f'"{hashlib.sha256(PICTURE).hexdigest()}"', len(PICTURE)
    for wanted, part in {
        "bytes=10-19": (10, 20), "bytes=-5": (size - 5, size), "bytes=100-": (100, size),
    }.items():  # fmt: skip
        status, headers, body = ask(place, range=wanted)
        assert (status, body) == (206, PICTURE[slice(*part)])
        assert headers["content-range"] == f"bytes {part[0]}-{part[1] - 1}/{size}"
    assert ask(place, range=f"bytes={size}-")[0] == 416
    assert ask(place, range="bytes=0-1", if_range='"other"')[::2] == (200, PICTURE)
    status, headers, body = ask(place, "HEAD")
    assert (status, headers["content-length"], body) == (200, str(size), b"")
    assert ask(place, if_none_match=tag)[::2] == (304, b"")
    assert ask(place, if_none_match='"other"')[0] == 200
    assert ask(f"{url}/gone", range="bytes=0-1")[::2] == (404, b"<p>no such thing")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"path": "no-slash"}, "not a path of the institute's services"),
        ({"path": "/s3/lab-data/x"}, "not a path of the institute's services"),
        ({"path": "/%73%33/lab-data/x"}, "not a path of the institute's services"),
        ({"path": "/openallen/about.json"}, "not a path of the institute's services"),
        ({"path": 7}, "'path' is not text"),
        ({"query": ["a"]}, "'query' is not text"),
        ({"query": "&".join(f"a{n}=1" for n in range(300))}, "fields"),
        ({"file": "../secret"}, "not a path inside of the archive"),
        ({"file": "/etc/passwd"}, "not a path inside of the archive"),
        ({"file": "answers/../../secret"}, "not a path inside of the archive"),
        ({"file": "answers\\secret"}, "not a path inside of the archive"),
        ({"file": "C:secret"}, "not a path inside of the archive"),
        ({"file": "answers/\0"}, "not a path inside of the archive"),
        ({"file": ""}, "not a path inside of the archive"),
        ({"file": None}, "'file' is not text"),
        ({"content_type": "image/jpeg\r\nset-cookie: a=b"}, "'content_type' is not"),
        ({"content_type": ""}, "'content_type' is not"),
        ({"size_bytes": -1}, "less than zero"),
        ({"size_bytes": "7"}, "'size_bytes' is not a number"),
        ({"size_bytes": True}, "'size_bytes' is not a number"),
        ({"sha256": "abc"}, "'sha256' is not a digest"),
        ({"status": 302}, "'status' is 302"),
        ({"status": 206}, "'status' is 206"),
        ({"status": "200"}, "'status' is not a number"),
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_named_when_the_archive_is_opened(tmp_path, wrong, why):
    keep(tmp_path, "/fine", b"fine")
    keep_line(tmp_path, answer_line("/x", b"x") | wrong)
    with pytest.raises(CorruptError, match="index of kept answers") as caught:
        archive_app(tmp_path)
    assert "line 2: " in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{", "nul", '{"path": "/x"}', "\ufffd", "[" * 100_000])
def test_other_text_is_no_line(tmp_path, text):
    (tmp_path / INDEX).write_text(f"\n{text}\n")
    with pytest.raises(CorruptError, match="line 2"):
        Answers(tmp_path)


def test_a_body_that_is_not_what_was_kept_is_never_sent(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET")
    root = tmp_path / "archive"
    places = {name: keep(root, f"/{name}", name.encode()) for name in (
        "missing", "shorter", "damaged", "linked", "folder", "pipe", "below",
    )}  # fmt: skip
    here = {name: root / told["file"] for name, told in places.items()}
    here["missing"].unlink()
    here["shorter"].write_bytes(b"short")
    here["damaged"].write_bytes(b"DAMAGED")
    for name in ("linked", "folder", "pipe"):
        here[name].unlink()
    here["linked"].symlink_to(secret)
    here["folder"].mkdir()
    os.mkfifo(here["pipe"])
    here["below"].parent.rename(tmp_path / "elsewhere")
    here["below"].parent.symlink_to(tmp_path / "elsewhere")
    with serving(archive_app(root)) as url:
        for name, (status, said) in {
            "missing": (404, b"missing"), "shorter": (500, b"not whole: 5 bytes are there, 7"),
            "damaged": (500, b"SHA-256 differs"), "linked": (500, b"missing"),
            "folder": (500, b"missing"), "pipe": (500, b"missing"), "below": (500, b"missing"),
        }.items():  # fmt: skip
            found, _, body = ask(f"{url}/{name}")
            assert (found, said in body, b"SECRET" in body) == (status, True, False), (name, body)
            assert places[name]["file"].encode() in body
        # What is mended is sent, what is spoiled after it was sent is not.
        here["damaged"].write_bytes(b"damaged")
        assert ask(f"{url}/damaged")[::2] == (200, b"damaged")
        here["damaged"].write_bytes(b"DAMAGED")
        os.utime(here["damaged"], ns=(1, 1))
        assert ask(f"{url}/damaged")[0] == 500


def test_an_index_may_grow_while_it_is_served(tmp_path):
    (tmp_path / "tables").mkdir()
    with serving(archive_app(tmp_path)) as url:
        assert ask(f"{url}/a")[0] == 404
        keep(tmp_path, "/a", b"first")
        assert ask(f"{url}/a")[2] == b"first"
        keep(tmp_path, "/a", b"second")
        keep(tmp_path, "/b", b"other")
        assert ask(f"{url}/a")[2] == b"second"
        whole = json.dumps(answer_line("/c", b"other")).encode()
        with (tmp_path / INDEX).open("ab", buffering=0) as index:
            index.write(whole[:40])  # a line that is being written
            assert ask(f"{url}/c")[0] == 404
            index.write(whole[40:])
            assert ask(f"{url}/c")[2] == b"other"
            index.write(b"\n")
            assert ask(f"{url}/c")[2] == b"other"
            index.write(b"no line\n")
        status, _, body = ask(f"{url}/a")
        assert (status, b"line 5" in body) == (500, True)
        assert ask(f"{url}/openallen/about.json")[0] == 200
        (tmp_path / INDEX).unlink()
        assert ask(f"{url}/a")[0] == 404
        keep(tmp_path, "/b", b"other")
        assert ask(f"{url}/b")[2] == b"other"


_WORDS = st.text(min_size=1, max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_=st.dictionaries(_WORDS, st.text(max_size=6), max_size=5), data=st.data())
def test_order_and_quoting_of_parameters_do_not_matter(tmp_path, given_, data):
    (tmp_path / INDEX).unlink(missing_ok=True)
    keep_line(tmp_path, answer_line("/x", b"x", urlencode(sorted(given_.items()))))
    kept = Answers(tmp_path)
    shuffled = data.draw(st.permutations(list(given_.items())))
    safe = data.draw(st.sampled_from(["", "/:$',[]"]))
    by = data.draw(st.sampled_from([quote, None]))
    asked = urlencode(shuffled, safe=safe, **({"quote_via": by} if by else {}))
    assert kept.find("/x", asked) is not None
    assert kept.find("/x", asked + "&one-more=1") is None


def test_an_index_that_is_written_anew_is_read_anew(tmp_path):
    keep(tmp_path, "/one", b"one")
    held = Answers(tmp_path)
    assert held.find("/one", "") is not None
    keep_line(tmp_path, answer_line("/two", b"two"))
    assert held.find("/two", "") is not None
    text = (tmp_path / INDEX).read_text().replace("/one", "/other")
    with (tmp_path / INDEX).open("r+") as file:  # the same file, and longer than before
        file.write(text)
    assert held.find("/one", "") is None
    assert held.find("/other", "") is not None
    assert held.find("/two", "") is not None
