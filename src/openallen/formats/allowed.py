"""The codecs a store may name: those known to turn bytes into values and do nothing else.

The metadata of an array names code that is run over its chunks. Whatever a library has registered
can be named, also what runs commands (``pickle``) or wraps another codec unseen. So each name is
looked up here, and options that are types are checked, before any codec is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from openallen.errors import CorruptError

__all__ = ["check_codecs", "check_document", "holds_rows"]

_BYTES: Final = frozenset({
    "adler32", "astype", "bitround", "blosc", "bz2", "crc32", "crc32c", "delta",
    "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits",
    "pcodec", "quantize", "shuffle", "zfpy", "zlib", "zstd",
})  # fmt: skip
"""Of numcodecs: in both versions of Zarr."""
_VERSION_2: Final = _BYTES | {"flac", "json2", "vlen-bytes", "vlen-utf8", "wavpack"}
_VERSION_3: Final = frozenset({
    "blosc", "bytes", "crc32c", "endian", "gzip", "jpeg", "reshape", "sharding_indexed",
    "transpose", "vlen-bytes", "vlen-utf8", "zstd",
    *(f"numcodecs.{name}" for name in _BYTES),
})  # fmt: skip
_MOST: Final = 32
_TYPES: Final = ("dtype", "astype", "encode_dtype", "decode_dtype")


def check_document(told: Mapping[str, Any], where: str) -> None:
    """Check the metadata of an array or group, those of others copied into it included.

    Raises
    ------
    CorruptError
        If a codec is named that is not known to be harmless.
    """
    check_codecs(told, where, ours=False)
    copied = told.get("metadata") or told.get("consolidated_metadata") or {}
    if isinstance(copied, dict):
        inner = copied.get("metadata", copied)
        for path, one in (inner if isinstance(inner, dict) else {}).items():
            if isinstance(one, dict):
                check_codecs(one, f"{where}/{path}", ours=False)


def check_codecs(told: Mapping[str, Any], where: str, *, ours: bool = True) -> None:
    """Check that an array names codecs only that turn bytes into values.

    Parameters
    ----------
    told
        Its metadata, of version 2 or 3.
    where
        What it is called in messages.
    ours
        Whether arrays of objects are decoded by `ObjectArray`: rows with objects among their
        fields, which a library would hand to codecs that run code, are refused otherwise.

    Raises
    ------
    CorruptError
        If it names another, or one for values that are objects.
    """
    if "codecs" in told or told.get("zarr_format") == 3:
        for count, codec in enumerate(_nested(told.get("codecs"), where)):
            _check(codec, codec.get("name"), _VERSION_3, where)
            if count > _MOST:
                raise CorruptError("too many codecs", address=where)
        return
    objects = told.get("dtype") == "|O" or (ours and holds_rows(told))
    if not objects and _has_objects(told.get("dtype")):
        raise CorruptError("an array of objects among others", address=where)
    compressor, filters = told.get("compressor"), told.get("filters") or []
    if not isinstance(filters, list) or len(filters) > _MOST:
        raise CorruptError("invalid filters", address=where)
    if compressor is not None:
        _check(compressor, _id(compressor), _VERSION_2, where)
    for codec in filters:
        # Pickles of object arrays have a reader of their own, which calls nothing.
        _check(codec, _id(codec), _VERSION_2 | {"pickle"} if objects else _VERSION_2, where)


def _nested(codecs: Any, where: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Return the codecs of version 3, and those within shards."""
    if depth > 4:
        raise CorruptError("shards in shards", address=where)
    for codec in codecs if isinstance(codecs, (list, tuple)) else ():
        told = {"name": codec} if isinstance(codec, str) else codec
        if not isinstance(told, dict):
            raise CorruptError("a codec without a name", address=where)
        yield told
        inner = told.get("configuration")
        given = inner if isinstance(inner, dict) else {}
        for key in ("codecs", "index_codecs"):
            yield from _nested(given.get(key), where, depth + 1)


def holds_rows(told: Mapping[str, Any]) -> bool:
    """Return whether an array holds rows of a compound type with objects, as references are."""
    fields = told.get("dtype")
    return isinstance(fields, list) and any(
        isinstance(field, list) and field[1:2] == ["|O"] for field in fields
    )


def _id(codec: Any) -> Any:
    return codec.get("id") if isinstance(codec, dict) else None


def _check(codec: Mapping[str, Any], name: Any, allowed: frozenset[str], where: str) -> None:
    if not isinstance(name, str) or name not in allowed:
        raise CorruptError(
            f"codec {str(name)[:40]!r} is not read",
            address=where,
            why="only codecs that are known to turn bytes into values are",
        )
    options = codec.get("configuration", codec)
    given = options if isinstance(options, dict) else {}
    for key in _TYPES:
        if key in given and _has_objects(given[key]):
            raise CorruptError(f"codec {name!r} for objects", address=where, why=f"{key}")


def _has_objects(kind: Any) -> bool:
    """Return whether a type is one of Python's objects, or cannot be told; never what it holds."""
    import numpy as np

    try:
        if isinstance(kind, list):  # compound types are lists of names, types, and sizes
            kind = [tuple(_listed(part) for part in field) for field in kind]
        return bool(np.dtype(kind).hasobject)
    except (TypeError, ValueError, SyntaxError):
        return False  # left to the library, which says what is wrong with it


def _listed(part: Any) -> Any:
    return tuple(part) if isinstance(part, list) and all(isinstance(n, int) for n in part) else part
