"""``fashion-cascade worker``: Celery's worker with the settings of this project."""

from __future__ import annotations

import math
import os
import sys

import click

from commands.common import exit_codes
from commands.options import (
    backend_option,
    batch_size_option,
    broker_option,
    catalogue_option,
    features_option,
    model_option,
    pool_size_option,
    setting_option,
)

BROKER_SECONDS = 20.0


@click.command()
@catalogue_option
@broker_option
@model_option
@setting_option(
    "--roots",
    "roots",
    "Folders that may contain pictures.",
    default="none; a worker needs at least one",
    metavar="A,B,…",
)
@pool_size_option
@setting_option("--device", "device", "Device for the networks.", metavar="cpu|gpu:0|auto")
@backend_option
@batch_size_option
@features_option
@setting_option(
    "--metrics-port",
    "metrics_port",
    "Port for Prometheus metrics.",
    default="0, no metrics",
    type=int,
    metavar="PORT",
)
@setting_option(
    "--log-format", "log_format", "Form of the log lines.", type=click.Choice(["text", "json"])
)
@click.option("--name", metavar="NAME", show_default="worker@HOST", help="Name of the worker.")
@click.option("--wait", is_flag=True, help="Wait for the broker for ever at the start.")
def command(name: str | None, *, wait: bool, **options: object) -> None:
    """Start a worker that labels the pictures in the queue.

    SIGTERM or Ctrl-C stops it: it accepts no new shards, finishes the current ones for at most
    soft_shutdown_seconds, then returns the rest to the queue. A broker that does not answer
    within 20 seconds ends it with exit code 3; once it has started, it waits for ever.

    \b
    Example:
      FASHION_CASCADE_ROOTS=/data fashion-cascade worker --pool-size 4 --device cpu
    """
    from worker import logs
    from worker.queue import metrics
    from worker.queue.broker import wait_for_broker
    from worker.queue.preflight import check_worker_can_start
    from worker.settings import pass_to_child, resolve

    asked = options.get("log_format")
    with exit_codes(json_lines=asked == "json" if asked else logs.in_json(os.environ)):
        resolved = resolve(options, environ=os.environ)
        check_worker_can_start(resolved.settings)
        wait_for_broker(resolved.settings, math.inf if wait else BROKER_SECONDS)
    for setting, value in options.items():
        if value is not None:  # the processes of the pool read the environment
            pass_to_child(os.environ, setting, value)
    metrics.prepare_folder(resolved.settings)
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")  # SIGTERM: Celery's soft shutdown
    arguments = ["-m", "celery", "-A", "worker.app", "worker", "--loglevel", "INFO"]
    arguments += ["--without-mingle", "--without-gossip"]
    arguments += ["--hostname", name if name and "@" in name else f"{name or 'worker'}@%h"]
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell in between
