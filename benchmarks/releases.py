"""Fetching release files from a server on this machine, beside other downloaders.

    python benchmarks/releases.py [--set large|medium|small|all] [--far] [--allensdk PYTHON]
    python benchmarks/releases.py --cores 1,2,4,8,16 [--processes 1,2,4,8]

nginx serves the files; every program fetches all of them to a new folder, in turn. Ours verifies
BLAKE2b while it fetches, and a second time runs without (``later``); of the others only AllenSDK
verifies, from a part of the set, whose time is counted up. ``hash alone`` reads the files and
computes their digests in one thread: no verified fetch can take less CPU. With --far a relay makes
the server far.

--cores runs all of it again with each number of processors, --processes lets ours use worker
processes. The programs are kept to these processors, the server is not.

Needs nginx; aria2c, rclone, curl and s5cmd are used where they are found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from far_link import behind
from web import nginx

BUCKET = "bench-data"
PROJECT = "bench"
PORT = 8977
FAR_PORT = 8978
Command = Callable[[Path], list[str]]
SETS = {"large": (1, 2_000_000_000), "medium": (200, 5_000_000), "small": (5000, 20_000)}


def main() -> None:
    """Run the sets asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--set", choices=[*SETS, "all"], default="all")
    options.add_argument("--far", action="store_true", help="40 ms, 25 MB/s each, 400 MB/s in all")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--cores", default="", help="numbers of processors, with commas")
    options.add_argument("--processes", default="", help="numbers of processes, with commas")
    options.add_argument("--only", default="", help="names of programs, with commas")
    options.add_argument("--allensdk", default="", help="a python that has AllenSDK")
    given = options.parse_args()
    for name in SETS if given.set == "all" else (given.set,):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            root = Path(folder)
            keys = make(root, *SETS[name])
            with (
                served(root, SETS[name][1]),
                behind(FAR_PORT, PORT) if given.far else nullcontext(),
            ):
                for cores in numbers(given.cores) or [0]:
                    for _ in range(given.rounds):
                        one_round(name, root, keys, given, cores)


def numbers(text: str) -> list[int]:
    """Read numbers with commas between."""
    return [int(word) for word in text.split(",") if word]


