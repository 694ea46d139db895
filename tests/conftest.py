from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from buckets import Published, publish_release, serving_s3
from clusters import TestCluster
from loopback import Handler, Loopback

from openallen.transport.handles import is_loopback

DATA = Path(__file__).parent / "data"


# A machine that is busy with something else makes tests slow, not wrong.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")


# Moto writes a line for each request, into what pytest may have closed; the traceback of that, printed
# under logging's lock, may collect an HDF5 file that waits for a reader of this very server.
logging.getLogger("werkzeug").setLevel(logging.ERROR)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the random schedules of ``tests/faults`` run for longer, or one of them again."""
    group = parser.getgroup("faults", "fetches under faults (tests/faults)")
    group.addoption(
        "--faults-minutes",
        type=float,
        default=0.0,
        metavar="N",
        help="run each random schedule with new seeds for N minutes",
    )
    group.addoption(
        "--faults-seed", type=int, metavar="SEED", help="run each random schedule with this seed"
    )
    group.addoption(
        "--fuzz-minutes",
        type=float,
        default=0.0,
        metavar="N",
        help="open mutated input for N minutes in all, from a new seed, which is printed",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that are told to run for minutes may."""
    if minutes := config.getoption("--faults-minutes"):
        for item in items:
            if "seeds" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.timeout(600 + 60 * minutes))


def pytest_report_header(config: pytest.Config) -> str:
    return f"fuzz seed: {os.environ[FUZZ_SEED]} ({FUZZ_SEED} repeats it)"


FUZZ_SEED = "OPENALLEN_TEST_FUZZ_SEED"


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C even where whoever started the tests ignores it, as ``sh -c '... &'`` does."""
    # Processes of pytest-xdist inherit it: all of a run have one seed.
    new = secrets.token_hex(4) if config.getoption("fuzz_minutes", 0.0) else "0"
    os.environ.setdefault(FUZZ_SEED, new)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


FOLDERS = count()


def new_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """Make a folder of this process's own.

    Pytest's own ``mktemp`` reads the names of all folders there are to find a number that is free:
    20 ms a folder, after some thousand tests.
    """
    folder = factory.getbasetemp() / f"{name}-{next(FOLDERS)}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, made faster."""
    return new_folder(tmp_path_factory, re.sub(r"\W", "_", request.node.name)[:30])


@pytest.fixture(autouse=True)
def _clean_surroundings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No setting, store or proxy of whoever runs the tests reaches them, and none is touched."""
    for name in list(os.environ):
        if name.startswith("OPENALLEN_") and not name.startswith("OPENALLEN_TEST_"):
            monkeypatch.delenv(name)
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
        if name.endswith("_CA_BUNDLE") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)
    # pytest-socket sees sockets of Python, not those of libcurl: it is told the same.
    monkeypatch.setattr("openallen.transport.handles.guard", is_loopback)
    home = new_folder(tmp_path_factory, "home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("OPENALLEN_STORE", str(home / "store"))


@pytest.fixture
def data() -> Path:
    """The real data kept with the tests; see its README for origins."""
    return DATA


@pytest.fixture
def loopback() -> Iterator[Callable[..., Loopback]]:
    """Start servers that answer as told: ``loopback({"/path": handler})``."""
    servers: list[Loopback] = []

    def start(routes: dict[str, Handler] | None = None) -> Loopback:
        servers.append(Loopback(routes or {}))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def sample_url() -> Iterator[str]:
    """The sample archive, served over HTTP on loopback."""
    from openallen.archive.app import archive_app
    from openallen.serving.server import serving

    with serving(archive_app("sample")) as url:
        yield url


@pytest.fixture(scope="session")
def published() -> Iterator[Published]:
    """A release in three versions, in a versioned bucket of a real S3 server on loopback."""
    with serving_s3() as endpoint:
        yield publish_release(endpoint, DATA)


@pytest.fixture
def release(published: Published, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The same, with openallen told to look there."""
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", published.endpoint)
    return published


@pytest.fixture
def bucket(published: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What a module published, with openallen told to look there and to keep a store of its own."""
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", published.endpoint)
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    return published


@pytest.fixture(scope="session")
def _dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    with TestCluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture
def dask_scheduler(_dask: TestCluster) -> TestCluster:
    """A scheduler of dask without workers, one for all tests: a test may do anything to it."""
    _dask.restore()
    return _dask


@pytest.fixture
def dask_cluster(_dask: TestCluster) -> TestCluster:
    """The same, with the workers ``one`` and ``two``."""
    _dask.restore("one", "two")
    return _dask


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve an archive, by default the sample, with faults: ``archive("delay=0.1")``."""
    from openallen.archive.app import archive_app
    from openallen.archive.faults import Fault
    from openallen.serving.server import serving

    with ExitStack() as stack:

        def start(*faults: str | Fault, root: Path | str = "sample") -> str:
            wrong = tuple(f if isinstance(f, Fault) else Fault.parse(f) for f in faults)
            return stack.enter_context(serving(archive_app(root, faults=wrong)))

        yield start


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder on a file system of its own, and what makes that read-only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a read-only file system needs the right to mount one")
    root = disk / "store"
    root.mkdir()
    yield root, lambda: subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    subprocess.run(["umount", "-l", str(disk)], check=True)
