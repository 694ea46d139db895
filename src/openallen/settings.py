"""Settings, and the origin of each value.

Precedence: argument, environment variable (``OPENALLEN_*``), project file (``openallen.toml`` in
the current folder or the nearest parent), user file (``openallen/config.toml`` in the platform's
configuration folder), default. Values are read when they are used, never at import.

A project file may have come with somebody else's folder. So it is read only where the user owns it
and nobody else may change it, and it cannot name a program that is run or a service that is asked.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from openallen.errors import UsageError
from openallen.json_text import load_json
from openallen.paths import existing, expanded

__all__ = [
    "Settings",
    "parse_bytes",
    "project_file",
    "service_name",
    "untrusted",
    "user_file",
]

_PREFIX: Final = "OPENALLEN_"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50}


def parse_bytes(text: str | float) -> int:
    """Read a size: ``1500``, ``"1.5 GB"``, ``"16MiB"`` (decimal and binary units, in any case).

    Raises
    ------
    ValueError
        If it is not a size.
    """
    match = re.fullmatch(r"\s*([\d_.]+)\s*([kmgtp]?i?)b?\s*", str(text).lower())
    unit = (_UNITS | _BINARY).get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError(f"'{text}' is not a size in bytes")
    return int(float(match[1].replace("_", "")) * unit)


def _flag(text: str | bool) -> bool:
    word = str(text).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError(f"'{text}' is neither yes nor no")


_MOST: Final = 1_000_000
"""The most of anything but bytes: what is larger is a slip, and libcurl and clocks refuse it."""


def _number(kind: Callable[[Any], Any], value: object) -> Any:
    try:
        return kind(str(value).strip())
    except (ValueError, OverflowError):  # whose texts are about Python's own numbers
        said = repr(str(value)[:40])
        what = "whole number" if kind is int else "number"
        raise ValueError(f"{said} is not a {what}") from None


def _positive(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: object) -> object:
        number = _number(kind, value)
        if not number > 0:
            raise ValueError(f"{value} is not more than zero")
        if number > _MOST:
            raise ValueError(f"{value} is more than {_MOST:,}")
        return number

    return read


def _speed(value: object) -> int:
    number = int(_number(int, value))
    if not 0 <= number < 1 << 31:
        raise ValueError(f"{value} is not between 0 and {(1 << 31) - 1:,}")
    return number


def _folder(value: str | Path) -> Path:
    return expanded(value).absolute()


def _text(value: object) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"not text: {type(value).__name__} given")
    return str(value)


def _tables(value: object) -> Mapping[str, Mapping[str, Any]]:
    found = load_json(value) if isinstance(value, str) else value
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise ValueError("tables are needed: [projects.NAME]")
    return found


def service_name(source: str) -> str:
    """Return the name by which fetched things remember a service, whatever folder one is in.

    Parameters
    ----------
    source
        ``live``, ``sample``, or the folder or URL of an archive, as it was typed.

    Returns
    -------
    str
        ``live``, ``sample``, the URL without a slash at its end, or the absolute path of the
        folder. Other text as it is.
    """
    if source in _SERVICES or source.startswith(("http://", "https://")):
        return source.rstrip("/")
    path = existing(source)
    written = source.startswith(("~", ".")) or "/" in source or os.sep in source
    if not written and (path is None or not path.is_dir()):
        return source
    try:
        return str(Path(os.path.normpath(expanded(source).absolute())))
    except UsageError:
        return source


def _default_store() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("openallen", appauthor=False))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, read once per call.

    Parameters
    ----------
    store
        Folder for data fetched without a destination.
    source
        ``live`` (brain-map.org), ``sample`` (embedded), or the folder or URL of an archive.
    s3_endpoint
        Base URL of an S3-compatible service with the same buckets; empty for S3 itself.
    docdb_url
        Base URL of the document database with AIND metadata; empty for the public one.
    validator
        Python interpreter of an environment with aind-data-schema, for validation of metadata.
    offline
        Make no connection except to loopback addresses.
    connections
        Maximum number of simultaneous connections; None to adapt to the service.
    processes
        Number of processes that share a fetch; None to choose by its size and the processors.
    connect_timeout_s
        Timeout for connecting, in seconds.
    silence_timeout_s
        Timeout between received bytes, in seconds.
    head_timeout_s
        Longest wait for the whole head of an answer, in seconds.
    least_bytes_per_s
        An answer that comes slower than this over half a minute is given up; 0 for no bound.
    attempts
        Attempts per request or file before it fails.
    confirm_bytes
        Size above which a fetch needs confirmation, in bytes.
    verify_later
        Verify published digests later, with ``openallen verify`` or the next fetch, instead of
        during this one; sizes are always compared.
    projects
        Additional release projects by name: tables with ``bucket`` and more, in a settings file.
    origins
        Origin of each value, by name.
    """

    store: Path = field(default_factory=_default_store)
    source: str = "live"
    s3_endpoint: str = ""
    docdb_url: str = ""
    validator: str = ""
    offline: bool = False
    connections: int | None = None
    processes: int | None = None
    connect_timeout_s: float = 10.0
    silence_timeout_s: float = 30.0
    head_timeout_s: float = 120.0
    least_bytes_per_s: int = 100
    attempts: int = 5
    confirm_bytes: int = 1_000_000_000
    verify_later: bool = False
    projects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @classmethod
    def load(cls, **arguments: object) -> Settings:
        """Resolve all settings; arguments that are not None have precedence.

        Raises
        ------
        UsageError
            For an unknown name, or an invalid value, or one that a project file may not set; with
            its origin, in a file with its line.
        """
        found = _in_user_file() | _in_project_file()
        for name in _READERS:
            variable = f"{_PREFIX}{name.upper()}"
            if variable in os.environ:
                found[name] = (os.environ[variable], f"environment {variable}")
        _refuse_unknown_variables()
        found |= {k: (v, "argument") for k, v in arguments.items() if v is not None}
        values = {name: _read(name, value, origin) for name, (value, origin) in found.items()}
        origins = dict.fromkeys(_READERS, "default") | {k: o for k, (_, o) in found.items()}
        return cls(**values, origins=MappingProxyType(origins))

    @property
    def service(self) -> str:
        """The source as fetched things remember it: see `service_name`."""
        return service_name(self.source)

    @property
    def is_folder(self) -> bool:
        """Whether the source is the folder of an archive, or text that is no source."""
        return self.source not in _SERVICES and not self.source.startswith(("http://", "https://"))

    def to_dict(self) -> dict[str, object]:
        """Return the values by name, without origins."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "origins"}


_SERVICES: Final = frozenset({"live", "sample"})
_READERS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "store": _folder,
        "source": _text,
        "s3_endpoint": _text,
        "docdb_url": _text,
        "validator": _text,
        "offline": _flag,
        "connections": _positive(int),
        "processes": _positive(int),
        "connect_timeout_s": _positive(float),
        "silence_timeout_s": _positive(float),
        "head_timeout_s": _positive(float),
        "least_bytes_per_s": _speed,
        "attempts": _positive(int),
        "confirm_bytes": parse_bytes,
        "verify_later": _flag,
        "projects": _tables,
    }
)


def _refuse_unknown_variables() -> None:
    """Refuse variables that set nothing: what they were meant for would be ignored silently."""
    known = {name.upper() for name in _READERS}
    for variable in os.environ:
        name = variable.removeprefix(_PREFIX)
        if name != variable and name not in known and not name.startswith("TEST_"):
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"unknown setting '{variable}' in the environment",
                hint=f"{_PREFIX}{near[0]}" if near else "one of " + ", ".join(_READERS),
            )


def user_file() -> Path:
    """Return the path of the user's settings file, even if it does not exist."""
    import platformdirs

    return Path(platformdirs.user_config_dir("openallen", appauthor=False)) / "config.toml"


