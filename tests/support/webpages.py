"""Asking the web view as a browser without script does, and reading its pages."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

__all__ = ["Answer", "Tags", "ask", "ask_json", "post", "token_of", "until"]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)


@dataclass
class Answer:
    """Status, headers and body of an answer; redirects are answers too."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(url: str, data: bytes | None = None, **headers: str) -> Answer:
    """Return the answer to a request; header names with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, named)
    try:
        with _OPENER.open(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def ask_json(url: str) -> Any:
    """Return a JSON document."""
    answer = ask(url)
    assert answer.status == 200, answer.body
    return answer.document


def post(url: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
    """Send a form."""
    return ask(url, urllib.parse.urlencode(form or {}).encode(), **headers)


def token_of(url: str) -> str:
    """Return the token of a server, as its front page has it; empty where it has none."""
    found = re.search(r'name="openallen-token" content="([^"]+)"', ask(f"{url}/").text)
    return found[1] if found else ""


def until(url: str, job: str, *states: str, within_s: float = 60) -> dict[str, Any]:
    """Wait until a job is in one of these states, and return it."""
    deadline = time.monotonic() + within_s
    while True:
        found = ask_json(f"{url}/jobs/{job}.json")
        if found["state"] in states:
            return dict(found)
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@dataclass
class Tags(HTMLParser):
    """The elements and attributes of a page, as a browser reads them."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, page: str) -> Tags:
        found = cls()
        found.feed(page)
        found.close()
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]
