"""``fashion-cascade worker``: Celery's own worker, with the settings of this project."""

from __future__ import annotations

import os
import sys

import click

from commands.common import backend_option, catalogue_option, exit_codes


@click.command()
@catalogue_option
@click.option("--broker", "broker_url", metavar="URL", help="The queue [setting broker_url].")
@click.option("--model", metavar="BUNDLE", help="The bundle of networks [setting model].")
@click.option("--roots", metavar="A,B,…", help="Folders that pictures may lie in [setting roots].")
@click.option("--pool-size", type=int, metavar="N", help="Processes [setting pool_size: as fits].")
@click.option("--device", metavar="cpu|gpu:0|auto", help="Where the networks run [auto].")
@backend_option
@click.option(
    "--batch-size", type=int, metavar="N", help="Pictures in one step [64, on a GPU what pays]."
)
@click.option("--metrics-port", type=int, metavar="PORT", help="Serve Prometheus metrics there.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[text]")
@click.option("--name", metavar="NAME", help="The worker's name [worker@HOST].")
def command(name: str | None, **options: object) -> None:
    """Work on the queue until told to stop.

    SIGTERM or Ctrl-C: takes nothing more, finishes the shards at hand for at most
    soft_shutdown_seconds, then gives them back to the queue.

    \b
    Example:
      FASHION_CASCADE_ROOTS=/data fashion-cascade worker --pool-size 4 --device cpu
    """
    from worker.queue import metrics
    from worker.queue.preflight import check_worker_can_start
    from worker.settings import BY_NAME, resolve

    with exit_codes():
        resolved = resolve(options, environ=os.environ)
        check_worker_can_start(resolved.settings)
    for setting, value in options.items():
        if value is not None:  # the processes of the pool read the environment
            os.environ[BY_NAME[setting].variable] = str(value)
    metrics.prepare(resolved.settings)
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")  # SIGTERM: the soft shutdown with its limit
    arguments = ["-m", "celery", "-A", "worker.app", "worker", "--loglevel", "INFO"]
    arguments += ["--without-mingle", "--without-gossip"]
    arguments += ["--hostname", name if name and "@" in name else f"{name or 'worker'}@%h"]
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell in between