def make(root: Path, count: int, size: int) -> list[str]:
    """Write the files, a manifest of them, and a listing of their sizes."""
    bucket = root / "www" / BUCKET
    (bucket / PROJECT / "data").mkdir(parents=True)
    block = os.urandom(min(size, 8 << 20))
    data, keys = {}, []
    for number in range(count):
        key = f"{PROJECT}/data/file_{number:05}.nwb"
        digest = hashlib.blake2b()
        with (bucket / key).open("wb") as file:
            left = size
            mark = number.to_bytes(8, "big")
            while left > 0:
                piece = (mark + block)[: min(left, len(block))]
                file.write(piece)
                digest.update(piece)
                left -= len(piece)
        url = f"https://{BUCKET}.s3.us-west-2.amazonaws.com/{key}"
        data[str(number)] = {"url": url, "version_id": "v1", "file_hash": digest.hexdigest()}
        keys.append(key)
    manifest = {
        "project_name": PROJECT,
        "manifest_version": "1.0.0",
        "data_pipeline": [],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {},
        "data_files": data,
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    entries = "".join(
        f"<Version><Key>{k}</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>"
        f"<Size>{size}</Size></Version>"
        for k in keys
    )
    listing = f"<ListVersionsResult><IsTruncated>false</IsTruncated>{entries}</ListVersionsResult>"
    (root / "www" / "versions.xml").write_text(listing)
    served = f"{PROJECT}/manifests/{PROJECT}_manifest_v1.0.0.json"
    (bucket / served).parent.mkdir()
    shutil.copy(root / "manifest.json", bucket / served)
    there = (
        f"<Contents><Key>{served}</Key><Size>{(bucket / served).stat().st_size}</Size></Contents>"
    )
    text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{there}</ListBucketResult>"
    (root / "www" / "manifests.xml").write_text(text)
    return keys


def served(root: Path, size_bytes: int) -> AbstractContextManager[None]:
    """Serve the files, and what S3 says of their versions."""
    one = (
        "<ListVersionsResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType><Version><Key>$key</Key>"
        "<VersionId>v1</VersionId><IsLatest>true</IsLatest>"
        f"<Size>{size_bytes}</Size></Version></ListVersionsResult>"
    )
    http = f"""
 access_log off; default_type application/xml;
 server {{ listen 127.0.0.1:{PORT} backlog=1024; root {root}/www;
  location /{BUCKET}/ {{ if ($args ~ "^versions=") {{ rewrite ^ /versions.xml? last; }} }}
  location = /{BUCKET} {{
   if ($args ~ "manifests") {{ rewrite ^ /manifests.xml? last; }}
   if ($args ~ "prefix=([^&]*)") {{ set $key $1; }}
   return 200 '{one}'; }} }}
"""
    return nginx(root, http)


@dataclass(frozen=True)
class Program:
    """One way to fetch the files.

    Parameters
    ----------
    needs
        What has to be on this machine.
    command
        Gives the command line for a folder.
    part
        How many of the files it is given; its time is counted up to all of them. 0 where it
        fetches none.
    """

    needs: str
    command: Command
    part: int | None = None


def one_round(
    name: str, root: Path, keys: list[str], given: argparse.Namespace, cores: int
) -> None:
    """Let each program fetch all of it, and print seconds, CPU and memory beside ours.

    Parameters
    ----------
    cores
        How many processors the programs may use; 0 for all.
    """
    port = FAR_PORT if given.far else PORT
    count, size = SETS[name]
    kept = f", {cores} cores" if cores else ""
    where = f"{', far' if given.far else ''}{kept}"
    print(f"{name}: {count} files of {size / 1e6:g} MB{where}", flush=True)
    wanted = {n for n in given.only.split(",") if n}
    ours = None
    for title, program in programs(root, port, keys, given).items():
        if wanted and title not in wanted:
            continue
        if not shutil.which(program.needs):
            print(f"  {title:16} not found")
            continue
        to = root / "to" / title.replace(" ", "-")
        to.mkdir(parents=True)
        seconds, cpu, peak = timed(program.command(to), to, port, cores)
        expected = count if program.part is None else program.part
        got = [p for p in to.rglob("*.nwb") if p.stat().st_size == size]
        whole = "" if len(got) == expected else f"  only {len(got)} files are whole"
        seconds *= count / (expected or count)
        ours = ours or seconds
        print(
            f"  {title:16} {seconds:7.2f} s  cpu {cpu * count / (expected or count):6.2f} s"
            f"  {peak:5.0f} MB"
            f"  {seconds / ours:5.2f}x ours{whole}",
            flush=True,
        )
        shutil.rmtree(to)


def programs(
    root: Path, port: int, keys: list[str], given: argparse.Namespace
) -> dict[str, Program]:
    """Give the programs by name, ours first; ``tuned`` as their manuals advise for such a set."""
    return ours_of(root, keys, numbers(given.processes)) | peers(root, port, keys, given.allensdk)


def ours_of(root: Path, keys: list[str], many: list[int]) -> dict[str, Program]:
    """Give our own, verified and not, in one process and in several; and the hash alone."""

    def ours(to: Path) -> list[str]:
        folder = to / "store"
        folder.mkdir()
        name = f"{PROJECT}_project_manifest_v1.0.0.json"
        shutil.copy(root / "manifest.json", folder / name)
        command = [sys.executable, "-m", "openallen", "fetch", f"release:{PROJECT}@1.0.0"]
        return [*command, "--to", str(folder), "--yes", "--quiet"]

    def later(to: Path) -> list[str]:
        return [*ours(to), "--verify-later"]

    def shared(count: int, *more: str) -> Command:
        return lambda to: [*ours(to), "--processes", str(count), *more]

    def hashed(_: Path) -> list[str]:
        return [sys.executable, "-c", _HASH, *(str(root / "www" / BUCKET / key) for key in keys)]

    return {
        "openallen": Program(sys.executable, ours),
        "openallen later": Program(sys.executable, later),
        **{f"openallen x{n}": Program(sys.executable, shared(n)) for n in many},
        **{f"later x{n}": Program(sys.executable, shared(n, "--verify-later")) for n in many},
        "hash alone": Program(sys.executable, hashed, 0),
    }


def peers(root: Path, port: int, keys: list[str], allensdk: str) -> dict[str, Program]:
    """Give the others."""
    base = f"http://127.0.0.1:{port}/{BUCKET}"
    alone = len(keys) == 1

    def aria(to: Path) -> list[str]:
        lines = "".join(f"{base}/{k}\n out={Path(k).name}\n" for k in keys)
        (root / "aria.txt").write_text(lines)
        where = ["-d", str(to), "-i", f"{root}/aria.txt"]
        return ["aria2c", "-q", "-x16", "-s16", f"-j{1 if alone else 64}", *where]

    def curl(to: Path) -> list[str]:
        lines = "".join(f'url = "{base}/{k}"\noutput = "{to}/{Path(k).name}"\n' for k in keys)
        (root / "curl.txt").write_text(lines)
        return [
            "curl",
            "-sZ",
            "--no-progress-meter",
            "--parallel-max",
            "256",
            "-K",
            f"{root}/curl.txt",
        ]

    def s5cmd(to: Path) -> list[str]:
        lines = "".join(f"cp s3://{BUCKET}/{k} {to}/{Path(k).name}\n" for k in keys)
        (root / "s5.txt").write_text(lines)
        where = ["--no-sign-request", "--endpoint-url", f"http://127.0.0.1:{port}"]
        return ["s5cmd", *where, "--log", "error", "run", f"{root}/s5.txt"]

    def s5tuned(to: Path) -> list[str]:
        command = s5cmd(to)
        text = (root / "s5.txt").read_text()
        (root / "s5.txt").write_text(text.replace("cp ", "cp -c 16 -p 16 "))
        return [command[0], "--numworkers", "256", *command[1:]]

    def rclone(to: Path) -> list[str]:
        (root / "rclone.txt").write_text("".join(f"{k}\n" for k in keys))
        where = [":http:", str(to), "--http-url", base, "--files-from", f"{root}/rclone.txt"]
        many = ["--transfers", "64", "--multi-thread-streams", "16"]
        return ["rclone", "copy", *where, "--no-traverse", *many, "-q"]

    part = min(len(keys), 20)

    def sdk(to: Path) -> list[str]:
        (root / "sdk.py").write_text(_ALLENSDK)
        return [allensdk, str(root / "sdk.py"), str(to), BUCKET, PROJECT, str(part)]

    return {
        "s5cmd": Program("s5cmd", s5cmd),
        "s5cmd tuned": Program("s5cmd", s5tuned),
        "aria2c": Program("aria2c", aria),
        "curl": Program("curl", curl),
        "rclone": Program("rclone", rclone),
        "AllenSDK": Program(allensdk or "AllenSDK", sdk, part),
    }


_HASH = """
import hashlib, sys

for path in sys.argv[1:]:
    digest = hashlib.blake2b()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 18):
            digest.update(block)
    digest.hexdigest()
"""


_ALLENSDK = """
import sys
from allensdk.api.cloud_cache.cloud_cache import S3CloudCache

folder, bucket, project, count = sys.argv[1:]
cache = S3CloudCache(folder, bucket, project)
cache.load_last_manifest()
for number in range(int(count)):
    cache.download_data(str(number))
"""


def timed(command: list[str], to: Path, port: int, cores: int = 0) -> tuple[float, float, float]:
    """Run a program; give seconds, seconds of CPU, and peak memory in MB.

    Parameters
    ----------
    cores
        How many processors it may use; 0 for all. Of several processes the CPU is counted
        together, the memory is that of the largest.
    """
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        "OPENALLEN_STORE": str(to / "own"),
        "OPENALLEN_S3_ENDPOINT": endpoint,
        "OPENALLEN_PROJECTS": json.dumps({PROJECT: {"bucket": BUCKET}}),
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_REGION": "us-west-2",
    }
    usable = sorted(os.sched_getaffinity(0))
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if cores:
        os.sched_setaffinity(process.pid, usable[-cores:])
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        print(f"  {command[0]} ended with status {status}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


if __name__ == "__main__":
    main()
