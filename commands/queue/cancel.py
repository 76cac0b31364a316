"""``fashion-cascade cancel``: cancel the pending pictures of a crawl."""

from __future__ import annotations

import click

from commands.common import open_catalogue
from commands.options import catalogue_option, required_crawl_option
from rendering.text import counted


@click.command()
@catalogue_option
@required_crawl_option
def command(*, catalogue_url: str | None, crawl: str) -> None:
    """Cancel the pending pictures of a crawl.

    Workers then skip its messages. Enqueue the crawl again to undo this.

    \b
    Example:
      fashion-cascade cancel --crawl spring
    """
    from db import ledger

    with open_catalogue(catalogue_url) as catalogue:
        ledger.require_crawl(catalogue.engine, crawl)
        cancelled = counted(ledger.cancel(catalogue.engine, crawl), "picture")
        click.echo(f"{crawl}: {cancelled} cancelled")
