"""Options of a source as fields of a form, and a form as options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from openallen.errors import UsageError
from openallen.sources.options import Described, describe

__all__ = ["fields_of_options", "given_options", "read_form"]

_LARGEST_BYTES = 1 << 16


def fields_of_options(kind: type, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what a form asks for the options of a dataclass.

    Parameters
    ----------
    kind
        The dataclass of options.
    given
        Values to begin with, as text.

    Returns
    -------
    list of dict
        ``name``, ``label``, ``help``, ``type`` (``checkbox``, ``select``, ``number``, ``text``),
        ``value``, ``placeholder``, ``default``, ``choices``, ``min``, ``max``.
    """
    return [_field(told, given.get(told.name)) for told in describe(kind)]


def _field(told: Described, given: str | None) -> dict[str, Any]:
    option = told.option
    type_ = "text"
    if told.is_switch:
        type_ = "checkbox"
    elif option.choices:
        type_ = "select"
    elif told.kind in {int, float}:
        type_ = "number"
    plain = isinstance(told.default, (int, float, str)) and not isinstance(told.default, bool)
    default = str(told.default) if plain else ""
    value: Any = given if given is not None else ""
    if type_ == "checkbox":
        value = bool(told.default) if given is None else given not in {"", "no", "false", "0"}
    return {
        "name": told.name,
        "label": told.name.replace("_", " "),
        "help": option.help,
        "type": type_,
        "value": value,
        "placeholder": default or _example(option.example) or option.metavar.lower(),
        "default": default,
        "choices": list(option.choices),
        "min": option.minimum,
        "max": option.maximum,
        "step": 1 if told.kind is int else "any",
    }


def _example(text: str) -> str:
    """Return an example so that nobody takes it for what is used when nothing is given."""
    return text and f"for example {text}"


def given_options(kind: type, form: Mapping[str, str]) -> dict[str, str]:
    """Return the options among the values of a form; those left empty are not given.

    Parameters
    ----------
    kind
        The dataclass of options.
    form
        Values by name.
    """
    names = {told.name for told in describe(kind)}
    return {name: value for name, value in form.items() if name in names and value != ""}


async def read_form(receive: Any, most: int = _LARGEST_BYTES) -> dict[str, str]:
    """Read the values of a form as browsers send it, the last of each name.

    Parameters
    ----------
    receive
        The request: yields pieces of its body (`starlette.requests.Request.stream`).
    most
        The largest body that is read.

    Raises
    ------
    UsageError
        If it is larger, or no text.
    """
    pieces: list[bytes] = []
    async for piece in receive:
        pieces.append(piece)
        if sum(map(len, pieces)) > most:
            raise UsageError("the form is too large")
    try:
        pairs: Sequence[tuple[str, str]] = parse_qsl(
            b"".join(pieces).decode("utf-8"), keep_blank_values=True, max_num_fields=200
        )
    except ValueError as error:
        raise UsageError("not a form", why=str(error)) from None
    return dict(pairs)
