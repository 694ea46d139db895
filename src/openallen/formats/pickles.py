"""Values kept as pickles, read without unpickling: opcodes are parsed, nothing is called.

hdmf-zarr keeps references as pickled arrays of dicts. A pickle is a program, and one for an
unpickler that "only" makes numpy's arrays can still crash the interpreter: a dtype's state decides
what bytes are taken for pointers. Here a pickle can name a dozen things, each of which is made from
checked parts; whatever else it names, or asks for, is refused.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

__all__ = ["values"]

_NUMPY: Final = frozenset(
    f"numpy.{core}.{name}" for core in ("core", "_core") for name in ("multiarray", "numeric")
)
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "ZarrReference": dict,  # a dict with a name, by hdmf-zarr
    "bytes": bytes,  # how protocols before 3 write it
}
_TYPE: Final = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9]\d{0,8}|O8?")
_OPCODES: Final = {opcode.code: opcode for opcode in pickletools.opcodes}
_DEEPEST: Final = 32
_LONGEST_INT_BITS: Final = 128
_MOST_DIMENSIONS: Final = 32
_LAST_CHARACTER: Final = 0x10FFFF
_BYTES_FOR_EACH: Final = 64
"""Memory that arrays may take for each byte of the pickle: one pointer, and to spare."""
_ALWAYS_BYTES: Final = 1 << 16


class _Mark:
    """Where the items of a list, tuple or dict begin on the stack."""


class _Name:
    """A name in a module; never looked up."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class _Unfinished:
    """An array or the type of one, until its state is told; `places` are where the memo has it."""

    def __init__(self, kind: str = "", order: str = "") -> None:
        self.kind = kind  # empty for an array
        self.order = order
        self.places: list[int] = []

    def dtype(self) -> np.dtype[Any]:
        """Return the type that it describes; never one of objects."""
        if not self.kind or self.kind[0] == "O":
            raise ValueError("an array of objects made from bytes")
        return np.dtype((self.order if self.order in {"<", ">"} else "=") + self.kind)


