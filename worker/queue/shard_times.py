"""How long the last shards took, by the clock of the workers that ran them; kept on the broker.

The broker is what all workers of a queue share, and what forgets these times together with its
messages. `doctor` holds the visibility timeout and the time limit against them.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING

from worker.errors import BrokerUnreachable
from worker.settings import Settings

if TYPE_CHECKING:
    import redis

KEPT = 1000


def key(settings: Settings) -> str:
    """The list that holds them, in seconds, the newest first."""
    return f"shard-seconds.{settings.queue}"


def note(settings: Settings, seconds: float) -> None:
    """Remember one shard. A broker that does not answer is passed over: the rows are committed."""
    import redis

    with contextlib.suppress(redis.RedisError, OSError):
        pipeline = _client(settings.broker_url).pipeline(transaction=False)
        pipeline.lpush(key(settings), f"{seconds:.3f}")
        pipeline.ltrim(key(settings), 0, KEPT - 1)
        pipeline.execute()


def recent(settings: Settings) -> list[float]:
    """The seconds of the last `KEPT` shards that had work, the newest first.

    Raises:
        BrokerUnreachable: it does not answer.
    """
    from worker.queue import broker

    with broker.connect(settings) as client:
        kept = client.lrange(key(settings), 0, -1)
    try:
        return [float(seconds) for seconds in kept]
    except ValueError as error:
        raise BrokerUnreachable(f"{key(settings)} on the broker holds no times: {error}") from error


@lru_cache(maxsize=1)
def _client(url: str) -> redis.Redis:
    """One client a process: made in the process that uses it."""
    import redis

    return redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
