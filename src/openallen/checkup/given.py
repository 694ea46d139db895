"""What was set: settings, proxies, certificates, the terminal."""

from __future__ import annotations

import locale
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from openallen.checkup.findings import Finding, note, ok, problem, unset
from openallen.checkup.private import origin
from openallen.checkup.scene import Scene
from openallen.display import count_text
from openallen.errors import OpenAllenError
from openallen.settings import Settings, project_file, untrusted, user_file

__all__ = ["certificates", "proxies", "settings", "terminal"]

_URLS: Final = frozenset({"source", "s3_endpoint", "docdb_url"})
_PROXIES: Final = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")
_SCHEMES: Final = frozenset({"", "http", "https", "socks4", "socks4a", "socks5", "socks5h"})
_AT: Final = re.compile(r"at line \d+(?:, column \d+)?")
_VARIABLE: Final = re.compile(r"OPENALLEN_[A-Z_]{1,30}")


def settings(scene: Scene) -> Iterator[Finding]:
    """Return every setting that is not a default, with its origin; and files that are not read."""
    private = scene.private
    if scene.trouble is not None:
        yield _unreadable(scene, scene.trouble)
    told = scene.settings.to_dict()
    for name, came in scene.settings.origins.items():
        if came != "default" and name != "store":  # which has a check of its own
            value = _shown(scene, name, told[name])
            words = f"{name} = {value} ({private.path(came)})"
            yield ok(words, setting=name, value=value, origin=private.path(came))
    if scene.settings.is_folder and not Path(scene.settings.source).expanduser().is_dir():
        text = "source is neither live, sample, nor the folder or URL of an archive"
        yield problem(text, "openallen doctor --source live")
    usual = [name for name in told if scene.settings.origins.get(name, "default") == "default"]
    yield ok(f"{count_text(len(usual), 'setting')} at the default", defaults=usual)
    yield from _files(scene)


def _shown(scene: Scene, name: str, value: object) -> str:
    if name == "projects":
        return count_text(len(value) if isinstance(value, dict) else 0, "project")
    if name == "validator":
        return scene.private.path(value)
    if name in _URLS and value and value not in {"live", "sample"}:
        return origin(str(value)) or "(not shown)"
    return str(value) or "(empty)"


def _unreadable(scene: Scene, error: OpenAllenError) -> Finding:
    """Return the finding of settings that cannot be read; never quotes a value of them."""
    # A name is quoted where it is one of ours, or nearly: anything may stand in such a file.
    near = error.hint.lower().removeprefix("openallen_") in {each.name for each in fields(Settings)}
    what = re.sub(r"'([^']*)'", lambda m: m[0] if near or _is_ours(m[1]) else "'…'", error.what)
    at = _AT.search(error.why)
    where = f"{scene.private.path(error.address)}: " if error.address else ""
    text = (
        f"{where}{scene.private.path(what)}{f' ({at[0]})' if at else ''}; defaults are used below"
    )
    variable = re.search(r"environment (OPENALLEN_[A-Z_]+)", error.what) or re.search(
        r"'(OPENALLEN_[A-Z_]{1,30})' in the environment", error.what
    )
    if variable:
        return problem(text, unset(variable[1]))
    return problem(text, "correct the line, or rename the file")


def _is_ours(name: str) -> bool:
    return name in {each.name for each in fields(Settings)} or _VARIABLE.fullmatch(name) is not None


def _files(scene: Scene) -> Iterator[Finding]:
    try:
        user, project = user_file(), project_file()
    except (OSError, RuntimeError):
        return
    if user.is_file():
        yield ok(f"user file {scene.private.path(user)}")
    if project is None:
        return
    shown = scene.private.path(project)
    why = untrusted(project)
    if why:
        text = f"project file {shown} is not read: {scene.private.names(why)}"
        yield note(text, "chmod o-w FILE, or a file of your own")
    else:
        yield ok(f"project file {shown}")


def proxies(scene: Scene) -> Iterator[Finding]:
    """Return which variables name a proxy, and which; never a user or a password."""
    found = False
    for name in _PROXIES:
        for variable in dict.fromkeys((name, name.upper())):
            value = scene.environ.get(variable, "")
            if value:
                found = True
                yield _proxy(scene, variable, value)
    if not found:
        yield ok("no variables are set")


