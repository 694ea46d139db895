from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from openallen.errors import StoreError
from openallen.store import Claims
from openallen.store.claims import claim_path


@pytest.fixture
def claims():
    held = Claims(beat_s=0.05, stale_s=0.4)
    yield held
    held.close()


def test_one_holder_at_a_time(tmp_path, claims):
    target = tmp_path / "a.jpg"
    first = claims.take(target)
    assert first is not None
    assert claims.take(target) is None
    assert str(os.getpid()) in claims.holder(target)
    claims.release(first)
    assert claims.take(target) is not None


def test_release_leaves_nothing(tmp_path, claims):
    claims.release(claims.take(tmp_path / "a.jpg"))
    assert list(tmp_path.iterdir()) == []


def test_of_many_threads_one_wins(tmp_path, claims):
    won = []
    threads = [
        threading.Thread(target=lambda: won.append(claims.take(tmp_path / "a"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in won) == 1


def test_a_dead_process_loses_its_claim_at_once(tmp_path, claims):
    target = tmp_path / "a.jpg"
    code = (
        "import os, sys; from pathlib import Path; from openallen.store import Claims;"
        "Claims().take(Path(sys.argv[1])); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert claim_path(target).exists()
    claim = claims.take(target)
    assert claim is not None
    assert claim.inherited


def foreign(target: Path, beat: int = 0) -> None:
    state = {"token": "f" * 8, "host": "elsewhere", "where": "elsewhere", "pid": 1, "beat": beat}
    claim_path(target).write_text(json.dumps(state))


def test_a_claim_of_another_host_is_kept_while_its_heart_beats(tmp_path, claims):
    target = tmp_path / "a.jpg"
    for beat in range(8):
        foreign(target, beat)
        assert claims.take(target) is None
        time.sleep(0.1)
    assert "elsewhere" in claims.holder(target)


def test_a_claim_of_another_host_goes_stale_on_our_clock(tmp_path, claims):
    target = tmp_path / "a.jpg"
    foreign(target)
    os.utime(claim_path(target), (4e9, 4e9))  # its clock is decades ahead: of no matter
    assert claims.take(target) is None
    time.sleep(0.5)
    claim = claims.take(target)
    assert claim is not None
    assert claim.inherited


def test_a_damaged_claim_ages_like_any_other(tmp_path, claims):
    target = tmp_path / "a.jpg"
    claim_path(target).write_bytes(b"\x00garbage")
    assert claims.take(target) is None
    time.sleep(0.5)
    assert claims.take(target) is not None


def test_a_holder_learns_that_it_lost_its_claim(tmp_path, claims):
    claim = claims.take(tmp_path / "a.jpg")
    foreign(claim.target)
    deadline = time.monotonic() + 5
    while not claim.lost and time.monotonic() < deadline:
        time.sleep(0.02)
    assert claim.lost
    claims.release(claim)
    assert claim_path(claim.target).exists()  # it is the other's now


def test_the_heart_beats(tmp_path, claims):
    claim = claims.take(tmp_path / "a.jpg")
    before = claim.path.read_bytes()
    time.sleep(0.3)
    assert claim.path.read_bytes() != before
    assert not claim.lost


def test_a_folder_that_takes_no_files_is_named(tmp_path, claims):
    with pytest.raises(StoreError, match="cannot write here"):
        claims.take(tmp_path / "missing" / "a.jpg")


def test_a_claim_that_was_never_written_is_not_waited_for_long(tmp_path):
    claims = Claims(stale_s=4)
    claim_path(tmp_path / "a.jpg").touch()
    assert claims.take(tmp_path / "a.jpg") is None
    time.sleep(0.3)
    assert claims.take(tmp_path / "a.jpg") is not None
    claims.close()


def test_sweeping_takes_only_what_is_stale(tmp_path, claims):
    target = tmp_path / "a.jpg"
    assert claims.sweep(target)
    held = claims.take(target)
    assert not Claims().sweep(target)
    assert held.path.exists()


def test_claims_of_one_process_are_names_of_one_file(tmp_path, claims):
    held = [claims.take(tmp_path / f"{n}.jpg") for n in range(5)]
    assert len({claim.path.stat().st_ino for claim in held}) == 1
    assert len({claim.token for claim in held}) == 5  # parts are each one's own
    before = held[0].path.read_bytes()
    time.sleep(0.3)
    assert held[4].path.read_bytes() == held[0].path.read_bytes() != before  # one heart
    assert not any(claim.lost for claim in held)
    others = Claims(beat_s=0.05, stale_s=0.4)
    assert others.take(held[3].target) is None
    others.close()
    claims.release(held[0])
    assert not held[0].path.exists()
    assert claims.take(tmp_path / "more.jpg").path.stat().st_ino == held[1].path.stat().st_ino
    for claim in held[1:]:
        claims.release(claim)


def test_of_many_names_one_may_be_lost_alone(tmp_path, claims):
    first, second = (claims.take(tmp_path / f"{n}.jpg") for n in range(2))
    first.path.unlink()
    foreign(first.target)
    deadline = time.monotonic() + 5
    while not first.lost and time.monotonic() < deadline:
        time.sleep(0.02)
    assert first.lost
    assert not second.lost
    third = claims.take(tmp_path / "3.jpg")
    assert third.path.read_bytes() != first.path.read_bytes()


def test_where_there_are_no_links_each_claim_is_a_file(tmp_path, claims, monkeypatch):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    held = [claims.take(tmp_path / f"{n}.jpg") for n in range(3)]
    assert len({claim.path.stat().st_ino for claim in held}) == 3
    assert claims.take(held[1].target) is None
    time.sleep(0.3)
    assert not any(claim.lost for claim in held)


def test_a_dead_process_loses_all_its_names(tmp_path, claims):
    code = (
        "import os, sys; from pathlib import Path; from openallen.store import Claims;"
        "c = Claims(); [c.take(Path(sys.argv[1]) / f'{n}') for n in range(3)]; os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len({path.stat().st_ino for path in tmp_path.glob("*.claim")}) == 1
    taken = [claims.take(tmp_path / f"{n}") for n in range(3)]
    assert all(claim is not None and claim.inherited for claim in taken)