def project_file() -> Path | None:
    """Return the nearest ``openallen.toml`` in the current folder or a parent; None without one.

    Those that `untrusted` finds a reason for are there, too, and not read.
    """
    here = Path.cwd()
    return next((p for d in (here, *here.parents) if (p := d / "openallen.toml").is_file()), None)


def untrusted(path: Path) -> str:
    """Return why a project file is not read; empty for one that is.

    Parameters
    ----------
    path
        The file.
    """
    if not hasattr(os, "getuid"):  # Windows: folders there are not shared as /tmp is
        return ""
    try:
        itself, target = path.lstat(), path.stat()
    except OSError as error:
        return error.strerror or str(error)
    if not itself.st_uid == target.st_uid == os.getuid():
        return "it belongs to another user"
    return "everybody may change it" if target.st_mode & stat.S_IWOTH else ""


def _in_user_file() -> dict[str, tuple[object, str]]:
    return {k: (v, f"user file {at}") for k, (v, at) in _read_file(user_file()).items()}


def _in_project_file() -> dict[str, tuple[object, str]]:
    path = project_file()
    if path is None:
        return {}
    if why := untrusted(path):
        if path not in _TOLD:
            _TOLD.add(path)
            _LOG.warning("%s is not read: %s", path, why)
        return {}
    found = {k: (v, f"project file {at}") for k, (v, at) in _read_file(path).items()}
    for name, (value, origin) in found.items():
        if name in _READERS and not _is_harmless(name, value):
            raise UsageError(
                f"'{name}' cannot be set in {origin}",
                why="such a file may be somebody else's: programs and services are the user's own",
                hint=f"set it in {user_file()}, or OPENALLEN_{name.upper()} in the environment",
            )
    return found


