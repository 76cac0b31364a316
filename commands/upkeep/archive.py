"""``fashion-cascade archive``: move a finished crawl out of the catalogue into a file."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import catalogue_option, opened, placed


@click.command()
@click.option("--crawl", required=True, metavar="NAME")
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="A JSON lines file [CRAWL.jsonl]."
)
@catalogue_option
def command(*, crawl: str, target: Path | None, catalogue_url: str | None) -> None:
    """Write a crawl to a file and take its rows out; ``import`` brings them back.

    \b
    Example:
      fashion-cascade archive --crawl spring --to archive/spring.jsonl
    """
    from db import housekeeping

    place = target or Path(f"{crawl}.jsonl")
    with opened(catalogue_url) as catalogue, placed(place):
        done = housekeeping.archive(catalogue.engine, crawl, place)
    click.echo(
        f"{done.exported.target}: {done.exported.rows:,} rows, sha256 {done.exported.sha256}"
    )
