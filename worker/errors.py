"""The errors of ``worker`` as a tree, and the exit code of every error of the program.

WorkerError
├── SettingsError      a setting has an invalid value, or two settings conflict
├── InputError         a folder, file or list of the command line cannot be used
├── BrokerUnreachable  the broker does not answer, or it refuses the connection
├── ModelUnusable      the bundle cannot be loaded
├── HostTrouble        files cannot be read here for now: the shard is retried later
│   └── RootGone       the folder with the pictures went away
└── CountMismatch      the model returned too few or too many answers

A picture that cannot be used raises none of these: it ends as a row, ``rejected`` with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache


class WorkerError(Exception):
    """Base of the errors of this package. The message says what to do next."""


class SettingsError(WorkerError):
    """A setting has an invalid value, or two settings conflict."""


class InputError(WorkerError):
    """A folder, a file or a list of paths of the command line cannot be used."""


class BrokerUnreachable(WorkerError):
    """The broker does not answer, or it refuses the connection."""


class ModelUnusable(WorkerError):
    """The bundle is missing, damaged, or has an unknown format."""


class HostTrouble(WorkerError):
    """No file can be read here for now, for example because too many are open: retry later."""


class RootGone(HostTrouble):
    """A folder with pictures is absent or empty: retry later; no picture counts as missing."""


class CountMismatch(WorkerError):
    """The classifier returned too few or too many answers."""


class ExitCode(IntEnum):
    """An exit code; `meaning` is its line in the documentation."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "all done"
    FAILED = 1, "not all done: pictures failed or were left out, a check failed, or a disk was full"
    USAGE = 2, "wrong usage or settings"
    BROKER = 3, "the broker cannot be reached"
    DATABASE = 4, "the database cannot be reached, or refuses"
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
        cascade.LibraryMissing: ExitCode.USAGE,
        db.CatalogueError: ExitCode.USAGE,
        db.InvalidUrl: ExitCode.USAGE,
        db.DatabaseUnavailable: ExitCode.DATABASE,
        db.DatabaseRefuses: ExitCode.DATABASE,
        db.DatabaseBusy: ExitCode.DATABASE,
        db.QueryTooSlow: ExitCode.DATABASE,
        db.SchemaError: ExitCode.DATABASE,
        db.SchemaMissing: ExitCode.DATABASE,
        db.SchemaTooOld: ExitCode.DATABASE,
        db.SchemaTooNew: ExitCode.DATABASE,
        db.UnknownLabel: ExitCode.USAGE,
        db.InvalidRecord: ExitCode.USAGE,
        db.InvalidQuery: ExitCode.USAGE,
        db.ExportError: ExitCode.USAGE,
        db.OutputFailed: ExitCode.FAILED,  # as for a standard output that is full
        WorkerError: ExitCode.FAILED,
        SettingsError: ExitCode.USAGE,
        InputError: ExitCode.USAGE,
        BrokerUnreachable: ExitCode.BROKER,
        ModelUnusable: ExitCode.MODEL,
        HostTrouble: ExitCode.FAILED,
        RootGone: ExitCode.FAILED,
        CountMismatch: ExitCode.FAILED,
    }


def exit_code_of(error: BaseException) -> ExitCode | None:
    """The exit code of an exception by its nearest class in the table; None for any other."""
    table = exit_code_table()
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)
