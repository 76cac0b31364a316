"""A real pgbouncer in transaction mode before a PostgreSQL of the tests, by a socket in its folder.

It comes from the package ``pgbouncer`` of the system. Like PostgreSQL, it refuses to run as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.programs import pgbouncer
from tests.servers import PostgresServer, unprivileged_user, wait_until

# two sessions of PostgreSQL for all clients: each transaction gets the one that happens to be free
SETTINGS = """
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
auth_type = trust
auth_file = {folder}/users
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
"""


@contextmanager
def pooler(server: PostgresServer) -> Iterator[str]:
    """A running pgbouncer; the query that a URL of `server` needs to go through it."""
    import psycopg

    program = pgbouncer()
    folder = Path(tempfile.mkdtemp(prefix="fashion-pgbouncer-"))
    user = unprivileged_user()
    try:
        (folder / "settings").write_text(SETTINGS.format(server=server.folder, folder=folder))
        (folder / "users").write_text('"postgres" ""\n')
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        folder.chmod(0o755)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [program, folder / "settings"], stdout=log, stderr=log, user=user, cwd=folder
            )

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"pgbouncer ended:\n{(folder / 'log').read_text()}")
            try:
                psycopg.connect(
                    host=str(folder), port=6432, user="postgres", dbname="postgres"
                ).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            wait_until(answers, "pgbouncer to answer")
            yield f"host={folder}&port=6432"
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def through(query: str, url: str) -> str:
    """The URL of the same database through the pooler."""
    return f"postgresql+psycopg://postgres@/{make_url(url).database}?{query}"
