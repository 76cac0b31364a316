"""``fashion-cascade forget``: take pictures out of the catalogue for good."""

from __future__ import annotations

import getpass

import click

from commands.common import catalogue_option, opened


@click.command()
@click.option("--crawl", metavar="NAME", help="A whole crawl.")
@click.option("--path", metavar="PATH", help="A path, in every crawl.")
@click.option("--hash", "content_hash", metavar="HASH", help="These very bytes, wherever.")
@click.option("--note", metavar="TEXT", help="Why; kept in the record.")
@click.option("--by", metavar="NAME", help="Who asks for it [you].")
@click.option("--yes", is_flag=True, help="Do not ask.")
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
    """Remove rows with their labels, history and corrections, and record that it happened.

    The record names no path and no crawl, only a digest. The picture itself and your backups are
    not touched.

    \b
    Example:
      fashion-cascade forget --path /data/spring/123.jpg --note 'take-down 17'
    """
    asked = {"crawl": crawl, "path": path, "hash": content_hash}
    given = [(kind, value) for kind, value in asked.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError("give one of --crawl, --path, --hash")
    ((kind, value),) = given
    from db import housekeeping

    with opened(catalogue_url) as catalogue:
        if not yes:
            click.confirm(f"Remove every row with {kind} {value!r} for good?", abort=True, err=True)
        rows = housekeeping.forget(
            catalogue.engine, kind, value, by=by or getpass.getuser(), note=note
        )
    click.echo(f"{rows:,} rows forgotten", err=True)
