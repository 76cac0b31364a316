"""What is checked of the running containers, in this order."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.containers import stand_ins
from tests.containers.engine import Compose

ROOT = Path(__file__).parents[2]
NEWEST_MIGRATION = "db/migrations/versions"
IMAGE = "fashion-cascade:cpu"
SERVICES = ("redis", "postgres", "worker", "web")
# of any characters; the line end is no part of it
PASSWORD = "p@ss/w:rd#%3A\"\\ '$x"
PATIENCE = 400.0
SPARE_SECONDS = 15.0
VISIBILITY_SECONDS, LEASE_SECONDS = 300, 120  # the defaults
IMAGES = ("PYTHON_IMAGE", "REDIS_IMAGE", "POSTGRES_IMAGE", "FLOWER_IMAGE")


class Pool:
    """The containers under test, and what is asked of them."""

    def __init__(self, compose: Compose, folder: Path, pictures: int) -> None:
        self.compose, self.folder, self.number = compose, folder, pictures
        self.pictures, self.secrets = folder / "pictures", folder / "secrets"
        self.revisions: tuple[str, str] = ("", "")
        self.expected = 0
        compose.environ |= {"PICTURES": str(self.pictures), "SECRETS": str(self.secrets)}

    def sql(self, query: str) -> list[list[str]]:
        """The rows that PostgreSQL answers, as text."""
        (container,) = self.compose.containers("postgres")
        words = ("exec", container, "psql", "-U", "fashion", "-d", "fashion", "-AtF\t", "-c", query)
        return [line.split("\t") for line in self.compose.run(*words).splitlines()]

    def count(self, where: str) -> int:
        return int(self.sql(f"SELECT count(*) FROM catalogue WHERE {where}")[0][0])

    def draw(self, crawl: str, seed: int) -> None:
        """A folder of drawings, all different."""
        from cascade.drawings import LEAVES, write_sample_crawl

        per_leaf = self.number // len(LEAVES)
        written = write_sample_crawl(self.pictures / crawl, per_leaf, seed, junk=False)
        self.expected += len(list(written))
        subprocess.run(["chmod", "-R", "a+rX", str(self.pictures)], check=True)

    def enqueue(self, crawl: str) -> None:
        self.compose(*("run", "--rm", "worker", "enqueue", f"/pictures/{crawl}", "--crawl", crawl))

    def wait(self, done: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
        """The seconds until `done`."""
        began = time.monotonic()
        while not done():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"waited {seconds:.0f} s for {what}; {self.state()}")
            time.sleep(1)
        return time.monotonic() - began

    def state(self) -> str:
        counts = self.sql("SELECT crawl, status, count(*) FROM catalogue GROUP BY 1, 2")
        return f"{counts}\n{self.compose('ps')}"

    def wait_for_the_end(self) -> float:
        """Every picture has its one labelled row."""
        seconds = self.wait(
            lambda: self.count("status = 'labelled'") == self.expected, "all labels"
        )
        ((rows, paths, held),) = self.sql(
            "SELECT count(*), count(DISTINCT (crawl, path)), count(claimed_by) FROM catalogue"
        )
        assert (rows, paths, held) == (str(self.expected), str(self.expected), "0")
        return seconds

    def is_healthy(self, service: str, number: int = 1) -> bool:
        found = self.compose.containers(service)
        states = [self.compose.inspect(each, "{{.State.Health.Status}}") for each in found]
        return states.count("healthy") == number

    def slow_down(self, cores: float) -> None:
        """Give each worker less of a core, so that something happens while it works."""
        for worker in self.compose.containers("worker"):
            self.compose.run("update", "--cpus", cores, worker, check=False)

    def busy_worker(self) -> str:
        """A running worker that holds leases."""

        def found() -> str | None:
            holders = {row[0] for row in self.sql("SELECT DISTINCT claimed_by FROM catalogue")}
            for worker in self.compose.containers("worker"):
                running = self.compose.inspect(worker, "{{.State.Running}}") == "true"
                if running and any(worker[:12] in holder for holder in holders):
                    return worker
            return None

        self.wait(lambda: found() is not None, "a worker at work", 120)
        worker = found()
        assert worker is not None
        return worker

    def held_by(self, worker: str) -> int:
        return self.count(f"claimed_by LIKE '%{worker[:12]}%' AND claimed_by NOT LIKE 'dead%'")


def images(pool: Pool) -> str:
    """Images are built: the one before the newest migration, and today's."""
    if any(name not in os.environ for name in IMAGES):
        pool.compose.environ |= stand_ins.make(pool.compose, pool.folder)
    git = ["git", "-C", str(ROOT)]
    newest = max((ROOT / NEWEST_MIGRATION).glob("r*.py"))
    added = [*git, "log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest)]
    commit = subprocess.check_output(added, text=True).strip()
    old = pool.folder / "old"
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir()
    archive = subprocess.check_output([*git, "archive", f"{commit}~1"])
    subprocess.run(["tar", "-x", "-C", str(old)], input=archive, check=True)
    for name in ("Dockerfile", ".dockerignore", "constraints.txt", "requirements-cpu.txt"):
        shutil.copy(ROOT / name, old / name)  # the same packages: this is about the tables
    argument = f"PYTHON_IMAGE={pool.compose.environ['PYTHON_IMAGE']}"
    for tag, context in (("old", old), ("new", ROOT)):
        pool.compose.run(
            *("build", "-q", "--build-arg", argument, "-t", f"fashion-cascade:{tag}", context)
        )
    versions = sorted((ROOT / NEWEST_MIGRATION).glob("r*.py"))
    pool.revisions = (versions[-2].name[1:5], versions[-1].name[1:5])
    base, whole = (
        int(pool.compose.run("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
        for name in (pool.compose.environ["PYTHON_IMAGE"], "fashion-cascade:new")
    )
    return f"{whole:.0f} MB, of these {base:.0f} MB the image that it starts from"


def start(pool: Pool) -> str:
    """The pool starts with the older image: migrate ends with 0, all are healthy."""
    pool.secrets.mkdir(parents=True, exist_ok=True)
    for name in ("redis", "postgres", "serve", "flower"):
        file = pool.secrets / f"{name}_password"
        file.write_text(PASSWORD + "\n")
        file.chmod(0o444)
    pool.draw("spring", 1)
    pool.compose.run("tag", "fashion-cascade:old", IMAGE)
    pool.compose("up", "-d", "--scale", "worker=2")
    for service, number in (("redis", 1), ("postgres", 1), ("web", 1), ("worker", 2)):
        pool.wait(lambda: pool.is_healthy(service, number), f"{service} healthy")  # noqa: B023
    (migrate,) = pool.compose.containers("migrate")
    assert pool.compose.inspect(migrate, "{{.State.ExitCode}}") == "0"
    assert pool.sql("SELECT version_num FROM alembic_version") == [[pool.revisions[0]]]
    return ""


def label(pool: Pool) -> str:
    """A crawl that `run worker enqueue` publishes is labelled, one row a picture."""
    pool.enqueue("spring")
    pool.wait_for_the_end()
    return f"{pool.expected} pictures"


def upgrade(pool: Pool) -> str:
    """The newer image takes over in the middle of a crawl, after its migration."""
    pool.slow_down(0.3)
    pool.draw("summer", 2)
    pool.enqueue("summer")
    pool.busy_worker()
    pool.compose.run("tag", "fashion-cascade:new", IMAGE)
    pool.compose("up", "-d", "--scale", "worker=2")
    assert pool.count("status = 'pending'") > 0, "the crawl was done before the upgrade"
    pool.wait_for_the_end()
    assert pool.sql("SELECT version_num FROM alembic_version") == [[pool.revisions[1]]]
    return " → ".join(pool.revisions)


def scale(pool: Pool) -> str:
    """Two workers become three."""
    pool.compose("up", "-d", "--scale", "worker=3")
    pool.wait(lambda: pool.is_healthy("worker", 3), "three healthy workers")
    return ""


def killed_for_good(pool: Pool) -> str:
    """A worker is killed and stays away: its shards come back within 310 s."""
    pool.slow_down(0.2)
    pool.draw("autumn", 3)
    pool.enqueue("autumn")
    worker = pool.busy_worker()
    pool.compose.run("kill", "-s", "KILL", worker)
    held = pool.held_by(worker)
    assert held > 0, "it held nothing when it was killed"
    pool.slow_down(2)
    # a claim is seen after the message has come back, and its row after that
    seconds = pool.wait(
        lambda: pool.held_by(worker) == 0,
        "another worker to take the shards of a killed one",
        VISIBILITY_SECONDS + 10 + SPARE_SECONDS,
    )
    pool.wait_for_the_end()
    pool.compose.run("start", worker)
    return f"{held} pictures were taken by others after {seconds:.0f} s"


def killed_and_restarted(pool: Pool) -> str:
    """A worker is killed and starts again: it ends the leases of its earlier life at once."""
    pool.slow_down(0.2)
    pool.draw("winter", 4)
    pool.enqueue("winter")
    worker = pool.busy_worker()
    pid = int(pool.compose.inspect(worker, "{{.State.Pid}}"))
    os.kill(pid, signal.SIGKILL)
    held = pool.held_by(worker)
    seconds = pool.wait(lambda: pool.held_by(worker) < held, "its leases", LEASE_SECONDS - 10)
    pool.slow_down(2)
    pool.wait_for_the_end()
    return f"{held} pictures were free after {seconds:.0f} s"


def redis(pool: Pool) -> str:
    """Redis is its own user and process 1, and restarts cleanly with its data, in mid-work."""
    (broker,) = pool.compose.containers("redis")
    first = pool.compose.run("exec", broker, "cat", "/proc/1/comm")
    user = pool.compose.run("exec", broker, "id", "-un")
    assert (first, user) == ("redis-server", "redis")
    pool.slow_down(0.3)
    pool.draw("rain", 5)
    pool.enqueue("rain")
    pool.busy_worker()
    began = time.monotonic()
    pool.compose("restart", "redis")
    seconds = time.monotonic() - began
    log = pool.compose.run("logs", broker) + pool.compose("logs", "--no-color", "redis")
    assert "ready to exit" in log
    assert pool.compose.inspect(broker, "{{.State.ExitCode}}") == "0"
    pool.wait_for_the_end()
    return f"restart {seconds:.0f} s, limit 10 s"


def stop(pool: Pool) -> str:
    """Workers stop in mid-work with 0 and give their pictures back; others finish them."""
    pool.slow_down(0.3)
    pool.draw("snow", 6)
    pool.enqueue("snow")
    pool.busy_worker()
    pool.compose("stop", "worker")
    codes = {
        pool.compose.inspect(w, "{{.State.ExitCode}}") for w in pool.compose.containers("worker")
    }
    held = pool.count("claimed_by IS NOT NULL AND claimed_by NOT LIKE 'dead%'")
    assert pool.count("status = 'pending'") > 0, "the crawl was done before the stop"
    assert (codes, held) == ({"0"}, 0), (codes, held)
    pool.compose("start", "worker")
    pool.wait_for_the_end()
    return ""


def logs(pool: Pool) -> str:
    """Every line that a worker logged is JSON."""
    lines = 0
    for worker in pool.compose.containers("worker"):
        done = subprocess.run(
            ["docker", "logs", worker],
            env=pool.compose.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in (done.stdout + done.stderr).splitlines():
            try:
                assert isinstance(json.loads(line), dict)
            except ValueError:
                raise AssertionError(f"no JSON: {line!r}") from None
            lines += 1
    assert lines > 10
    return f"{lines} lines"


def hardened(pool: Pool) -> str:
    """No container writes to its root, has rights, or ran out of memory; limits are in force."""
    for service in SERVICES:
        for container in pool.compose.containers(service):
            refused = pool.compose.run(
                "exec", container, "sh", "-c", "touch /x 2>&1 || true", check=False
            )
            assert "Read-only" in refused, (service, refused)
            template = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.State.OOMKilled}}"
            memory, pids, killed = pool.compose.inspect(container, template).split()
            assert int(memory) > 0 and int(pids) == 512 and killed == "false", service
            rights = pool.compose.run("exec", container, "grep", "CapEff", "/proc/self/status")
            if service != "postgres":
                assert int(rights.split()[1], 16) == 0, service
                assert pool.compose.run("exec", container, "id", "-u") != "0", service
    return ""


def web(pool: Pool) -> str:
    """The page answers on this machine, and shows nothing without the password."""
    assert _status("http://127.0.0.1:8000/healthz") == 200
    assert _status("http://127.0.0.1:8000/api/v1/stats") == 401
    return ""


def flower(pool: Pool) -> str:
    """Flower asks for its password."""
    pool.compose("--profile", "monitoring", "up", "-d", "flower")
    pool.wait(lambda: _status("http://127.0.0.1:5555/") == 401, "Flower", 90)
    user = base64.b64encode(f"fashion:{PASSWORD}".encode()).decode()
    assert _status("http://127.0.0.1:5555/", {"Authorization": f"Basic {user}"}) == 200
    return ""


def _status(url: str, headers: dict[str, str] | None = None) -> int:
    """The status of an answer; 0 without one."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def no_password(pool: Pool) -> str:
    """No password is in a container's settings or log."""
    for service in (*SERVICES, "flower"):
        for container in pool.compose.containers(service):
            text = pool.compose.run("inspect", container) + pool.compose.run("logs", container)
            assert PASSWORD not in text and not re.search(r"p%40ss|p@ss", text), service
    return ""


CHECKS: list[Callable[[Pool], str]] = [
    images,
    start,
    label,
    upgrade,
    scale,
    killed_for_good,
    killed_and_restarted,
    redis,
    stop,
    logs,
    hardened,
    web,
    flower,
    no_password,
]
