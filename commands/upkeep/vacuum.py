"""``fashion-cascade vacuum``: give space back and renew the planner's statistics."""

from __future__ import annotations

import click

from commands.common import catalogue_option, opened


@click.command()
@catalogue_option
def command(*, catalogue_url: str | None) -> None:
    """Tidy the catalogue up: after a forget, an archive, or a million new rows.

    \b
    Example:
      fashion-cascade vacuum
    """
    from db import housekeeping

    with opened(catalogue_url) as catalogue:
        housekeeping.vacuum(catalogue.engine)
    click.echo("done", err=True)
