"""Fetching an asset of 10,000 Zarr chunks from a server on this machine, beside other downloaders.

    python benchmarks/asset_fetch.py [--chunks 10000] [--kb 64] [--far] [--rounds 1]

nginx serves the chunks, and pages of their listing as S3 writes them, each with its MD5. Every
program lists the asset and fetches all of it to a new folder. Ours compares each MD5; of the others
s5cmd and the AWS command line compare none of what they download.

ext4 is slow to make files for a minute after thousands were deleted: --pause 65 waits for it to
forget those of the program before. Needs nginx; s5cmd and aws are used where they are found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from far_link import behind
from releases import timed
from web import nginx

BUCKET = "aind-open-data"
ASSET = "SmartSPIM_620326_2022-09-20_11-20-22_stitched_2022-09-25_01-02-03"
PORT, FAR_PORT = 8981, 8982
PAGE = 1000


def main() -> None:
    """Let each program fetch all of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--chunks", type=int, default=10_000)
    options.add_argument("--kb", type=int, default=64)
    options.add_argument("--far", action="store_true", help="40 ms, 25 MB/s each, 400 MB/s in all")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--pause", type=float, default=0, help="seconds between programs")
    options.add_argument("--without", default="", help="programs left out, with commas")
    given = options.parse_args()
    port = FAR_PORT if given.far else PORT
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        root = Path(folder)
        make(root, given.chunks, given.kb * 1000)
        print(f"{given.chunks:,} chunks of {given.kb} kB{', far' if given.far else ''}")
        with served(root), behind(FAR_PORT, PORT) if given.far else nullcontext():
            for _ in range(given.rounds):
                one_round(root, port, given)


def make(root: Path, count: int, size: int) -> None:
    """Write the chunks, and the pages of their listing."""
    block = os.urandom(size)
    folder = root / "www" / BUCKET / ASSET / "image.zarr" / "0"
    folder.mkdir(parents=True)
    entries = []
    for n in range(count):
        body = n.to_bytes(8, "big") + block[8:]
        name = f"{n:06}"
        (folder / name).write_bytes(body)
        entries.append((f"{ASSET}/image.zarr/0/{name}", size, hashlib.md5(body).hexdigest()))
    pages = [entries[n : n + PAGE] for n in range(0, count, PAGE)]
    for n, page in enumerate(pages):
        more = n + 1 < len(pages)
        text = "".join(
            f"<Contents><Key>{k}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{e}"</ETag><Size>{s}</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for k, s, e in page
        )
        token = f"<NextContinuationToken>{n + 1}</NextContinuationToken>" if more else ""
        (root / "www" / f"page{n}.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{ASSET}/</Prefix><MaxKeys>{PAGE}</MaxKeys>"
            f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{json.dumps(more)}</IsTruncated>"
            f"{token}{text}</ListBucketResult>"
        )


def served(root: Path) -> AbstractContextManager[None]:
    """Serve the chunks, and their listing page by page."""
    http = f"""
 access_log off; default_type application/xml;
 server {{ listen 127.0.0.1:{PORT} backlog=1024; root {root}/www;
  location ~ ^/{BUCKET}/?$ {{
   if ($args ~ "continuation-token=(?<page>[0-9]+)") {{ rewrite ^ /page$page.xml? last; }}
   rewrite ^ /page0.xml? last; }} }}
"""
    return nginx(root, http)


def one_round(root: Path, port: int, given: argparse.Namespace) -> None:
    """Print seconds, CPU and memory of each program, beside ours."""
    ours, count = None, given.chunks
    for title, command in programs(port).items():
        if title in given.without.split(","):
            continue
        if not shutil.which(command[0]):
            print(f"  {title:12} not found")
            continue
        to = root / "to"
        to.mkdir()
        seconds, cpu, peak = timed([word.replace("TO", str(to)) for word in command], to, port)
        got = sum(1 for path in to.rglob("*") if path.is_file() and path.parent.name == "0")
        ours = ours or seconds
        whole = "" if got == count else f"  only {got} of {count} chunks"
        print(
            f"  {title:12} {seconds:7.2f} s  cpu {cpu:6.2f} s  {peak:5.0f} MB"
            f"  {seconds / ours:5.2f}x ours{whole}",
            flush=True,
        )
        shutil.rmtree(to)
        time.sleep(given.pause)


def programs(port: int) -> dict[str, list[str]]:
    """Give the programs by name, ours first; TO stands for the folder."""
    where = ["--no-sign-request", "--endpoint-url", f"http://127.0.0.1:{port}"]
    ours = [sys.executable, "-m", "openallen", "fetch", f"asset:{ASSET}", "--to", "TO/a"]
    s5cmd = ["s5cmd", *where, "--log", "error", "cp", f"s3://{BUCKET}/{ASSET}/*", "TO/a/"]
    return {
        "openallen": [*ours, "--yes", "--quiet"],
        "s5cmd": s5cmd,
        "aws": [
            "aws",
            "s3",
            "cp",
            "--recursive",
            "--quiet",
            *where,
            f"s3://{BUCKET}/{ASSET}/",
            "TO/a",
        ],
    }


if __name__ == "__main__":
    main()
