"""``fashion-cascade review``: look at the least sure pictures, correct them, see what that says."""

from __future__ import annotations

import csv
import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, opened, placed
from commands.filters import check_filter, filter_options, made_filter
from commands.output import format_option, write

if TYPE_CHECKING:
    from db.corrections import Correction
    from db.records import Row

CONFIRM = "ok"
HEADS = ("id", "path", "label", "confidence", "correct_label", "note")


@click.group()
def command() -> None:
    """Contact sheets of doubtful pictures, corrections, and the accuracy that they show.

    \b
    Example:
      fashion-cascade review sheet doubtful.html --needs-review --limit 200
      fashion-cascade review apply doubtful.csv
      fashion-cascade review stats
    """


@command.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1, 5000), default=200, help="[200]")
@click.option(
    "--order-by",
    type=click.Choice(["confidence", "margin"]),
    default="confidence",
    help="confidence: the least sure; margin: the most contested [confidence].",
)
@filter_options
@catalogue_option
def sheet(
    target: Path, *, limit: int, order_by: str, catalogue_url: str | None, **filters: Any
) -> None:
    """Write TARGET.html, a page with the least sure pictures, and TARGET.csv to fill in.

    In the CSV, write the right label into correct_label, or 'ok' where the label is right; leave
    empty what you have not looked at.

    \b
    Example:
      fashion-cascade review sheet doubtful.html --label 'shoes/*' --limit 100
    """
    from commands.contact_sheets import review_sheet
    from db.queries import rows

    html, table = target.with_suffix(".html"), target.with_suffix(".csv")
    with opened(catalogue_url) as catalogue, placed(html):
        wanted = made_filter(filters)
        check_filter(catalogue.engine, wanted)
        found = list(rows(catalogue.engine, wanted, order_by=order_by, limit=limit))
        found.sort(key=lambda row: row.human_label or row.label or "")
        if table.exists():
            raise click.UsageError(f"{table} exists, and may hold somebody's work: name another")
        html.write_text(review_sheet(found, table.name), encoding="utf-8")
        _write_table(table, found)
    click.echo(f"{html} and {table}: {len(found)} pictures", err=True)


def _write_table(table: Path, found: Sequence[Row]) -> None:
    """The CSV to fill in: a line for each row."""
    from db.exports.text_encoding import to_cell

    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADS)
        for row in found:
            label = row.human_label or row.label
            cells = (row.id, row.path, label, row.confidence, "", "")
            writer.writerow([to_cell(cell) for cell in cells])


@command.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--by", metavar="NAME", help="Who looked at them [you].")
@catalogue_option
def apply(source: Path, *, by: str | None, catalogue_url: str | None) -> None:
    """Record the corrections of a filled-in CSV: all of them, or none when one is wrong.

    Applying a file twice changes nothing. Corrections win over models, now and later.

    \b
    Example:
      fashion-cascade review apply doubtful.csv --by mara
    """
    from db import corrections

    with opened(catalogue_url) as catalogue:
        done = corrections.apply(catalogue.engine, read_sheet(source), by or getpass.getuser())
    click.echo(f"{done.changed} rows corrected or confirmed, {done.unchanged} stood so already")


def read_sheet(source: Path) -> list[Correction]:
    """The lines of a sheet that somebody filled in.

    Raises:
        click.UsageError: the file has not the sheet's columns, or an id that is none.
    """
    from db.corrections import Correction
    from db.exports.text_encoding import from_cell

    made = []
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        needed = {"id", "label", "correct_label"}
        if not needed <= set(reader.fieldnames or ()):
            raise click.UsageError(f"{source}: expected the columns {', '.join(sorted(needed))}")
        for line in reader:
            said = from_cell((line["correct_label"] or "").strip())
            if not said:
                continue
            if not line["id"].strip().isdigit():
                where = f"{source}, line {reader.line_num}"
                raise click.UsageError(f"{where}: expected a row's id, received {line['id']!r}")
            label = from_cell(line["label"]) if said.casefold() == CONFIRM else said
            note, path = line.get("note"), line.get("path")
            made.append(
                Correction(
                    int(line["id"]),
                    label,
                    from_cell(note) if note else None,
                    from_cell(path) if path else None,
                )
            )
    return made


@command.command()
@format_option()
@catalogue_option
def stats(form: str | None, catalogue_url: str | None) -> None:
    """How right the model was on the rows that people looked at, by label and by confidence.

    A label is right as far as it goes: shoes, where the person says shoes/female/sandals. 'exact'
    counts the labels that are the person's very own.

    \b
    Example:
      fashion-cascade review stats
    """
    from db import corrections

    with opened(catalogue_url) as catalogue:
        found = corrections.accuracy(catalogue.engine)
    records = (vars(item) | {"accuracy": round(item.accuracy, 4)} for item in found)
    write(records, ("kind", "name", "rows", "right", "accuracy", "exact"), form)
