"""What is installed: openallen, Python, libcurl, and the libraries of each extra."""

from __future__ import annotations

import importlib.util
import operator
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Final

from openallen.checkup.findings import Finding, note, ok, problem
from openallen.checkup.scene import Scene
from openallen.extras import install_command, requirement
from openallen.version import __version__

__all__ = ["Needed", "extras", "imports", "needed", "versions"]

_LINE: Final = re.compile(
    r"\s*(?P<name>[A-Za-z0-9._-]+)\s*(?:\[(?P<inner>[^\]]*)\])?\s*\(?(?P<bounds>[^;)]*)\)?"
    r"\s*(?:;(?P<marker>.*))?"
)
_EXTRA: Final = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")
_PYTHON: Final = re.compile(r"python_version\s*(<=|>=|<|>|==|!=)\s*['\"]([\d.]+)['\"]")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_MODULES: Final = {
    "aind-data-schema": "aind_data_schema",
    "pillow": "PIL",
    "pynacl": "nacl",
    "pynrrd": "nrrd",
}
"""Names to import, where they are not those of the distribution."""
_NOT_FOR_USERS: Final = frozenset({"test", "all"})
"""Extras that are not told: what tests need, and the sum of others."""
_IMPORT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Needed:
    """A distribution that the metadata of openallen names.

    Parameters
    ----------
    name
        Its name.
    least
        The least version; empty where any will do.
    extra
        The extra that needs it; empty for the bare install.
    installed
        The version that is installed; empty where there is none.
    """

    name: str
    least: str = ""
    extra: str = ""
    installed: str = ""

    @property
    def module(self) -> str:
        """What is imported of it."""
        return _MODULES.get(self.name.lower(), self.name.replace("-", "_"))

    @property
    def is_old(self) -> bool:
        """Whether what is installed is below the least version."""
        return bool(self.least) and _numbers(self.installed) < _numbers(self.least)

    @property
    def has_files(self) -> bool:
        """Whether there is a module of that name; it is not imported."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError, AttributeError):
            return False


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    if found is None:
        return (1 << 30,)  # of unknown version: nothing is said against it
    numbers = [int(number) for number in found[0].split(".")]
    while numbers and numbers[-1] == 0:  # 2.0 is 2
        numbers.pop()
    return tuple(numbers)


def needed() -> list[Needed]:
    """Return what the metadata of the installed openallen name; nothing without metadata."""
    try:
        lines = requires("openallen") or []
    except PackageNotFoundError:
        return []
    found = [one for line in lines if (one := _read(line)) is not None]
    here = {name: _installed(name) for name in {one.name for one in found} if name[0] != "["}
    told = (replace(one, installed=here[one.name]) for one in _whole(found))
    return sorted(told, key=lambda one: (one.extra, one.name))


def _installed(name: str) -> str:
    try:
        return version(name) or "of unknown version"
    except PackageNotFoundError:
        return ""
    except Exception:  # noqa: BLE001 - metadata that cannot be read
        return "of unknown version"


def _read(line: str) -> Needed | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    marker = match["marker"] or ""
    here = ".".join(platform.python_version_tuple()[:2])
    for sign, bound in _PYTHON.findall(marker):
        if not _COMPARE[sign](_numbers(here), _numbers(bound)):
            return None
    extra = _EXTRA.search(marker)
    least = re.search(r">=\s*([\w.]+)", match["bounds"])
    name = match["name"] if match["name"].lower() != "openallen" else f"[{match['inner']}]"
    return Needed(name, least[1] if least else "", extra[1] if extra else "")


def _whole(found: Sequence[Needed]) -> Iterator[Needed]:
    """Put in place of extras that an extra names (``openallen[tables]``) what these need."""
    for one in found:
        if not one.name.startswith("["):
            yield one
            continue
        inner = {name.strip() for name in one.name.strip("[]").split(",")}
        for other in found:
            if other.extra in inner and not other.name.startswith("["):
                yield Needed(other.name, other.least, one.extra)


def versions(scene: Scene) -> Iterator[Finding]:
    """Return versions of openallen, Python, the platform, libcurl and the bare install."""
    private = scene.private
    python = f"Python {platform.python_version()} ({platform.python_implementation()})"
    where = private.names(platform.platform())
    yield ok(
        f"openallen {__version__}, {python}, {where}",
        openallen=__version__, python=platform.python_version(), platform=where,
    )  # fmt: skip
    yield ok(f"Python at {private.path(sys.executable)}", environment=_environment())
    yield _libcurl(scene)
    wanted = [one for one in needed() if not one.extra]
    if not wanted:
        yield note(
            "openallen is not installed here, only found: minimum versions are not known",
            f"{install_command('tables').partition('install')[0]}install openallen",
        )
    for one in wanted:
        if not one.installed or not one.has_files:
            yield problem(f"{one.name} is missing", private.path(_again(one)), name=one.name)
        elif one.is_old:
            yield _too_old(scene, one)


def _environment() -> str:
    if sys.prefix != sys.base_prefix:
        return "virtual environment"
    return "conda" if "conda" in sys.version.lower() else "system"


def _again(one: Needed) -> str:
    installer = install_command("tables").removesuffix(requirement("tables")).rstrip()
    bound = f"'{one.name}>={one.least}'" if one.least else one.name
    return f"{installer} {bound}"


def _too_old(scene: Scene, one: Needed) -> Finding:
    return problem(
        f"{one.name} {one.installed} is older than {one.least}, the least that works",
        scene.private.path(_again(one)),
        name=one.name, installed=one.installed, least=one.least, extra=one.extra or None,
    )  # fmt: skip


_FEATURES: Final = (("HTTP2", "HTTP/2"), ("HTTP3", "HTTP/3"), ("ASYNCHDNS", "names in threads"))


def _libcurl(scene: Scene) -> Finding:
    try:
        import pycurl
    except Exception as error:  # noqa: BLE001 - whatever a broken library raises
        why = scene.private.names(f"{type(error).__name__}: {error}")
        again = _again(Needed("pycurl"))
        return problem(
            f"pycurl cannot be imported ({why[:160]})",
            scene.private.path(again.replace("install ", "install --force-reinstall ", 1)),
        )
    told = pycurl.version_info()
    bits = {name: int(getattr(pycurl, f"VERSION_{name}", 0)) for name, _ in _FEATURES}
    features = [words for name, words in _FEATURES if told[4] & bits[name]]
    return ok(
        f"libcurl {told[1]} with {told[5]}, {', '.join(features)}",
        libcurl=told[1], tls=told[5], features=features, components=pycurl.version.split(),
    )  # fmt: skip


def extras(scene: Scene) -> Iterator[Finding]:
    """Return for each extra whether it is whole, and the command that installs what is missing."""
    wanted = [one for one in needed() if one.extra and one.extra not in _NOT_FOR_USERS]
    told: set[str] = set()
    for extra in dict.fromkeys(one.extra for one in wanted):
        own = [one for one in wanted if one.extra == extra]
        old = [one for one in own if one.installed and one.is_old]
        yield from (_too_old(scene, one) for one in old if one.name not in told)
        told.update(one.name for one in old)
        yield _extra(scene, extra, own)


def _extra(scene: Scene, extra: str, own: Sequence[Needed]) -> Finding:
    here = {one.name: one.installed for one in own if one.installed}
    missing = [one.name for one in own if not one.installed]
    hollow = [one for one in own if one.installed and not one.has_files]
    words = ", ".join(f"{name} {number}" for name, number in here.items())
    facts = {"extra": extra, "installed": here, "missing": missing}
    command = scene.private.path(install_command(extra))
    if hollow:
        named = ", ".join(one.name for one in hollow)
        again = " ".join(one.name for one in hollow)
        command = _again(Needed("pip")).removesuffix(" pip")
        return problem(
            f"{extra}: {named} is installed, but its module is not there",
            scene.private.path(f"{command} --force-reinstall {again}"), **facts,
        )  # fmt: skip
    if missing:
        has = f"; has {words}" if here else ""
        return note(f"{extra}: without {', '.join(missing)}{has}", command, **facts)
    return ok(f"{extra}: {words}", **facts)


def imports(scene: Scene) -> Iterator[Finding]:
    """Import each library in a process of its own; only where that was asked for."""
    if not scene.imports:
        return
    wanted = {one.name: one for one in needed() if one.extra != "test"}
    there = [one for one in wanted.values() if one.installed and one.has_files]
    with ThreadPoolExecutor(2) as pool:
        raised = list(pool.map(_import, there))
    for one, why in zip(there, raised, strict=True):
        if why:
            again = _again(Needed("pip")).removesuffix(" pip")
            yield problem(
                f"{one.name} {one.installed} cannot be imported ({scene.private.names(why)[:200]})",
                scene.private.path(f"{again} --force-reinstall {one.name}"),
                name=one.name,
            )
    broken = sum(1 for why in raised if why)
    if not broken:
        yield ok(f"all {len(there)} libraries that are installed can be imported")


def _import(one: Needed) -> str:
    """Return the last line of what an import says where it fails; empty where it does not."""
    # -P: what lies in the current folder is not what is installed. -B: nothing is written.
    command = [sys.executable, "-P", "-B", "-c", f"import {one.module}"]
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and a name of our own metadata
            command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=_IMPORT_S
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {_IMPORT_S:.0f} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    if done.returncode == 0:
        return ""
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    with suppress(IndexError):
        return said[-1]
    return f"the process ended with {done.returncode}"
