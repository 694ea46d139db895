"""Every byte of a body is counted: what was fetched already is not fetched again."""

from __future__ import annotations

import json
import os
import resource
import threading
from collections import Counter
from pathlib import Path

import pytest
from disks import mounted, resize
from faultproxy import FaultProxy, Schedule, Sent
from faultscenes import LARGE_BYTES, Run, Scene, Watch, check_end, large_body, start, wait_until

pytestmark = pytest.mark.slow

MIB = 1 << 20
PIECE = 16 * MIB
DATA = "ecephys/continuous.dat"


def fetch(scene: Scene, root: Path, proxy: FaultProxy, **more) -> Run:
    return start(scene.command(root, proxy.url), scene.environment(root, proxy.url), **more)


def record(scene: Scene, root: Path) -> int:
    """Return how many bytes of the large file the record beside it counts; 0 without one."""
    found = list((root / scene.folder / DATA).parent.glob("*.part.json"))
    return json.loads(found[0].read_text("utf-8"))["done_bytes"] if found else 0


@pytest.mark.parametrize("fetchers", [1, 2, 4])
@pytest.mark.parametrize("name", ["stack", "release", "asset", "large"])
def test_without_faults_every_byte_comes_once(scenes, tmp_path, name, fetchers):
    scene = scenes(name)
    with (
        FaultProxy(scene.upstream, None, frozenset(scene.targets)) as proxy,
        Watch(scene, tmp_path) as watch,
    ):
        runs = [fetch(scene, tmp_path, proxy) for _ in range(fetchers)]
        assert [run.end() for run in runs] == [0] * fetchers
        for run in runs:
            check_end(run, watch)
        assert sum(one.sent_bytes for one in proxy.of_files()) == scene.size_bytes
        if name != "large":
            assert Counter(one.target for one in proxy.of_files()) == dict.fromkeys(
                scene.targets, 1
            )


def test_connections_that_break_cost_no_byte_of_a_large_file(scenes, seeds, tmp_path):
    scene = scenes("large")
    for seed in seeds("cuts"):
        root = tmp_path / str(seed)
        root.mkdir()
        schedule = Schedule(seed, 0.6, 7, ("cut", "cut", "503"), ())
        with (
            FaultProxy(scene.upstream, schedule, frozenset(scene.targets)) as proxy,
            Watch(scene, root) as watch,
        ):
            patient = scene.environment(root, proxy.url) | {"OPENALLEN_ATTEMPTS": "30"}
            run = start(scene.command(root, proxy.url), patient)
            assert run.end() == 0, run.err
            check_end(run, watch)
            sent = [one for one in proxy.of_files() if scene.targets[one.target] == DATA]
            assert sum(one.fault == "cut" for one in sent)
            assert sum(one.sent_bytes for one in sent if one.fault in {"", "cut"}) == LARGE_BYTES


def test_a_kill_costs_what_lies_behind_the_record(scenes, tmp_path):
    """Two pieces are whole, two under way: what is whole from the start on is gone on with."""
    scene = scenes("large")
    opened = threading.Event()
    held = {2 * PIECE: 5 * MIB, 3 * PIECE: 10 * MIB}

    def gate(one: Sent) -> None:
        first = int(one.wanted.removeprefix("bytes=").partition("-")[0] or 0)
        if one.sent_bytes >= held.get(first, LARGE_BYTES):
            opened.wait(100)

    with (
        FaultProxy(scene.upstream, None, frozenset(scene.targets), gate) as proxy,
        Watch(scene, tmp_path) as watch,
    ):
        run = fetch(scene, tmp_path, proxy)
        whole = 2 * PIECE + held[2 * PIECE]
        wait_until(lambda: record(scene, tmp_path) == whole)
        wait_until(lambda: sum(one.sent_bytes for one in proxy.of_files()) >= whole + 10 * MIB)
        run.kill()
        run.end()
        part = next((tmp_path / scene.folder / DATA).parent.glob("*.part"))
        with part.open("rb") as file:
            assert file.read(whole) == large_body()[:whole]
        assert DATA not in watch.there()
        opened.set()
        proxy.round = 1
        run = fetch(scene, tmp_path, proxy)
        assert run.end() == 0, run.err
        check_end(run, watch)
        again = [one for one in proxy.of_files() if one.round and scene.targets[one.target] == DATA]
        assert sum(one.sent_bytes for one in again) == LARGE_BYTES - whole


def test_a_file_size_limit_costs_what_lies_behind_the_record(scenes, tmp_path):
    scene = scenes("large")
    most = 40 * MIB

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    with (
        FaultProxy(scene.upstream, None, frozenset(scene.targets)) as proxy,
        Watch(scene, tmp_path) as watch,
    ):
        run = fetch(scene, tmp_path, proxy, preexec_fn=limit)
        assert run.end() in {5, 6}
        assert "the disk is full" in run.err + run.out
        assert "Traceback" not in run.err
        assert DATA not in watch.there()
        kept = record(scene, tmp_path)
        assert kept > 0
        proxy.round = 1
        run = fetch(scene, tmp_path, proxy)
        assert run.end() == 0, run.err
        check_end(run, watch)
        again = [one for one in proxy.of_files() if one.round and scene.targets[one.target] == DATA]
        assert sum(one.sent_bytes for one in again) == LARGE_BYTES - kept


@pytest.mark.parametrize("fetchers", [1, 2])
def test_a_disk_that_fills_up_while_a_release_comes(scenes, tmp_path, fetchers):
    scene = scenes("release")
    opened = threading.Event()

    def gate(one: Sent) -> None:
        if sum(each.sent_bytes for each in proxy.of_files()) > MIB:
            opened.wait(100)

    with (
        mounted(tmp_path / "disk", 64 * MIB) as disk,
        FaultProxy(scene.upstream, None, frozenset(scene.targets), gate) as proxy,
        Watch(scene, disk) as watch,
    ):
        runs = [fetch(scene, disk, proxy) for _ in range(fetchers)]
        wait_until(lambda: sum(one.sent_bytes for one in proxy.of_files()) > MIB)
        told = os.statvfs(disk)
        resize(disk, (told.f_blocks - told.f_bfree) * told.f_frsize + MIB)
        opened.set()
        for run in runs:
            assert run.end() in {1, 5, 6}
            assert "the disk is full" in run.err + run.out
            assert "Traceback" not in run.err
        there = watch.there()
        assert len(there) < len(scene.targets)
        resize(disk, 64 * MIB)
        proxy.round = 1
        run = fetch(scene, disk, proxy)
        assert run.end() == 0, run.err
        check_end(run, watch)
        again = {scene.targets[one.target] for one in proxy.of_files() if one.round}
        assert again == set(scene.targets.values()) - there
