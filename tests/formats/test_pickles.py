"""Pickles read without unpickling: values come back as they were, everything else is refused."""

import os
import pickle
import pickletools
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openallen.formats.pickles import values

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
    | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)  # fmt: skip


@given(plain, st.integers(0, 5))
def test_values_come_back_as_pickle_itself_reads_them(value, protocol):
    assert values(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "kind", ["?", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<c16", "S3", "<U3", ">U3"]
)
def test_arrays_of_numbers_and_text_come_back(kind, order, protocol):
    whole = np.arange(6).reshape(2, 3).astype(kind)
    told = np.array(whole, order=order)
    found = values(pickle.dumps([told, told, np.float32(1.5), told.flat[5]], protocol))
    assert found[0].dtype == told.dtype
    assert np.array_equal(found[0], told)
    assert np.array_equal(found[1], told)
    assert (found[2], found[3]) == (np.float32(1.5), told.flat[5])


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_objects_come_back(protocol):
    told = np.empty((2, 2), dtype=object, order="F")
    told[0, 0], told[0, 1], told[1, 0] = {"path": "/a", "source": "."}, "text", np.arange(3)
    found = values(pickle.dumps(told, protocol))
    assert found.shape == (2, 2)
    assert found[0, 0] == told[0, 0]
    assert found[0, 1] == "text"
    assert found[1, 0].tolist() == [0, 1, 2]
    assert found[1, 1] is None


class Calls:
    """Pickles as a call of whatever it is told."""

    def __init__(self, *told):
        self.told = told

    def __reduce__(self):
        return self.told


def crafted(dtype="O8", flags=0, shape=(1,), data=b"A" * 8):
    """A pickle of an array of objects whose pointers are bytes of ours: numpy crashes over it."""
    made = Calls(np.dtype, (dtype, False, True), (3, "|", None, None, None, -1, -1, flags))
    rebuild = np.array(0).__reduce__()[0]
    return pickle.dumps(Calls(rebuild, (np.ndarray, (0,), b"b"), (1, shape, made, False, data)))


def nested(depth, width):
    """Lists that hold one list `width` times, and so on: few bytes, without end to whoever walks."""
    levels = (b"](" + (b"h" + bytes([n])) * width + b"e\x94" for n in range(depth))
    return b"]\x94" + b"".join(levels) + b"."


REFUSED = {
    "a command": pickle.dumps(Calls(os.system, ("true",))),
    "a function of ours": pickle.dumps(Calls(Path.touch, ("x",))),
    "getattr": pickle.dumps(Calls(getattr, ("a", "upper"))),
    "eval": pickle.dumps(Calls(eval, ("1+1",))),
    "a class": pickle.dumps(np.ndarray),
    "a large array": pickle.dumps(Calls(np.ndarray, ((805306368,), "d"))),
    "objects from bytes": crafted(),
    "objects from bytes, flags 63": crafted(flags=63),
    "a number of objects from one": crafted(data=[1], shape=(10**9,)),
    "more bytes than told": crafted("f8", data=b"A" * 16),
    "fewer bytes than told": crafted("f8", shape=(10**12,)),
    "negative sizes": crafted("f8", shape=(-1, -1)),
    "a type without size": crafted("S0", shape=(10**18,), data=b""),
    "a compound type": pickle.dumps(np.zeros(2, [("a", "i4"), ("b", "O")])),
    "dates": pickle.dumps(np.zeros(2, "M8[s]")),
    "characters that do not exist": crafted("U1", data=b"\xff\xff\xff\xff"),
    "lists in lists": nested(60, 2),
    "lists of lists": nested(12, 10),
    "a list in itself": b"]\x94h\x00a.",
    "a number of 10,000 digits": b"L" + b"9" * 10_000 + b"L\n.",
    "a number of 1 MB": b"\x8b" + (1 << 20).to_bytes(4, "little") + b"\x7f" * (1 << 20) + b".",
    "a persistent id": b"Pid\n.",
    "an extension": b"\x82\x01.",
    "a set": pickle.dumps({1, 2}),
    "a name alone": b"cnumpy\nndarray\n.",
    "a mark alone": b"(.",
    "no value": b".",
    "nothing": b"",
    "no end": b"]",
    "no pickle": b"<html>not found</html>",
    "items for nothing": b"a.",
    "a memo that is not there": b"h\x07.",
    "4 GB of text announced": b"X\xff\xff\xff\x7fabc.",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_is_neither_a_value_nor_an_array_is_refused(body):
    with pytest.raises(ValueError):
        values(body)


SEEDS = [
    pickle.dumps(np.arange(6, dtype="<f4").reshape(2, 3), 5),
    pickle.dumps(np.array([{"path": "/a"}, {"path": "/b"}], dtype=object), 5),
    pickle.dumps(np.array([{"path": "/a"}, np.array(["a", "b"])], dtype=object), 2),
    pickle.dumps([1, 2.5, "text", (b"bytes", {"a": None}), np.float64(2)], 0),
    crafted(),
]
OPCODES = sorted(ord(o.code) for o in pickletools.opcodes)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(
            st.sampled_from(["set", "op", "cut", "twice", "move"]),
            st.integers(0, 10**6),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=6,
    ),
)
@example(SEEDS[0], [("cut", 3, 0)])
def test_mutated_pickles_are_values_or_refused(seed, changes):
    body = bytearray(seed)
    for kind, where, byte in changes:
        at = where % (len(body) or 1)
        if kind == "set":
            body[at : at + 1] = bytes([byte])
        elif kind == "op":
            body[at : at + 1] = bytes([OPCODES[byte % len(OPCODES)]])
        elif kind == "cut":
            del body[at : at + 1 + byte % 8]
        elif kind == "twice":
            body[at:at] = body[at : at + 1 + byte % 16]
        else:
            body[at:at] = body[byte : byte + 8]
    try:
        found = values(bytes(body))
    except ValueError:
        return
    repr(found)  # whatever came back can be looked at


@given(st.binary(max_size=60))
def test_any_bytes_are_values_or_refused(body):
    try:
        repr(values(body))
    except ValueError:
        return


REPEATED = (
    # 1 MB of text, encoded 100,000 times; a list of 100,000 items, an array of it 50,000 times
    "b'c_codecs\\nencode\\n\\x94(X' + (1 << 20).to_bytes(4, 'little') + b'A' * (1 << 20)"
    " + b'X\\x06\\x00\\x00\\x00latin1t\\x940' + b'h\\x00h\\x01R' * 100_000 + b'.'"
)


def test_a_pickle_that_asks_for_memory_again_and_again_is_refused():
    script = f"""
import resource, pickle, sys
from openallen.formats.pickles import values
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for body in ({REPEATED}, b'X\\xff\\xff\\xff\\x7fabc.'):
    try:
        values(body)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.splitlines()[0] == "more memory than such a pickle can need"
    assert len(done.stdout.splitlines()) == 2
    assert resource.getrlimit(resource.RLIMIT_AS)  # ours is as it was
