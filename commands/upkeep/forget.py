"""``fashion-cascade forget``: delete pictures from the catalogue for good."""

from __future__ import annotations

import click

from commands.common import open_catalogue, user_name
from commands.options import by_option, catalogue_option, yes_option
from rendering.text import counted
from worker.errors import ExitCode


@click.command()
@click.option("--crawl", metavar="NAME", help="Delete this crawl.")
@click.option("--path", metavar="PATH", help="Delete this path from every crawl.")
@click.option("--hash", "content_hash", metavar="HASH", help="Delete every row with this content.")
@click.option("--note", metavar="TEXT", help="Why; kept in the record.")
@by_option
@yes_option
@catalogue_option
def command(
    *,
    crawl: str | None,
    path: str | None,
    content_hash: str | None,
    note: str | None,
    by: str | None,
    yes: bool,
    catalogue_url: str | None,
) -> None:
    """Delete rows with their labels, history and corrections.

    A record of the deletion is kept. It contains a digest, no path and no crawl. The picture file
    and your backups are not changed. What the catalogue never had is refused with exit code 2. Exit
    code 1: the rows are deleted, but as others read the catalogue, their bytes are still on the
    disk; a line says where, and when they go.

    \b
    Example:
      fashion-cascade forget --path /data/spring/123.jpg --note 'take-down 17'
    """
    options = {"crawl": crawl, "path": path, "hash": content_hash}
    given = [(kind, value) for kind, value in options.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError("expected one of --crawl, --path and --hash")
    ((kind, value),) = given
    from db import housekeeping

    with open_catalogue(catalogue_url) as catalogue:
        housekeeping.require_seen(catalogue.engine, kind, value)
        if not yes:
            click.confirm(f"Delete every row with {kind} {value!r} for good?", abort=True, err=True)
        done = housekeeping.forget(catalogue.engine, kind, value, by=by or user_name(), note=note)
    click.echo(f"{counted(done.rows, 'row')} forgotten", err=True)
    if done.remains is not None:
        click.echo(f"fashion-cascade: {done.remains}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
