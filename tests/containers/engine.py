"""A Docker engine of our own: its socket and its data in one folder, stopped at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0


class NotRun(Exception):
    """This machine cannot run an engine; the message says what is missing."""


class Engine:
    """Runs docker commands against one engine.

    Args:
        environ: the environment of the commands, with DOCKER_HOST.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)

    def run(
        self, *words: object, check: bool = True, text: str | None = None, cwd: Path | None = None
    ) -> str:
        """``docker WORDS``; its standard output without the last line end."""
        return self._call(["docker", *map(str, words)], check, text, cwd)

    def _call(self, words: Sequence[str], check: bool, text: str | None, cwd: Path | None) -> str:
        done = subprocess.run(
            words,
            env=self.environ,
            input=text,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)[:300]}: {done.stdout}\n{done.stderr}")
        return done.stdout.rstrip("\n")

    def version(self) -> str:
        return self.run("version", "--format", "{{.Server.Version}}")


class Compose(Engine):
    """``docker compose`` over a compose file, or Debian's older ``docker-compose``."""

    def __init__(self, environ: Mapping[str, str], file: Path, folder: Path) -> None:
        super().__init__(environ)
        has_plugin = "Docker Compose" in self.run("compose", "version", check=False)
        self.words = ["docker", "compose"] if has_plugin else ["docker-compose"]
        if not has_plugin:
            if shutil.which("docker-compose") is None:
                raise NotRun("expected Compose: install the plugin, or docker-compose")
            # version 1 does not know the key `name`
            lines = file.read_text().splitlines(keepends=True)
            file = folder / "compose.yml"
            file.write_text("".join(line for line in lines if not line.startswith("name:")))
        root = str(Path(__file__).parents[2])
        self.words += ["--project-directory", root, "-f", str(file), "-p", "fashion-cascade"]

    def __call__(self, *words: object, check: bool = True) -> str:
        return self._call([*self.words, *map(str, words)], check, None, None)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, also of ended ones, oldest first."""
        label = f"label=com.docker.compose.service={service}"
        project = "label=com.docker.compose.project=fashion-cascade"
        once = "label=com.docker.compose.oneoff=False"
        found = self.run(
            *("ps", "-aq", "--no-trunc"),
            *(part for each in (label, project, once) for part in ("--filter", each)),
        )
        return found.split()[::-1]

    def inspect(self, container: str, template: str) -> str:
        return self.run("inspect", "--format", template, container)


@contextmanager
def engine(folder: Path) -> Iterator[dict[str, str]]:
    """An environment whose DOCKER_HOST is an engine that was started for it.

    Raises:
        NotRun: not root, no ``dockerd``, or it ended at once.
    """
    if os.geteuid() != 0:
        raise NotRun("expected to be root, who may start an engine")
    program = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("docker") is None:
        raise NotRun("expected dockerd and docker: apt-get install docker.io")
    folder.mkdir(parents=True, exist_ok=True)
    host = f"unix://{folder / 'docker.sock'}"
    words = [program, "--data-root", folder / "data", "--exec-root", folder / "exec", "-H", host]
    words += ["--pidfile", folder / "pid"]
    with (folder / "engine.log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    environ = dict(os.environ) | {"DOCKER_HOST": host}
    environ.pop("DOCKER_CONTEXT", None)
    try:
        limit = time.monotonic() + START_SECONDS
        while subprocess.run(["docker", "info"], env=environ, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > limit:
                end = (folder / "engine.log").read_text()[-500:]
                raise NotRun(f"dockerd does not run here: {end}")
            time.sleep(0.5)
        yield environ
    finally:
        process.terminate()
        process.wait()
        # it stays mounted, and the folder could not be removed
        subprocess.run(["umount", folder / "exec" / "netns" / "default"], capture_output=True)
