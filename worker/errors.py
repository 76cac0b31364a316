"""What can go wrong in ``worker``, as a tree, with the exit code of each.

WorkerError                1
├── SettingsError            2  a setting is no value of its kind, or two do not fit together
├── InputError               2  a folder, file or list that was given cannot be worked
├── BrokerUnreachable        3  nothing answers at the broker URL, or it refuses us
├── DatabaseUnreachable      4  the same of the catalogue
├── ModelUnusable            5  the bundle cannot be loaded
├── RootGone                 1  the folder with the pictures went away: work is put off, not failed
└── CountMismatch            1  the model gave back another number of answers than it got pictures

One picture that cannot be used is none of these: it ends as a row, ``rejected`` with a reason.
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of the errors of this room. The message says what to do next."""

    exit_code = 1


class SettingsError(WorkerError):
    """A setting is no value of its kind, or two settings do not fit together."""

    exit_code = 2


class InputError(WorkerError):
    """A folder, a file or a list of paths that was given cannot be worked."""

    exit_code = 2


class BrokerUnreachable(WorkerError):
    """Nothing answers at the broker URL, or it refuses us."""

    exit_code = 3


class DatabaseUnreachable(WorkerError):
    """Nothing answers at the catalogue URL, or it refuses us."""

    exit_code = 4


class ModelUnusable(WorkerError):
    """The bundle of networks is missing, damaged, or of another format."""

    exit_code = 5


class RootGone(WorkerError):
    """A folder with pictures is absent or empty: nothing may be called missing, try later."""


class CountMismatch(WorkerError):
    """The classifier gave back another number of answers than it got pictures."""
