"""The Celery application: ``celery -A worker.app worker`` or ``fashion-cascade worker``.

The settings are read when Celery first needs the configuration, not at import. Each option below
prevents a known failure of this kind of queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from celery import Celery

from worker.queue import transport
from worker.settings import Settings, resolve

transport.install()

PRIORITIES = {"high": 0, "normal": 3, "low": 6}  # in Redis the smaller number goes first
PRIORITY_STEPS = [0, 3, 6]
PRIORITY_SEPARATOR = "\x06\x16"  # kombu puts it between the queue name and a priority above 0
MAX_RETRY_DELAY_SECONDS = 60.0  # for a shard; a worker holds its message meanwhile
# a connection that goes silent is given up after this; each command is tried twice
SOCKET_TIMEOUT_SECONDS = 10
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for these settings."""
    return {
        "broker_url": settings.broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker forever
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout,
            # detects a restarted broker, and a connection that a firewall dropped
            "health_check_interval": 10,
            "socket_keepalive": True,
            "socket_keepalive_options": {
                getattr(socket, name): value
                for name, value in KEEPALIVE.items()
                if hasattr(socket, name)  # macOS has other names
            },
            "socket_connect_timeout": 10,
            # Kombu sets none: one lost answer then blocks the worker for good
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
            # a worker that died while it restored messages blocks the others only so long
            "unacked_mutex_expire": 15,
            "retry_on_timeout": True,
            # kombu checks every 10 s for messages past their timeout, but restores them only at
            # every tenth check; one command per check, so a dead worker's shards wait only 10 s
            "unacked_restore_throttle": 1,
            "priority_steps": PRIORITY_STEPS,
            "queue_order_strategy": "priority",
        },
        "include": ["worker.queue.tasks", "worker.queue.lifecycle"],
        "task_default_queue": settings.queue,
        "task_default_priority": PRIORITIES["normal"],
        # acknowledge a message when its rows are committed, not when it is received
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,  # leave messages for idle workers
        # TensorFlow hangs in a forked child if its parent has run a model
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 300.0,  # a child loads its networks before it is ready
        # if a child dies, the shard is retried and counted; the leases find the culprit
        "task_retry_on_worker_lost": True,
        "worker_lost_wait": 1.0,
        "task_time_limit": settings.shard_time_limit,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": False,
        "worker_soft_shutdown_timeout": settings.soft_shutdown_seconds,
        "worker_concurrency": settings.pool_size or 1,  # LazyConfiguration sets it for a worker
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # leases protect the rows
        "task_ignore_result": True,  # the catalogue is the result
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_send_task_events": True,  # Flower
        "task_send_sent_event": True,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.2, "interval_max": 1.0},
        "enable_utc": True,
    }


class LazyConfiguration(Mapping[str, Any]):
    """Reads the settings when Celery first needs them, in the process that needs them.

    Celery gets it by its import path, because a process of the pool is a new interpreter that
    unpickles the application.
    """

    @cached_property
    def _values(self) -> dict[str, Any]:
        from worker.concurrency import pool_processes
        from worker.errors import ModelUnusable

        settings = resolve(environ=os.environ).settings
        values = configuration(settings)
        with suppress(ModelUnusable):  # check_worker_can_start reports it
            values["worker_concurrency"] = pool_processes(settings)
        return values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


CONFIGURATION = LazyConfiguration()


def client_app(settings: Settings) -> Celery:
    """A separate application for these settings, to publish messages and to inspect workers."""
    application = Celery("fashion_cascade_client", set_as_current=False)
    application.conf.update(configuration(settings))
    application.conf.task_send_sent_event = False  # it would send a second message for each one
    return application


app = Celery("fashion_cascade")
app.config_from_object(f"{__name__}:CONFIGURATION")
