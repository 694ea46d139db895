"""The queue of files: large ones apart, some not before a certain time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openallen.plans import RemoteFile
from openallen.transfer.pieces import WORTH_BYTES
from openallen.transfer.waiting import Waiting


def files_of(sizes: list[int]) -> list[RemoteFile]:
    return [
        RemoteFile(address=f"file:{i}", url="http://a/", path=str(i), kind="f", size_bytes=size)
        for i, size in enumerate(sizes)
    ]


SIZES = st.lists(st.sampled_from([1, WORTH_BYTES - 1, WORTH_BYTES, 1 << 40]))


@given(SIZES, st.integers(0, 5))
def test_all_come_in_order_large_ones_last(sizes, large):
    waiting = Waiting(files_of(sizes))
    others = [str(i) for i, size in enumerate(sizes) if size < WORTH_BYTES]
    heavy = [str(i) for i, size in enumerate(sizes) if size >= WORTH_BYTES]
    assert len(waiting) == len(sizes)
    assert waiting.possible(large=large) == len(others) + min(large, len(heavy))
    taken = []
    while (file := waiting.take(large=False)) is not None:
        taken.append(file.path)
    assert taken == others
    while (file := waiting.take(large=True)) is not None:
        taken.append(file.path)
    assert taken == others + heavy
    assert len(waiting) == 0


@given(SIZES, st.sets(st.integers(0, 20)))
def test_what_is_dropped_is_not_there(sizes, gone):
    waiting = Waiting(files_of(sizes))
    waiting.drop({str(i) for i in gone})
    assert {file.path for file in waiting.files()} == {
        str(i) for i in range(len(sizes)) if i not in gone
    }
    small = waiting.take_all(lambda file: file.size_bytes == 1)
    assert all(file.size_bytes == 1 for file in small)
    assert all(file.size_bytes != 1 for file in waiting.files())


def test_a_file_that_has_to_wait_does_not_hold_up_others():
    first, second = files_of([1, 1])
    waiting = Waiting()
    waiting.add(first, after_s=3600)
    waiting.add(second)
    assert waiting.take(large=True) == second
    assert waiting.take(large=True) is None
    assert waiting.files() == [first]
