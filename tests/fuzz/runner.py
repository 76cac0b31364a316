"""Cases run in child processes, so that time and memory are bounded and a crash is a finding."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz import targets

PICTURE_CPU_SECONDS, TEXT_CPU_SECONDS = 5.0, 5.0
HANG_SECONDS = 60.0  # of the clock, after which a child is ended
PICTURE_MEMORY_MB, TEXT_MEMORY_MB = 400, 300
ADDRESS_SPACE_MB = 3_000  # beyond what the child has when it starts
ROOT = Path(__file__).parents[2]
Reader = Callable[[str, bytes, str, Path], None]


@dataclass
class Found:
    """One kind of finding: its first case, and how often it was met."""

    target: str
    what: str
    case: int
    times: int = 1


@dataclass
class Tally:
    """What a run has done so far."""

    inputs: dict[str, int] = field(default_factory=dict)
    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    children: int = 0

    def add(self, target: str, case: int, what: str) -> None:
        """Count a case; an empty `what` is an answer as documented."""
        self.inputs[target] = self.inputs.get(target, 0) + 1
        if not what:
            return
        key = (target, what)
        if key in self.found:
            self.found[key].times += 1
        else:
            self.found[key] = Found(target, what, case)


def usage() -> tuple[float, float]:
    """Processor seconds of this process, and the most memory that it ever held, in MB."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, peak_memory_mb() or used.ru_maxrss / 1024


def peak_memory_mb() -> float | None:
    """The peak resident memory of this program; None where there is no /proc.

    `ru_maxrss` would do, but for a child it begins at the memory of the parent that started it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return None if peak is None else int(peak.split()[1]) / 1024


def child(pipe: Connection, read: Reader) -> None:
    """Run the cases that come through a pipe until it is closed."""
    import resource

    for name in [name for name in os.environ if name.startswith("FASHION_CASCADE")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="fashion-fuzz-") as name:
        folder = Path(name)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        os.chdir(folder)
        for target in ("png", "taxonomy", "import_csv", "paths", "manifest_parquet"):  # imports
            with contextlib.suppress(Exception):
                read(target, *targets.made(target, 0), folder)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.name == "posix" else 0
        limit = pages * resource.getpagesize() + ADDRESS_SPACE_MB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        pipe.send("ready")
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(one(*pipe.recv(), folder, read))


def one(target: str, case: int, folder: Path, read: Reader) -> tuple[str, bool]:
    """What was found in a case, '' for nothing; and whether the child should be renewed."""
    data, part = targets.made(target, case)
    seconds, memory = usage()
    what = ""
    try:
        read(target, data, part, folder)
    except targets.Finding as error:
        what = str(error)
    except BaseException as error:  # noqa: BLE001 - any exception that leaves a reader is a finding
        what = f"{type(error).__name__} at {place(error)}"
    seconds_now, memory_now = usage()
    is_picture = target in targets.PICTURES
    most = PICTURE_MEMORY_MB if is_picture else TEXT_MEMORY_MB
    grown = memory_now - memory > most
    if grown:
        what = f"{what} more than {most} MB of memory".strip()
    if seconds_now - seconds > (PICTURE_CPU_SECONDS if is_picture else TEXT_CPU_SECONDS):
        what = f"{what} more than {PICTURE_CPU_SECONDS:.0f} s of a processor".strip()
    # the mark of the most memory never falls, so a child that has held much sees no more
    return what, grown or memory_now - memory > 50


def place(error: BaseException) -> str:
    """The deepest line of this project in a trace, which names a kind of finding."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(ROOT)) and ".venv" not in f.filename]
    ours = [f for f in ours if "/tests/" not in f.filename] or frames[-1:]
    last = ours[-1]
    with contextlib.suppress(ValueError):
        return f"{Path(last.filename).relative_to(ROOT)}:{last.name}"
    return f"{Path(last.filename).name}:{last.name}"


class Runner:
    """Runs cases in a child that is renewed when it hangs, dies or has grown."""

    def __init__(
        self,
        tally: Tally,
        reproducers: Path | None,
        read: Reader = targets.read,
        hang_seconds: float = HANG_SECONDS,
    ) -> None:
        self._tally, self._reproducers = tally, reproducers
        self._read, self._hang_seconds = read, hang_seconds
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=child, args=(theirs, self._read), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"
        self._tally.children += 1

    def run(self, target: str, case: int) -> str:
        """Run one case; what was found, '' for nothing."""
        renew = False
        try:
            self._pipe.send((target, case))
            if self._pipe.poll(self._hang_seconds):
                what, renew = self._pipe.recv()
            else:
                what, renew = f"no answer within {self._hang_seconds:g} s", True
        except (EOFError, OSError):
            self._process.join(10)
            what, renew = f"the process ended with {self._process.exitcode}", True
        self._tally.add(target, case, what)
        if what and self._reproducers is not None:
            self._keep(target, case, what)
        if renew:
            self.close()
            self._start()
        return what

    def _keep(self, target: str, case: int, what: str) -> None:
        """Keep the first input of each kind of finding, in a file."""
        assert self._reproducers is not None
        if self._tally.found[target, what].times > 1:
            return
        self._reproducers.mkdir(parents=True, exist_ok=True)
        digest = hashlib.blake2b(what.encode(), digest_size=4).hexdigest()
        file = self._reproducers / f"{target}-{case}-{digest}"
        file.write_bytes(targets.made(target, case)[0])

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.join(10)
        self._pipe.close()


def fuzz(
    names: tuple[str, ...],
    tally: Tally,
    *,
    first: int = 0,
    cases: int | None = None,
    seconds: float | None = None,
    reproducers: Path | None = None,
) -> None:
    """Run cases of the targets in turn, for so many turns or seconds.

    Args:
        names: the targets of a turn; one that is named twice gets two cases.
        tally: counts inputs and findings.
        first: the number of each target's first case.
        cases: how many turns; None: until the time is over.
        seconds: after how long to end; None: when the turns are done.
        reproducers: where inputs with a finding are kept.
    """
    runner, began = Runner(tally, reproducers), time.monotonic()
    done: Counter[str] = Counter()
    turns = count() if cases is None else range(cases)
    try:
        for _ in turns:
            for target in names:
                if seconds is not None and time.monotonic() - began > seconds:
                    return
                runner.run(target, first + done[target])
                done[target] += 1
    finally:
        runner.close()
