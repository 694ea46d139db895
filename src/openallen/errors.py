"""Everything openallen raises on purpose.

One base, and leaves that also inherit the fitting built-in, so that code which has never
heard of openallen still catches them::

    OpenAllenError
    ├── UsageError             ValueError          the call itself makes no sense
    │   ├── AddressError                           text that is no address
    │   └── QueryError                             text that is no RMA, with position and caret
    ├── NotFoundError          FileNotFoundError   the thing does not exist there
    ├── OfflineError           ConnectionError     needed the network, was told not to use it
    ├── ServiceError           ConnectionError     the service could not be used
    │   ├── UnreachableError                       no connection, or it broke
    │   ├── StalledError       TimeoutError        connected, then silent
    │   ├── StatusError                            an HTTP status that says no
    │   └── AnswerError        ValueError          of the wrong kind, or contradicting itself
    │       └── ShortAnswerError                   fewer rows than the service announces
    ├── IntegrityError         ValueError          bytes that are not what was published
    │   ├── TruncatedError     EOFError            fewer bytes than there should be
    │   └── CorruptError                           bytes that do not decode, or the wrong digest
    ├── RefusedError           PermissionError     not done without a yes
    │   └── SpaceError                             the disk cannot hold it
    ├── StoreError             OSError             the place to write to cannot be used
    ├── IncompleteError                            some items failed; see openallen.plans
    └── MissingExtraError      ImportError         an optional dependency is not installed

Each says what failed, for which address, why, and what to type next; each of these is an
attribute too. Each knows the exit code the command line ends with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import ClassVar, Final

from openallen.harmless import harmless

__all__ = [
    "AddressError",
    "AnswerError",
    "CorruptError",
    "ExitCode",
    "IntegrityError",
    "MissingExtraError",
    "NotFoundError",
    "OfflineError",
    "OpenAllenError",
    "QueryError",
    "RefusedError",
    "ServiceError",
    "ShortAnswerError",
    "ShortAnswerWarning",
    "SpaceError",
    "StalledError",
    "StatusError",
    "StoreError",
    "TruncatedError",
    "UnreachableError",
    "UsageError",
    "hint_line",
    "requiring",
]


class ExitCode(IntEnum):
    """How the command line ends; the meaning of each number never changes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    OFFLINE = 4
    INCOMPLETE = 5
    REFUSED = 6
    INTEGRITY = 7
    INTERRUPTED = 130


_COMMAND: Final = re.compile(r"(openallen|pip|uv) |\S*python\S* -m |'[^']*python[^']*' -m ")


def hint_line(hint: str) -> str:
    """Return a hint with its label: ``try:`` for a command that works as typed, else ``hint:``."""
    return f"{'try' if _COMMAND.match(hint) else 'hint'}: {hint}"


