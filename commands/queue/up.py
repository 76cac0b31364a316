"""``fashion-cascade up``: run broker, catalogue and workers on this machine."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from commands.common import exit_codes, load_settings
from commands.options import NEW_FOLDER, catalogue_option, model_option, pool_size_option
from worker.errors import ExitCode


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False))
@catalogue_option
@pool_size_option
@model_option
@click.option(
    "--port",
    type=int,
    default=0,
    metavar="PORT",
    show_default="a free port",
    help="Port of the broker.",
)
@click.option(
    "--data",
    type=NEW_FOLDER,
    default=Path(".fashion-cascade"),
    help="Folder for the broker's data and the logs.",
)
@click.option("--until-done", is_flag=True, help="Exit when no picture is pending.")
def command(
    folders: tuple[str, ...], *, port: int, data: Path, until_done: bool, **options: object
) -> None:
    """Start a broker and workers on this machine.

    FOLDERS are enqueued. The broker is a Redis-protocol server from a pip package; it listens on
    the loopback interface only, with a random password that only you can read. The queue and the
    workers are the same as in production. Ctrl-C stops everything.

    \b
    Example:
      fashion-cascade up photos --workers 2
    """
    from worker.concurrency import StopFlag

    stop = StopFlag()
    for number in (signal.SIGINT, signal.SIGTERM):  # first of all, so that Ctrl-C works at any time
        signal.signal(number, lambda *_: stop.set())
    with exit_codes(), _stopped_at_the_start(stop):
        from db.catalogue import Catalogue
        from rendering.secrets import mask_url
        from worker.queue.local_broker import LocalBroker
        from worker.settings import pass_to_child

        settings = load_settings(**options)
        with LocalBroker(data, port) as broker:
            Catalogue.open(settings.catalogue_url).close()
            if stop.is_set():
                raise click.exceptions.Exit(ExitCode.STOPPED)
            given = {
                "broker_url": broker.url,
                "catalogue_url": settings.catalogue_url,
                "model": settings.model,
                "pool_size": str(settings.pool_size),
                "roots": ",".join(settings.roots or (os.path.abspath(f) for f in folders))  # noqa: PTH100
                or str(Path.cwd()),
            }
            environ = dict(os.environ)
            for name, value in given.items():
                pass_to_child(environ, name, value)
            click.echo(f"broker: {mask_url(broker.url)}")
            click.echo(
                "for other commands: export FASHION_CASCADE_BROKER_URL_FILE="
                f"{shlex.quote(str(broker.url_file.resolve()))}"
            )
            click.echo(f"logs: {data}; Ctrl-C stops broker and workers", err=True)
            raise click.exceptions.Exit(_run(folders, environ, data, stop, until_done))


@contextmanager
def _stopped_at_the_start(stop: threading.Event) -> Iterator[None]:
    """A broker that ends because Ctrl-C reached it while it started is no failure."""
    from worker.errors import BrokerUnreachable

    try:
        yield
    except BrokerUnreachable:
        if not stop.is_set():
            raise
        raise click.exceptions.Exit(ExitCode.STOPPED) from None


def _run(
    folders: tuple[str, ...],
    environ: dict[str, str],
    data: Path,
    stop: threading.Event,
    until_done: bool,
) -> int:
    """Run worker and `enqueue`; the exit code is theirs, but not that of a worker stopped here."""
    from worker.queue.local_broker import private_file

    program = [sys.executable, "-m", "cli"]
    with os.fdopen(private_file(data / "worker.log", append=True), "ab") as log:
        # a new session: Ctrl-C reaches only this process, which then stops the worker
        worker = subprocess.Popen(  # noqa: S603
            [*program, "worker"], env=environ, stdout=log, stderr=log, start_new_session=True
        )
    failed = 0
    try:
        if folders:
            failed = _enqueue([*program, "enqueue", *folders], environ, stop)
        # with 1, what could be read is enqueued, and the workers label it
        while failed in (0, ExitCode.FAILED) and not stop.wait(0.5) and worker.poll() is None:
            if until_done and not _pending(environ["FASHION_CASCADE_CATALOGUE_URL"]):
                break
    finally:
        stopped_here = worker.poll() is None
        if stopped_here:
            click.echo("stopping the workers…", err=True)
            worker.terminate()
        code = worker.wait()
    if stop.is_set():
        return ExitCode.STOPPED
    if code and not stopped_here:  # a starting worker dies of our SIGTERM: not a failure
        click.echo(f"the worker ended with code {code}; see {data / 'worker.log'}", err=True)
        return _exit_code(code)
    return failed


def _enqueue(command: list[str], environ: dict[str, str], stop: threading.Event) -> int:
    """The exit code of `command`, which is terminated as soon as `stop` is set."""
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
    """As a shell reports it: 128 + the signal of a killed process."""
    return 128 - code if code < 0 else code


def _pending(url: str) -> int:
    from db import ledger
    from db.catalogue import Catalogue

    catalogue = Catalogue.open(url, create=False)
    try:
        return ledger.counts(catalogue.engine)["pending"]
    finally:
        catalogue.close()
