"""Kombu's Redis transport, where a broker in trouble or an odd message does not end the worker.

What differs from Kombu, each point for want of a setting:

- An answer that passes (a replica after a failover, full memory, a failed snapshot) is a lost
  connection: Celery waits and goes on. Kombu treats it as an error of the program.
- A subscription that ended is a lost connection as well, and no read is without a time limit.
- A refusal that meets an idle worker is one line. Kombu logs a traceback every second.
- An entry that is no message of this queue goes to the dead letters; see `messages`.
- A message that was popped and could not be recorded as taken is put back first of all.
- An acknowledgement that did not reach the broker gives the worker its place back, and is sent
  again. Kombu counts the message as in work for ever: the worker then stands idle.
- A connection that was closed already is a lost connection. Kombu looks for its host, and the
  AttributeError ended the worker.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError
from redis.retry import Retry

from worker.queue.messages import MAX_DEAD_LETTERS, dead_letter, dead_letters_key, fault_of

log = logging.getLogger(__name__)

# the first words of refusals that end by themselves or by an operator's hand
PASSING = (
    *("READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"),
    "UNBLOCKED",  # it waited for a message when the server became a replica
)
REPLIES = ".reply.celery.pidbox"  # ends the queues of answers to `status`, which are no tasks
REFUSED_PAUSE_SECONDS = 1.0  # else a worker would reconnect a thousand times a second


class BrokerRefuses(LostConnection):
    """The broker answers, but accepts no writes for now."""


def is_passing(error: ResponseError) -> bool:
    """Whether the refusal says something about the server's state, not about the command."""
    # redis-py drops the first word of the refusals that have a class of their own
    kinds = redis.exceptions.ReadOnlyError | redis.exceptions.OutOfMemoryError
    # of a script in a transaction, redis-py puts the command before the words of the server
    words = str(error).rpartition("of pipeline caused error: ")[2]
    return isinstance(error, kinds) or words.startswith(PASSING)


class _PassingRefusals:
    """A connection that is lost when the server refuses to write for now."""

    disconnect: Callable[[], None]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        # redis-py reads without a limit where it waits for published messages; Kombu reads only
        # what has come, so that the socket's own limit is right there too
        if options.get("timeout", 0) is None:
            del options["timeout"]
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except ResponseError as error:
            if not is_passing(error):
                raise
            self.disconnect()  # after a failover, the name leads elsewhere
            time.sleep(REFUSED_PAUSE_SECONDS)
            raise BrokerRefuses(f"the broker refuses: {error}") from error
        except ValueError as error:  # the buffer was closed while a reply was awaited
            self.disconnect()
            raise LostConnection("the connection to the broker was closed") from error


class _Connection(_PassingRefusals, redis.Connection):
    pass


def _with_passing_refusals(connection: type[Any]) -> type[Any]:
    """The class of a Unix socket, which Kombu does not let a transport choose."""
    if issubclass(connection, _PassingRefusals):
        return connection
    return type("_SocketConnection", (_PassingRefusals, connection), {})


class _TlsConnection(_PassingRefusals, redis.SSLConnection):
    pass


# popped from the queue and not yet recorded as taken: (list, entry); kept over a reconnection
_popped: list[tuple[str, bytes]] = []
# finished, but the broker could not be told
_finished: set[str] = set()


class _QoS(kombu_redis.QoS):
    def ack(self, delivery_tag: str) -> None:
        self._finish(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if not requeue:
            self._finish(delivery_tag)
            return
        try:
            self.restore_by_tag(delivery_tag, leftmost=True)
        finally:  # if it failed, the message comes back after the visibility timeout
            virtual.QoS.ack(self, delivery_tag)

    def _finish(self, tag: str) -> None:
        _finished.add(tag)
        try:
            self._remove_from_indices(tag).execute()
            _finished.discard(tag)
        finally:
            virtual.QoS.ack(self, tag)

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        """Kombu calls it every ten seconds."""
        for tag in tuple(_finished):
            self._remove_from_indices(tag).execute()
            _finished.discard(tag)
        super().restore_visible(*arguments, **options)


class Channel(kombu_redis.Channel):
    """Takes messages as Kombu does, but looks at each one before it is decoded."""

    QoS = _QoS
    connection_class = _Connection
    connection_class_ssl = _TlsConnection
    _refused = False

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection.client is None:
            raise LostConnection("the connection to the broker was closed")
        parameters = super()._connparams(asynchronous=asynchronous)
        connection = parameters["connection_class"]
        return parameters | {"connection_class": _with_passing_refusals(connection)}

    def maybe_refresh_binding_expiry(self) -> None:
        """Kombu calls it every second, and would log a traceback every second of a full memory."""
        try:
            super().maybe_refresh_binding_expiry()
        except ResponseError as error:
            if not is_passing(error):
                raise
            if not self._refused:
                log.warning("the broker refuses, which is waited for: %s", error)
            self._refused = True
        else:
            self._refused = False

    def _subscribe(self) -> None:
        """As Kombu's method; a subscription that ends is a lost connection from then on.

        redis-py would subscribe anew behind Kombu's back, and then wait for a message.
        """
        super()._subscribe()
        if (connection := self.subclient.connection) is not None:
            connection.retry = Retry(NoBackoff(), 0)

    def _brpop_start(self, timeout: float | None = None) -> None:
        while _popped:
            with self.conn_or_acquire() as client:
                client.rpush(*_popped[0])
            del _popped[0]
        super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> bool:
        """As Kombu's method, with `_take` in the place of decoding."""
        try:
            try:
                found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not found:
                raise Empty
            key, entry = bytes_to_str(found[0]), found[1]
            queue = key.rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._take(key, queue, entry)
            return True
        finally:
            self._in_poll: Any = None
            self._flush_brpop_reauth()

    def _take(self, key: str, queue: str, entry: bytes) -> None:
        kept = (key, entry)
        _popped.append(kept)
        fault = None if queue.endswith(REPLIES) else fault_of(entry)
        if fault is None:
            self.connection._deliver(loads(bytes_to_str(entry)), queue)
        else:
            log.error("message set aside as a dead letter: %s", fault)
            with self.conn_or_acquire() as client:
                name = dead_letters_key(queue)
                client.lpush(name, dead_letter(entry, fault))
                client.ltrim(name, 0, MAX_DEAD_LETTERS - 1)
        # not reached if the broker refused: the entry is then put back by `_brpop_start`
        with contextlib.suppress(ValueError):
            _popped.remove(kept)


class Transport(kombu_redis.Transport):
    """The transport of ``redis://`` and ``rediss://`` in this program."""

    Channel = Channel


def install() -> None:
    """Let ``redis://`` and ``rediss://`` mean this transport; Kombu picks it by the URL alone."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