class OpenAllenError(Exception):
    """Base of every error openallen raises on purpose.

    Parameters
    ----------
    what
        What failed, in a few words, without a full stop.
    address
        The address, URL or path it failed for.
    why
        The reason, as far as it is known.
    hint
        What to do next: a command to paste where there is one.

    Attributes
    ----------
    what, address, why, hint
        The parameters, unchanged.
    exit_code : ExitCode
        What the command line ends with.
    retryable : bool
        Whether the same request may well succeed a moment later.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    retryable: bool = False

    def __init__(self, what: str, *, address: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.address = address
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        lead = self.address if self.address.endswith(":") else f"{self.address}:"
        text = f"{lead} {self.what}" if self.address else self.what
        if self.why:
            text += f" ({self.why})"
        if self.hint:
            text += f"\n  {hint_line(self.hint)}"
        return harmless(text, lines=True)

    def __reduce__(self) -> tuple[object, ...]:
        # The default hands only `args` back to __init__: between processes the keywords were lost.
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[OpenAllenError], state: dict[str, object]) -> OpenAllenError:
    error = kind.__new__(kind, str(state.get("what", "")))
    error.args = (state.get("what", ""),)
    error.__dict__.update(state)
    return error


class UsageError(OpenAllenError, ValueError):
    """The call makes no sense as it stands: a wrong option, a wrong value, a wrong mix."""

    exit_code = ExitCode.USAGE


class AddressError(UsageError):
    """Text that is no address of this grammar."""


class QueryError(UsageError):
    """Text that is no RMA query.

    Parameters
    ----------
    what
        What was expected and what stood there.
    text
        The whole query.
    position
        Index into `text` of the character where reading stopped.
    """

    def __init__(self, what: str, *, text: str, position: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.text = text
        self.position = position

    def __str__(self) -> str:
        start = max(0, self.position - 40)
        window = self.text[start : self.position + 30].replace("\n", " ")
        lead = "…" if start else ""
        caret = " " * (len(lead) + self.position - start) + "^"
        text = f"{self.what} at position {self.position}\n  {lead}{window}\n  {caret}"
        text = f"{text}\n  {hint_line(self.hint)}" if self.hint else text
        return harmless(text, lines=True)


class NotFoundError(OpenAllenError, FileNotFoundError):
    """The service answered, and the thing asked for is not there."""

    exit_code = ExitCode.NOT_FOUND


class OfflineError(OpenAllenError, ConnectionError):
    """The network was needed, and offline mode forbids it."""

    exit_code = ExitCode.OFFLINE


class ServiceError(OpenAllenError, ConnectionError):
    """A service could not be used as it should."""

    retryable = True


class UnreachableError(ServiceError):
    """No connection could be made, or it broke before the answer was whole."""


class StalledError(ServiceError, TimeoutError):
    """The other side went silent for longer than the timeout."""


class StatusError(ServiceError):
    """The service answered with an HTTP status that says no.

    Parameters
    ----------
    status
        The HTTP status code.
    retry_after_s
        The wait the server asked for, in seconds, where it did.
    """

    def __init__(
        self,
        what: str,
        *,
        status: int,
        retry_after_s: float | None = None,
        address: str = "",
        why: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(what, address=address, why=why, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s
        self.retryable = status in {408, 425, 429} or status >= 500


class AnswerError(ServiceError, ValueError):
    """An answer of the wrong kind (HTML where JSON was asked), or one that contradicts itself."""


class ShortAnswerError(AnswerError):
    """Fewer rows than the service announces; ``short="warn"`` accepts those there are."""


class ShortAnswerWarning(UserWarning):
    """The same where ``short="warn"`` accepts the rows there are."""


class IntegrityError(OpenAllenError, ValueError):
    """Bytes that are not what was published."""

    exit_code = ExitCode.INTEGRITY
    retryable = True


class TruncatedError(IntegrityError, EOFError):
    """Fewer bytes than there should be."""


class CorruptError(IntegrityError):
    """Bytes that do not decode, or whose digest is not the published one."""


class RefusedError(OpenAllenError, PermissionError):
    """Something that is not done without a yes: too large, would overwrite, needs confirmation."""

    exit_code = ExitCode.REFUSED


class SpaceError(RefusedError):
    """The disk cannot hold what was asked for."""


class StoreError(OpenAllenError, OSError):
    """The place to write to cannot be used: read-only, not a folder, gone."""


class MissingExtraError(OpenAllenError, ImportError):
    """An optional dependency of openallen is not installed.

    Parameters
    ----------
    extra
        Name of the extra that installs it, or of the package where no extra has it.
    needed_for
        What was asked for, in words: ``reading OME-Zarr``.
    hint
        The command that installs it; the one for the extra where empty.
    """

    def __init__(self, extra: str, needed_for: str, *, hint: str = "") -> None:
        from openallen.extras import install_command

        kind = "package" if hint else "extra"
        super().__init__(
            f"{needed_for} needs the optional {kind} '{extra}'",
            why="it is not installed",
            hint=hint or install_command(extra),
        )
        self.extra = extra


_EXTRAS: Final = {
    "anywidget": "widget",
    "dask": "dask",
    "distributed": "cluster",
    "duckdb": "tables",
    "h5py": "nwb",
    "matplotlib": "atlas",
    "nibabel": "atlas",
    "nrrd": "atlas",
    "numcodecs": "ephys",
    "numpy": "images",
    "pandas": "tables",
    "PIL": "images",
    "polars": "polars",
    "pyarrow": "tables",
    "pynwb": "nwb",
    "simplejpeg": "images",
    "starlette": "web",
    "uvicorn": "web",
    "xarray": "atlas",
    "zarr": "images",
    "zstandard": "images",
}
"""An extra that brings a package, for what does not say which one it needs."""


@contextmanager
def requiring(needed_for: str, extra: str = "") -> Iterator[None]:
    """Raise `MissingExtraError` for what is imported within; also a decorator of functions.

    Parameters
    ----------
    needed_for
        What is done, in words: ``reading OME-Zarr``.
    extra
        Name of the extra; one that brings the missing package where empty.

    Raises
    ------
    MissingExtraError
        If an optional package is not installed. Any other import error stays what it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        brings = extra or _EXTRAS.get(package, "")
        if not brings or package == __name__.partition(".")[0]:
            raise
        raise MissingExtraError(brings, needed_for) from None
