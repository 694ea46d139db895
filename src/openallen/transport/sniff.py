"""What a body really is, by its first bytes; services say anything in their headers."""

from __future__ import annotations

from typing import Literal

__all__ = ["SNIFF_BYTES", "Kind", "describe", "sniff"]

Kind = Literal[
    "empty", "jpeg", "png", "tiff", "gif", "zip", "gzip", "hdf5", "nrrd",
    "json", "html", "xml", "text", "binary",
]  # fmt: skip
"""What `sniff` can tell apart. SVG is ``xml``; SWC, CSV and headers of images are ``text``."""

SNIFF_BYTES = 1024
"""How many first bytes tell enough."""

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"GIF8", "gif"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"NRRD000", "nrrd"),
)

_WORDS: dict[str, str] = {
    "empty": "nothing at all",
    "html": "an HTML page",
    "json": "JSON",
    "xml": "XML",
    "text": "plain text",
    "binary": "unknown bytes",
}


def sniff(head: bytes | bytearray | memoryview) -> Kind:
    """Return what a body is from its first bytes (up to `SNIFF_BYTES` of them)."""
    head = bytes(head[:SNIFF_BYTES])
    magic = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if magic or not head:
        return magic or "empty"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in {b"{", b"["}:
        return "json"
    if text.startswith(b"<"):
        return _markup(text[:512].lower())
    if b"\x00" in head:
        return "binary"
    try:
        head[:-4].decode("utf-8")
    except UnicodeDecodeError:
        # Latin-1 headers with a name or a micro sign are still text; control characters are not.
        control = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
        return "binary" if control else "text"
    return "text"


def _markup(text: bytes) -> Kind:
    page = text.startswith(b"<!doctype html") or b"<html" in text or b"<head" in text
    return "html" if page else "xml"


def describe(kind: Kind) -> str:
    """Name a kind in words, for messages."""
    return _WORDS.get(kind, f"a {kind.upper()} file")
