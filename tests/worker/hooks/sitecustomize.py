"""Makes marked files fatal, and all files slow, for the workers that the tests start."""

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
import time

SLOW = float(os.environ.get("SLOW", "0"))


class Hook(importlib.abc.MetaPathFinder):
    """Wraps ``cascade.pictures.decode.load`` when the module is imported."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != "cascade.pictures.decode":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            run(module)
            module.load = fatal(module.load)

        spec.loader.exec_module = exec_module
        return spec


def fatal(load):  # type: ignore[no-untyped-def]
    """`load`, which ends the process on a marked file."""

    def wrapped(path, preprocessing, roots=()):  # type: ignore[no-untyped-def]
        if os.path.isfile(path):  # noqa: PTH113
            # a file that cannot be read is the worker's to judge
            with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123
                if file.read(6) == b"POISON":
                    os.abort()
        if SLOW:
            time.sleep(SLOW)
        return load(path, preprocessing, roots)

    return wrapped


sys.meta_path.insert(0, Hook())


def limit_the_disk(file: str) -> None:
    """Let SQLite databases grow to the pages that `file` says now, as on a disk of that size."""
    import sqlite3

    connect = sqlite3.dbapi2.connect

    class Limited(sqlite3.Connection):
        def cursor(self, *arguments):  # type: ignore[no-untyped-def]
            with open(file) as pages:  # noqa: PTH123
                super().execute(f"PRAGMA max_page_count = {int(pages.read() or 0)}")
            return super().cursor(*arguments)

    def limited(*arguments, **options):  # type: ignore[no-untyped-def]
        return connect(*arguments, **options, factory=Limited)

    sqlite3.connect = sqlite3.dbapi2.connect = limited


if "MAX_PAGES_IN" in os.environ:
    limit_the_disk(os.environ["MAX_PAGES_IN"])
