"""``fashion-cascade vacuum``: free disk space and renew the query planner's statistics."""

from __future__ import annotations

import click

from commands.common import open_catalogue
from commands.options import catalogue_option
from worker.errors import ExitCode


@click.command()
@catalogue_option
def command(*, catalogue_url: str | None) -> None:
    """Free disk space and renew the query planner's statistics.

    Useful after `forget`, after `archive`, and after about a million new rows.

    \b
    Example:
      fashion-cascade vacuum
    """
    from db import housekeeping

    with open_catalogue(catalogue_url) as catalogue:
        remains = housekeeping.vacuum(catalogue.engine)
    click.echo("done" if remains is None else f"fashion-cascade: {remains}", err=True)
    if remains is not None:
        raise click.exceptions.Exit(ExitCode.FAILED)