def _is_harmless(name: str, value: object) -> bool:
    return name in _HARMLESS or (name == "source" and value in _SERVICES)


_LOG: Final = logging.getLogger("openallen.settings")
_TOLD: Final[set[Path]] = set()
"""Files that were said to be ignored: once a process, not at every call."""
_HARMLESS: Final = frozenset({
    "attempts", "confirm_bytes", "connect_timeout_s", "connections", "head_timeout_s",
    "least_bytes_per_s", "offline", "processes", "silence_timeout_s", "store",
})  # fmt: skip
"""What a project file may set: where files are kept, and how patiently they are fetched."""


def _read_file(path: Path) -> dict[str, tuple[object, str]]:
    """Return the values in a settings file, each with where it stands."""
    if not path.is_file():
        return {}
    body = b""
    try:
        body = path.read_bytes()
        text = body.decode("utf-8")
        told = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        why = f"not UTF-8 (at line {line})"
        raise UsageError("settings cannot be read", address=str(path), why=why) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError("settings cannot be read", address=str(path), why=why) from error
    except (ValueError, RecursionError) as error:  # no TOML, nested too deeply, too many digits
        raise UsageError("settings cannot be read", address=str(path), why=str(error)) from error
    return {name: (value, f"{path}{_line(text, name)}") for name, value in told.items()}


def _line(text: str, name: str) -> str:
    """Return where a setting stands in a file: ``, line 3``; empty where it cannot be found."""
    quoted = re.escape(name)
    found = re.search(rf"^[ \t]*\[?[ \t]*[\"']?{quoted}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return f", line {text.count(chr(10), 0, found.start()) + 1}" if found else ""


def _read(name: str, value: object, origin: str) -> Any:
    reader = _READERS.get(name)
    if reader is None:
        near = get_close_matches(name, _READERS, n=1)
        hint = near[0] if near else "one of " + ", ".join(_READERS)
        raise UsageError(f"unknown setting '{name}' in {origin}", hint=hint)
    try:
        return reader(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise UsageError(
            f"invalid value of setting '{name}' from {origin}", why=str(error)
        ) from error
