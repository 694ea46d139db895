"""Damage done to files: bytes as disks and cut connections leave them, documents as people do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

Files = dict[str, bytes]
"""Files of one input by their path; a lone file is a folder of one."""

_LARGEST = 1 << 20
_NUMBERS = (
    0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF,
)  # fmt: skip
_WORDS = (
    b"0", b"-1", b"-0", b"1e999", b"nan", b"inf", b"1e308", b"99999999999999999999", b"9" * 5000,
    b"0x10", b"1_0", b"\xd9\xa3", b"1.5", b"", b" ", b"\n", b"\r", b"\t", b"\0", b"\xff\xfe", b"\xed\xa0\x80",
    b"\"", b"'", b"\\", b"\\u0000", b"\\ud800", b"../../x", b"/etc/passwd", b"%s%n", b"<!--", b"]]>", b"&#0;",
    b"&amp;", b"null", b"true", b"[]", b"{}", b"[" * 3000, b"{\"a\":" * 3000, b"<a>" * 3000, b"(" * 3000,
    b"a" * 70000, b",", b";", b":", b"=", b"#", b"*", b"~", b"$", b"|", b"?", b"@", b"2020-13-40", b"None",
)  # fmt: skip


def _span(rng: Random, body: bytes, most: int = 64) -> tuple[int, int]:
    at = rng.randrange(len(body) + 1)
    return at, min(len(body), at + rng.randint(1, most if rng.random() < 0.8 else len(body) + 1))


def _flip(rng: Random, body: bytes, _: bytes) -> bytes:
    if not body:
        return b"\0"
    made = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _byte(rng: Random, body: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return (
        body[:at]
        + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))])
        + body[at + 1 :]
    )


def _cut(rng: Random, body: bytes, _: bytes) -> bytes:
    return body[: rng.choice((0, 1, len(body) - 1, rng.randrange(len(body) + 1)))]


def _zero(rng: Random, body: bytes, _: bytes) -> bytes:
    at, to = _span(rng, body)
    return body[:at] + rng.choice((b"\0", b"\xff")) * (to - at) + body[to:]


def _drop(rng: Random, body: bytes, _: bytes) -> bytes:
    at, to = _span(rng, body)
    return body[:at] + body[to:]


def _repeat(rng: Random, body: bytes, _: bytes) -> bytes:
    at, to = _span(rng, body)
    times = rng.choice((1, 2, 50))
    return body[:at] + body[at:to] * (1 + times) + body[to:]


def _swap(rng: Random, body: bytes, _: bytes) -> bytes:
    at, to = _span(rng, body)
    other = min(len(body), to + (to - at))
    return body[:at] + body[to:other] + body[at:to] + body[other:]


def _move(rng: Random, body: bytes, _: bytes) -> bytes:
    at, to = _span(rng, body)
    where = rng.randrange(len(body) + 1)
    return body[:where] + body[at:to] + body[where:]


def _length(rng: Random, body: bytes, _: bytes) -> bytes:
    """Write a number over one, in the widths and orders that files have."""
    width = rng.choice((1, 2, 4, 4, 8, 8))
    at = rng.randrange(max(1, len(body) - width + 1))
    if rng.random() < 0.5:
        at -= at % width
    order: Any = rng.choice(("little", "little", "big"))
    old = int.from_bytes(body[at : at + width], order)
    new = rng.choice((*_NUMBERS, old + 1, old - 1, old * 2, old // 2, -old, len(body)))
    return body[:at] + (new % (1 << 8 * width)).to_bytes(width, order) + body[at + width :]


def _splice(rng: Random, body: bytes, other: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)] + other[rng.randrange(len(other) + 1) :]


def _word(rng: Random, body: bytes, _: bytes) -> bytes:
    at, to = _span(rng, body, 8)
    return body[:at] + rng.choice(_WORDS) + body[rng.choice((at, to)) :]


def _number(rng: Random, body: bytes, _: bytes) -> bytes:
    """Write something else for a number, or a word, of a text."""
    found = list(
        re.finditer(rb"[-+]?\d+(?:\.\d*)?" if rng.random() < 0.6 else rb"\w+", body[:_LARGEST])
    )
    if not found:
        return _word(rng, body, b"")
    one = rng.choice(found)
    return body[: one.start()] + rng.choice(_WORDS) + body[one.end() :]


def _line(rng: Random, body: bytes, other: bytes) -> bytes:
    """Drop, repeat, swap or borrow a line."""
    lines = body.split(b"\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case _:
            lines[at] = rng.choice(other.split(b"\n"))
    return b"\n".join(lines)


_ANY: Sequence[Callable[[Random, bytes, bytes], bytes]] = (
    _flip, _flip, _byte, _cut, _zero, _drop, _repeat, _swap, _move, _length, _length, _length, _splice,
    _word, _number,
)  # fmt: skip
_OF_TEXT = (*_ANY, _number, _number, _number, _word, _line, _line)


# --- documents ------------------------------------------------------------------------------------


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in list(inner):
        found.append((value, key))
        if isinstance(below, (dict, list)) and len(found) < 5000:
            _places(below, found)
    return found


def _strange(rng: Random, old: Any) -> Any:
    deep: Any = 1
    for _ in range(rng.choice((5, 150, 400))):
        deep = [deep] if rng.random() < 0.9 else {"a": deep}
    text = old if isinstance(old, str) else "x"
    number = old if isinstance(old, (int, float)) and abs(old) < 1e300 else 3
    return rng.choice((
        None, True, False, 0, 1, -1, 1.5, -0.0, 1e308, 1e400, float("nan"), -(10**30), 10**30, 2**31, 2**63, 10**400,
        "", " ", "x" * 5000, "\0", "\ud800", "../../../etc/passwd", "/", ".", "nan", "1", "-1", "[]", "é" * 40, "\x1b[31m",
        [], {}, [[]], [None], {"": None}, [old], {"a": old}, [old] * 50, deep, text[:-1], text + "x", text.upper(),
        number + 1, -number, number * 1e6, str(old), "2020-13-40", "9" * 5000,
    ))  # fmt: skip


def _document(rng: Random, told: Any) -> bytes | None:
    """Return a JSON document with something wrong in it; None where nothing can be."""
    if not isinstance(told, (dict, list)):
        return json.dumps(_strange(rng, told)).encode()
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = _places(told, [])
        if not places:
            break
        inside, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice(("", "x", "1", "\0", key + "_", key.upper()))] = inside.pop(key)
            case 2:
                other, there = rng.choice(places)
                if not (
                    isinstance(other[there], (dict, list)) or isinstance(inside[key], (dict, list))
                ):
                    inside[key], other[there] = other[there], inside[key]
            case 3 if isinstance(inside, list):
                inside.append(inside[key])
            case _:
                inside[key] = _strange(rng, inside[key])
    return json.dumps(told).encode()


# --- files ----------------------------------------------------------------------------------------


def _is_text(body: bytes) -> bool:
    head = body[:2000]
    return b"\0" not in head and sum(b >= 0x80 for b in head) < len(head) / 20


def mutate(rng: Random, body: bytes, other: bytes = b"") -> bytes:
    """Return bytes with some damage.

    Parameters
    ----------
    rng
        What decides.
    body
        The bytes, whole.
    other
        Others of the same kind, of which pieces may come in.
    """
    text = _is_text(body)
    if text and body.lstrip()[:1] in {b"{", b"["} and rng.random() < 0.7:
        try:
            made = _document(rng, json.loads(body))
        except (ValueError, RecursionError, KeyError, IndexError):
            made = None
        if made is not None:
            body = made
            if rng.random() < 0.9:
                return body
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 6))):
        body = rng.choice(_OF_TEXT if text else _ANY)(rng, body, other)
        if len(body) > _LARGEST * 16:
            body = body[: _LARGEST * 16]
    return body


def mutated(
    rng: Random, seeds: Sequence[Mapping[str, bytes]]
) -> tuple[int, dict[str, bytes | None]]:
    """Return which input to begin from, and what of its files changes; None for one that goes.

    Parameters
    ----------
    rng
        What decides.
    seeds
        Inputs that are whole.
    """
    number = rng.randrange(len(seeds))
    seed, names = seeds[number], sorted(seeds[number])
    changes: dict[str, bytes | None] = {}
    for _ in range(rng.choice((1, 1, 1, 2))):
        name = rng.choice(names)
        if len(names) > 1 and rng.random() < 0.3:  # metadata are few among many chunks
            name = rng.choice([n for n in names if _is_text(seed[n])] or names)
        lot = rng.random()
        if len(names) > 1 and lot < 0.04:
            changes[name] = None
        elif len(names) > 1 and lot < 0.08:
            changes[name] = seed[rng.choice(names)]
        else:
            beside = seeds[rng.randrange(len(seeds))]
            other = beside.get(name) or rng.choice(list(beside.values()))
            changes[name] = mutate(rng, changes.get(name) or seed[name], other)
    return number, changes
