"""A worker that dies while it restores messages does not stop the others from restoring."""

from __future__ import annotations

import pytest

from tests.redis_server import RedisServer
from worker.queue.app import client_app
from worker.settings import Settings

pytestmark = pytest.mark.servers

KEY = "unacked_mutex"


def test_the_lock_of_a_dead_restorer_ends_soon(broker: RedisServer) -> None:
    """Kombu's own five minutes would hold back every message of a dead worker for as long."""
    settings = Settings(broker_url=broker.url, visibility_timeout=300)
    app = client_app(settings)
    with broker.client() as client, client.monitor() as monitor, app.connection_for_read() as held:
        held.default_channel.qos.restore_visible(interval=1)
        commands = (seen["command"].split() for seen in monitor.listen())
        taken = next(words for words in commands if words[:2] == ["SET", KEY])
    app.close()
    unit = next(word for word in taken if word.upper() in ("EX", "PX"))
    ends_after = int(taken[taken.index(unit) + 1]) / (1 if unit.upper() == "EX" else 1000)
    assert 0 < ends_after <= 20  # seconds; each worker looks every ten
