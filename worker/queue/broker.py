"""Queries to the broker without Celery: whether it answers, how long the queue is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rendering.secrets import ENCODE, is_unambiguous, mask_message, mask_url
from worker.errors import BrokerUnreachable
from worker.queue.app import PRIORITY_SEPARATOR, PRIORITY_STEPS, client_app
from worker.queue.broker_urls import client_url
from worker.queue.messages import dead_letters_key
from worker.settings import Settings

if TYPE_CHECKING:
    import redis


@contextmanager
def broker_errors(settings: Settings) -> Iterator[None]:
    """Turn the libraries' connection errors into `BrokerUnreachable`."""
    import kombu.exceptions
    import redis.exceptions

    try:
        yield
    except (redis.exceptions.RedisError, kombu.exceptions.OperationalError, OSError) as error:
        cause = mask_message(str(error), settings.broker_url)
        raise BrokerUnreachable(
            f"the broker {mask_url(settings.broker_url)} does not answer: {cause}; check "
            "FASHION_CASCADE_BROKER_URL and that Redis or Valkey runs there"
        ) from error


@contextmanager
def connect(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the broker.

    Raises:
        BrokerUnreachable: it does not answer, or the connection is lost in the block.
    """
    import redis

    invalid = BrokerUnreachable(
        "the broker's URL: expected redis://:PASSWORD@HOST:PORT/NUMBER or "
        f"redis+socket:///PATH; {ENCODE}"
    )
    if not is_unambiguous(settings.broker_url):  # settings made in Python were not parsed
        raise invalid
    with broker_errors(settings):
        try:
            connection = redis.Redis.from_url(
                client_url(settings.broker_url), socket_connect_timeout=10, socket_timeout=10
            )
        except ValueError:  # its text may hold a part of the password
            raise invalid from None
        with connection:
            yield connection


def wait_for_broker(settings: Settings, seconds: float) -> None:
    """Wait until the broker answers.

    Raises:
        BrokerUnreachable: it did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with connect(settings) as connection:
                connection.ping()
        except BrokerUnreachable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
        else:
            return


def queue_keys(settings: Settings) -> list[str]:
    """The Redis lists of the queue, one per priority, the most urgent first."""
    return [
        f"{settings.queue}{PRIORITY_SEPARATOR}{step}" if step else settings.queue
        for step in PRIORITY_STEPS
    ]


def queue_length(settings: Settings) -> int:
    """Number of messages that wait."""
    with connect(settings) as connection:
        return sum(int(connection.llen(key)) for key in queue_keys(settings))


def unacknowledged(settings: Settings) -> int:
    """Number of messages that workers have received and not acknowledged."""
    with connect(settings) as connection:
        return int(connection.hlen("unacked"))


def active_workers(
    settings: Settings, taken: int, seconds: float = 0.5
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """The workers that answer within `seconds`, each with its current shards; shards put off.

    A shard is put off when another worker holds its rows, or after a failure. A worker keeps it
    until its time comes. They are asked for only if more are `taken` than in work.
    """
    with broker_errors(settings), client_app(settings) as app:
        inspect = app.control.inspect(timeout=seconds)
        found = inspect.active() or {}
        is_more = found and taken > sum(map(len, found.values()))
        put_off = (inspect.scheduled() or {}) if is_more else {}
    active = {
        name: [dict(task.get("kwargs") or {}, started=task.get("time_start")) for task in tasks]
        for name, tasks in sorted(found.items())
    }
    return active, sum(len(tasks) for tasks in put_off.values())


def dead_letters(settings: Settings) -> tuple[int, str]:
    """The number of dead letters, and the reason of the newest one.

    Raises:
        BrokerUnreachable: it does not answer.
    """
    with connect(settings) as client:
        untyped: Any = client
        number = int(untyped.llen(dead_letters_key(settings.queue)))
        newest = untyped.lindex(dead_letters_key(settings.queue), 0) if number else None
    try:
        return number, str(json.loads(newest)["reason"]) if newest else ""
    except (ValueError, KeyError, TypeError):
        return number, ""
