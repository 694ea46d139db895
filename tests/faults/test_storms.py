"""Fetches under random faults and kills, by one to four processes, until all is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from faultproxy import FaultProxy
from faultscenes import Run, Scene, Watch, check_end, start

pytestmark = pytest.mark.slow

ROUNDS = 12
KILLS = 3


def storm(
    scene: Scene, root: Path, seed: int, *, fetchers: int, processes: int = 1, kills: int = KILLS
) -> Counter[str]:
    """Fetch until done, then once more without faults; return how often each fault happened."""
    random = Random(seed)
    more = ["--processes", str(processes)] if processes > 1 else []
    with (
        FaultProxy(scene.upstream, scene.schedule(seed), frozenset(scene.targets)) as proxy,
        Watch(scene, root) as watch,
    ):
        environment = scene.environment(root, proxy.url)
        impatient = environment | {"OPENALLEN_SILENCE_TIMEOUT_S": "1", "OPENALLEN_HEAD_TIMEOUT_S": "4"}  # fmt: skip
        lost: Counter[str] = Counter()
        for proxy.round in range(ROUNDS):
            before = len(proxy.sent)
            command = scene.command(root, proxy.url, *more)
            runs = [start(command, impatient) for _ in range(fetchers)]
            if proxy.round < kills:
                lost.update(_kill(random, proxy, runs, watch, before))
            codes = [run.end() for run in runs]
            watch.there()
            for run in runs:
                if not run.killed:
                    check_end(run, watch)
            if codes == [0] * fetchers:
                break
        happened = Counter(one.fault for one in proxy.sent if one.fault)
        _check_bytes(scene, proxy, lost)
        proxy.calm()
        _check_calm(scene, root, proxy, watch, more)
        assert watch.looks > 1
    return happened


def _kill(
    random: Random, proxy: FaultProxy, runs: list[Run], watch: Watch, before: int
) -> list[str]:
    """Kill some of the commands when they are at it; return the targets that may cost a transfer.

    Each file has one holder at a time, so that is all that several kills at once can cost.
    """
    wanted = before + random.randrange(2, 40)
    moment = time.monotonic() + 8
    while len(proxy.sent) < wanted and time.monotonic() < moment:
        if all(run.process.poll() is not None for run in runs):
            break
        time.sleep(0.002)
    time.sleep(random.random() * 0.1)
    for run in random.sample(runs, random.randrange(1, len(runs) + 1)):
        run.kill()
    there = watch.there()
    # What a picture's digest is stands in the index, which is written once a second.
    sure = there if watch.scene.digests else set()
    return [target for target, path in watch.scene.targets.items() if path not in sure]


def _check_bytes(scene: Scene, proxy: FaultProxy, lost: Counter[str]) -> None:
    """No byte that came right is asked for again, but for what a kill cost."""
    size = {target: scene.sizes[path] for target, path in scene.targets.items()}
    sent: Counter[str] = Counter()
    allowed = Counter({target: size[target] * kills for target, kills in lost.items()})
    for one in proxy.of_files():
        sent[one.target] += one.sent_bytes
        if one.fault:
            allowed[one.target] += one.sent_bytes
        elif one.sent_bytes < one.size_bytes:
            allowed[one.target] += min(one.sent_bytes, IN_FLIGHT_BYTES)
        if one.fault in SPOILS_WHAT_CAME:
            allowed[one.target] += size[one.target]
    too_many = {t: (n, size[t], allowed[t]) for t, n in sent.items() if n > size[t] + allowed[t]}
    seen = {t: [one for one in proxy.of_files() if one.target == t] for t in too_many}
    assert too_many == {}, f"fetched again: sent, size, allowed; requests: {seen}"


SPOILS_WHAT_CAME = frozenset({"flip", "short", "long", "two entity tags", "another range", "redirect to another file"})  # fmt: skip
"""After these what came before may be thrown away too."""
IN_FLIGHT_BYTES = 512 << 10
"""What lies in buffers, sent and not read, when a fetch breaks a right answer off: it waits for a
second only, and a busy machine may be silent for longer."""


def _check_calm(scene: Scene, root: Path, proxy: FaultProxy, watch: Watch, more: list[str]) -> None:
    """Without faults one more fetch completes; then nothing is left to fetch, or to clear away."""
    paths = set(scene.targets.values())
    environment = scene.environment(root, proxy.url)
    run = start(scene.command(root, proxy.url, *more), environment)
    assert run.end() == 0, run.err
    check_end(run, watch)
    assert watch.there() >= paths
    asked = len(proxy.of_files())
    again = start(scene.command(root, proxy.url), environment)
    assert again.end() == 0, again.err
    assert len(proxy.of_files()) == asked
    assert again.report()["here"] == len(paths)
    left = [
        p.name for p in (root / scene.folder).rglob("*") if p.name.endswith((".part", ".lease"))
    ]
    assert left == []
    _check_manifest(scene, root)
    place = [] if scene.digests else [str(root / scene.folder)]
    words = [again.process.args[0], "-m", "openallen", "store", "verify", *place, "--json"]
    looked = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert f'"intact": {len(paths)},' in looked.stdout


def _check_manifest(scene: Scene, root: Path) -> None:
    """What the manifest says of each file is what is true of it."""
    if scene.digests:  # those of a release are published, and compared like files
        return
    told = json.loads((root / scene.folder / "manifest.json").read_text("utf-8"))
    files = [*told["planes"], *told["projections"], *told["morphology"]]
    assert {f["path"]: f["sha256"] for f in files} == scene.truth
    assert {f["path"]: f["size_bytes"] for f in files} == scene.sizes


CREWS = {"one": (1, 1), "two": (2, 1), "four": (4, 1), "one, of two workers": (1, 2), "two, of four workers": (2, 4)}  # fmt: skip


SCENES = [
    (name, crew)
    for name in ("stack", "release", "asset")
    for crew in CREWS
    if name != "stack" or "workers" not in crew  # pictures are looked into by one process
]


@pytest.mark.parametrize(("name", "crew"), SCENES)
def test_whatever_happens_each_file_is_right_or_not_there(scenes, seeds, tmp_path, name, crew):
    fetchers, processes = CREWS[crew]
    for seed in seeds(f"{name} {crew}"):
        root = tmp_path / str(seed)
        root.mkdir()
        happened = storm(scenes(name), root, seed, fetchers=fetchers, processes=processes)
        assert happened
        shutil.rmtree(root)


@pytest.mark.parametrize("crew", ["one", "two"])
def test_a_large_file_arrives_too(scenes, seeds, tmp_path, crew):
    for seed in seeds(f"large {crew}"):
        root = tmp_path / str(seed)
        root.mkdir()
        storm(scenes("large"), root, seed, fetchers=CREWS[crew][0])
        shutil.rmtree(root)


@pytest.mark.parametrize("name", ["stack", "release", "asset"])
def test_without_kills_no_right_byte_comes_twice(scenes, seeds, tmp_path, name):
    for seed in seeds(f"{name} unkilled"):
        root = tmp_path / str(seed)
        root.mkdir()
        storm(scenes(name), root, seed, fetchers=2, kills=0)
        shutil.rmtree(root)
