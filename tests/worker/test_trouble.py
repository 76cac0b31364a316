"""Trouble that passes is no verdict on a picture: the host's is waited for, a file's is put off."""

from __future__ import annotations

import errno
import logging
import math
import os
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cascade.pictures.decode import Loaded, Preprocessing
from cascade.pictures.safe_read import read
from cascade.pictures.trouble import Trouble, trouble_of
from db.records import FileState
from tests.pictures import encoded
from tests.worker.crawls import MODEL_NAME, picture, write_crawl
from worker.constant_model import ConstantModel
from worker.decode import Decoder
from worker.errors import HostTrouble, RootGone
from worker.memory_store import MemoryStore
from worker.pipeline import PipelineOptions, Shard, ShardResult, run_shard
from worker.report import Report
from worker.sources.loading import file_loader

MODEL = ConstantModel(MODEL_NAME.removeprefix("constant:"))
# a regular file that opens and then fails with EIO: no memory is mapped at its beginning
FAILING = "/proc/self/mem"
LOAD = file_loader(Preprocessing())


def run(
    store: MemoryStore,
    paths: Sequence[str],
    *,
    decode: Decoder | None = None,
    roots: tuple[str, ...] = (),
    stop: threading.Event | None = None,
) -> tuple[ShardResult, Report]:
    report = Report()
    options = PipelineOptions("me", MODEL.version, 4, stop=stop or threading.Event())
    with decode or Decoder(LOAD, threads=2, ahead=4) as opened:
        result = run_shard(
            Shard("spring", [FileState(path) for path in paths], roots),
            store=store,
            decode=opened,
            classify=MODEL.classify,
            options=options,
            report=report,
        )
    return result, report


def test_row_that_fails_is_put_off_and_the_rest_of_the_shard_is_stored(tmp_path: Path) -> None:
    store, pictures = MemoryStore(), [str(path) for path in write_crawl(tmp_path, 9)]
    result, report = run(store, [*pictures[:4], FAILING, *pictures[4:]])
    assert (report.labelled, report.put_off, report.rejected.total()) == (9, 1, 0)
    assert report.exit_code == 1
    assert "still pending, their files cannot be read for now: 1" in report.summary()
    assert (result.put_off, result.busy) == (1, 0)
    row = store.rows["spring", FAILING]
    assert (row.status, row.claimed_by, row.put_offs) == ("pending", None, 1)
    assert row.detail == "[Errno 5] Input/output error"
    result, report = run(store, [*pictures, FAILING])  # again at once: not before its time
    assert (report.labelled, report.done, report.put_off, report.exit_code) == (0, 9, 1, 1)
    assert result.put_off_seconds is not None
    assert 20 < result.put_off_seconds <= 30
    assert store.rows["spring", FAILING].put_offs == 1


def test_failing_file_under_a_root_that_is_gone_is_the_root_s_trouble(tmp_path: Path) -> None:
    class Stale:
        def __call__(self, path: str, roots: Sequence[str]) -> Loaded:
            words = os.strerror(errno.ESTALE)
            return Loaded(path, None, None, None, None, "unreadable", words, Trouble.PATH)

    store, path = MemoryStore(), str(tmp_path / "gone" / "a.png")
    with pytest.raises(RootGone):
        run(
            store,
            [path],
            decode=Decoder(Stale(), threads=1, ahead=1),
            roots=(str(tmp_path / "gone"),),
        )
    assert store.rows["spring", path].status == "pending"
    assert store.rows["spring", path].put_offs == 0


