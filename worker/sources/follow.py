"""Watch a folder to which a crawler is still adding files."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from cascade.pictures.files import is_hidden, other_ending
from db.records import PendingRow
from worker.errors import RootGone
from worker.sources.paths import to_os_path
from worker.sources.scan import SkippedFiles, file_state, walk

log = logging.getLogger(__name__)

QUIET_MILLISECONDS = 1000  # without changes, before the changed files are taken
POLL_SECONDS = 0.2
POLLING_MILLISECONDS = 2000  # between two looks through a folder that cannot be watched


def follow(folder: str, stop: threading.Event) -> Iterator[PendingRow]:
    """Yield the files that are in `folder` now, then added or changed files, until `stop` is set.

    The watch begins before the walk, so that no file is missed between them. A file that is yielded
    twice is enqueued once, because the catalogue has its row. If the system allows no more
    watches, the folder is looked through every few seconds instead.
    """
    changes: SimpleQueue[str] = SimpleQueue()
    ready = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, stop, changes, ready), daemon=True)
    watcher.start()
    ready.wait(10)
    try:
        for file in walk(folder, SkippedFiles()):
            yield PendingRow(file.path, file.size, file.mtime)
            if stop.is_set():
                return
        while not stop.is_set():
            try:
                path = changes.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            state = file_state(path)
            if state.size is not None:  # otherwise it is gone again: nothing to enqueue
                yield PendingRow(state.path, state.size, state.mtime)
    finally:
        stop.set()
        watcher.join(10)


def _watch(
    folder: str, stop: threading.Event, changes: SimpleQueue[str], ready: threading.Event
) -> None:
    """Put what changes into `changes`: as the system tells it, or else by polling."""
    polls = False
    while not stop.is_set():
        try:
            _read_changes(folder, stop, changes, ready, polls=polls)
        except Exception as error:  # noqa: BLE001 - Rust's errors have no class of their own
            log.warning(
                "%s cannot be watched (%s): it is looked through every %s s instead; more watches: "
                "sysctl fs.inotify.max_user_watches, fs.inotify.max_user_instances",
                folder,
                error,
                POLLING_MILLISECONDS // 1000,
            )
            stop.wait(POLLING_MILLISECONDS / 1000 if polls else 0)
            polls = True


def _read_changes(
    folder: str,
    stop: threading.Event,
    changes: SimpleQueue[str],
    ready: threading.Event,
    *,
    polls: bool,
) -> None:
    from watchfiles import Change, watch

    again = polls  # files that came between two watchers caused no event
    for changed in watch(
        folder,
        debounce=10 * QUIET_MILLISECONDS,
        step=QUIET_MILLISECONDS,
        stop_event=stop,
        watch_filter=None,
        yield_on_timeout=True,
        rust_timeout=200,
        raise_interrupt=False,
        force_polling=polls or None,
        poll_delay_ms=POLLING_MILLISECONDS,
    ):
        ready.set()
        if again:
            again = False
            _put_files(folder, changes)
        for change, path in changed:
            if change is Change.deleted or not _is_taken(path, folder):
                continue
            if os.path.isdir(path):  # noqa: PTH112
                # files that were added to a new folder before it was watched cause no event
                _put_files(path, changes)
            else:
                changes.put(path)


def _put_files(folder: str, changes: SimpleQueue[str]) -> None:
    with contextlib.suppress(RootGone):
        for file in walk(folder, SkippedFiles()):
            changes.put(to_os_path(file.path))


def _is_taken(path: str, folder: str) -> bool:
    """Whether a walk would yield this file or enter this folder."""
    parts = os.path.relpath(path, folder).split(os.sep)  # noqa: PTH206
    return not any(map(is_hidden, parts)) and other_ending(parts[-1]) is None
