"""What PostgreSQL's refusals mean, by SQLSTATE, and what to do about each.

The class of an exception does not tell: a standby's "read-only transaction" arrives as
InternalError and a missing right as ProgrammingError, like wrong SQL.
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What to do about a refusal."""

    BUSY = "others hold a lock: the same again succeeds"
    TIME_LIMIT = "the statement was stopped"
    UNAVAILABLE = "passes by itself, or when the server is mended: the same again may succeed"
    REFUSED = "stays until somebody grants or sets something"
    VALUE = "the row cannot be stored, by anyone"


@dataclass(frozen=True)
class Refusal:
    """A kind, and what to do next; no advice: that of the kind."""

    kind: Kind
    advice: str | None = None


_MEMORY = "free memory on its machine, or lower its work_mem"
_STOPPED = "it was stopped or restarts: try again when it runs"
_LOG = "look into the server's log: its disk or its files are damaged"

# by the whole state, or by its class (the first two characters)
REFUSALS: dict[str, Refusal] = {
    "08": Refusal(Kind.UNAVAILABLE),  # connection exceptions, also pgbouncer's own errors
    "22001": Refusal(Kind.VALUE),  # text too long
    "22003": Refusal(Kind.VALUE),  # number out of range
    "22008": Refusal(Kind.VALUE),  # time out of range
    "22021": Refusal(Kind.VALUE),  # text not in the encoding
    "22P05": Refusal(Kind.VALUE),
    "23502": Refusal(Kind.VALUE),  # NULL where a value is needed
    "23514": Refusal(Kind.VALUE),  # a CHECK of a table
    "25006": Refusal(
        Kind.UNAVAILABLE,
        "it is a standby, or default_transaction_read_only is on: name the primary in the URL "
        "(host=A,B&target_session_attrs=read-write finds it)",
    ),
    "25P03": Refusal(Kind.UNAVAILABLE, "raise its idle_in_transaction_session_timeout"),
    "25P04": Refusal(Kind.UNAVAILABLE, "raise its transaction_timeout"),
    "28": Refusal(Kind.REFUSED),  # user or password
    "3D000": Refusal(Kind.REFUSED),  # no such database
    "3F000": Refusal(Kind.REFUSED, "check the user's search_path: its schema does not exist"),
    "40001": Refusal(Kind.BUSY),
    "40P01": Refusal(Kind.BUSY),  # deadlock
    "42501": Refusal(
        Kind.REFUSED,
        "grant the user SELECT, INSERT, UPDATE and DELETE on all tables and USAGE on all "
        "sequences; the owner of the tables must run db upgrade, vacuum and forget",
    ),
    "53100": Refusal(Kind.UNAVAILABLE, "free space on the server's disk"),
    "53200": Refusal(Kind.UNAVAILABLE, _MEMORY),
    "53300": Refusal(
        Kind.UNAVAILABLE,
        "lower pool_size or the number of workers, put pgbouncer in between, or raise the server's "
        "max_connections",
    ),
    "53": Refusal(Kind.UNAVAILABLE),
    "55P03": Refusal(Kind.BUSY),
    "57014": Refusal(Kind.TIME_LIMIT),
    "57P01": Refusal(Kind.UNAVAILABLE, _STOPPED),
    "57P02": Refusal(Kind.UNAVAILABLE, _STOPPED),
    "57P03": Refusal(Kind.UNAVAILABLE, _STOPPED),
    "57P04": Refusal(Kind.REFUSED),  # the database was dropped
    "57P05": Refusal(Kind.UNAVAILABLE, "raise its idle_session_timeout"),
    "58": Refusal(Kind.UNAVAILABLE, _LOG),
    "XX001": Refusal(Kind.REFUSED, _LOG),
    "XX002": Refusal(Kind.REFUSED, _LOG),
}


# a refused connection arrives without its state
TOO_MANY_CONNECTIONS = ("too many clients", "too many connections", "remaining connection slots")


def refusal(state: str | None, message: str) -> Refusal | None:
    """What a refusal means; None for a state that tells of a bug, or for no state."""
    if state is None:
        full = any(text in message for text in TOO_MANY_CONNECTIONS)
        return REFUSALS["53300"] if full else None
    return REFUSALS.get(state) or REFUSALS.get(state[:2])
