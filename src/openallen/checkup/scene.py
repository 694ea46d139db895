"""What checks look at: the settings as far as they can be read, and what was asked for."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.checkup.private import Private
from openallen.errors import OpenAllenError, UsageError
from openallen.settings import Settings, project_file, user_file

if TYPE_CHECKING:
    from openallen.checkup.asking import Asking

__all__ = ["Scene", "quiet_settings"]


@dataclass
class Scene:
    """What checks look at.

    Parameters
    ----------
    settings
        The settings; defaults where they cannot be read.
    trouble
        Why the settings cannot be read; None where they can.
    private
        Writes texts without what is private.
    imports
        Whether libraries are imported, in processes of their own.
    asking
        The requests to services; None where none are made.
    """

    settings: Settings
    trouble: OpenAllenError | None
    private: Private
    imports: bool = False
    asking: Asking | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @classmethod
    def look(cls, *, imports: bool = False, **given: Any) -> Scene:
        """Read the settings, come what may.

        Parameters
        ----------
        imports
            Whether libraries are to be imported.
        **given
            Settings that were named in the call.
        """
        trouble: OpenAllenError | None = None
        try:
            with quiet_settings():
                settings = Settings.load(**given)
        except OpenAllenError as error:
            trouble, settings = error, _without_files(given)
        except Exception as error:  # noqa: BLE001 - no current folder, no home: a finding, too
            trouble = UsageError("settings cannot be read", why=f"{type(error).__name__}")
            settings = _without_files(given)
        environ = dict(os.environ)
        return cls(settings, trouble, Private(environ, _values(settings)), imports, None, environ)


@contextmanager
def quiet_settings() -> Iterator[None]:
    """Write no warnings of the settings: the check of the settings says the same, without names."""
    log = logging.getLogger("openallen.settings")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def _without_files(given: Mapping[str, Any]) -> Settings:
    """Return defaults with what was named in the call and in the environment, where it is valid."""
    told: dict[str, Any] = {
        name: os.environ.get(f"OPENALLEN_{name.upper()}")
        for name in ("store", "source", "s3_endpoint", "docdb_url")
    }
    wish = os.environ.get("OPENALLEN_OFFLINE", "").strip().lower()
    told["offline"] = wish not in {"", "0", "no", "off", "false"} or None
    told |= {name: value for name, value in given.items() if value is not None}
    usable: dict[str, Any] = {}
    origins = {}
    for name, value in told.items():
        with suppress(Exception):  # one that is not valid is the trouble itself
            if value is not None and (name in {"store", "offline"} or isinstance(value, str)):
                usable[name] = Path(value).expanduser().absolute() if name == "store" else value
                origins[name] = "argument" if given.get(name) is not None else "environment"
    return Settings(**usable, origins=origins)


def _values(settings: Settings) -> Iterator[str]:
    """Return all text that settings hold, also in files that cannot be read as settings."""
    yield from _texts(settings.to_dict())
    for find in (user_file, project_file):
        with suppress(Exception):  # unreadable: then it cannot be quoted either
            path = find()
            if path is not None and path.is_file() and path.stat().st_size < 1 << 20:
                text = path.read_bytes().decode("utf-8", "replace")
                yield from re.findall(r"[\"']([^\"'\n]+)[\"']", text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, (str, Path)):
        yield str(value)
