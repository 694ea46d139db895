"""A relay that makes a near server far: delay, a limit for each connection, a limit for all.

    python benchmarks/far_link.py LISTEN_PORT SERVER_PORT [--round-trip-ms 40] [--each-mb 25]

One thread. A connection costs a round trip before its first byte goes on, as a handshake does;
every byte is held for half a round trip in each direction; downwards it is paced. What it does not
imitate: slow start, loss, TLS. It uses a core's fraction of its own, as the server does.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

PIECE_BYTES = 1 << 17


class Link:
    """What all connections share downwards."""

    def __init__(self, all_mb: float) -> None:
        self.bytes_per_s = all_mb * 1e6
        self.free_at = 0.0

    def take(self, count: int, now: float) -> float:
        """Book `count` bytes; give when they have passed."""
        self.free_at = max(self.free_at, now) + count / self.bytes_per_s
        return self.free_at


class Way:
    """One direction of one connection: read, hold, write."""

    def __init__(
        self, relay: Relay, source: socket.socket, sink: socket.socket, each_mb: float, opens: float
    ) -> None:
        self.relay, self.source, self.sink = relay, source, sink
        self.bytes_per_s = each_mb * 1e6
        self.free_at = self.opens = opens
        self.held: deque[tuple[float, memoryview]] = deque()
        self.ended = self.closed = False

    def read(self, now: float) -> None:
        """Take what came, as much as the pace allows."""
        try:
            data = self.source.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended = True
            self.relay.watch(self.source, self, reading=False)
            self.relay.at(now + self.relay.half_s, self.write)
            return
        passed = now
        if self.bytes_per_s:
            self.free_at = max(self.free_at, now) + len(data) / self.bytes_per_s
            passed = max(self.free_at, self.relay.link.take(len(data), now))
        due = max(passed, self.opens) + self.relay.half_s
        self.held.append((due, memoryview(data)))
        self.relay.at(due, self.write)
        if passed > now:
            self.relay.watch(self.source, self, reading=False)
            self.relay.at(passed, self.listen)

    def listen(self, now: float) -> None:
        """Read on."""
        if not self.ended and not self.closed:
            self.relay.watch(self.source, self, reading=True)
            self.read(now)

    def write(self, now: float) -> None:
        """Pass on what was held long enough."""
        if self.closed:
            return
        try:
            while self.held and self.held[0][0] <= now + 0.0005:
                due, data = self.held[0]
                sent = self.sink.send(data)
                if sent == len(data):
                    self.held.popleft()
                else:
                    self.held[0] = (due, data[sent:])
            if self.ended and not self.held:
                self.close()
        except BlockingIOError:
            self.relay.at(now + 0.001, self.write)
        except OSError:
            self.close()

    def close(self) -> None:
        """End both sides' use of this direction."""
        self.closed = True
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.relay.watch(self.source, self, reading=False)


class Relay:
    """Accepts, connects on, and keeps the time."""

    def __init__(
        self, listen: int, server: int, round_trip_ms: float, each_mb: float, all_mb: float
    ) -> None:
        self.server = ("127.0.0.1", server)
        self.half_s = round_trip_ms / 2000
        self.each_mb = each_mb
        self.link = Link(all_mb)
        self.selector = selectors.DefaultSelector()
        self.timers: list[tuple[float, int, object]] = []
        self.count = itertools.count()
        self.door = socket.create_server(("127.0.0.1", listen), backlog=4096)
        self.door.setblocking(False)
        self.selector.register(self.door, selectors.EVENT_READ, None)

    def at(self, due: float, call: object) -> None:
        """Call later."""
        heapq.heappush(self.timers, (due, next(self.count), call))

    def watch(self, sock: socket.socket, way: Way, *, reading: bool) -> None:
        """Begin or cease to look for bytes."""
        try:
            if reading:
                self.selector.register(sock, selectors.EVENT_READ, way)
            else:
                self.selector.unregister(sock)
        except (KeyError, ValueError):
            return

    def accept(self, now: float) -> None:
        """Take a client in and connect on for it."""
        while True:
            try:
                near, _ = self.door.accept()
            except BlockingIOError:
                return
            far = socket.create_connection(self.server)
            for sock in (near, far):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opens = now + 2 * self.half_s
            self.watch(near, Way(self, near, far, 0.0, opens), reading=True)
            self.watch(far, Way(self, far, near, self.each_mb, opens), reading=True)

    def run(self) -> None:
        """Relay until killed."""
        while True:
            now = time.monotonic()
            wait = max(0.0, self.timers[0][0] - now) if self.timers else 1.0
            for event, _ in self.selector.select(wait):
                now = time.monotonic()
                if event.data is None:
                    self.accept(now)
                else:
                    event.data.read(now)
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2](now)  # type: ignore[operator]


@contextmanager
def behind(listen: int, server: int) -> Iterator[None]:
    """Run the relay beside, in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, str(listen), str(server)])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("listen", type=int)
    options.add_argument("server", type=int)
    options.add_argument("--round-trip-ms", type=float, default=40)
    options.add_argument("--each-mb", type=float, default=25)
    options.add_argument("--all-mb", type=float, default=400)
    given = options.parse_args()
    Relay(given.listen, given.server, given.round_trip_ms, given.each_mb, given.all_mb).run()


if __name__ == "__main__":
    main()
