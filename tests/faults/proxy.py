"""A TCP proxy on the loopback that damages the connections that run through it.

Modes: `pass_on` (no damage), `cut` (connections are closed, new ones too), `delay` (each piece
waits), `truncate` (half of the next reply, then closed), `half_close` (the client gets an end of
file, the connection stays open), `swallow` (the next reply on each connection is lost), `pause`
(bytes wait until the proxy is restored), `silence` (open connections are dead for good without a
word, as behind a firewall that forgot them; new ones are dead until the proxy is restored).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

MODES = ("cut", "delay", "truncate", "half_close", "swallow", "pause", "silence")
PIECE = 65_536  # bytes read at once
DELAY_SECONDS = 0.2


class Connection:
    """One client with its server: two sockets, and the damage that it will suffer next."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.next = ""  # a damage that happens once: truncate, half_close, swallow
        self.dead = False  # bytes are read and dropped
        self._pumps, self._lock = 2, threading.Lock()

    def close(self) -> None:
        """End both directions; the threads that carry them then notice."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def pump_ended(self) -> bool:
        """Count one direction as ended; with the second the sockets are closed."""
        with self._lock:
            self._pumps -= 1
            if self._pumps == 0:
                self.client.close()
                self.server.close()
            return self._pumps == 0


class Proxy:
    """Passes connections on to `upstream`, a (host, port) or the path of a Unix socket."""

    def __init__(self, upstream: tuple[str, int] | Path) -> None:
        self._upstream, self._mode = upstream, "pass_on"
        self._connections: set[Connection] = set()
        self._lock, self._open = threading.Lock(), threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def damage(self, mode: str) -> None:
        """Damage what is open now and what is opened until `restore`."""
        assert mode in MODES
        with self._lock:
            self._mode = mode
            for connection in self._connections:
                self._begin(connection)
            if mode == "pause":
                self._open.clear()

    def restore(self) -> None:
        """Damage nothing from now on; what was silenced stays dead."""
        with self._lock:
            self._mode = "pass_on"
            for connection in self._connections:
                connection.next = ""
            self._open.set()

    def close(self) -> None:
        """End the proxy and its connections."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        with self._lock:
            self._open.set()
            threads, connections = list(self._threads), list(self._connections)
        for connection in connections:
            connection.close()
        for thread in threads:
            thread.join(10)

    def _begin(self, connection: Connection) -> None:
        if self._mode == "cut":
            connection.close()
        elif self._mode == "silence":
            connection.dead = True
        elif self._mode in ("truncate", "half_close", "swallow"):
            connection.next = self._mode
            if self._mode == "half_close":
                connection.dead = True
                with contextlib.suppress(OSError):
                    connection.client.shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._mode == "cut":
                client.close()
                continue
            try:
                server = self._connect()
            except OSError:  # the server is down: so is what stands before it
                client.close()
                continue
            connection = Connection(client, server)
            with self._lock:
                self._connections.add(connection)
                self._begin(connection)
            for backward in (False, True):
                threading.Thread(
                    target=self._pump, args=(connection, backward), daemon=True
                ).start()

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _connect(self) -> socket.socket:
        if isinstance(self._upstream, Path):
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._upstream))
            except OSError:
                server.close()
                raise
            return server
        return socket.create_connection(self._upstream, timeout=5)

    def _pump(self, connection: Connection, backward: bool) -> None:
        """Carry bytes in one direction; `backward` is from the server to the client."""
        ends = (connection.client, connection.server)
        source, sink = reversed(ends) if backward else ends
        source.settimeout(None)
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                self._carry(connection, sink, piece, backward)
        # an end of file on a dead connection is not passed on: nobody hears of it
        if not connection.dead:
            connection.close()
        if connection.pump_ended():
            with self._lock:
                self._connections.discard(connection)

    def _carry(
        self, connection: Connection, sink: socket.socket, piece: bytes, backward: bool
    ) -> None:
        if self._mode == "delay":
            time.sleep(DELAY_SECONDS)
        self._open.wait()
        if connection.dead:
            return
        if backward and connection.next:
            damage, connection.next = connection.next, ""
            if damage == "truncate":
                sink.sendall(piece[: len(piece) // 2])
                connection.close()
            return
        sink.sendall(piece)
