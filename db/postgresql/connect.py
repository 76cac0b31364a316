"""How to connect to PostgreSQL, directly or through pgbouncer in transaction mode.

A pooler gives each transaction another session. So nothing may live in a session beyond the
transaction: no prepared statement, no SET (but SET LOCAL), no advisory lock, no LISTEN. And
pgbouncer refuses most parameters at the start of a connection, `options` among them. It knows
client encoding and date style, and carries them from session to session.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from db.errors import DatabaseRefuses

CONNECT_TIMEOUT_SECONDS = 10
# a PostgreSQL that falls silent (a cable, a firewall) is noticed within half a minute, not hours
SILENCE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds, for what was sent and not acknowledged
}
# A host that vanishes in the middle of a transaction leaves its locks behind. Without a limit the
# server keeps them until its own keepalive finds out, after two hours, and every writer waits.
IDLE_SECONDS = 30
CONNECT: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "client_encoding": "utf8",  # whatever PGCLIENTENCODING or the role's setting says
    "prepare_threshold": None,  # the next transaction may not find what this one prepared
    **SILENCE,
}


def prepare(raw: Any, where: str) -> None:
    """Check the encoding of the database behind a new connection, and set the date style.

    Args:
        raw: A connection of psycopg.
        where: The URL for the message.

    Raises:
        DatabaseRefuses: the database's encoding is not UTF-8.
    """
    encoding = raw.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raw.close()
        raise DatabaseRefuses(
            f"the catalogue {where} cannot be used: expected a database with encoding UTF8, "
            f"received {encoding}, which cannot hold every path and label; create one with: "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if not (raw.info.parameter_status("DateStyle") or "").startswith("ISO"):
        raw.execute("SET datestyle = 'ISO'")  # the driver reads no other
        raw.commit()


def limit_idleness(connection: Connection) -> None:
    """Have the server end this transaction if its client says nothing for `IDLE_SECONDS`.

    A SET, not a query: the transaction's isolation may still be chosen after it.
    """
    limit = f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
    connection.execute(sa.text(limit))
