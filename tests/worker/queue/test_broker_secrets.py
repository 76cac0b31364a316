"""What the broker's errors and `doctor` show of passwords and tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.redis_server import RedisServer
from worker.errors import BrokerUnreachable
from worker.queue.broker import broker_errors, connect
from worker.queue.health_checks import run_checks
from worker.settings import Settings


def test_a_password_in_a_librarys_error_is_masked() -> None:
    settings = Settings(broker_url="redis://:pa%2Fss@127.0.0.1:1/0")
    with pytest.raises(BrokerUnreachable) as caught, broker_errors(settings):
        raise redis.exceptions.RedisError("cannot use pa/ss for 127.0.0.1")
    assert "cannot use *** for" in str(caught.value)
    assert "pa/ss" not in str(caught.value)


def test_an_ambiguous_url_of_settings_made_in_python_is_refused() -> None:
    settings = Settings(broker_url="redis://:pa/ss@127.0.0.1:1/0")
    with pytest.raises(BrokerUnreachable, match="percent-encode") as caught, connect(settings):
        pass
    assert "ss@" not in str(caught.value)


def test_doctor_shows_no_password_of_broker_and_roots(broker: RedisServer, tmp_path: Path) -> None:
    host = broker.url.rpartition("@")[2].removeprefix("redis://")
    settings = Settings(
        broker_url=f"redis://:wrong-word@{host}",
        catalogue_url=f"sqlite:///{tmp_path / 'catalogue.db'}",
        roots=("s3://secret-token@bucket/x",),
    )
    shown = "\n".join(f"{found}" for found in run_checks(settings))
    assert "s3://***@bucket/x" in shown
    assert "wrong-word" not in shown
    assert "secret-token" not in shown