class _Machine:
    """Runs the opcodes of one pickle over values.

    Parameters
    ----------
    body
        The pickle.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget_bytes = _ALWAYS_BYTES + _BYTES_FOR_EACH * len(body)

    def run(self) -> Any:
        """Return the value that the pickle describes."""
        for name, argument in _opcodes(self.body):
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _PLAIN:
                self.stack.append(_checked(argument))
            elif name in _STEPS:
                _STEPS[name](self, argument)
        found = self.stack.pop()
        _Measure(_ALWAYS_BYTES + _BYTES_FOR_EACH * len(self.body)).take(found, 0)
        return found

    def taken(self) -> list[Any]:
        """Take what lies above the last mark."""
        at = len(self.stack) - 1
        while not isinstance(self.stack[at], _Mark):
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def pay(self, size_bytes: int) -> None:
        """Count memory that a few bytes of a pickle could otherwise take again and again."""
        self.budget_bytes -= size_bytes
        if self.budget_bytes < 0:
            raise ValueError("more memory than such a pickle can need")

    # --- containers -------------------------------------------------------------------------------

    def tuple_of(self, count: int) -> None:
        """Make a tuple of the last values."""
        if len(self.stack) < count:
            raise ValueError("too few values")
        found = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(found)

    def append(self, items: list[Any]) -> None:
        """Add to a list."""
        if type(self.stack[-1]) is not list:
            raise ValueError("items for what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Add to a dict."""
        if type(self.stack[-1]) is not dict or len(items) % 2:
            raise ValueError("items for what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise ValueError("a key that is neither text nor a number")
            self.stack[-1][key] = value

    def pair(self) -> list[Any]:
        """Take a key and its value."""
        value, key = self.stack.pop(), self.stack.pop()
        return [key, value]

    # --- the memo ---------------------------------------------------------------------------------

    def put(self, number: int) -> None:
        """Keep the last value under a number."""
        last = self.stack[-1]
        if isinstance(last, _Unfinished):
            last.places.append(number)
        self.memo[number] = last

    def finish(self, unfinished: _Unfinished, made: Any) -> None:
        """Put an array where its beginning was, also in the memo."""
        self.stack[-1] = made
        for number in unfinished.places:
            if self.memo.get(number) is unfinished:
                self.memo[number] = made

    # --- what is named ----------------------------------------------------------------------------

    def reduce(self) -> None:
        """Make what a name and its arguments describe."""
        arguments, named = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or not isinstance(named, _Name):
            raise ValueError("a call of what is no name")
        self.stack.append(self.made(named, arguments))

    def made(self, named: _Name, told: tuple[Any, ...]) -> Any:
        """Return one of the few things that can be named."""
        if (named.module, named.name) == ("_codecs", "encode"):
            return self.encoded(*told)
        if (named.module, named.name) == ("numpy", "dtype"):
            return _type(*told)
        if named.module in _NUMPY and named.name in _ARRAYS:
            return _ARRAYS[named.name](*told)
        if named.name in _EMPTY and not told:
            return _EMPTY[named.name]()
        raise ValueError(f"{named} is neither a value nor an array")

    def encoded(self, text: object, how: object) -> bytes:
        """Return bytes that old protocols write as text."""
        if not isinstance(text, str) or how != "latin1":
            raise ValueError("bytes written in an unknown way")
        self.pay(len(text))
        return text.encode("latin1")

    def build(self) -> None:
        """Give an array, or its type, what it holds."""
        state, unfinished = self.stack.pop(), self.stack[-1]
        if not isinstance(unfinished, _Unfinished) or type(state) is not tuple:
            raise ValueError("state for what is no array")
        if unfinished.kind:
            if len(state) < 5 or any(part is not None for part in state[2:5]):
                raise ValueError("an array of a compound type")
            unfinished.order = state[1]
            return
        _, shape, kind, by_columns, data = state
        if isinstance(kind, _Unfinished) and kind.kind[:1] == "O":
            self.finish(unfinished, self.objects(data, _shape(shape)))
        else:
            self.finish(unfinished, _array(data, shape, kind, "F" if by_columns else "C"))

    def objects(self, items: object, shape: tuple[int, ...]) -> Any:
        """Return an array of values; numpy lists them by rows, also those of arrays by columns."""
        if type(items) is not list or len(items) != math.prod(shape):
            raise ValueError("another number of values than the array has")
        self.pay(8 * len(items))
        found = np.empty(len(items), dtype=object)
        for at, item in enumerate(items):
            found[at] = item
        return found.reshape(shape)

    def name(self, module: object, name: object) -> None:
        """Remember a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        self.stack.append(_Name(module, name))


def _opcodes(body: bytes) -> Iterator[tuple[str, Any]]:
    """Read opcodes with their arguments up to the end, as `pickletools.genops` does.

    An opcode that is not taken is refused before its argument is looked at.
    """
    source = io.BytesIO(body)
    while True:
        opcode = _OPCODES.get(source.read(1).decode("latin1"))
        if opcode is None:
            raise ValueError("no pickle, or cut off")
        if opcode.name == "STOP":
            return
        if opcode.name not in _TAKEN:
            raise ValueError(f"{opcode.name} is neither a value nor an array")
        if opcode.name == "GLOBAL":
            yield opcode.name, [source.readline().decode("utf-8").rstrip("\n") for _ in "mn"]
        else:
            yield opcode.name, None if opcode.arg is None else opcode.arg.reader(source)


def _checked(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > _LONGEST_INT_BITS:
        raise ValueError("a number of too many digits")
    return value


def _type(text: object, *_: object) -> _Unfinished:
    if not isinstance(text, str) or not _TYPE.fullmatch(text):
        raise ValueError(f"arrays of type {str(text)[:20]!r}")
    return _Unfinished(text)


def _shape(told: object) -> tuple[int, ...]:
    if type(told) is not tuple or len(told) > _MOST_DIMENSIONS:
        raise ValueError("a shape that is none")
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in told):
        raise ValueError("a shape that is none")
    return told


def _array(data: object, shape: object, kind: object, order: str = "C") -> Any:
    """Return an array over bytes, which must be as many as it has: no memory is taken.

    Python 2 wrote bytes as text, of the characters up to 255.
    """
    if isinstance(data, str):
        data = data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)) or not isinstance(kind, _Unfinished):
        raise ValueError("an array of something else than bytes")
    dtype, sizes = kind.dtype(), _shape(shape)
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise ValueError("another number of bytes than the array has")
    if dtype.kind == "U" and len(data):
        letters = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if int(letters.max()) > _LAST_CHARACTER:
            raise ValueError("text with characters that do not exist")
    return np.frombuffer(data, dtype).reshape(sizes, order="F" if order == "F" else "C")


def _begun(kind: object, *_: object) -> _Unfinished:
    if str(kind) != "numpy.ndarray":
        raise ValueError("an array of another class")
    return _Unfinished()


def _scalar(kind: object, data: object) -> Any:
    return _array(data, (1,), kind)[0]


def _from_buffer(data: object, kind: object, shape: object, order: object) -> Any:
    return _array(data, shape, kind, "F" if order == "F" else "C")


_ARRAYS: Final[dict[str, Callable[..., Any]]] = {
    "_reconstruct": _begun,
    "scalar": _scalar,
    "_frombuffer": _from_buffer,
}


class _Measure:
    """Counts what values hold, those held twice counted twice: whoever walks them does so too.

    Parameters
    ----------
    most
        How many are too many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.known: dict[int, int] = {}
        self.open: set[int] = set()

    def take(self, value: Any, depth: int) -> int:
        """Return how many values there are in one."""
        if isinstance(value, (_Mark, _Name, _Unfinished)):
            raise ValueError(f"{value} is neither a value nor an array")
        inside = _inside(value)
        if inside is None:
            return 1
        number = id(value)
        if number in self.known:
            return self.known[number]
        if depth > _DEEPEST or number in self.open:
            raise ValueError("values in values without end")
        self.open.add(number)
        count = 1
        for item in inside:
            count += self.take(item, depth + 1)
            if count > self.most:
                raise ValueError("more values than such a pickle can need")
        self.open.discard(number)
        self.known[number] = count
        return count


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, np.ndarray) and value.dtype == object:
        return value.flat
    return None