@contextmanager
def no_more_files() -> Iterator[list[int]]:
    """Let this process have no free file descriptor; closing those of the list helps."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened[0] + 8, hard))
    try:
        while True:
            opened.append(os.dup(opened[0]))
    except OSError as error:
        assert error.errno == errno.EMFILE
    try:
        yield opened
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)


class Waiting(logging.Handler):
    """Calls a function when the decoder says that it waits."""

    def __init__(self, then: Any) -> None:
        super().__init__(logging.WARNING)
        self._then = then

    def emit(self, record: logging.LogRecord) -> None:
        if "trying again" in record.getMessage():
            self._then()


@contextmanager
def on_wait(then: Any) -> Iterator[None]:
    handler = Waiting(then)
    logger = logging.getLogger("worker.decode")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def test_too_many_open_files_are_waited_for(tmp_path: Path) -> None:
    """With the last free file the first picture is opened after the decoder has waited."""
    store, paths = MemoryStore(), [str(path) for path in write_crawl(tmp_path, 6)]
    run(MemoryStore(), paths)  # all modules are imported, which needs files
    decode = Decoder(LOAD, threads=2, ahead=4, patience=math.inf)
    with no_more_files() as opened:

        def free() -> None:
            while len(opened) > 1:
                os.close(opened.pop())

        with on_wait(free):
            assert read(paths[0], 10**6).trouble is Trouble.HOST
            _, report = run(store, paths, decode=decode)
    assert (report.labelled, report.put_off, report.rejected.total()) == (6, 0, 0)
    assert all(row.put_offs == 0 for row in store.rows.values())


def test_stop_while_waiting_stores_what_is_ready_and_releases_the_rest(tmp_path: Path) -> None:
    store, paths = MemoryStore(), [str(path) for path in write_crawl(tmp_path, 3)]
    run(MemoryStore(), paths)
    stop = threading.Event()
    decode = Decoder(LOAD, threads=1, ahead=1, stop=stop, patience=math.inf)
    with no_more_files(), on_wait(stop.set):
        result, report = run(store, paths, decode=decode, stop=stop)
    assert (result.stopped, report.processed) == (True, 0)
    assert {row.claimed_by for row in store.rows.values()} == {None}


def test_shard_is_given_up_after_the_patience_of_a_worker(tmp_path: Path) -> None:
    store, paths = MemoryStore(), [str(path) for path in write_crawl(tmp_path, 3)]
    run(MemoryStore(), paths)
    decode = Decoder(LOAD, threads=1, ahead=1, patience=0.05)
    with no_more_files(), pytest.raises(HostTrouble, match="Too many open files"):
        run(store, paths, decode=decode)
    assert {(row.status, row.claimed_by) for row in store.rows.values()} == {("pending", None)}


# -- what an error tells -------------------------------------------------------------------------


class ServiceUnavailable(Exception):
    """As aiohttp and requests have it: a status, and no OSError."""

    status = 503


class Wrapped(Exception):
    pass


def wrapped() -> Exception:
    error = Wrapped("read failed")
    error.__cause__ = ServiceUnavailable()
    return error


class Botocore(Exception):
    response = {"ResponseMetadata": {"HTTPStatusCode": 503}}  # noqa: RUF012 - as it is there


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (OSError(errno.EMFILE, "x"), Trouble.HOST),
        (OSError(errno.ENFILE, "x"), Trouble.HOST),
        (OSError(errno.ENOMEM, "x"), Trouble.HOST),
        (MemoryError(), Trouble.HOST),
        (OSError(errno.EIO, "x"), Trouble.PATH),
        (OSError(errno.ESTALE, "x"), Trouble.PATH),
        (OSError(errno.ETIMEDOUT, "x"), Trouble.PATH),
        (TimeoutError(), Trouble.PATH),
        (ConnectionResetError(), Trouble.PATH),
        (ServiceUnavailable(), Trouble.PATH),
        (wrapped(), Trouble.PATH),
        (Botocore(), Trouble.PATH),
        (OSError(errno.EACCES, "x"), None),
        (OSError(errno.EPERM, "x"), None),
        (OSError(errno.ELOOP, "x"), None),
        (ValueError("embedded null byte"), None),
    ],
)
def test_errors_are_told_apart(error: Exception, trouble: Trouble | None) -> None:
    assert trouble_of(error) is trouble


class Flaky(MemoryFileSystem):
    """A store that answers 503 for one file, or for everything."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in its base
    pseudo_dirs = [""]  # noqa: RUF012
    failing = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def info(self, path: str, **kwargs: Any) -> Any:
        if self.failing in path:
            raise ServiceUnavailable("503, message='Slow Down'")
        return super().info(path, **kwargs)


def test_store_that_is_busy_for_one_file_puts_it_off() -> None:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    system = fsspec.filesystem("flaky")
    for name in "ab":
        system.pipe(f"/bucket/{name}.png", encoded(picture(ord(name)), "PNG"))
    Flaky.failing = "b.png"
    root, store = "flaky://bucket", MemoryStore()
    _, report = run(store, [f"{root}/a.png", f"{root}/b.png"], roots=(root,))
    assert (report.labelled, report.put_off) == (1, 1)
    assert store.rows["spring", f"{root}/b.png"].detail == "503, message='Slow Down'"
    system.rm("/bucket", recursive=True)  # the whole store is away
    with pytest.raises(RootGone):
        run(MemoryStore(), [f"{root}/b.png"], roots=(root,))
