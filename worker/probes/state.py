"""The state of a worker on this machine: small files that its processes touch, and their verdicts.

One folder per worker and user, under the temporary directory, which only this user may enter::

    main          touched at each turn of the main loop; its text is `POOL_OF_PROCESSES` and a line
                  for each: its number, and when main first saw it; or it is `NO_PROCESSES`
    pool-NUMBER   touched by a process of the pool; its text is `NETWORK` once it has its networks
    reach         touched at each look; a line for each of broker and catalogue that did not answer

A file counts by its age. A disk that is full hinders no touch. Nothing here imports more than a
few modules of the standard library, so that a probe takes a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

MAIN, POOL, REACH = "main", "pool-", "reach"
NETWORK = "network"
POOL_OF_PROCESSES, NO_PROCESSES = "processes", "threads"
SILENCE_SECONDS = 60.0  # a main that connects to an absent broker may need half of it for a turn
START_SECONDS = 300.0  # a process of the pool loads its networks; Celery waits as long


def default_name() -> str:
    """The name of a worker that was given none, as Celery has it."""
    return f"worker@{os.uname().nodename}"


def state_folder(name: str) -> Path:
    """The folder of the worker called `name` (``NAME@HOST``), whether it exists or not."""
    plain = "".join(sign if sign.isalnum() or sign in "-_.@" else "_" for sign in name)
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"fashion-cascade-{os.getuid()}-{plain}"  # noqa: S108


def is_private(folder: Path) -> bool:
    """Whether `folder` is a folder of this user that nobody else may enter."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    only_own = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
    return only_own and status.st_uid == os.getuid()


class StateFiles:
    """Writes the files of one worker. A failure only leaves a file stale, and is ignored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, str] = {}

    def clear(self) -> None:
        """Make the folder, and remove what an earlier life of the worker left."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            for old in self.folder.iterdir() if is_private(self.folder) else ():
                old.unlink()
        self._written.clear()

    def touch(self, name: str, text: str = "") -> None:
        """Make the file young; written only where its text changes."""
        file = self.folder / name
        with contextlib.suppress(OSError):
            if self._written.get(name) == text:
                with contextlib.suppress(FileNotFoundError):
                    os.utime(file)
                    return
            if not is_private(self.folder):  # anybody may make folders there
                return
            part = self.folder / f".{name}.{os.getpid()}"
            part.write_text(text, encoding="utf-8")
            part.replace(file)
            self._written[name] = text

    def remove(self, name: str) -> None:
        """Remove a file that no process touches any more."""
        self._written.pop(name, None)
        with contextlib.suppress(OSError):
            (self.folder / name).unlink()


def main_text(pool: Mapping[int, float] | None) -> str:
    """The text of main's file: each process of the pool and when it was seen; None: threads."""
    if pool is None:
        return NO_PROCESSES
    return "\n".join(
        [POOL_OF_PROCESSES, *(f"{number} {seen:.1f}" for number, seen in pool.items())]
    )


def parse_main(text: str) -> dict[str, float] | None:
    """The processes of the pool from the text of main's file; None if it is no such text."""
    kind, *lines = text.split("\n")
    if kind not in (POOL_OF_PROCESSES, NO_PROCESSES):
        return None
    try:
        return {str(int(number)): float(seen) for number, seen in map(str.split, lines)}
    except ValueError:
        return None


class State:
    """What the files of a worker say at this moment.

    Args:
        folder: `state_folder` of its name.
        silence: a process that touched nothing for so many seconds has stopped.
    """

    def __init__(self, folder: Path, silence: float = SILENCE_SECONDS) -> None:
        self._folder, self._silence, self._now = folder, silence, time.time()
        self._pool = parse_main(self._text(MAIN))

    def live(self) -> str:
        """Why the worker does not live; '' if it does, with or without broker and work."""
        if not is_private(self._folder):
            return f"no worker of this user has the state folder {self._folder}"
        if trouble := self._stale(MAIN, "the main process"):
            return trouble
        if self._pool is None:
            return f"{self._folder / MAIN} is no state of a worker"
        for number, seen in self._pool.items():
            file = POOL + number
            starting = not (self._folder / file).exists()
            if starting and self._now - seen < START_SECONDS:
                continue
            if trouble := self._stale(file, f"process {number} of the pool"):
                return trouble
        return ""

    def startup(self) -> str:
        """Why the worker has not started: '' once a process of its pool has its networks."""
        if trouble := self.live():
            return trouble
        if self._text(MAIN) == NO_PROCESSES:
            return ""  # the main process loads the networks at its first shard
        if any(self._text(POOL + number) == NETWORK for number in self._pool or ()):
            return ""
        return "no process of the pool has its networks yet"

    def ready(self) -> str:
        """Why the worker can do no work; '' if it can: started, and reaches all it needs."""
        if trouble := self.startup():
            return trouble
        if trouble := self._stale(REACH, "the look at broker and catalogue"):
            return trouble
        return self._text(REACH).replace("\n", "; ")

    def _text(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def _stale(self, name: str, who: str) -> str:
        """A sentence if the file is missing or old."""
        try:
            silent = self._now - (self._folder / name).stat().st_mtime
        except OSError:
            return f"{who} has not written {self._folder / name}"
        if silent > self._silence:
            return f"{who} is silent for {silent:.0f} s (allowed: {self._silence:g} s)"
        return ""


PROBES: Mapping[str, Callable[[State], str]] = {
    "live": State.live,
    "ready": State.ready,
    "startup": State.startup,
}
