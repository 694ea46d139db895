"""Options as typed dataclasses: one description for keywords, command-line flags and JSON schema.

A source says what `fetch`, `show`, `list` and `open` of its addresses take by a frozen dataclass
whose fields are made with `option`. Everything else follows: which keywords are known and which is
nearest to a mistyped one, how text is read, what values are allowed, the flags and their help.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final, TypeVar, cast

from openallen.errors import UsageError

__all__ = [
    "NoOptions", "Option", "check_known", "describe", "json_schema", "option", "read_options",
]  # fmt: skip

T = TypeVar("T")

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is said of one option.

    Parameters
    ----------
    help
        One sentence, with the unit where there is one.
    metavar
        What stands for the value in help texts.
    minimum, maximum
        Bounds of a number, inclusive.
    choices
        The only values allowed; empty where any is.
    parse
        Reads the value from text; raises `UsageError` or `ValueError`.
    flags
        More spellings on the command line, such as ``--plot``.
    example
        A value that works, for help and tests.
    """

    help: str
    metavar: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    flags: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True)
class Described:
    """One option of a source, with its name, type and default.

    Parameters
    ----------
    name
        Its keyword.
    kind
        The type of a value that is there.
    default
        Its default.
    option
        What is said of it.
    """

    name: str
    kind: type
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """Its spelling on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.kind is bool


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of what takes none."""


def option(
    default: Any = None,
    help: str = "",  # noqa: A002 - the word of every command line
    *,
    metavar: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    parse: Callable[[str], Any] | None = None,
    flags: tuple[str, ...] = (),
    example: str = "",
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Make a field of a dataclass of options.

    Parameters
    ----------
    default
        The default, where it can be shared.
    help, metavar, minimum, maximum, choices, parse, flags, example
        As for `Option`.
    factory
        Makes the default where it cannot be shared.
    """
    told = Option(
        help=help,
        metavar=metavar,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        parse=parse,
        flags=flags,
        example=example,
    )
    if factory is not None:
        return field(default_factory=factory, metadata={"option": told})
    return field(default=default, metadata={"option": told})


def describe(kind: type) -> tuple[Described, ...]:
    """Return the options of a dataclass, in order.

    Parameters
    ----------
    kind
        The dataclass.
    """
    hints = typing.get_type_hints(kind)
    return tuple(
        Described(f.name, _plain(hints[f.name]), f.default, f.metadata["option"])
        for f in fields(kind)
    )


def _plain(hint: Any) -> type:
    """Return the type of a value that is there: ``int`` for ``int | None``."""
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return cast("type", typing.get_origin(hint) or hint)


def read_options(kind: type[T], given: Mapping[str, Any], address: str = "") -> T:
    """Make options out of keywords, flags or the conditions of an address.

    Values that are None count as not given. Texts are read by the type of the option.

    Parameters
    ----------
    kind
        The dataclass of options.
    given
        Values by name.
    address
        What the options are of, for errors.

    Raises
    ------
    UsageError
        For an unknown option, with the nearest one, or a value that is not allowed.
    """
    known = {d.name: d for d in describe(kind)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise _unknown(name, known, address)
        if value is not None:
            values[name] = _value(known[name], value, address)
    return kind(**values)


def check_known(kinds: Iterable[type], names: Iterable[str], address: str = "") -> None:
    """Refuse options that none of several kinds of things takes.

    Parameters
    ----------
    kinds
        The dataclasses of options.
    names
        What was given.
    address
        What the options are of, for errors.

    Raises
    ------
    UsageError
        For an unknown option, with the nearest one.
    """
    known = {d.name: d for kind in kinds for d in describe(kind)}
    for name in names:
        if name not in known:
            raise _unknown(name, known, address)


def _unknown(name: str, known: Mapping[str, Described], address: str) -> UsageError:
    if not known:
        return UsageError(f"no such option '{name}'", address=address, why="it takes none")
    near = get_close_matches(name, known, 1)
    return UsageError(
        f"no such option '{name}'",
        address=address,
        why="options: " + ", ".join(known),
        hint=near[0] if near else "",
    )


def _value(described: Described, value: Any, address: str) -> Any:
    told = described.option
    try:
        read = _read(described, value)
    except UsageError:
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"'{value}' is not a value of '{described.name}'",
            address=address,
            why=str(error)
            if told.parse
            else f"a value of type {described.kind.__name__} is needed",
            hint=f"{described.name}={told.example}" if told.example else "",
        ) from None
    if told.choices and read not in told.choices:
        near = get_close_matches(str(read), told.choices, 1)
        raise UsageError(
            f"'{read}' is not a value of '{described.name}'",
            address=address,
            why="values: " + ", ".join(told.choices),
            hint=f"{described.name}={near[0]}" if near else "",
        )
    low, high = told.minimum, told.maximum
    if (low is not None and read < low) or (high is not None and read > high):
        bounds = f"{low:g} to {high:g}" if low is not None and high is not None else "out of bounds"
        raise UsageError(
            f"{described.name}={read} is not allowed", address=address, why=f"allowed: {bounds}"
        )
    return read


def _read(described: Described, value: Any) -> Any:
    if described.option.parse is not None and isinstance(value, (str, int)):
        return described.option.parse(str(value))
    if described.option.parse is not None or not isinstance(value, str):
        return _typed(described.kind, value)
    if described.kind is bool:
        word = value.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(f"'{value}' is neither yes nor no")
        return word in _TRUE
    if described.kind is tuple:
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return described.kind(value)


def _typed(kind: type, value: Any) -> Any:
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is bool and isinstance(value, int) and value in {0, 1}:
        return bool(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


_JSON_TYPES: Final = {int: "integer", float: "number", bool: "boolean", tuple: "array"}


def json_schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema of a dataclass of options.

    Parameters
    ----------
    kind
        The dataclass.
    """
    properties: dict[str, Any] = {}
    for described in describe(kind):
        told = described.option
        one: dict[str, Any] = {
            "type": _JSON_TYPES.get(described.kind, "string"),
            "description": told.help,
        }
        if told.minimum is not None:
            one["minimum"] = told.minimum
        if told.maximum is not None:
            one["maximum"] = told.maximum
        if told.choices:
            one["enum"] = list(told.choices)
        if isinstance(described.default, (int, float, str, bool)):
            one["default"] = described.default
        properties[described.name] = one
    return {"type": "object", "properties": properties, "additionalProperties": False}
