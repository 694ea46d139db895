"""Lets tests of others, which begin by writing to S3, read from an archive of ours.

What creates buckets and objects is written to the folder of the archive, as a mirror would; every
other request is handed to the archive as it came. ``POST /reset`` begins again with nothing.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import unquote, urlsplit


class Writer:
    """Writes objects to an archive.

    Parameters
    ----------
    root
        The folder of the archive.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count(1)
        self._versioned: set[str] = set()
        self._lock = Lock()

    def bucket(self, name: str) -> None:
        """Create a bucket."""
        (self._root / "buckets" / name).mkdir(parents=True, exist_ok=True)

    def versioning(self, name: str) -> None:
        """Give later objects of a bucket versions."""
        self._versioned.add(name)

    def put(self, name: str, key: str, body: bytes) -> dict[str, str]:
        """Write an object; return the headers of the answer."""
        number = next(self._numbers)
        place = self._root / "objects" / str(number)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(body)
        tag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        told = {"key": key, "file": f"objects/{number}", "etag": tag}
        if name in self._versioned:
            told["version_id"] = f"version-{number}"
        self.line(name, told)
        headers = {"ETag": f'"{tag}"'}
        return headers | ({"x-amz-version-id": told["version_id"]} if "version_id" in told else {})

    def delete(self, name: str, key: str) -> None:
        """Delete an object: by a marker."""
        self.line(name, {"key": key, "deleted": True, "version_id": f"gone-{next(self._numbers)}"})

    def line(self, name: str, told: dict) -> None:
        """Add a line to the index of a bucket."""
        with self._lock, (self._root / "buckets" / f"{name}.jsonl").open("a") as index:
            index.write(json.dumps(told) + "\n")

    def reset(self) -> None:
        """Begin again with nothing."""
        for folder in ("buckets", "objects"):
            shutil.rmtree(self._root / folder, ignore_errors=True)
        self._versioned.clear()


@contextmanager
def writable(root: Path, archive: str) -> Iterator[str]:
    """Run the server in front of an archive; yields its URL.

    Parameters
    ----------
    root
        The folder of the archive.
    archive
        Its URL.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(Writer(root), archive))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _handler(  # noqa: C901 - one method for each kind of request
    writer: Writer, archive: str
) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(archive).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_PUT(self) -> None:
            asked = urlsplit(self.path)
            name, _, key = unquote(asked.path.lstrip("/")).partition("/")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if key:
                self._say(200, writer.put(name, key, body))
                return
            (writer.versioning if asked.query.startswith("versioning") else writer.bucket)(name)
            self._say(200, {})

        def do_DELETE(self) -> None:
            name, _, key = unquote(urlsplit(self.path).path.lstrip("/")).partition("/")
            writer.delete(name, key)
            self._say(204, {})

        def do_POST(self) -> None:
            writer.reset()
            self._say(200, {})

        def do_GET(self) -> None:
            behind = http.client.HTTPConnection(host, timeout=60)
            kept = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            behind.request(self.command, self.path, headers=kept)
            answer = behind.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "transfer-encoding", "date", "server"}:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            behind.close()

        do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

        def _say(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def copied(s3: object, name: str, root: Path) -> Path:
    """Copy every version of a bucket of another S3 server to an archive, as a mirror does."""
    writer = Writer(root)
    writer.bucket(name)
    listed = s3.list_object_versions(Bucket=name)["Versions"]  # type: ignore[attr-defined]
    for number, told in enumerate(sorted(listed, key=lambda one: one["LastModified"])):
        asked = {"Bucket": name, "Key": told["Key"], "VersionId": told["VersionId"]}
        body = s3.get_object(**asked)["Body"].read()  # type: ignore[attr-defined]
        place = root / "versions" / name / str(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        line = {"key": told["Key"], "version_id": told["VersionId"], "etag": told["ETag"]}
        line |= {"modified": told["LastModified"].isoformat()}
        writer.line(name, line | {"file": f"versions/{name}/{number}"})
    return root
