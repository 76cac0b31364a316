"""``fashion-cascade import``: read back what ``export`` or ``archive`` wrote."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import open_catalogue
from commands.options import EXISTING_FILE, catalogue_option, encoding_option
from rendering.text import counted


@click.command()
@click.argument("source", type=EXISTING_FILE)
@encoding_option
@catalogue_option
def command(source: Path, *, encoding: str | None, catalogue_url: str | None) -> None:
    """Add the rows of an exported file to the catalogue.

    SOURCE is a CSV, JSON lines or Parquet file of `export` or `archive`, also one that a
    spreadsheet saved. Rows whose crawl and path exist already are skipped, so it is safe to repeat.
    If a row is refused, nothing is added.

    \b
    Example:
      fashion-cascade import spring.jsonl --catalogue sqlite:///other.db
    """
    from db.exports.read_back import import_file

    with open_catalogue(catalogue_url, create=True) as catalogue:
        done = import_file(catalogue.engine, source, encoding)
    click.echo(f"{source}: {counted(done.added, 'row')} added, {done.present:,} were there already")
