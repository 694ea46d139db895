"""Fetching release files from a server on this machine, beside other downloaders.

    python benchmarks/releases.py [--set large|medium|small|all] [--rate-mb 0] [--delay-ms 0]

nginx serves the files; every program fetches all of them to a new folder, in turn. Ours verifies
BLAKE2b while it fetches; of the others none does, so each is followed by b2sum where ``+b2sum`` is
written. With --rate-mb each connection is limited, as S3 does; with --delay-ms the loopback of a
network namespace of its own delays every packet (Linux, root).

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BUCKET = "bench-data"
PROJECT = "bench"
PORT = 8977
Command = Callable[[Path], list[str]]
SETS = {"large": (1, 2_000_000_000), "medium": (200, 5_000_000), "small": (5000, 20_000)}


def main() -> None:
    """Run the sets asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--set", choices=[*SETS, "all"], default="all")
    options.add_argument("--rate-mb", type=int, default=0, help="MB/s of one connection")
    options.add_argument("--delay-ms", type=int, default=0, help="round trip")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.delay_ms and not given.inside:
        raise SystemExit(in_namespace(given.delay_ms))
    for name in SETS if given.set == "all" else (given.set,):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            root = Path(folder)
            keys = make(root, *SETS[name])
            with nginx(root, given.rate_mb):
                for _ in range(given.rounds):
                    one_round(name, root, keys)


def in_namespace(delay_ms: int) -> int:
    """Run this script again where loopback delays."""
    space = "openallen-bench"
    subprocess.run(["ip", "netns", "add", space], check=True)
    try:
        inside = ["ip", "netns", "exec", space]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        delay = f"{delay_ms / 2}ms"
        netem = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", delay]
        subprocess.run([*inside, *netem, "limit", "100000"], check=True)
        return subprocess.run(
            [*inside, sys.executable, *sys.argv, "--inside"], check=False
        ).returncode
    finally:
        subprocess.run(["ip", "netns", "del", space], check=True)


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
    return keys


@contextmanager
def nginx(root: Path, rate_mb: int) -> Iterator[None]:
    """Serve the files."""
    limit = f"limit_rate {rate_mb * 1_000_000};" if rate_mb else ""
    config = f"""
daemon off; worker_processes 2; pid {root}/nginx.pid; error_log {root}/error.log;
user root;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; {limit}
 client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
 uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
 server {{ listen 127.0.0.1:{PORT} backlog=1024; root {root}/www;
  location /{BUCKET}/ {{ if ($args ~ "^versions=") {{ rewrite ^ /versions.xml? last; }} }} }} }}
"""
    (root / "nginx.conf").write_text(config)
    process = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf")])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait()


def one_round(name: str, root: Path, keys: list[str]) -> None:
    """Let each program fetch all of it, and print seconds, CPU and memory beside ours."""
    base = f"http://127.0.0.1:{PORT}/{BUCKET}"
    count, size = SETS[name]
    print(f"{name}: {count} files of {size / 1e6:g} MB")
    ours = None
    for program, command in programs(root, base, keys).items():
        if command is None:
            print(f"  {program:16} not found")
            continue
        to = root / "to" / program
        to.mkdir(parents=True)
        seconds, cpu, peak = timed(command(to), to)
        got = [p for p in to.rglob("*.nwb") if p.stat().st_size == size]
        whole = "" if len(got) == count else f"  only {len(got)} files are whole"
        ours = ours or seconds
        print(
            f"  {program:16} {seconds:7.2f} s  cpu {cpu:6.2f} s  {peak:5.0f} MB"
            f"  {seconds / ours:5.2f}x ours{whole}"
        )
        shutil.rmtree(to)


def programs(root: Path, base: str, keys: list[str]) -> dict[str, Command | None]:
    """Give the command line of each program, made for a folder."""

    def ours(to: Path) -> list[str]:
        folder = to / "store"
        folder.mkdir()
        name = f"{PROJECT}_project_manifest_v1.0.0.json"
        shutil.copy(root / "manifest.json", folder / name)
        command = [sys.executable, "-m", "openallen", "fetch", f"release:{PROJECT}@1.0.0"]
        return [*command, "--to", str(folder), "--yes", "--quiet"]

    def aria(to: Path) -> list[str]:
        lines = "".join(f"{base}/{k}\n out={Path(k).name}\n" for k in keys)
        (root / "aria.txt").write_text(lines)
        many = "32" if len(keys) > 1 else "1"
        return [
            "aria2c",
            "-q",
            "-x16",
            "-s16",
            f"-j{many}",
            "-d",
            str(to),
            "-i",
            f"{root}/aria.txt",
        ]

    def curl(to: Path) -> list[str]:
        lines = "".join(f'url = "{base}/{k}"\noutput = "{to}/{Path(k).name}"\n' for k in keys)
        (root / "curl.txt").write_text(lines)
        return ["curl", "-sZ", "--parallel-max", "64", "-K", f"{root}/curl.txt"]

    def s5cmd(to: Path) -> list[str]:
        lines = "".join(f"cp s3://{BUCKET}/{k} {to}/{Path(k).name}\n" for k in keys)
        (root / "s5.txt").write_text(lines)
        where = ["--no-sign-request", "--endpoint-url", f"http://127.0.0.1:{PORT}"]
        return ["s5cmd", *where, "--log", "error", "run", f"{root}/s5.txt"]

    def rclone(to: Path) -> list[str]:
        (root / "rclone.txt").write_text("".join(f"{k}\n" for k in keys))
        where = [":http:", str(to), "--http-url", base, "--files-from", f"{root}/rclone.txt"]
        return ["rclone", "copy", *where, "--no-traverse", "--transfers", "32", "-q"]

    made: dict[str, Command] = {
        "openallen": ours,
        "s5cmd": s5cmd,
        "aria2c": aria,
        "curl": curl,
        "rclone": rclone,
    }
    here = {name: shutil.which(name) for name in made}
    return {n: m if n == "openallen" or here[n] else None for n, m in made.items()}


def timed(command: list[str], to: Path) -> tuple[float, float, float]:
    """Run a program; give seconds, seconds of CPU, and peak memory in MB."""
    environment = {
        **os.environ,
        "OPENALLEN_STORE": str(to / "own"),
        "OPENALLEN_S3_ENDPOINT": f"http://127.0.0.1:{PORT}",
        "OPENALLEN_PROJECTS": json.dumps({PROJECT: {"bucket": BUCKET}}),
    }
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        print(f"  {command[0]} ended with status {status}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


if __name__ == "__main__":
    main()
