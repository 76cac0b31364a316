"""The durations of the last shards, measured by the workers and kept on the broker.

All workers of a queue share the broker, and a broker that loses its messages loses these times
too. `doctor` compares the visibility timeout and the time limit with them.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING

from worker.errors import BrokerUnreachable
from worker.settings import Settings

if TYPE_CHECKING:
    import redis

MAX_KEPT = 1000


def key(settings: Settings) -> str:
    """The Redis list with the seconds of each shard, the newest first."""
    return f"shard-seconds.{settings.queue}"


def record(settings: Settings, seconds: float) -> None:
    """Add one shard. An unreachable broker is ignored, since the rows are committed."""
    import redis

    with contextlib.suppress(redis.RedisError, OSError):
        pipeline = _client(settings.broker_url).pipeline(transaction=False)
        pipeline.lpush(key(settings), f"{seconds:.3f}")
        pipeline.ltrim(key(settings), 0, MAX_KEPT - 1)
        pipeline.execute()


def recent(settings: Settings) -> list[float]:
    """The seconds of the last `MAX_KEPT` shards that had work to do, the newest first.

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
    """One client per process."""
    import redis

    return redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
