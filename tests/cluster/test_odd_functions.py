"""Functions that raise what no `except Exception` catches, or what cannot be written down."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from openallen.errors import UsageError
from openallen.sessions.across import Sessions, ask_there

cloudpickle = pytest.importorskip("cloudpickle")


class MuteError(Exception):
    """One that cannot be written down."""

    def __str__(self) -> str:
        raise RuntimeError


def raising(kind: type[BaseException]):
    def ask(session):
        raise kind

    return ask


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, GeneratorExit, SystemExit, asyncio.CancelledError, MuteError]
)
def test_whatever_a_function_raises_is_the_error_of_its_session(kind):
    # Of a KeyboardInterrupt in a task dask hears nothing: the caller would wait for ever.
    sent, why = ask_there(cloudpickle.dumps((nullcontext, raising(kind))), "session:1")
    assert sent == b""
    assert why.startswith(f"{kind.__name__}: ")
    here = Sessions({1: "session:1"}, nullcontext, "session_id").map(raising(kind))
    assert here.errors[1].startswith(f"{kind.__name__}: ")


def test_what_is_no_function_is_refused():
    some = Sessions({1: "session:1"}, nullcontext, "session_id")
    for fn in (5, None, "len"):
        with pytest.raises(UsageError, match=f"'fn' is {type(fn).__name__}, not a function"):
            some.map(fn, client="local:1")
