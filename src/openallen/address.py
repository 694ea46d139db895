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

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from openallen.errors import AddressError

__all__ = ["OPERATORS", "SCHEMES", "Address", "AddressLike", "Condition", "Scheme"]

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
            raise AddressError(f"'{self.field}' is no field name")
        if isinstance(self.value, tuple) != (self.op == "in"):
            raise AddressError(f"operator '{self.op}' does not take {self.value!r}")

    @classmethod
    def parse(cls, text: str, *, encoded: bool = False) -> Condition:
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
            If there is no field name to be read.
        """
        match = _CONDITION.fullmatch(text)
        if match is None:
            name = text.strip()
            if not _FIELD.fullmatch(name):
                raise AddressError(f"'{text}' is no filter", hint="FIELD=VALUE, for example id=5")
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
class Scheme:
    """One kind of thing an address can name.

    Parameters
    ----------
    title
        What it names, in words.
    example
        An address that works.
    numeric
        Whether the name is an id of digits.
    """

    title: str
    example: str
    numeric: bool = False


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "rma": Scheme("rows of brain-map.org", "rma:ProjectionImage?specimen_id=313862022"),
        "stack": Scheme("one cell's brightfield image stack", "stack:313862022", numeric=True),
        "image": Scheme("one image", "image:321549654?downsample=3", numeric=True),
        "file": Scheme("one well-known file", "file:491120155", numeric=True),
        "grid": Scheme("expression grid of a section data set", "grid:69855739", numeric=True),
        "atlas": Scheme("volumes of a reference space", "atlas:ccf-2017/annotation/25"),
        "structures": Scheme("an ontology of brain structures", "structures:1", numeric=True),
        "release": Scheme("a versioned release", "release:visual-behavior-ophys@1.0.1"),
        "asset": Scheme(
            "an AIND open data asset",
            "asset:ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55/ecephys/*",
        ),
        "recording": Scheme(
            "an ephys recording", "recording:aind-np2/612962_2022-04-13_19-18-04_ProbeB"
        ),
    }
)
"""Every scheme of the grammar, with what it names and an example."""


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
        known = SCHEMES.get(self.scheme)
        if known is None:
            raise AddressError(f"unknown scheme '{self.scheme}:'", hint=_meant(self.scheme))
        if known.numeric and self.name and not (self.name.isascii() and self.name.isdigit()):
            raise AddressError(
                f"'{self.scheme}:' takes an id of digits, not '{self.name}'", hint=known.example
            )
        if not self.name and (self.version or self.path):
            raise AddressError(f"'{self.scheme}:' has a version or a path but no name")
        if any(part in {"", ".", ".."} for part in self.path):
            raise AddressError(f"empty or dotted part in the path of '{self.scheme}:{self.name}'")

    @classmethod
    def parse(cls, text: AddressLike) -> Address:
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
        text = text.strip()
        if re.match(r"(https?|s3)://", text, re.IGNORECASE):
            return _from_web(text)
        scheme, colon, rest = text.partition(":")
        if not colon:
            raise AddressError(f"'{text}' is no address", hint=_meant(text))
        body, _, tail = rest.partition("?")
        head, *parts = body.split("/")
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
        if not (SCHEMES[self.scheme].numeric and self.name):
            raise AddressError(f"'{self}' names no single thing", hint=SCHEMES[self.scheme].example)
        return int(self.name)

    def option(self, name: str) -> str | None:
        """Give the value of ``name=value`` among the conditions, the last one if repeated."""
        values = [c.value for c in self.conditions if c.field == name and c.op == "eq"]
        return str(values[-1]) if values else None

    def __str__(self) -> str:
        text = f"{self.scheme}:{_quote(self.name, _SAFE_PART)}"
        if self.version:
            text += f"@{_quote(self.version, _SAFE_PART)}"
        text += "".join(f"/{_quote(part, _SAFE_PART + '@')}" for part in self.path)
        if self.conditions:
            text += "?" + "&".join(str(condition) for condition in self.conditions)
        return text


AddressLike = Address | str
"""Whatever is accepted where an address is expected."""


def _quote(text: str, safe: str) -> str:
    return quote(text, safe=safe)


def _meant(text: str) -> str:
    word = text.partition(":")[0].lower()
    if word.isdigit():
        return f"stack:{word}, file:{word} or image:{word}"
    if word in SCHEMES:
        return f"{word}:"
    near = get_close_matches(word, SCHEMES, n=1, cutoff=0.5)
    if near:
        return SCHEMES[near[0]].example
    return "one of " + ", ".join(f"{name}:" for name in SCHEMES)


_WEB = (
    (r"/(?:mouse/|human/)?experiment/morphology/(\d+)", "stack"),
    (r"/api/v2/image_download/(\d+)(?:\.jpg)?", "image"),
    (r"/api/v2/well_known_file_download/(\d+)", "file"),
    (r"/grid_data/download(?:_file)?/(\d+)(?:\.zip)?", "grid"),
    (r"/api/v2/structure_graph_download/(\d+)(?:\.\w+)?", "structures"),
)


# Buckets whose keys do not begin with the name of their project.
_PROJECT_OF = {"allen-brain-cell-atlas": "abc-atlas"}


def _from_bucket(url: SplitResult) -> Address | None:
    """Read the address of an object of a release: ``s3://…``, or one of the forms of https."""
    path = unquote(url.path).removeprefix("/")
    virtual = re.fullmatch(r"([a-z0-9.-]+?)\.s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com", url.netloc)
    if url.scheme == "s3" or virtual:
        bucket = virtual[1] if virtual else url.netloc
    elif re.fullmatch(r"s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com", url.netloc):
        bucket, _, path = path.partition("/")
    else:
        return None
    project, _, key = (
        (_PROJECT_OF[bucket], "", path) if bucket in _PROJECT_OF else (path.partition("/"))
    )
    if not project or not key or key.endswith("/"):
        return None
    version = dict(parse_qsl(url.query)).get("versionId")
    given = (Condition("version_id", "eq", version),) if version else ()
    return Address("release", project, path=("files", *key.split("/")), conditions=given)


def _from_web(text: str) -> Address:
    url = urlsplit(text)
    host = url.hostname or ""
    stored = _from_bucket(url)
    if stored is not None:
        return stored
    if host.endswith(".brain-map.org") or host == "www.brainspan.org":
        for pattern, scheme in _WEB:
            match = re.fullmatch(pattern, url.path.rstrip("/"))
            if match:
                # The service's own word for what a connectivity grid holds is "image".
                words = {"image": "include"} if scheme == "grid" else {}
                options = tuple(
                    Condition(words.get(k, k), "eq", v) for k, v in parse_qsl(url.query)
                )
                return Address(scheme, match[1], conditions=options)
        image = re.fullmatch(
            r"/api/v2/(\w+_image(?=_)|svg)(?:_download)?/(\d+)(?:\.\w+)?", url.path
        )
        if image:
            options = tuple(Condition(k, "eq", v) for k, v in parse_qsl(url.query))
            return Address(
                "image", image[2], conditions=(Condition("service", "eq", image[1]), *options)
            )
        row = re.fullmatch(r"/api/v2/data/([A-Z]\w*)/(\d+)(?:\.\w+)?", url.path)
        if row:
            return Address("rma", row[1], conditions=(Condition("id", "eq", row[2]),))
    raise AddressError(
        "this web address names nothing openallen can address",
        address=text,
        hint="openallen query URL, if it is an RMA query",
    )
