"""Pages of the web view: the same as HTML and as JSON, for what is in the store and what is not."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

import openallen as oa
from openallen.settings import Settings


def get(url: str, **headers: str):
    """Return status, headers and body."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_the_front_page_has_what_is_in_the_store(view, stored):
    url = view(stored)
    status, headers, body = get(f"{url}/")
    assert status == 200
    assert b"stack:313862022" in body
    assert "script-src 'self'" in headers["content-security-policy"]
    told = json.loads(get(f"{url}/index.json")[2])
    assert "stack:313862022" in {row["address"] for row in told["held"]}
    assert b"stack:313862022" not in get(f"{url}/?q=nothing-like-it")[2]


def test_a_page_of_a_stack_works_without_script(view, stored):
    url = view(stored)
    status, _, body = get(f"{url}/item/stack:313862022")
    text = body.decode()
    assert status == 200
    assert 'data-kind="stack"' in text
    assert 'data-kind="cell"' in text
    picture = text.split('<img src="')[1].split('"')[0]
    status, headers, jpeg = get(url + picture)
    assert (status, headers["content-type"], jpeg[:2]) == (200, "image/jpeg", b"\xff\xd8")
    facts = json.loads(get(f"{url}/item/stack:313862022.json")[2])
    assert [v["kind"] for v in facts["visuals"]] == ["stack", "cell"]


def test_what_is_not_here_says_how_to_get_it(view, tmp_path):
    url = view(tmp_path / "empty")
    status, _, body = get(f"{url}/item/stack:313862022")
    assert status == 200
    assert b"openallen fetch stack:313862022" in body
    assert b"Not in the store yet. Fetch it below" in body
    assert b'placeholder="for example 80"' in body, "an example is no default"
    status, _, body = get(f"{url}/compare?of=grid:69855739&of=grid:72109410")
    assert status == 404
    assert b'<a href="/item/grid:69855739">' in body


def test_what_is_said_once_a_store_has_versions_is_not_said_of_others(view, tmp_path):
    settings = Settings.load(store=tmp_path, source="sample")
    oa.fetch("stack:313862022", settings=settings, downsample=5, planes=":2")
    told = json.loads(get(f"{view(tmp_path)}/index.json")[2])
    assert not any("@" in row["address"] for row in told["held"])
    assert told["notes"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/item/stack:0", 404),
        ("/item/nonsense", 400),
        ("/item//etc/passwd", 400),
        ("/place/etc", 404),
        ("/list/nonsense", 400),
        ("/v/AAAA/planes/meta.json", 400),
        ("/v/*/planes/meta.json", 404),
        ("/static/x/../app.py", 404),
    ],
)
def test_wrong_addresses_are_errors_of_ours(view, stored, path, status):
    found, _, body = get(view(stored) + path)
    assert found == status
    assert b"Traceback" not in body


def test_only_this_server_is_asked(view, stored):
    url = view(stored)
    port = url.rsplit(":", 1)[1]
    assert get(f"{url}/", Host=f"localhost:{port}")[0] == 200
    for host in ("localhost", f"localhost:{int(port) + 1}", "evil.example", f"evil.example:{port}"):
        assert get(f"{url}/", Host=host)[0] == 421, host
    assert get(f"{url}/", Origin="https://evil.example")[0] == 403
    assert get(f"{url}/", Origin=f"http://127.0.0.1:{int(port) + 1}")[0] == 403


def test_pages_open_in_a_browser(view, stored, page):
    url = view(stored)
    page.goto(f"{url}/", wait_until="networkidle")
    page.get_by_role("link", name="stack:313862022").click()
    page.wait_for_load_state("networkidle")
    assert page.url.endswith("/item/stack:313862022")


def test_what_the_first_page_needs_is_imported_before_it_is_asked_for():
    code = (
        "import sys\n"
        "from openallen.viewer.kinds import Kinds\n"
        "from openallen.viewer.warm import warm\n"
        "warm(Kinds()).join()\n"
        "wanted = {'jinja2', 'numpy', 'simplejpeg', 'openallen.viewer.kinds.stack'}\n"
        "sys.exit(', '.join(wanted - set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
