from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openallen.errors import StoreError
from openallen.store import Leases
from openallen.store.leases import lease_path


@pytest.fixture
def leases():
    held = Leases(beat_s=0.05, stale_s=0.4)
    yield held
    held.close()


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for what a thread does in its own time; a minute is a failure on any machine."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_holder_at_a_time(tmp_path, leases):
    target = tmp_path / "a.jpg"
    first = leases.take(target)
    assert first is not None
    assert leases.take(target) is None
    assert str(os.getpid()) in leases.holder(target)
    leases.release(first)
    assert leases.take(target) is not None


def test_release_leaves_nothing(tmp_path, leases):
    leases.release(leases.take(tmp_path / "a.jpg"))
    assert list(tmp_path.iterdir()) == []


def test_of_many_threads_one_wins(tmp_path, leases):
    won = []
    threads = [
        threading.Thread(target=lambda: won.append(leases.take(tmp_path / "a"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lease is not None for lease in won) == 1


def test_a_dead_process_loses_its_lease_at_once(tmp_path, leases):
    target = tmp_path / "a.jpg"
    code = (
        "import os, sys; from pathlib import Path; from openallen.store import Leases;"
        "Leases().take(Path(sys.argv[1])); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert lease_path(target).exists()
    lease = leases.take(target)
    assert lease is not None
    assert lease.inherited
    assert not lease.asleep


def foreign(target: Path, beat: int = 0) -> None:
    state = {"token": "f" * 8, "host": "elsewhere", "where": "elsewhere", "pid": 1, "beat": beat}
    lease_path(target).write_text(json.dumps(state))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_dead_process_that_nobody_has_collected_loses_its_lease_too(tmp_path, leases):
    """As in a container whose first process waits for none: its id stays taken for good."""
    target = tmp_path / "a"
    code = "import sys; from pathlib import Path; from openallen.store import Leases\n"
    code += "Leases().take(Path(sys.argv[1])); print('held', flush=True); input()"
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", code, str(target)], stdin=pipe, stdout=pipe)
    assert child.stdout
    assert child.stdin
    assert child.stdout.readline() == b"held\n"
    assert leases.take(target) is None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        taken = leases.take(target)
        assert taken is not None
        assert taken.inherited
        assert not taken.asleep
    finally:
        child.communicate()


def test_a_lease_of_another_host_is_kept_while_its_heart_beats(tmp_path, leases):
    target = tmp_path / "a.jpg"
    for beat in range(8):
        foreign(target, beat)
        assert leases.take(target) is None
        time.sleep(0.1)
    assert "elsewhere" in leases.holder(target)


def test_a_lease_of_another_host_goes_stale_on_our_clock(tmp_path, leases):
    target = tmp_path / "a.jpg"
    foreign(target)
    os.utime(lease_path(target), (4e9, 4e9))  # its clock is decades ahead: of no matter
    assert leases.take(target) is None
    time.sleep(0.5)
    lease = leases.take(target)
    assert lease is not None
    assert lease.inherited
    assert lease.asleep  # it may be a laptop that was shut, and wake up


@pytest.mark.parametrize("text", [b"\x00garbage", b"[" * 3000, b"9" * 5000, b"[]"])
def test_a_damaged_lease_ages_like_any_other(tmp_path, leases, text):
    target = tmp_path / "a.jpg"
    lease_path(target).write_bytes(text)
    assert leases.take(target) is None
    time.sleep(0.5)
    assert leases.take(target) is not None


def test_a_holder_learns_that_it_lost_its_lease(tmp_path, leases):
    lease = leases.take(tmp_path / "a.jpg")
    foreign(lease.target)
    wait_until(lambda: lease.lost)
    leases.release(lease)
    assert lease_path(lease.target).exists()  # it is the other's now


def test_the_heart_beats(tmp_path, leases):
    lease = leases.take(tmp_path / "a.jpg")
    before = lease.path.read_bytes()
    wait_until(lambda: lease.path.read_bytes() != before)
    assert not lease.lost


def test_a_folder_that_takes_no_files_is_named(tmp_path, leases):
    with pytest.raises(StoreError, match="cannot write here"):
        leases.take(tmp_path / "missing" / "a.jpg")


def test_a_lease_that_was_never_written_is_not_waited_for_long(tmp_path):
    leases = Leases(stale_s=4)
    lease_path(tmp_path / "a.jpg").touch()
    assert leases.take(tmp_path / "a.jpg") is None
    time.sleep(0.3)
    assert leases.take(tmp_path / "a.jpg") is not None
    leases.close()


def test_sweeping_takes_only_what_is_stale(tmp_path, leases):
    target = tmp_path / "a.jpg"
    assert leases.sweep(target)
    held = leases.take(target)
    assert not Leases().sweep(target)
    assert held.path.exists()


def test_lease_of_one_process_are_names_of_one_file(tmp_path, leases):
    held = [leases.take(tmp_path / f"{n}.jpg") for n in range(5)]
    assert len({lease.path.stat().st_ino for lease in held}) == 1
    assert len({lease.token for lease in held}) == 5  # parts are each one's own
    before = held[0].path.read_bytes()
    wait_until(lambda: held[4].path.read_bytes() != before)
    assert held[4].path.samefile(held[0].path)  # one heart
    assert not any(lease.lost for lease in held)
    others = Leases(beat_s=0.05, stale_s=0.4)
    assert others.take(held[3].target) is None
    others.close()
    leases.release(held[0])
    assert not held[0].path.exists()
    assert leases.take(tmp_path / "more.jpg").path.stat().st_ino == held[1].path.stat().st_ino
    for lease in held[1:]:
        leases.release(lease)


def test_of_many_names_one_may_be_lost_alone(tmp_path, leases):
    first, second = (leases.take(tmp_path / f"{n}.jpg") for n in range(2))
    first.path.unlink()
    foreign(first.target)
    wait_until(lambda: first.lost)
    assert not second.lost
    third = leases.take(tmp_path / "3.jpg")
    assert third.path.read_bytes() != first.path.read_bytes()


def test_where_there_are_no_links_each_lease_is_a_file(tmp_path, leases, monkeypatch):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    held = [leases.take(tmp_path / f"{n}.jpg") for n in range(3)]
    assert len({lease.path.stat().st_ino for lease in held}) == 3
    assert leases.take(held[1].target) is None
    time.sleep(0.3)
    assert not any(lease.lost for lease in held)


def test_a_dead_process_loses_all_its_names(tmp_path, leases):
    code = (
        "import os, sys; from pathlib import Path; from openallen.store import Leases;"
        "c = Leases(); [c.take(Path(sys.argv[1]) / f'{n}') for n in range(3)]; os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len({path.stat().st_ino for path in tmp_path.glob("*.lease")}) == 1
    taken = [leases.take(tmp_path / f"{n}") for n in range(3)]
    assert all(lease is not None and lease.inherited for lease in taken)
