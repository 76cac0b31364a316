"""The Celery application: ``celery -A worker.app worker`` or ``fashion-cascade worker``.

Settings are read when the configuration is first needed, not when this module is imported.
Each choice below answers a failure that this kind of queue is known for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from celery import Celery

from worker.settings import Settings, resolve

TASK = "fashion_cascade.label_shard"
PRIORITIES = {"high": 0, "normal": 3, "low": 6}  # Redis: the smaller number goes first
PRIORITY_STEPS = [0, 3, 6]
PRIORITY_SEPARATOR = "\x06\x16"  # between the queue's name and a priority above 0, as kombu has it
MAX_RETRY_DELAY_SECONDS = 60.0  # that a shard which was put off waits, in the hands of a worker


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for these settings."""
    return {
        "broker_url": settings.broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker for ever
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout,
            # a broker that restarts, or a connection that a firewall drops, is noticed
            "health_check_interval": 10,
            "socket_keepalive": True,
            "socket_connect_timeout": 10,
            "retry_on_timeout": True,
            # kombu looks for messages whose time is up every 10 s and acts on every tenth look;
            # the look costs one command, so that a dead worker's shards need not wait for more
            "unacked_restore_throttle": 1,
            "priority_steps": PRIORITY_STEPS,
            "queue_order_strategy": "priority",
        },
        "include": ["worker.queue.tasks", "worker.queue.lifecycle"],
        "task_default_queue": settings.queue,
        "task_default_priority": PRIORITIES["normal"],
        # a message leaves the broker when its rows are committed, not when it is taken
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,  # nobody hoards what an idle worker could do
        # TensorFlow hangs in a child that was forked from a parent which has run a model
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 300.0,  # a child loads its networks before it says hello
        # a child that dies: the shard is sent again, with a count; the leases find the culprit
        "task_retry_on_worker_lost": True,
        "worker_lost_wait": 1.0,
        "task_time_limit": settings.shard_time_limit,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": False,
        "worker_soft_shutdown_timeout": settings.soft_shutdown_seconds,
        "worker_concurrency": settings.pool_size or 1,  # a worker's own: see LazyConfiguration
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # leases guard the rows
        "task_ignore_result": True,  # the catalogue is the result
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_send_task_events": True,  # Flower
        "task_send_sent_event": True,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.2, "interval_max": 1.0},
        "enable_utc": True,
    }


class LazyConfiguration(Mapping[str, Any]):
    """Reads the settings when Celery first asks, in whichever process that is.

    Named to Celery by its place, so that a pool's process, which is a fresh interpreter and gets
    the application pickled, finds it again.
    """

    @cached_property
    def _values(self) -> dict[str, Any]:
        from worker.concurrency import pool_processes
        from worker.errors import ModelUnusable

        settings = resolve(environ=os.environ).settings
        values = configuration(settings)
        with suppress(ModelUnusable):  # what is wrong with it is told before the worker starts
            values["worker_concurrency"] = pool_processes(settings)
        return values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


CONFIGURATION = LazyConfiguration()


def client(settings: Settings) -> Celery:
    """An application of its own for these settings, to publish with and to ask workers."""
    made = Celery("fashion_cascade_client", set_as_current=False)
    made.conf.update(configuration(settings))
    made.conf.task_send_sent_event = False  # a second message for each, when thousands are sent
    return made


app = Celery("fashion_cascade")
app.config_from_object(f"{__name__}:CONFIGURATION")
