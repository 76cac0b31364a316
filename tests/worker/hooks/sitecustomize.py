"""Makes marked files fatal, and all files slow, for the workers that the tests start."""

import importlib.abc
import importlib.machinery
import os
import sys
import time

SLOW = float(os.environ.get("SLOW", "0"))


class Hook(importlib.abc.MetaPathFinder):
    """Wraps ``cascade.images.load`` when the module is imported."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != "cascade.images":
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
            with open(path, "rb") as file:  # noqa: PTH123
                if file.read(6) == b"POISON":
                    os.abort()
        if SLOW:
            time.sleep(SLOW)
        return load(path, preprocessing, roots)

    return wrapped


sys.meta_path.insert(0, Hook())


def fill_the_disk() -> None:
    """Let no SQLite database grow, as on a disk that is full: for writers with MAX_PAGES set."""
    import sqlite3

    connect = sqlite3.dbapi2.connect

    def full(*arguments, **options):  # type: ignore[no-untyped-def]
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 1")  # becomes what the file has now
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = full


if os.environ.get("MAX_PAGES"):
    fill_the_disk()
