"""What is fetched under faults, the truth about it, and whoever looks whether it is kept to.

The truth is made without openallen: from the bytes that were put into a bucket, and with urllib
from the archive itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self
from urllib.parse import quote, urlsplit

from assetbucket import ASSETS, Assets, description, fresh
from buckets import BUCKET, PROJECT, Published, connect
from faultproxy import FAULTS, Schedule

SPECIMEN = 313862022
ASSET = "ecephys_700001_2024-01-02_03-04-05"
LARGE = "ecephys_700002_2024-01-02_03-04-05"
LARGE_BYTES = (64 << 20) + 12_345  # four pieces of 16 MiB, and a bit

OWN = re.compile(
    r"manifest\.json|_downloaded_data\.json|_manifest_last_used\.txt|_openallen\.json"
    r"|index\.sqlite.*|ranges/.*|.*/manifest\.json"
)
"""What openallen writes for itself."""
PASSING = re.compile(r".*\.part(\.json)?(\.new)?|.*\.lease(\.[0-9a-f]{8})?|.*\.folder")
"""Names under which nothing counts as fetched."""

# Without a digest, damage to bytes that can still be read as what they should be cannot be seen.
_UNSEEN = {"flip", "short", "long", "redirect to another file", "cut without a size"}
_PLAIN = {"first bytes"}
DATA_FAULTS = tuple(k for k in FAULTS if k not in _PLAIN)
REST_FAULTS = tuple(k for k in FAULTS if k not in _PLAIN | _UNSEEN | {"another range"})
PICTURE_FAULTS = (*(k for k in REST_FAULTS if k != "first bytes"), "first bytes")


@dataclass(frozen=True)
class Scene:
    """Something to fetch.

    Parameters
    ----------
    name
        Of the scene.
    upstream
        Base URL of the service.
    words
        What is fetched, as arguments.
    folder
        The folder it goes to, below the root.
    truth
        The SHA-256 of every file, by its path in the folder.
    targets
        The path of the file that each target is, as it is asked for.
    sizes
        The size of each, in bytes.
    digests
        Whether the service publishes digests.
    data, rest
        Faults, as for `Schedule`.
    """

    name: str
    upstream: str
    words: tuple[str, ...]
    folder: str
    truth: dict[str, str]
    targets: dict[str, str]
    sizes: dict[str, int]
    digests: bool = True
    data: tuple[str, ...] = DATA_FAULTS
    rest: tuple[str, ...] = REST_FAULTS

    @property
    def size_bytes(self) -> int:
        return sum(self.sizes[path] for path in self.targets.values())

    def schedule(self, seed: int, *, rate: float = 0.3, most: int = 2) -> Schedule:
        return Schedule(seed, rate, most, self.data, self.rest)

    def environment(self, root: Path, url: str) -> dict[str, str]:
        told = {
            "OPENALLEN_STORE": str(root / "store"),
            "OPENALLEN_ATTEMPTS": "3",
            "PYTHONUNBUFFERED": "1",
        }
        if self.digests:
            told["OPENALLEN_S3_ENDPOINT"] = url
        return os.environ | told

    def command(self, root: Path, url: str, *more: str) -> list[str]:
        words = [sys.executable, "-m", "openallen", "fetch", *self.words, "--yes", "--json"]
        if not self.digests:
            words += ["--source", url, "--to", str(root / self.folder)]
        return [*words, *more]


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# --- what there is to fetch ---------------------------------------------------------------------


def _ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def _led_to(url: str) -> str:
    """Return where a redirect leads, as it is asked for; empty where there is none."""
    place = urlsplit(url)
    service = http.client.HTTPConnection(place.netloc, timeout=60)
    service.request("GET", f"{place.path}?{place.query}")
    led = urlsplit(service.getresponse().getheader("Location") or "")
    service.close()
    return f"{led.path}?{led.query}" if led.path else ""


@functools.cache
def stack_scene(url: str) -> Scene:
    """The planes of the sample, their projections, and the files of the reconstruction."""

    def rows(criteria: str) -> list[dict[str, Any]]:
        asked = f"{url}/api/v2/data/query.json?num_rows=2000&criteria={quote(criteria, safe='$')}"
        return json.loads(_ask(asked))["msg"]

    found = {}
    for row in rows(f"model::SubImage,rma::criteria,data_set[specimen_id$eq{SPECIMEN}]"):
        target = f"/api/v2/image_download/{row['id']}?downsample=5"
        found[target] = f"planes/{row['section_number']:04}.jpg"
    for row in rows(f"model::ProjectionImage,rma::criteria,[specimen_id$eq{SPECIMEN}]"):
        target = f"/api/v2/projection_image_download/{row['id']}?downsample=5"
        found[target] = f"projections/{row['projection_function']}_{row['axes']}.jpg"
    for row in rows("model::WellKnownFile"):
        if f"/specimen_{SPECIMEN}/" in row["path"] and row["attachable_type"] == "NeuronReconstruction":  # fmt: skip
            found[row["download_link"]] = "morphology/" + row["path"].rpartition("/")[2]
    found = {_led_to(url + target) or target: path for target, path in found.items()}
    bodies = {path: _ask(url + target) for target, path in found.items()}
    return Scene(
        "stack", url, (f"stack:{SPECIMEN}", "--downsample", "5"), "cell",
        {p: sha(b) for p, b in bodies.items()}, found, {p: len(b) for p, b in bodies.items()},
        digests=False, data=PICTURE_FAULTS,
    )  # fmt: skip


def release_scene(published: Published) -> Scene:
    """Version 1.0.0 of the release: tables, small files, and two of some megabytes."""
    manifest = published.manifests["1.0.0"]
    targets, truth, sizes = {}, {}, {}
    for entry in (*manifest["metadata_files"].values(), *manifest["data_files"].values()):
        key = entry["url"].partition(".amazonaws.com/")[2]
        version = entry["version_id"]
        body = published.s3.get_object(Bucket=BUCKET, Key=key, VersionId=version)["Body"].read()
        path = f"{PROJECT}-1.0.0/{key.removeprefix(PROJECT + '/')}"
        targets[f"/{BUCKET}/{quote(key)}?versionId={version}"] = path
        truth[path], sizes[path] = sha(body), len(body)
    for version, told in published.manifests.items():
        truth[f"{PROJECT}_project_manifest_v{version}.json"] = sha(json.dumps(told).encode())
    words, folder = (f"release:{PROJECT}@1.0.0",), f"store/releases/{PROJECT}"
    return Scene("release", published.endpoint, words, folder, truth, targets, sizes)


def publish_faulty_assets(endpoint: str) -> Assets:
    """Put an asset of small and larger files into a bucket, and one of a single large file."""
    s3 = connect(endpoint)
    fresh(s3, ASSETS)
    made = Assets(endpoint, s3)
    for name in (ASSET, LARGE):
        told = description("0.3.0", name, data_level="raw data", modality="ecephys")
        made.sidecar(name, "data_description", told)
    for number in range(24):
        made.put(f"{ASSET}/behavior/trial {number:02}.csv", body_of(f"s{number}", 20_000))
    for number in range(4):
        made.put(f"{ASSET}/ecephys/block_{number}.bin", body_of(f"b{number}", 1_500_000))
    made.put(f"{ASSET}/empty.txt", b"")
    made.put(f"{LARGE}/ecephys/continuous.dat", large_body())
    return made


def body_of(name: str, about_bytes: int) -> bytes:
    random = Random(name)
    return random.randbytes(about_bytes // 2 + random.randrange(about_bytes))


@functools.cache
def large_body() -> bytes:
    return Random("large").randbytes(LARGE_BYTES)


def asset_scene(made: Assets, name: str = ASSET) -> Scene:
    """The files of an asset, straight from its bucket."""
    targets, truth, sizes = {}, {}, {}
    listed = made.s3.list_objects_v2(Bucket=ASSETS, Prefix=name + "/")["Contents"]
    for key in (entry["Key"] for entry in listed):
        body = made.s3.get_object(Bucket=ASSETS, Key=key)["Body"].read()
        path = key.removeprefix(name + "/")
        targets[f"/{ASSETS}/{quote(key)}"] = path
        truth[path], sizes[path] = sha(body), len(body)
    folder = f"store/assets/{name}"
    return Scene(name, made.endpoint, (f"asset:{name}",), folder, truth, targets, sizes)


# --- looking --------------------------------------------------------------------------------------


class Watch:
    """Looks at the final paths of a folder all the time; whatever is there has to be right."""

    def __init__(self, scene: Scene, root: Path) -> None:
        self.scene = scene
        self.folder = root / scene.folder
        self.looks = 0
        self.wrong: list[str] = []
        self._known: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self._look()

    def _look(self) -> set[str]:
        with self._lock:
            self.looks += 1
            return {path for path in self._paths() if self._is_right(path)}

    def _paths(self) -> Iterator[str]:
        for at, _, names in os.walk(self.folder):
            for name in names:
                path = (Path(at) / name).relative_to(self.folder).as_posix()
                if not (OWN.fullmatch(path) or PASSING.fullmatch(path)):
                    yield path

    def _is_right(self, path: str) -> bool:
        full = self.folder / path
        try:
            told = full.stat()
            mark = (told.st_ino, told.st_size, told.st_mtime_ns)
            if self._known.get(path) != mark:
                body = full.read_bytes()
                digest = sha(body)
                if digest != self.scene.truth.get(path):
                    self.wrong.append(
                        f"{path}: {told.st_size} bytes, SHA-256 {digest}, {body[:60]!r}"
                    )
                    return False
                self._known[path] = mark
        except FileNotFoundError:  # it was moved away between two looks
            return False
        return True

    def there(self) -> set[str]:
        """Return the paths of files that are there, and right; fail if any ever was not."""
        found = self._look()
        assert not self.wrong, f"wrong at a final path: {self.wrong}"
        return found


@dataclass
class Run:
    """A command that was started."""

    process: subprocess.Popen[str]
    killed: bool = False
    out: str = ""
    err: str = ""

    def end(self, timeout_s: float = 120) -> int:
        self.out, self.err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode

    def kill(self) -> None:
        """Kill it and all it has started, at once."""
        self.killed = self.process.poll() is None
        for pid in _session(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def report(self) -> dict[str, Any]:
        return json.loads(self.out)["reports"][0]


def _session(leader: int) -> list[int]:
    """Return the processes of a session; worker processes have groups of their own."""
    found = [leader]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            pid = int(entry.name)
            if pid != leader and os.getsid(pid) == leader:
                found.append(pid)
    return found


def start(command: list[str], environment: dict[str, str], **more: Any) -> Run:
    pipe = subprocess.PIPE
    return Run(
        subprocess.Popen(
            command, env=environment, text=True, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL,
            start_new_session=True, **more,
        )
    )  # fmt: skip


ENDS = {0, 1, 5, 7}
"""Done, the service could not be used, some files failed, bytes that are not what was published."""


def check_end(run: Run, watch: Watch) -> None:
    """Check what a command that was not killed says of itself against what is there."""
    code = run.process.returncode
    assert code in ENDS, (code, run.err)
    assert "Traceback" not in run.err, run.err
    assert "Traceback" not in run.out, run.out
    if code:
        assert re.search(r'error: |"error"', run.err + run.out), (code, run.out, run.err)
    if '"reports"' not in run.out:
        assert code, "done, and nothing to show for it"
        return
    there = watch.there()
    files = run.report()["files"]
    counted = {file["path"] for file in files if file["status"] in {"fetched", "here"}}
    assert counted <= there
    assert not any(PASSING.fullmatch(path) for path in counted)
    assert (code == 0) == (counted >= set(watch.scene.targets.values()))


def wait_until(true: Any, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)
