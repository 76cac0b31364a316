"""``fashion-cascade up``: broker, catalogue and workers on this machine, nothing installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import click

from commands.common import catalogue_option, exit_codes

STOPPED = 130  # by Ctrl-C or SIGTERM


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False))
@catalogue_option
@click.option(
    "--workers", type=click.IntRange(0), metavar="N", help="Processes [setting pool_size: as fits]."
)
@click.option("--model", metavar="BUNDLE", help="The bundle of networks [setting model].")
@click.option("--port", type=int, default=0, metavar="PORT", help="The broker's port [a free one].")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".fashion-cascade"),
    help="Folder for the broker's data and logs.",
)
@click.option("--until-done", is_flag=True, help="End when nothing is pending any more.")
def command(
    folders: tuple[str, ...],
    *,
    catalogue_url: str | None,
    workers: int | None,
    model: str | None,
    port: int,
    data: Path,
    until_done: bool,
) -> None:
    """Start a real queue on this machine, and enqueue FOLDERS. Ctrl-C stops it all in order.

    The broker is a Redis-protocol server from a pip package, bound to the loopback; the catalogue
    is ./catalogue.db unless a setting names another. It is the real thing, small.

    \b
    Example:
      fashion-cascade up photos --workers 2
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # before anything slow: it holds at any moment
        signal.signal(number, lambda *_: stop.set())
    with exit_codes():
        from db.catalogue import Catalogue
        from worker.queue.local_broker import LocalBroker
        from worker.settings import BY_NAME, resolve

        options = {"catalogue_url": catalogue_url, "model": model, "pool_size": workers}
        settings = resolve(options, environ=os.environ).settings
        Catalogue.open(settings.catalogue_url).close()
        with LocalBroker(data, port) as broker:
            given = {
                "broker_url": broker.url,
                "catalogue_url": settings.catalogue_url,
                "model": settings.model,
                "pool_size": str(settings.pool_size),
                "roots": ",".join(settings.roots or (os.path.abspath(f) for f in folders))  # noqa: PTH100
                or str(Path.cwd()),
            }
            environ = os.environ | {BY_NAME[name].variable: v for name, v in given.items()}
            click.echo(f"broker: {broker.url}  (FASHION_CASCADE_BROKER_URL for other commands)")
            click.echo(f"logs: {data}; Ctrl-C stops broker and workers", err=True)
            raise click.exceptions.Exit(_run(folders, environ, data, stop, until_done))


def _run(
    folders: tuple[str, ...],
    environ: dict[str, str],
    data: Path,
    stop: threading.Event,
    until_done: bool,
) -> int:
    """The exit code: the worker's own troubles, but not that it was asked to stop."""
    program = [sys.executable, "-m", "cli"]
    with (data / "worker.log").open("ab") as log:
        # a session of its own: Ctrl-C reaches this process alone, which then stops it in order
        worker = subprocess.Popen(  # noqa: S603
            [*program, "worker"], env=environ, stdout=log, stderr=log, start_new_session=True
        )
    failed = 0
    try:
        if folders:
            failed = _enqueue([*program, "enqueue", *folders], environ, stop)
        while not failed and not stop.wait(0.5) and worker.poll() is None:
            if until_done and not _pending(environ["FASHION_CASCADE_CATALOGUE_URL"]):
                break
    finally:
        asked = worker.poll() is None
        if asked:
            click.echo("stopping the workers…", err=True)
            worker.terminate()
        code = worker.wait()
    if stop.is_set():
        return STOPPED
    if code and not asked:  # one that is still starting dies of our own SIGTERM: no failure
        click.echo(f"the worker ended with code {code}; see {data / 'worker.log'}", err=True)
        return _exit_code(code)
    return failed


def _enqueue(command: list[str], environ: dict[str, str], stop: threading.Event) -> int:
    """The exit code of `command`; it is ended as soon as `stop` is set."""
    process = subprocess.Popen(command, env=environ, start_new_session=True)  # noqa: S603
    try:
        while process.poll() is None and not stop.wait(0.05):
            pass
    finally:
        if process.poll() is None:
            process.terminate()
        code = process.wait()
    return _exit_code(code)


def _exit_code(code: int) -> int:
    """As a shell says it: 128 + the signal where a process died of one."""
    return 128 - code if code < 0 else code


def _pending(url: str) -> int:
    from db import ledger
    from db.catalogue import Catalogue

    catalogue = Catalogue.open(url, create=False)
    try:
        return ledger.counts(catalogue.engine)["pending"]
    finally:
        catalogue.close()
