"""One grammar names anything the Allen Institute publishes.

::

    address   := scheme ":" [ name [ "@" version ] ] ( "/" part )* [ "?" condition ( "&" … )* ]
    condition := field op value | field "__" word "=" value | field

Every address prints itself canonically and reads back as an equal one. Characters that mean
something to the grammar are percent-encoded inside names, parts and values; nothing needs a
``$``, so no shell can swallow a filter. Some of the institute's own web addresses are read too,
where they name the same thing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from urllib.parse import quote, unquote

from openallen.errors import AddressError
from openallen.sources.registry import SCHEMES, find, source_classes
from openallen.web_address import WebAddress, is_web
from openallen.whole_numbers import whole_number

__all__ = ["OPERATORS", "SCHEMES", "Address", "AddressLike", "Condition", "path_text"]

OPERATORS: Mapping[str, str] = MappingProxyType(
    {
        "eq": "=",
        "ne": "!=",
        "lt": "<",
        "le": "<=",
        "gt": ">",
        "ge": ">=",
        "in": "in",
        "like": "like",
        "ilike": "ilike",
        "exists": "is there",
    }
)
"""Operator words, as keyword suffixes spell them (``id__gt=5``), with the sign each reads as."""

_SIGNS = {"=": "eq", "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_CONDITION = re.compile(
    r"\s*(?P<field>[A-Za-z_][\w.-]*?)\s*(?P<sign><=|>=|!=|==|=|<|>)(?P<value>.*)", re.DOTALL
)
_FIELD = re.compile(r"[A-Za-z_][\w.-]*")
# Kept bare in names and parts: what people paste and no shell or URL reader trips over.
_SAFE_PART = "*:,;+()[]!$'~"
_SAFE_PATH = _SAFE_PART + "@"
_SAFE_VALUE = _SAFE_PART + "/@"


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter on one field: ``imaging_depth<200``, ``name__ilike=*visual*``, ``id__in=1,2``.

    Parameters
    ----------
    field
        Name of the column or attribute.
    op
        One of `OPERATORS`.
    value
        The text to compare with; a tuple of texts for ``in``; empty for ``exists``.
    """

    field: str
    op: str
    value: str | tuple[str, ...] = ""

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise AddressError(
                f"unknown operator '{self.op}'", hint="one of " + ", ".join(OPERATORS)
            )
        if not _FIELD.fullmatch(self.field):
            raise AddressError(f"'{self.field}' is not the name of a field")
        if isinstance(self.value, tuple) != (self.op == "in"):
            raise AddressError(f"operator '{self.op}' does not take {self.value!r}")

    @classmethod
    def parse(cls, text: object, *, encoded: bool = False) -> Condition:
        """Read ``field op value``.

        Parameters
        ----------
        text
            ``a=1``, ``a<=2``, ``a__like=x*``, ``a__in=1,2``, or the bare field ``a``.
        encoded
            Whether the value is percent-encoded, as it is inside an address.

        Raises
        ------
        AddressError
            If there is not the name of a field to be read.
        """
        if not isinstance(text, str):
            raise AddressError(
                f"a filter is text, not {type(text).__name__}",
                hint="FIELD=VALUE, for example id=5",
            )
        _whole_characters(text)
        match = _CONDITION.fullmatch(text)
        if match is None:
            name = text.strip()
            if not _FIELD.fullmatch(name):
                raise AddressError(
                    f"'{text}' is not a filter", hint="FIELD=VALUE, for example id=5"
                )
            if name.endswith("__exists"):
                name = name.removesuffix("__exists")
            return cls(name, "exists")
        name, op, value = match["field"], _SIGNS[match["sign"]], match["value"]
        stem, _, word = name.rpartition("__")
        if op == "eq" and stem and word in OPERATORS and word != "exists":
            name, op = stem, word
        decode = unquote if encoded else str.strip
        if op == "in":
            return cls(name, op, tuple(decode(item) for item in value.split(",")))
        return cls(name, op, decode(value))

    @classmethod
    def of(cls, name: str, value: object) -> Condition:
        """Return the condition of a keyword: ``gene="Pdyn"``, ``id__lt=5``, ``id=[1, 2]``.

        Raises
        ------
        AddressError
            For a value that does not go with the operator.
        """
        field, _, word = name.rpartition("__")
        if not field or word not in OPERATORS:
            field, word = name, "eq"
        if isinstance(value, (list, tuple)):
            return cls(field, "in" if word == "eq" else word, tuple(map(str, value)))
        if word == "exists":
            return cls(field, word)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return cls(field, word, text)

    def __str__(self) -> str:
        if self.op == "exists":
            return self.field
        # A field that ends like an operator word needs its own operator spelled out.
        bare = self.op == "eq" and self.field.rpartition("__")[2] not in OPERATORS
        name = self.field if bare else f"{self.field}__{self.op}"
        if isinstance(self.value, tuple):
            return f"{name}=" + ",".join(
                _quote(v, _SAFE_VALUE.replace(",", "")) for v in self.value
            )
        return f"{name}={_quote(self.value, _SAFE_VALUE)}"