_CONSTANTS: Final[dict[str, Any]] = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
_PLAIN: Final = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BINBYTES", "BINBYTES8",
    "SHORT_BINBYTES", "BYTEARRAY8", "BINSTRING", "SHORT_BINSTRING",
})  # fmt: skip


def _new(machine: _Machine) -> None:
    arguments, named = machine.stack.pop(), machine.stack.pop()
    if not isinstance(named, _Name) or named.name != "ZarrReference" or arguments != ():
        raise ValueError(f"{named} is neither a value nor an array")
    machine.stack.append({})


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


def _dict_of_taken(machine: _Machine) -> None:
    items = machine.taken()
    machine.stack.append({})
    machine.set_items(items)


_STEPS: Final[dict[str, Callable[[_Machine, Any], object]]] = {
    "MARK": lambda m, _: m.stack.append(_Mark()),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "LIST": lambda m, _: m.stack.append(m.taken()),
    "DICT": lambda m, _: _dict_of_taken(m),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.taken())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "APPEND": lambda m, _: m.append([m.stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.taken()),
    "SETITEM": lambda m, _: m.set_items(m.pair()),
    "SETITEMS": lambda m, _: m.set_items(m.taken()),
    "GLOBAL": lambda m, told: m.name(*told),
    "STACK_GLOBAL": lambda m, _: _stack_global(m),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: _new(m),
    "BUILD": lambda m, _: m.build(),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.taken(),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, n: m.put(n)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, n: m.stack.append(m.memo[n])),
}
_TAKEN: Final = frozenset({"PROTO", "FRAME", *_CONSTANTS, *_PLAIN, *_STEPS})


_FAULTS: Final = (LookupError, TypeError, AttributeError, OverflowError, struct.error)


def values(body: bytes) -> Any:
    """Return the values in a pickle: lists, tuples, dicts, numbers, text, bytes, arrays of them.

    Parameters
    ----------
    body
        The pickle, of any protocol.

    Returns
    -------
    object
        The value. Arrays of numbers and text lie over the bytes of the pickle and are read-only.

    Raises
    ------
    ValueError
        If it is damaged, or asks for anything else.
    """
    try:
        return _Machine(bytes(body)).run()
    except (
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        AssertionError,
    ) as error:
        raise ValueError(f"a damaged pickle: {type(error).__name__}") from error
