"""Images that stand in for those of an image registry, made from Debian's packages.

One root file system has Python, Redis and PostgreSQL; each stand-in is that with the settings and
the entry point of the image that it stands for, as far as the compose file uses them. Where the
registry is reached, name the real images instead (PYTHON_IMAGE, REDIS_IMAGE, POSTGRES_IMAGE,
FLOWER_IMAGE).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.containers.engine import Engine, NotRun

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates,passwd,python3,python3-venv,python-is-python3,redis-server,postgresql-15"
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
# what the image of PostgreSQL does at its first start
POSTGRES_START = f"""#!/bin/sh
set -e
export PATH={POSTGRES_BIN}:$PATH PGDATA=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust \\
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses=''"
    createdb --username="$POSTGRES_USER" "$POSTGRES_DB" || true
    pg_ctl -w stop -m fast
fi
exec postgres -c listen_addresses='*'
"""
FLOWER = """FROM stand-in/python
RUN python -m venv /opt/flower
RUN /opt/flower/bin/pip install --no-cache-dir 'flower==2.0.1' 'celery[redis]'
ENV PATH=/opt/flower/bin:$PATH
USER 10001
WORKDIR /tmp
"""


def root_file_system(folder: Path) -> Path:
    """A tar of a small Debian with the packages, made once.

    Raises:
        NotRun: there is no mmdebstrap.
    """
    if shutil.which("mmdebstrap") is None:
        raise NotRun("expected mmdebstrap: apt-get install mmdebstrap")
    tar = folder / "debian.tar"
    if not tar.exists():
        part = folder / "debian.tar.part.tar"
        words = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(part)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotRun(f"mmdebstrap failed: {done.stderr[-500:]}")
        part.replace(tar)
    return tar


def make(docker: Engine, folder: Path) -> dict[str, str]:
    """The stand-ins, as the variables of the compose file that name images."""
    tar = root_file_system(folder)

    def imported(name: str, *changes: str) -> str:
        told = [part for change in changes for part in ("--change", change)]
        docker.run("import", *told, tar, f"stand-in/{name}")
        return f"stand-in/{name}"

    imported("debian")
    context = folder / "stand-in"
    context.mkdir(exist_ok=True)
    (context / "postgres-start").write_text(POSTGRES_START)
    # pip trusts what this machine trusts: some networks have certificates of their own
    shutil.copy(CERTIFICATES, context / "ca-certificates.crt")
    files = {
        "python": "COPY ca-certificates.crt /etc/ssl/certs/\n"
        f"ENV PIP_CERT={CERTIFICATES} PIP_DISABLE_PIP_VERSION_CHECK=1",
        "redis": "RUN mkdir /data && chown redis:redis /data\nVOLUME /data\nWORKDIR /data",
        "postgres": "COPY --chmod=755 postgres-start /usr/local/bin/\n"
        f"ENV PATH={POSTGRES_BIN}:/usr/local/bin:/usr/bin:/bin\n"
        'VOLUME /var/lib/postgresql/data\nENTRYPOINT ["/usr/local/bin/postgres-start"]',
    }
    (context / "postgres-start").chmod(0o755)
    for name, lines in files.items():
        lines = lines.replace("--chmod=755 ", "")  # needs BuildKit
        docker.run(
            *("build", "-q", "-t", f"stand-in/{name}", "-f", "-", context),
            text=f"FROM stand-in/debian\n{lines}\n",
        )
    docker.run("build", "-q", "-t", "stand-in/flower", "-", text=FLOWER)
    return {f"{name.upper()}_IMAGE": f"stand-in/{name}" for name in (*files, "flower")}
