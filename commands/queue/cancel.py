"""``fashion-cascade cancel``: what still waits of a crawl is not to be worked."""

from __future__ import annotations

import click

from commands.common import catalogue_option, opened


@click.command()
@catalogue_option
@click.option("--crawl", metavar="NAME", required=True, help="The crawl.")
def command(*, catalogue_url: str | None, crawl: str) -> None:
    """Cancel the pending pictures of a crawl; its messages are then passed over by the workers.

    Enqueueing the crawl again takes it up again.

    \b
    Example:
      fashion-cascade cancel --crawl spring
    """
    from db import ledger

    with opened(catalogue_url) as catalogue:
        ledger.require_crawl(catalogue.engine, crawl)
        click.echo(f"{crawl}: {ledger.cancel(catalogue.engine, crawl)} pictures cancelled")
