"""What can go wrong in ``worker``, as a tree, and the exit code of every error of the program.

WorkerError
├── SettingsError            a setting is no value of its kind, or two do not fit together
├── InputError               a folder, file or list that was given cannot be worked
├── BrokerUnreachable        nothing answers at the broker URL, or it refuses us
├── DatabaseUnreachable      the same of the catalogue
├── ModelUnusable            the bundle cannot be loaded
├── RootGone                 the folder with the pictures went away: work is put off, not failed
└── CountMismatch            the model gave back another number of answers than it got pictures

One picture that cannot be used is none of these: it ends as a row, ``rejected`` with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache


class WorkerError(Exception):
    """Base of the errors of this room. The message says what to do next."""


class SettingsError(WorkerError):
    """A setting is no value of its kind, or two settings do not fit together."""


class InputError(WorkerError):
    """A folder, a file or a list of paths that was given cannot be worked."""


class BrokerUnreachable(WorkerError):
    """Nothing answers at the broker URL, or it refuses us."""


class DatabaseUnreachable(WorkerError):
    """Nothing answers at the catalogue URL, or it refuses us."""


class ModelUnusable(WorkerError):
    """The bundle of networks is missing, damaged, or of another format."""


class RootGone(WorkerError):
    """A folder with pictures is absent or empty: nothing may be called missing, try later."""


class CountMismatch(WorkerError):
    """The classifier gave back another number of answers than it got pictures."""


class ExitCode(IntEnum):
    """An exit code; `meaning` is its line in the documentation."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "all done"
    FAILED = 1, "some pictures failed"
    USAGE = 2, "wrong usage or settings"
    BROKER = 3, "the broker cannot be reached"
    DATABASE = 4, "the database cannot be reached"
    MODEL = 5, "the model cannot be used"
    # as shells have it: 128 + SIGINT, 128 + SIGPIPE
    STOPPED = 130, "stopped by Ctrl-C or SIGTERM; the next run resumes"
    READER_GONE = 141, "the reader of standard output closed it early (as `head` does)"


@cache
def exit_code_table() -> Mapping[type[Exception], ExitCode]:
    """The exit code of every exception class of `cascade`, `db` and this module.

    The classes are imported on the first call: `db.errors` imports SQLAlchemy, and the help of a
    command must not wait for that.
    """
    from cascade import errors as cascade
    from db import errors as db

    return {
        cascade.CascadeError: ExitCode.MODEL,
        cascade.TaxonomyError: ExitCode.MODEL,
        cascade.BundleError: ExitCode.MODEL,
        cascade.BundleTampered: ExitCode.MODEL,
        cascade.DatasetError: ExitCode.USAGE,
        db.CatalogueError: ExitCode.USAGE,
        db.InvalidUrl: ExitCode.USAGE,
        db.DatabaseUnavailable: ExitCode.DATABASE,
        db.DatabaseBusy: ExitCode.DATABASE,
        db.SchemaError: ExitCode.DATABASE,
        db.SchemaMissing: ExitCode.DATABASE,
        db.SchemaTooOld: ExitCode.DATABASE,
        db.SchemaTooNew: ExitCode.DATABASE,
        db.UnknownLabel: ExitCode.USAGE,
        db.InvalidRecord: ExitCode.USAGE,
        db.InvalidQuery: ExitCode.USAGE,
        db.ExportError: ExitCode.USAGE,
        WorkerError: ExitCode.FAILED,
        SettingsError: ExitCode.USAGE,
        InputError: ExitCode.USAGE,
        BrokerUnreachable: ExitCode.BROKER,
        DatabaseUnreachable: ExitCode.DATABASE,
        ModelUnusable: ExitCode.MODEL,
        RootGone: ExitCode.FAILED,
        CountMismatch: ExitCode.FAILED,
    }


def exit_code_of(error: BaseException) -> ExitCode | None:
    """The exit code of an exception by its nearest class in the table; None for any other."""
    table = exit_code_table()
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)
