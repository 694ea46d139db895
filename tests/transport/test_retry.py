from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openallen.errors import NotFoundError, StatusError, UnreachableError
from openallen.transport import Retry


def failing(times, error):
    calls = []

    def work():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return work


def test_tries_until_it_goes_well():
    waits = []
    assert Retry(attempts=5).run(failing(3, UnreachableError("x")), sleep=waits.append) == 4
    assert len(waits) == 3
    assert waits[0] <= 0.5
    assert 1 <= waits[2] <= 2


def test_gives_up_with_the_last_error():
    with pytest.raises(UnreachableError):
        Retry(attempts=3).run(failing(3, UnreachableError("x")), sleep=lambda s: None)


def test_what_is_final_is_not_tried_again():
    work = failing(1, NotFoundError("gone"))
    with pytest.raises(NotFoundError):
        Retry().run(work, sleep=lambda s: None)
    assert work() == 2


def test_each_failure_is_told():
    told = []
    Retry().run(
        failing(2, UnreachableError("x")), failed=lambda *a: told.append(a), sleep=lambda s: None
    )
    assert [(n, e.what) for n, e, _ in told] == [(1, "x"), (2, "x")]


@given(st.integers(1, 60), st.floats(0, 1e6))
def test_waits_stay_within_bounds_and_honour_the_server(attempt, asked):
    retry = Retry(longest_wait_s=30)
    assert 0 < retry.wait_s(attempt, UnreachableError("x")) <= 30
    told = retry.wait_s(attempt, StatusError("x", status=503, retry_after_s=asked))
    assert min(asked, 30) <= told <= 30
