"""``fashion-cascade import``: read back what ``export`` wrote."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import catalogue_option, opened


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@catalogue_option
def command(source: Path, *, catalogue_url: str | None) -> None:
    """Add the rows of an exported CSV or JSON lines file to the catalogue.

    Rows whose crawl and path are there already are left alone, so it can be run again.

    \b
    Example:
      fashion-cascade import spring.jsonl --catalogue sqlite:///other.db
    """
    from db.exports.read_back import import_file

    with opened(catalogue_url, create=True) as catalogue:
        done = import_file(catalogue.engine, source)
    click.echo(f"{source}: {done.added:,} rows added, {done.present:,} were there already")
