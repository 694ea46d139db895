"""nginx on this machine, for as long as a benchmark takes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(root: Path, http: str, *, workers: int = 2) -> Iterator[None]:
    """Run nginx from a folder.

    Parameters
    ----------
    root
        The folder: its configuration, logs and what it needs go there.
    http
        What stands in the block ``http`` beside what all benchmarks share.
    workers
        How many processes serve.
    """
    places = " ".join(f"{name}_temp_path {root}/t-{name};" for name in TEMPORARY)
    (root / "nginx.conf").write_text(
        f"daemon off; worker_processes {workers}; pid {root}/nginx.pid; user root;\n"
        f"error_log {root}/error.log; events {{ worker_connections 4096; }}\n"
        f"http {{ sendfile on; tcp_nopush on; keepalive_requests 100000; {places}\n{http}\n}}\n"
    )
    process = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf")])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait()
