"""The configuration of Celery."""

from __future__ import annotations

from worker.queue.app import configuration
from worker.settings import Settings


def test_celery_is_configured_against_the_known_failures() -> None:
    conf = configuration(Settings())
    assert conf["task_acks_late"] is True
    assert conf["worker_prefetch_multiplier"] == 1
    assert conf["worker_pool_start_method"] == "spawn"
    assert conf["task_retry_on_worker_lost"] is True
    assert "task_reject_on_worker_lost" not in conf  # loops forever on a poison message
    assert conf["broker_transport_options"]["visibility_timeout"] >= 2 * conf["task_time_limit"]
