"""``fashion-cascade archive``: move a finished crawl from the catalogue into a file."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import open_catalogue, output_file
from commands.options import NEW_PATH, catalogue_option, required_crawl_option
from rendering.text import counted


@click.command()
@required_crawl_option
@click.option(
    "--out",
    "--output",
    "--to",
    "target",
    type=NEW_PATH,
    show_default="CRAWL.jsonl",
    help="JSON lines file to write.",
)
@catalogue_option
def command(*, crawl: str, target: Path | None, catalogue_url: str | None) -> None:
    """Write a crawl to a file and delete its rows.

    `import` restores them.

    \b
    Example:
      fashion-cascade archive --crawl spring --to archive/spring.jsonl
    """
    from db import housekeeping

    file = target or Path(f"{crawl}.jsonl")
    with open_catalogue(catalogue_url) as catalogue, output_file(file):
        done = housekeeping.archive(catalogue.engine, crawl, file)
    click.echo(f"{done.target}: {counted(done.rows, 'row')}, sha256 {done.sha256}")
