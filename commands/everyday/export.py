"""``fashion-cascade export``: the catalogue, or a part of it, as files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, opened, placed
from commands.filters import check_filter, filter_options, made_filter

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from db.exports.text import Exported
    from db.filters import Filter

KINDS = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".db": "sqlite",
    ".sqlite": "sqlite",
}


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "parquet", "sqlite", "tree"]),
    help="[by the ending of TARGET]",
)
@click.option("--by-category", is_flag=True, help="Parquet: a folder with a file a category.")
@click.option(
    "--links",
    type=click.Choice(["symlink", "hardlink", "copy"]),
    default="symlink",
    help="Tree: how pictures come into it [symlink].",
)
@filter_options
@catalogue_option
def command(
    target: Path,
    *,
    form: str | None,
    by_category: bool,
    links: str,
    catalogue_url: str | None,
    **filters: Any,
) -> None:
    """Write the rows that fit to TARGET: CSV, JSON lines, Parquet, SQLite or a folder tree.

    Written beside it and renamed when whole; CSV and JSON lines go on where a killed export
    stopped. Prints the number of rows and the checksum.

    \b
    Example:
      fashion-cascade export spring.csv --crawl spring
      fashion-cascade export shoes.parquet --label 'shoes/*' --min-confidence 0.9
      fashion-cascade export training-data --format tree --corrected --links copy
    """
    kind = form or KINDS.get(target.suffix)
    if kind is None:
        raise click.UsageError(f"{target}: which --format? Known endings: {', '.join(KINDS)}")
    wanted = made_filter(filters)
    with opened(catalogue_url) as catalogue, placed(target):
        check_filter(catalogue.engine, wanted)
        done, gone = _export(catalogue.engine, wanted, target, (kind, links, by_category))
    click.echo(f"{done.target}: {done.rows:,} rows, sha256 {done.sha256}")
    if gone:
        click.echo(f"  {gone} pictures are not there any more", err=True)


def _export(
    engine: Engine, wanted: Filter, target: Path, how: tuple[str, str, bool]
) -> tuple[Exported, int]:
    """What was written, and how many pictures were missing from a tree."""
    kind, links, by_category = how
    if kind == "tree":
        from db.exports.folders import export_tree
        from worker.sources.paths import to_os_path

        return export_tree(engine, wanted, target, kind=links, to_os_path=to_os_path)
    if kind == "parquet":
        from db.exports import parquet

        write = parquet.export_parquet_by_category if by_category else parquet.export_parquet
        return write(engine, wanted, target), 0
    from db.exports import text as text_exports

    if kind == "sqlite":
        return text_exports.export_sqlite(engine, wanted, target), 0
    return text_exports.export_text(engine, wanted, target, kind), 0
