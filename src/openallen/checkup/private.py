"""What goes into a page that is pasted in public: no credentials, no names of people or machines.

Two nets, one above the other. Each check writes what may hold something private in a form that
cannot: of a web address its server alone, of a proxy its host and port, of a setting only what is
known to be harmless. And every text goes through `Private.text`, which takes out what is known to
be secret here (values of variables that are called so, passwords in addresses), and what looks so.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus

from openallen.harmless import harmless

__all__ = ["GONE", "Private", "origin"]

GONE: Final = "***"
"""Stands for what was taken out."""

_LEAST: Final = 6
"""A secret shorter than this is part of ordinary words: it is kept out by form alone."""
_TOLD: Final = re.compile(
    r"token|secret|passw|passphrase|credential|auth|cookie|signature|api_?key|access_?key|private"
    r"|(^|_)(pw|pwd|key|sas|pat|dsn)$",
    re.IGNORECASE,
)
_NOT_SECRET: Final = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY"})
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*")
_USERINFO: Final = re.compile(r"(?:^|//)([^\s]+)@")
_VALUE: Final = re.compile(r"[?&#;]?([^=?&#;\s]+)=([^&#;\s]+)")
_LOOKS_SECRET: Final = (
    # NAME=value and NAME: value, where the name says so, in queries and elsewhere
    re.compile(
        r"(?i)([\w.%-]*(?:token|secret|passw\w*|pwd|signature|credential|api[-_]?key|access[-_]?key"
        r"|x-amz-[\w-]+|x-goog-[\w-]+|bearer|authorization|cookie)[\w-]*\s*(?:=|:|%3D|\s)\s*"
        r"(?:(?:basic|bearer|digest|negotiate|token)\s+)?)[^\s&'\",/)]+"
    ),
    re.compile(
        r"()\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|sk-|pypi-|hf_|npm_)[A-Za-z0-9_-]{8,}"
    ),
    re.compile(r"()\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{8,}"),
    re.compile(r"()\beyJ[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)*"),
    # 20 and more characters with digits and both cases: no word, no version, no file of ours
    re.compile(
        r"()(?<![A-Za-z0-9+_-])(?=[A-Za-z+_-]*[0-9])(?=[a-z0-9+_-]*[A-Z])(?=[A-Z0-9+_-]*[a-z])"
        r"[A-Za-z0-9+_=-]{20,}"
    ),
    re.compile(r"()(?<![A-Za-z0-9])[0-9a-f]{32,}(?![A-Za-z0-9])"),
)
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_COMMON: Final = frozenset({"root", "user", "admin", "home", "nobody", "localhost", "localdomain"})
"""Names that tell nothing of anybody."""


def origin(url: str) -> str:
    """Return the server of a web address: scheme, host and port; nothing of what is around them.

    Parameters
    ----------
    url
        The address; without a scheme, as proxies may be written, too.

    Returns
    -------
    str
        Empty where no server can be told for sure.
    """
    scheme, marks, rest = url.strip().partition("://")
    if not marks:
        scheme, rest = "", url.strip()
    server = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in rest[len(server) :]:
        return ""  # a password with a slash in it: what is host, and what is not?
    host = server.rpartition("@")[2]
    named = "." in host or ":" in host or host.lower() == "localhost"
    if not named or not _HOST.fullmatch(host) or not re.fullmatch(r"[A-Za-z0-9+.-]*", scheme):
        return ""
    return f"{scheme.lower()}://{host}" if marks else host


class Private:
    """Knows what is private here, and writes texts without it.

    Parameters
    ----------
    environ
        The environment.
    more
        More values that may hold credentials: those of settings.
    """

    def __init__(self, environ: Mapping[str, str], more: Iterable[str] = ()) -> None:
        found = {v for n, v in environ.items() if _TOLD.search(n) and n not in _NOT_SECRET}
        told = [v for n, v in environ.items() if n.lower().endswith("_proxy")]
        # libcurl quotes a proxy whole that it cannot read, and so may whoever reads addresses.
        # A cookie is NAME=VALUE; NAME=VALUE, and either may be quoted alone.
        found.update(
            part.partition("=")[2] for v in tuple(found) for part in re.split(r"[;&\s]", v)
        )
        found.update(v for v in told if v.rstrip("/") != origin(v))
        for value in (*environ.values(), *more):
            found.update(_inside(value))
        longest = sorted(
            {form for secret in found for form in _forms(secret) if len(form) >= _LEAST},
            key=len,
            reverse=True,
        )
        self._secrets = re.compile("|".join(map(re.escape, longest))) if longest else None
        self._homes = [re.escape(home) for home in _homes(environ)]
        self._user = _bounded(_users(environ))
        self._host = _bounded(_hosts(environ))

    def text(self, text: object) -> str:
        """Return a text of whatever origin without what is private.

        Parameters
        ----------
        text
            The text.
        """
        found = str(text)
        if self._secrets is not None:
            found = self._secrets.sub(GONE, found)
        found = _URL.sub(_server_only, found)
        for looks in _LOOKS_SECRET:
            found = looks.sub(rf"\g<1>{GONE}", found)
        for home in self._homes:
            # In quotes a shell leaves the tilde as it is: the quotes go behind it.
            found = re.sub(rf"'{home}/", "~/'", found)
            found = re.sub(rf"(?<![\w.~-]){home}(?![\w.-])", "~", found)
        return found

    def names(self, text: object) -> str:
        """Return the same, without the names of the user and of this machine, too.

        For what comes from elsewhere: where our own words stand, a user may be called as they are.

        Parameters
        ----------
        text
            The text.
        """
        found = self.text(text)
        if self._user is not None:
            found = self._user.sub("$USER", found)
        if self._host is not None:
            found = self._host.sub("HOST", found)
        return harmless(found)

    def path(self, path: object) -> str:
        """Return a path as it may be shown: the home folder as ``~``.

        Parameters
        ----------
        path
            The path.
        """
        text = os.fspath(path) if isinstance(path, os.PathLike) else str(path)
        return self.names(text)

    def data(self, value: Any) -> Any:
        """Return data for JSON, every text of them as `text` has it.

        Parameters
        ----------
        value
            A number, a text, or a list or mapping of them.
        """
        if isinstance(value, Mapping):
            return {str(k): self.data(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(v) for v in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.text(value)


def _server_only(match: re.Match[str]) -> str:
    url = match[0]
    server = origin(url)
    if not server:
        return f"{url.partition('://')[0]}://{GONE}"
    return server if url.rstrip("/).,;:") == server else f"{server}/…"


def _inside(value: str) -> Iterator[str]:
    """Return credentials inside a value: user and password of an address, values of its query."""
    if "@" in value:
        for match in _USERINFO.finditer(value):
            yield match[1].rpartition("//")[2]
            yield from match[1].rpartition("//")[2].split(":", 1)
    if "://" in value:
        for name, told in _VALUE.findall(value.partition("://")[2]):
            yield told
            yield name


def _forms(secret: str) -> set[str]:
    """Return a secret as it may be written: as it is, decoded, encoded."""
    decoded = unquote(secret)
    return {secret, decoded, unquote_plus(secret), quote(decoded, safe=""), quote(decoded)}


def _homes(environ: Mapping[str, str]) -> list[str]:
    found = {environ.get("HOME", ""), environ.get("USERPROFILE", "")}
    with suppress(RuntimeError, OSError):
        found.add(str(Path.home()))
    for home in found:
        with suppress(OSError, ValueError, RuntimeError):
            found.add(str(Path(home).resolve()) if home else "")
    tidy = {home.rstrip("/\\") for home in found}
    return sorted((h for h in tidy if len(h) > 1 and Path(h).is_absolute()), key=len, reverse=True)


def _users(environ: Mapping[str, str]) -> set[str]:
    found = {environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    with suppress(Exception):  # no entry of this user: KeyError, OSError, ImportError
        found.add(getpass.getuser())
    found.update(re.split(r"[/\\]", home)[-1] for home in _homes(environ))
    return found


def _hosts(environ: Mapping[str, str]) -> set[str]:
    found = {environ.get("HOSTNAME", ""), environ.get("COMPUTERNAME", "")}
    with suppress(OSError, UnicodeError):
        found.add(socket.gethostname())
    return found | {name.partition(".")[0] for name in found}


def _bounded(names: Iterable[str]) -> re.Pattern[str] | None:
    known = sorted(
        {n for n in names if len(n) > 1 and n.lower() not in _COMMON}, key=len, reverse=True
    )
    if not known:
        return None
    words = "|".join(map(re.escape, known))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE)