@dataclass(frozen=True, slots=True)
class Address:
    """The name of one thing, or of a set of things.

    Parameters
    ----------
    scheme
        One of `SCHEMES`.
    name
        The id or name; empty for the whole collection (``stack:``).
    version
        A pinned version, or empty.
    path
        Parts after the name, outermost first.
    conditions
        Filters and options, in the order given.

    Examples
    --------
    >>> Address.parse("image:321549654?downsample=3").option("downsample")
    '3'
    """

    scheme: str
    name: str = ""
    version: str = ""
    path: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = field(default=())

    def __post_init__(self) -> None:
        known = find(self.scheme)
        if known is None:
            raise AddressError(f"unknown scheme '{self.scheme}:'", hint=_meant(self.scheme))
        if known.numeric and self.name and not (self.name.isascii() and self.name.isdigit()):
            raise AddressError(
                f"'{self.scheme}:' takes an id of digits, not '{self.name}'",
                hint=known.show_command(),
            )
        if not self.name and (self.version or self.path):
            raise AddressError(f"'{self.scheme}:' has a version or a path but no name")
        if any(part in {"", ".", ".."} for part in self.path):
            raise AddressError(f"empty or dotted part in the path of '{self.scheme}:{self.name}'")

    @classmethod
    def parse(cls, text: object) -> Address:
        """Read an address, or a web address of the institute that names the same thing.

        Parameters
        ----------
        text
            An `Address` (returned as it is) or its text.

        Raises
        ------
        AddressError
            With what was expected, and the nearest scheme where one looks meant.
        """
        if isinstance(text, Address):
            return text
        if not isinstance(text, str):
            raise AddressError(_not_text(text), hint=_example(text))
        text = text.strip()
        _whole_characters(text)
        if is_web(text):
            return _from_web(text)
        scheme, colon, rest = text.partition(":")
        if not colon:
            raise AddressError(f"'{text}' is not an address", hint=_meant(text))
        body, _, tail = rest.partition("?")
        head, *parts = body.removesuffix("/").split("/")
        name, _, version = head.partition("@")
        return cls(
            scheme.lower(),
            unquote(name),
            unquote(version),
            tuple(unquote(part) for part in parts),
            tuple(Condition.parse(item, encoded=True) for item in tail.split("&") if item),
        )

    @property
    def id(self) -> int:
        """The numeric id of a scheme that names things by id.

        Raises
        ------
        AddressError
            If the address names a collection, or the scheme has no numeric ids.
        """
        known = SCHEMES[self.scheme]
        if not (known.numeric and self.name):
            raise AddressError(f"'{self}' does not name a single item", hint=known.show_command())
        found = whole_number(self.name)
        if found is None:
            raise AddressError(f"'{self.scheme}:' has ids of at most 19 digits")
        return found

    def option(self, name: str) -> str | None:
        """Return the value of ``name=value`` among the conditions, the last one if repeated."""
        values = [c.value for c in self.conditions if c.field == name and c.op == "eq"]
        return str(values[-1]) if values else None

    def __str__(self) -> str:
        text = f"{self.scheme}:{_quote(self.name, _SAFE_PART)}"
        if self.version:
            text += f"@{_quote(self.version, _SAFE_PART)}"
        text += path_text(self.path)
        if self.conditions:
            text += "?" + "&".join(str(condition) for condition in self.conditions)
        return text


AddressLike = Address | str
"""Whatever is accepted where an address is expected."""


def path_text(path: Iterable[str]) -> str:
    """Return the parts of a path as they stand in an address, each behind a slash."""
    return "".join(f"/{_quote(part, _SAFE_PATH)}" for part in path)


@functools.lru_cache(maxsize=1 << 12)
def _quote(text: str, safe: str) -> str:
    return quote(text, safe=safe)


def _whole_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise AddressError("half a character", address=repr(text)[:200]) from error


def _not_text(value: object) -> str:
    return f"an address is text, not {type(value).__name__}"


def _example(value: object) -> str:
    number = str(value) if str(value).isascii() and str(value).isdigit() else "313862022"
    return f"oa.show('stack:{number}')"


def _meant(text: str) -> str:
    word = text.partition(":")[0].lower()
    if word.isdigit():
        return f"stack:{word}, file:{word} or image:{word}"
    if word in SCHEMES:
        return f"openallen list {word}:"
    near = get_close_matches(word, list(SCHEMES), n=1, cutoff=0.5)
    if near:
        return SCHEMES[near[0]].show_command()
    return "one of " + ", ".join(f"{name}:" for name in SCHEMES)


def _from_web(text: str) -> Address:
    """Return the address that a web address means, as the sources tell."""
    web = WebAddress.parse(text)
    for source in source_classes():
        found = source.from_web(web)
        if found is not None:
            return found
    raise AddressError(
        "no known source has this web address",
        address=text,
        why="oa.open and openallen show still read the file or store behind it",
    )
