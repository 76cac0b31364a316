"""``fashion-cascade quarantine``: the pictures that crashed their workers."""

from __future__ import annotations

from contextlib import closing

import click

from commands.common import exit_codes, load_settings, open_catalogue
from commands.groups import UncutGroup
from commands.options import (
    broker_option,
    catalogue_option,
    crawl_option,
    record_format_option,
    required_crawl_option,
)
from commands.output import FORMATS, write_records
from rendering.text import counted
from worker.errors import ExitCode


@click.group(cls=UncutGroup)
def command() -> None:
    """List or release pictures that crashed their workers.

    \b
    Example:
      fashion-cascade quarantine list
      fashion-cascade quarantine release --crawl spring
    """


@command.command("list")
@catalogue_option
@crawl_option
@record_format_option(*FORMATS)
def list_command(
    *, catalogue_url: str | None, crawl: str | None, output_format: str | None
) -> None:
    """List the quarantined pictures.

    \b
    Example:
      fashion-cascade quarantine list --crawl spring
    """
    from db import ledger

    columns = ("crawl", "path", "attempts")
    with open_catalogue(catalogue_url) as catalogue:
        if crawl is not None and (words := ledger.unknown_crawl(catalogue.engine, crawl)):
            click.echo(f"fashion-cascade: {words}", err=True)
        found = ledger.quarantined(catalogue.engine, crawl)
        records = (dict(zip(columns, row, strict=True)) for row in found)
        write_records(records, columns, output_format)


@command.command("release")
@click.argument("paths", nargs=-1)
@catalogue_option
@broker_option
@required_crawl_option
def release_command(
    paths: tuple[str, ...], *, catalogue_url: str | None, broker_url: str | None, crawl: str
) -> None:
    """Enqueue quarantined pictures again: PATHS, or all.

    Each is labelled by the model that it was enqueued for.

    Exit code 1: some of PATHS are not quarantined in this crawl.

    \b
    Example:
      fashion-cascade quarantine release --crawl spring /data/spring/a.jpg
    """
    from db import ledger
    from db.writes import backend_digests
    from worker.enqueue import CeleryPublisher
    from worker.queue.requeue import publish_reopened
    from worker.sources.paths import is_url, to_text

    with exit_codes(), open_catalogue(catalogue_url) as catalogue:
        settings = load_settings(broker_url=broker_url)
        named = [
            path if is_url(path) or path.startswith("file://") else to_text(path) for path in paths
        ]
        ledger.require_crawl(catalogue.engine, crawl)
        digests = backend_digests.known(catalogue.engine)
        with closing(CeleryPublisher(settings, digests)) as publisher:
            rows = ledger.release_quarantined(catalogue.engine, crawl, named)
            publish_reopened(publisher, rows, settings.shard_size)
        released = {row.path for row in rows}
        click.echo(f"{crawl}: {counted(len(released), 'picture')} released")
        if others := sorted(set(named) - released):
            for path in others:
                click.echo(f"fashion-cascade: not quarantined in {crawl}: {path}", err=True)
            raise click.exceptions.Exit(ExitCode.FAILED)
