"""``fashion-cascade quarantine``: the pictures that killed their workers."""

from __future__ import annotations

import os
from contextlib import closing

import click

from commands.common import catalogue_option, exit_codes, opened
from commands.output import format_option, write


@click.group()
def command() -> None:
    """List the pictures that killed their workers, or give them another chance."""


@command.command("list")
@catalogue_option
@click.option("--crawl", metavar="NAME", help="Only this crawl.")
@format_option()
def list_command(*, catalogue_url: str | None, crawl: str | None, form: str | None) -> None:
    """List the quarantined pictures.

    \b
    Example:
      fashion-cascade quarantine list --crawl spring
    """
    from db import ledger

    columns = ("crawl", "path", "attempts")
    with opened(catalogue_url) as catalogue:
        found = ledger.quarantined(catalogue.engine, crawl)
        write((dict(zip(columns, row, strict=True)) for row in found), columns, form)


@command.command("release")
@click.argument("paths", nargs=-1)
@catalogue_option
@click.option("--broker", "broker_url", metavar="URL", help="The queue [setting broker_url].")
@click.option("--crawl", metavar="NAME", required=True, help="The crawl.")
def release_command(
    paths: tuple[str, ...], *, catalogue_url: str | None, broker_url: str | None, crawl: str
) -> None:
    """Make PATHS, or all quarantined pictures of the crawl, pending again and enqueue them.

    \b
    Example:
      fashion-cascade quarantine release --crawl spring /data/spring/a.jpg
    """
    from db import ledger
    from worker.enqueue import CeleryPublisher
    from worker.settings import resolve
    from worker.sources.paths import is_url, to_text

    with exit_codes(), opened(catalogue_url) as catalogue:
        settings = resolve({"broker_url": broker_url}, environ=os.environ).settings
        named = [
            path if is_url(path) or path.startswith("file://") else to_text(path) for path in paths
        ]
        released = ledger.release_quarantined(catalogue.engine, crawl, named)
        with closing(CeleryPublisher(settings)) as publisher:
            for path in released:  # a shard each: one that kills again harms nobody's batch
                publisher.publish(crawl, [path], roots=(), model_version=None, priority="normal")
        click.echo(f"{crawl}: {len(released)} pictures released")
