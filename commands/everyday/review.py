"""``fashion-cascade review``: look at uncertain pictures, correct them, measure the accuracy.

What was applied is a batch, which `review undo` takes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import load_settings, open_catalogue, output_file, user_name, write_page
from commands.filters import check_filter, filter_from_options, filter_options
from commands.groups import UncutGroup
from commands.options import (
    EXISTING_FILE,
    NEW_FILE,
    by_option,
    catalogue_option,
    encoding_option,
    model_option,
    record_format_option,
    seed_option,
)
from commands.output import FORMATS, resolve_format, write_records
from commands.picked import picked_rows, sampled, sheet_files
from commands.suspected import suspects
from rendering.text import counted
from worker.errors import ExitCode

if TYPE_CHECKING:
    from db.records import Row

RANDOM = "random"  # the note of a picture that was drawn at random
PICKED_COLUMNS = ("id", "label", "best_leaf", "confidence", "margin", "note", "path")


@click.group(cls=UncutGroup)
def command() -> None:
    """Review uncertain labels and measure the accuracy.

    \b
    Example:
      fashion-cascade review sheet doubtful.html --needs-review --limit 200
      fashion-cascade review apply doubtful.csv
      fashion-cascade review stats
    """


@command.command()
@click.argument("target", type=NEW_FILE)
@click.option(
    "--limit", type=click.IntRange(1, 5000), default=200, help="Maximum number of pictures."
)
@click.option(
    "--order-by",
    type=click.Choice(["confidence", "margin"]),
    default="confidence",
    help="Smallest values first; margin is the difference between the two best leaves.",
)
@filter_options
@catalogue_option
def sheet(
    target: Path, *, limit: int, order_by: str, catalogue_url: str | None, **filters: Any
) -> None:
    """Write a contact sheet of the least certain pictures.

    TARGET.html shows the pictures; TARGET.csv is for the corrections. In the CSV, write the right
    label into correct_label, or 'ok' if the label is right. Leave it empty for pictures that you
    did not check.

    \b
    Example:
      fashion-cascade review sheet doubtful.html --label 'shoes/*' --limit 100
    """
    from db.queries import rows

    html, table = sheet_files(target)
    with open_catalogue(catalogue_url) as catalogue, output_file(html):
        wanted = filter_from_options(filters)
        wanted = check_filter(catalogue.engine, wanted)
        found = list(rows(catalogue.engine, wanted, order_by=order_by, limit=limit))
        found.sort(key=lambda row: row.label or "")
        _write_sheet(html, table, found)
    click.echo(f"{html} and {table}: {counted(len(found), 'picture')}", err=True)


def _write_sheet(
    html: Path, table: Path, found: Sequence[Row], notes: Mapping[int, str] | None = None
) -> None:
    """Write both files of a sheet; the rows are sorted by label, ``notes`` are by row id."""
    from commands.contact_sheets import review_sheet
    from db.exports.review_table import write_review_table

    if table.exists():
        raise click.UsageError(f"{table} exists and may contain corrections: use another name")
    write_page(html, review_sheet(found, table.name, load_settings().roots))
    write_review_table(table, found, notes)


@command.command()
@click.argument("target", type=NEW_FILE, required=False)
@click.option(
    "--limit", type=click.IntRange(1, 5000), default=200, help="Maximum number of pictures."
)
@click.option(
    "--random-share",
    type=click.FloatRange(0, 1),
    default=0.25,
    metavar="FRACTION",
    help="Share of the pictures to draw at random, marked in the column note.",
)
@click.option(
    "--candidates",
    type=click.IntRange(1),
    default=2000,
    metavar="N",
    help="Number of pictures to choose from, drawn at random from those that match.",
)
@seed_option
@model_option
@filter_options
@record_format_option(*FORMATS, default="prints nothing, needs TARGET")
@catalogue_option
def pick(
    target: Path | None,
    *,
    limit: int,
    random_share: float,
    candidates: int,
    seed: int,
    model: str | None,
    output_format: str | None,
    catalogue_url: str | None,
    **filters: Any,
) -> None:
    """Write a contact sheet of doubtful pictures that differ from one another.

    The files are as those of `review sheet`. Of near-duplicates and of one product there is one
    picture. A share is drawn at random from all
    candidates and has 'random' in the column note, which is kept with the correction: only
    this share tells how good the labels are. Pictures that somebody corrected already are left out.
    Their files are read again, about as quickly as `label` does, except for those with a vector of
    this model (`label --features`). With --format the chosen pictures
    are printed, and TARGET may be left out.

    \b
    Example:
      fashion-cascade review pick spring.html --crawl spring --limit 200
      fashion-cascade review pick --crawl spring --format jsonl
    """
    from cascade.bundle import Bundle, folder_of
    from db.queries import rows

    if target is None and output_format is None:
        raise click.UsageError("expected TARGET or --format, received neither: name a new file")
    files = sheet_files(target) if target else None
    with (
        open_catalogue(catalogue_url) as catalogue,
        output_file(files[0]) if files else nullcontext(),
    ):
        wanted = check_filter(catalogue.engine, filter_from_options(filters))
        wanted = replace(wanted, corrected=False, status="labelled")
        settings = load_settings(model=model)
        bundle = Bundle.open(folder_of(settings.model))
        found = picked_rows(
            catalogue.engine,
            sampled(rows(catalogue.engine, wanted), candidates, seed),
            bundle,
            settings,
            limit=limit,
            random_share=random_share,
            seed=seed,
        )
        found.sort(key=lambda each: each[0].label or "")
        notes = {row.id: RANDOM for row, at_random in found if at_random}
        if files:
            _write_sheet(*files, [row for row, _ in found], notes)
    if output_format:
        records = (vars(row) | {"note": notes.get(row.id)} for row, _ in found)
        write_records(records, PICKED_COLUMNS, output_format)
    written = f"{files[0]} and {files[1]}: " if files else ""
    click.echo(f"{written}{counted(len(found), 'picture')}, {len(notes)} at random", err=True)


@command.command()
@click.argument("source", type=EXISTING_FILE)
@by_option
@encoding_option
@catalogue_option
def apply(source: Path, *, by: str | None, encoding: str | None, catalogue_url: str | None) -> None:
    """Apply the corrections of a filled-in CSV, or of Label Studio's JSON export.

    All of them are applied, or none if one is wrong. Applying a file twice changes nothing.
    Corrections take precedence over every model's labels. They are one batch, which 'review undo'
    takes back.

    \b
    Example:
      fashion-cascade review apply doubtful.csv --by mara
      fashion-cascade review apply project-1-at-2026-11-26.json
    """
    from db import human_labels
    from db.exports.label_studio import is_result, read_label_studio
    from db.exports.review_table import read_review_table

    with open_catalogue(catalogue_url) as catalogue:
        if is_result(source):
            found = read_label_studio(source)
        else:
            found = read_review_table(source, encoding)
        done = human_labels.apply(catalogue.engine, found, by or user_name())
    click.echo(f"{counted(done.changed, 'row')} corrected or confirmed, {done.unchanged} unchanged")
    _say_batch(done.batch)


@command.command()
@click.argument("batch")
@by_option
@catalogue_option
def undo(batch: str, *, by: str | None, catalogue_url: str | None) -> None:
    """Take back a batch of corrections.

    Each row gets the human label that it had before, or none. A row that was corrected since is
    left as it is and named, with exit code 1. An undo is a batch too, so it can be undone.

    \b
    Example:
      fashion-cascade review batches
      fashion-cascade review undo 20260731-141502-123456-9f3a1c --by mara
    """
    from db import corrections
    from db.exports.text_encoding import to_terminal

    with open_catalogue(catalogue_url) as catalogue:
        done = corrections.undo(catalogue.engine, batch, by or user_name())
    for row in done.refused:
        who = f"corrected by {row.by} at {row.at:%Y-%m-%d %H:%M} UTC" if row.at else "changed"
        click.echo(
            f"left as it is: row {row.id}, {to_terminal(row.path)}: {to_terminal(who)} since, "
            f"now {row.found or 'without a label'}",
            err=True,
        )
    click.echo(
        f"{counted(done.changed, 'row')} taken back, {done.unchanged} unchanged, "
        f"{len(done.refused)} left as they are"
    )
    _say_batch(done.batch)
    if done.refused:
        raise click.exceptions.Exit(ExitCode.FAILED)


@command.command()
@click.option("--by", help="Only those of this person.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, help="Maximum number of batches."
)
@record_format_option(*FORMATS)
@catalogue_option
def batches(
    *, by: str | None, limit: int, output_format: str | None, catalogue_url: str | None
) -> None:
    """List the last batches of corrections, newest first.

    'undone' is how many of its rows were taken back since, 'undoes' the batch that it took back.

    \b
    Example:
      fashion-cascade review batches --by mara
    """
    from db import corrections

    with open_catalogue(catalogue_url) as catalogue:
        found = corrections.batches(catalogue.engine, by, limit)
    records = (vars(item) | {"labels": _shown(item.labels)} for item in found)
    columns = ("batch", "by", "at", "rows", "undone", "undoes", "labels")
    write_records(records, columns, output_format)


command.add_command(suspects)


def _say_batch(batch: str) -> None:
    """Say how to take back what was done, if anything was."""
    if batch:
        click.echo(f"to take this back: fashion-cascade review undo {batch}", err=True)


def _shown(labels: Sequence[str | None]) -> str:
    """The labels that a batch gave, and '(withdrawn)' where it withdrew one."""
    return ", ".join("(withdrawn)" if label is None else label for label in labels)


@command.command()
@record_format_option(*FORMATS)
@catalogue_option
def stats(output_format: str | None, catalogue_url: str | None) -> None:
    """Show the model's accuracy on reviewed rows.

    The accuracy is given for all rows, by label and by confidence. A label counts as right if it is
    the person's label or an ancestor of it: shoes for shoes/female/sandals. The column 'exact'
    counts only equal labels.

    \b
    Example:
      fashion-cascade review stats
    """
    from db import human_labels

    with open_catalogue(catalogue_url) as catalogue:
        found = human_labels.accuracy(catalogue.engine)
    records = [vars(item) | {"accuracy": round(item.accuracy, 4)} for item in found]
    if resolve_format(output_format) == "table":
        for record in records:
            for name in ("right", "exact"):
                record[name] = f"{record[name]}/{record['rows']}"
        write_records(records, ("kind", "name", "right", "accuracy", "exact"), "table")
        return
    columns = ("kind", "name", "rows", "right", "accuracy", "exact")
    write_records(records, columns, output_format)
