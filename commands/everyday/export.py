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
TABLES = ("csv", "jsonl", "parquet", "sqlite", "xlsx")
PICTURES = ("tree", "imagefolder", "fiftyone", "huggingface", "label-studio", "cvat")
NO_COCO = (
    "COCO has boxes and outlines, but no labels of whole pictures: use imagefolder, fiftyone or "
    "huggingface"
)
WITHOUT_LAYOUT = "--columns, --all-columns and --order-by are for tables, without --by-category"


class Format(click.Choice[str]):
    """One of the formats; the reason for the one that people ask for and that does not fit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse COCO with its reason."""
        if str(value).lower() == "coco":
            self.fail(NO_COCO, param, ctx)
        return super().convert(value, param, ctx)


@click.command()
@click.argument("target", type=NEW_PATH)
@click.option(
    "--format",
    "output_format",
    type=Format([*TABLES, *PICTURES]),
    show_default="by the suffix of TARGET",
    help="Output format.",
)
@click.option("--by-category", is_flag=True, help="Parquet: a folder with one file per category.")
@click.option(
    "--links",
    type=click.Choice(["symlink", "hardlink", "copy"]),
    default="symlink",
    help="Tree, imagefolder and fiftyone: how to add the pictures.",
)
@click.option(
    "--document-root",
    default="/",
    metavar="FOLDER",
    help="Label Studio: what LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT names there.",
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
@click.option(
    "--croissant", is_flag=True, help="Write Croissant 1.1 metadata too: TARGET.croissant.json."
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
    document_root: str,
    croissant: bool,
    catalogue_url: str | None,
    **filters: Any,
) -> None:
    """Export rows to a file, or pictures with their labels to a folder.

    Tables are CSV, JSON lines, Parquet, SQLite or Excel. The other formats hold pictures that have
    a label: 'tree' has nested folders, for 'train'; 'imagefolder' one level of them, for
    torchvision and Keras; 'fiftyone', 'huggingface' (Parquet for datasets), 'label-studio' (tasks)
    and 'cvat' (an ImageNet zip) are for those tools.

    Filters are combined with "and"; in a PATTERN, * matches any text. A file gets its name
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
      fashion-cascade export tasks.json --format label-studio --needs-review
      fashion-cascade export pictures --format huggingface --croissant
    """
    from db.exports import croissant as describe

    chosen = output_format or FORMAT_OF_SUFFIX.get(target.suffix)
    if chosen is None:
        known = ", ".join(FORMAT_OF_SUFFIX)
        raise click.UsageError(f"{target}: which --format? Known suffixes: {known}")
    if columns is not None and all_columns:
        raise click.UsageError("expected --columns or --all-columns, received both")
    layout = _layout("all" if all_columns else columns, order_by, chosen)
    if (chosen in PICTURES or by_category) and (columns or all_columns or order_by != "id"):
        raise click.UsageError(WITHOUT_LAYOUT)
    wanted = filter_from_options(filters)
    with open_catalogue(catalogue_url) as catalogue, output_file(target):
        if croissant:
            describe.require_description(target)
        wanted = check_filter(catalogue.engine, wanted)
        if chosen in PICTURES:
            how = (chosen, links, document_root)
            done, missing = _export_pictures(catalogue.engine, wanted, target, how)
        else:
            done = _export_table(catalogue.engine, wanted, target, chosen, layout, by_category)
            missing = 0
        if croissant:
            describe.write_croissant(done, target, chosen, layout.columns)
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


def _export_table(
    engine: Engine,
    wanted: Filter,
    target: Path,
    output_format: str,
    layout: Layout,
    by_category: bool,
) -> Exported:
    if output_format == "parquet":
        from db.exports import parquet

        if by_category:
            return parquet.export_parquet_by_category(engine, wanted, target)
        return parquet.export_parquet(engine, wanted, target, layout)
    if output_format == "xlsx":
        from db.exports.spreadsheet import export_spreadsheet

        return export_spreadsheet(engine, wanted, target, layout)
    if output_format == "sqlite":
        from db.exports.sqlite_file import export_sqlite

        return export_sqlite(engine, wanted, target, layout)
    from db.exports.text import export_text

    return export_text(engine, wanted, target, output_format, layout)


def _export_pictures(
    engine: Engine, wanted: Filter, target: Path, how: tuple[str, str, str]
) -> tuple[Exported, int]:
    """What was written, and the number of pictures that are missing from it."""
    from cascade.pictures.preprocessing import Preprocessing
    from worker.sources.row_files import RowFiles

    output_format, links, document_root = how
    files = RowFiles(load_settings().roots, Preprocessing().max_bytes)
    if output_format == "label-studio":
        from db.exports.label_studio import export_label_studio

        return export_label_studio(engine, wanted, target, document_root=document_root)
    if output_format == "cvat":
        from db.exports.cvat import export_cvat

        return export_cvat(engine, wanted, target, files=files)
    if output_format == "huggingface":
        from db.exports.huggingface import export_huggingface

        return export_huggingface(engine, wanted, target, files=files)
    if output_format == "fiftyone":
        from db.exports.fiftyone import export_fiftyone

        return export_fiftyone(engine, wanted, target, link_type=links, files=files)
    from db.exports import folders

    write = folders.export_tree if output_format == "tree" else folders.export_imagefolder
    return write(engine, wanted, target, link_type=links, files=files)