def _proxy(scene: Scene, variable: str, value: str) -> Finding:
    if variable.lower() == "no_proxy":
        entries = [entry for entry in re.split(r"[,\s]+", value) if entry]
        return ok(f"{variable} has {count_text(len(entries), 'entry', 'entries')}",
                  variable=variable, entries=len(entries))  # fmt: skip
    server = origin(value)
    if not server:
        text = f"{variable} is set to something that names no server (not shown)"
        return problem(text, unset(variable), variable=variable)
    if "://" in server and server.partition("://")[0] not in _SCHEMES:
        text = f"{variable} names a proxy of an unknown kind (not shown)"
        return problem(text, unset(variable), variable=variable)
    has = ", with credentials" if "@" in value else ""
    shown = scene.private.names(server.partition("://")[2] or server)
    kind = server.partition("://")[0] if "://" in server else "http"
    return ok(f"{variable}: {kind} proxy at {shown}{has}", variable=variable, proxy=shown,
              kind=kind, credentials="@" in value)  # fmt: skip


def certificates(scene: Scene) -> Iterator[Finding]:
    """Return whose certificates TLS trusts, and whether they can be read."""
    try:
        from openallen.transport.handles import TRUST_VARIABLES, trust_places
    except ImportError:
        return  # said with the versions
    variable, places = trust_places()
    also = [n for n in TRUST_VARIABLES if scene.environ.get(n) and n != variable]
    same = {scene.environ.get(n) for n in (*also, variable) if n}
    mend = unset(variable) if variable else "sudo update-ca-certificates"
    if not places:
        if sys.platform in {"win32", "darwin"}:
            yield ok("those of the operating system", variable=None)
        else:
            yield problem(
                "no certificates are found: TLS fails", "sudo apt install ca-certificates"
            )
    usable = [finding for place in places for finding in _trusted(scene, place, variable, mend)]
    # The system has a file and a folder: one of them is enough.
    if variable or not any(f.state == "ok" for f in usable):
        yield from usable
    else:
        yield from (f for f in usable if f.state == "ok")
    if also and len(same) > 1:
        yield note(f"{variable} counts; {', '.join(also)} says otherwise, and is not used", mend)


def _trusted(scene: Scene, place: str, variable: str, mend: str) -> Iterator[Finding]:
    path = Path(place)
    shown = scene.private.path(place) + (f" ({variable})" if variable else " (system)")
    facts = {"variable": variable or None, "path": scene.private.path(place)}
    try:
        if path.is_dir():
            count = sum(1 for _ in path.iterdir())
            words = count_text(count, "entry", "entries")
            yield (
                ok(f"{shown}: folder, {words}", **facts)
                if count
                else problem(f"{shown}: the folder is empty, TLS fails", mend, **facts)
            )
            return
        if path.exists() and not path.is_file():  # whoever opened a pipe would wait for ever
            raise OSError(0, "not a file")
        with path.open("rb") as file:
            count = file.read(1 << 24).count(b"-----BEGIN")
    except FileNotFoundError:
        yield problem(f"{shown}: there is no such file, TLS fails", mend, **facts)
    except OSError as error:
        why = error.strerror or "unknown"
        yield problem(f"{shown}: cannot be read ({why}), TLS fails", mend, **facts)
    else:
        if count:
            words = count_text(count, "certificate")
            yield ok(f"{shown}: {words}", certificates=count, **facts)
        else:
            yield problem(f"{shown}: no certificates in it, TLS fails", mend, **facts)


def terminal(scene: Scene) -> Iterator[Finding]:
    """Return what the terminal can show: encoding, width, colour."""
    encoding = (getattr(sys.stdout, "encoding", "") or "unknown").lower()
    is_terminal = bool(getattr(sys.stdout, "isatty", bool)())
    width = shutil.get_terminal_size().columns
    plain = bool(scene.environ.get("NO_COLOR")) or scene.environ.get("TERM") == "dumb"
    colour = is_terminal and not plain
    words = f"{width} columns, {'colour' if colour else 'no colour'}"
    words = words if is_terminal else "no terminal"
    facts = {"encoding": encoding, "terminal": is_terminal, "width": width, "colour": colour}
    text = f"output in {encoding}, {words}; locale {_locale(scene)}"
    if encoding.replace("-", "").replace("_", "") in {"utf8", "utf16"}:
        yield ok(text, **facts)
    else:
        set_it = "set" if sys.platform == "win32" else "export"
        yield note(f"{text}: not all characters can be shown", f"{set_it} PYTHONUTF8=1", **facts)


def _locale(scene: Scene) -> str:
    try:
        return scene.private.names(locale.setlocale(locale.LC_CTYPE))
    except (locale.Error, ValueError):
        return "unknown"
