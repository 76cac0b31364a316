"""``fashion-cascade export``: write rows of the catalogue as files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import load_settings, open_catalogue, output_file
from commands.filters import check_filter, filter_from_options, filter_options
from commands.options import NEW_PATH, catalogue_option
from rendering.output import is_stdout
from rendering.text import counted

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from db.exports.files import Exported, Layout
    from db.filters import Filter

FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".xlsx": "xlsx",
}
WITHOUT_LAYOUT = "--columns, --all-columns and --order-by are not for a tree or --by-category"


@click.command()
@click.argument("target", type=NEW_PATH)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["csv", "jsonl", "parquet", "sqlite", "xlsx", "tree"]),
    show_default="by the suffix of TARGET",
    help="Output format.",
)
@click.option("--by-category", is_flag=True, help="Parquet: a folder with one file per category.")
@click.option(
    "--links",
    type=click.Choice(["symlink", "hardlink", "copy"]),
    default="symlink",
    help="Tree: how to add the pictures.",
)
@click.option(
    "--columns",
    metavar="A,B,…",
    show_default="all; of xlsx, the main ones",
    help="Columns in their order; 'main' for those that a person looks at, 'all' for all.",
)
@click.option("--all-columns", is_flag=True, help="The same as --columns all.")
@click.option(
    "--order-by",
    type=click.Choice(["id", "label"]),
    default="id",
    help="Order of the rows; by label, an interrupted export starts over.",
)
@filter_options
@catalogue_option
def command(
    target: Path,
    *,
    output_format: str | None,
    columns: str | None,
    all_columns: bool,
    order_by: str,
    by_category: bool,
    links: str,
    catalogue_url: str | None,
    **filters: Any,
) -> None:
    """Export rows to a file or a folder tree.

    TARGET is a CSV, JSON lines, Parquet, SQLite or Excel file, or a folder with a folder for each
    label. Filters are combined with "and"; in a PATTERN, * matches any text. A file gets its name
    when it is complete; an interrupted CSV or JSON lines export is resumed. With - as TARGET, the
    rows go to standard output; pipes and devices are written through. Prints the number of rows and
    the checksum.

    \b
    Example:
      fashion-cascade export spring.csv --crawl spring
      fashion-cascade export spring.xlsx --order-by label
      fashion-cascade export labels.csv --columns path,label,confidence
      fashion-cascade export shoes.parquet --label 'shoes/*' --min-confidence 0.9
      fashion-cascade export training-data --format tree --corrected --links copy
    """
    chosen = output_format or FORMAT_OF_SUFFIX.get(target.suffix)
    if chosen is None:
        known = ", ".join(FORMAT_OF_SUFFIX)
        raise click.UsageError(f"{target}: which --format? Known suffixes: {known}")
    if columns is not None and all_columns:
        raise click.UsageError("expected --columns or --all-columns, received both")
    layout = _layout("all" if all_columns else columns, order_by, chosen)
    if (chosen == "tree" or by_category) and (columns or all_columns or order_by != "id"):
        raise click.UsageError(WITHOUT_LAYOUT)
    wanted = filter_from_options(filters)
    with open_catalogue(catalogue_url) as catalogue, output_file(target):
        wanted = check_filter(catalogue.engine, wanted)
        how = (chosen, links, by_category)
        done, missing = _export(catalogue.engine, wanted, target, how, layout)
    click.echo(
        f"{done.target}: {counted(done.rows, 'row')}, sha256 {done.sha256}", err=is_stdout(target)
    )
    if missing:
        what = counted(missing, "picture")
        click.echo(f"  {what} missing, or outside the setting roots", err=True)


def _layout(columns: str | None, order_by: str, output_format: str) -> Layout:
    """The layout asked for: machines get all columns, a spreadsheet those for a person."""
    from db.errors import ExportError
    from db.exports.files import COLUMNS, MAIN_COLUMNS, Layout

    columns = columns or ("main" if output_format == "xlsx" else "all")
    sets = {"all": COLUMNS, "main": MAIN_COLUMNS}
    names = sets.get(columns) or tuple(name.strip() for name in columns.split(","))
    try:
        return Layout(names, order_by)
    except ExportError as error:
        raise click.BadParameter(str(error), param_hint="--columns") from error


def _export(
    engine: Engine, wanted: Filter, target: Path, how: tuple[str, str, bool], layout: Layout
) -> tuple[Exported, int]:
    """What was written, and the number of pictures missing from a tree."""
    output_format, links, by_category = how
    if output_format == "tree":
        from cascade.pictures.preprocessing import Preprocessing
        from db.exports.folders import export_tree
        from worker.sources.row_files import RowFiles

        files = RowFiles(load_settings().roots, Preprocessing().max_bytes)
        return export_tree(
            engine, wanted, target, link_type=links, locate=files.locate, read=files.read
        )
    if output_format == "parquet":
        from db.exports import parquet

        if by_category:
            return parquet.export_parquet_by_category(engine, wanted, target), 0
        return parquet.export_parquet(engine, wanted, target, layout), 0
    if output_format == "xlsx":
        from db.exports.spreadsheet import export_spreadsheet

        return export_spreadsheet(engine, wanted, target, layout), 0
    if output_format == "sqlite":
        from db.exports.sqlite_file import export_sqlite

        return export_sqlite(engine, wanted, target, layout), 0
    from db.exports.text import export_text

    return export_text(engine, wanted, target, output_format, layout), 0
