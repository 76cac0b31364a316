"""``fashion-cascade evaluate``: measure the accuracy of a bundle on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import bundle_folder, exit_codes, load_settings, output_file, write_page
from commands.options import (
    NEW_FOLDER,
    NEW_PATH,
    backend_option,
    encoding_option,
    format_option,
    model_option,
    pictures_argument,
    split_option,
)
from rendering.output import is_stdout
from worker.errors import ExitCode

if TYPE_CHECKING:
    from cascade.classifier import Cascade
    from cascade.data.dataset import Pictures
    from cascade.evaluation.predictions import LabelledPredictions


@click.command()
@pictures_argument
@model_option
@backend_option
@split_option
@encoding_option
@click.option(
    "--without-source",
    "without",
    metavar="PATTERN",
    multiple=True,
    help="Leave out the sources of a manifest that match, such as 'zappos_*'; repeatable.",
)
@click.option(
    "--compare", metavar="BUNDLE", help="Also evaluate this bundle and test the difference."
)
@click.option("--html", type=NEW_PATH, help="Write the report to this HTML page.")
@click.option(
    "--figures",
    type=NEW_FOLDER,
    help="Write confusion matrices (PNG, CSV), reliability and coverage diagrams to this folder.",
)
@format_option("table", "json")
def command(
    pictures: Path,
    model: str | None,
    backend: str | None,
    split: str | None,
    encoding: str | None,
    without: tuple[str, ...],
    compare: str | None,
    html: Path | None,
    figures: Path | None,
    output_format: str,
) -> None:
    """Evaluate a bundle on labelled PICTURES.

    PICTURES is a folder whose folders are labels, or a manifest CSV with the columns path and
    label, optionally split, source and group. A partly known label, such as shoes/?/boots, counts
    where its known part decides the question. Exit code 1: some pictures could not be read.

    \b
    Example:
      fashion-cascade evaluate photos/test
      fashion-cascade evaluate photos/manifest.csv --split test --html report.html
      fashion-cascade evaluate photos/manifest.csv --without-source 'zappos_*'
      fashion-cascade evaluate photos/test --compare older-bundle --format json
    """
    from cascade.bundle import folder_of
    from cascade.classifier import Cascade
    from cascade.data.dataset import decode_items, read_labelled, without_sources
    from cascade.errors import TaxonomyError
    from cascade.evaluation.compare import (
        PAIRED_HEADER,
        POINTS_HEADER,
        comparison_rows,
        gender_and_type_points,
        points_rows,
    )
    from cascade.evaluation.compare import compare as compare_measures
    from cascade.evaluation.evaluate import evaluate_predictions
    from cascade.evaluation.predictions import LabelledPredictions, all_logits
    from cascade.evaluation.tables import text_report
    from rendering.text import text_table
    from worker.native_libraries import suppress_startup_messages

    usage = (TaxonomyError,)
    with exit_codes(usage), suppress_startup_messages():
        settings = load_settings(model=model, backend=backend)
        cascade = Cascade.load(bundle_folder(settings), backend=settings.backend)
        rival = Cascade.load(folder_of(compare)) if compare else None
    with exit_codes(usage):
        items = read_labelled(pictures, cascade.taxonomy, split, encoding=encoding)
        items = without_sources(items, without)
        decoded = decode_items(items, cascade.preprocessing)
    for item, reason in decoded.rejected:
        click.echo(f"left out: {item.path}: {reason}", err=True)
    labelled = LabelledPredictions(
        cascade.routing, all_logits(cascade, decoded.pixels), decoded.items
    )
    evaluation = evaluate_predictions(labelled)
    content: dict[str, Any] = {"model": cascade.version, "backend": cascade.backend}
    content |= {"pictures_from": str(pictures), "without_sources": list(without)}
    content |= evaluation.to_json()
    left_out = f" without {', '.join(without)}" if without else ""
    text = f"model {cascade.version} in {cascade.backend} on {pictures}{left_out}"
    text += f"\n\n{text_report(evaluation)}"
    if rival is not None:
        theirs = _predictions_beside(rival, cascade, decoded, compare)
        compared = compare_measures(labelled.measures(), theirs.measures())
        content["compared"] = {"model": rival.version} | {c.name: c.to_json() for c in compared}
        table = text_table(PAIRED_HEADER, comparison_rows(compared))
        text += f"\n\nbeside model {rival.version}\n{table}"
        both = {"this": labelled, "other": theirs}
        text += f"\n\n{text_table(POINTS_HEADER, points_rows(both))}"
        content["points"] = {name: gender_and_type_points(each) for name, each in both.items()}
    if html is not None:
        title = f"{pictures.name}: model {cascade.version}"
        _write_report(html, evaluation, labelled, decoded.pixels, title)
    if figures is not None:
        _write_figures(figures, evaluation)
    click.echo(
        json.dumps(content, indent=1) if output_format == "json" else text,
        err=html is not None and is_stdout(html),
    )
    if decoded.rejected:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _predictions_beside(
    rival: Cascade, cascade: Cascade, decoded: Pictures, folder: str | None
) -> LabelledPredictions:
    """What another bundle says about the same pictures, decoded for its own input size."""
    from cascade.data.dataset import decode_items
    from cascade.evaluation.predictions import LabelledPredictions, all_logits

    if rival.taxonomy != cascade.taxonomy:
        raise click.UsageError(
            f"{folder}: has another taxonomy; only bundles of one taxonomy can be compared"
        )
    seen = decoded
    if rival.preprocessing != cascade.preprocessing:
        seen = decode_items(decoded.items, rival.preprocessing)
    if len(seen) != len(decoded):
        raise click.UsageError(
            f"{folder}: {len(decoded) - len(seen)} pictures cannot be decoded again for its "
            "input size; leave --compare out, or evaluate each bundle alone"
        )
    return LabelledPredictions(rival.routing, all_logits(rival, seen.pixels), seen.items)


def _write_report(html: Path, evaluation: Any, labelled: Any, pixels: Any, title: str) -> None:
    from cascade.evaluation.html import html_report

    with exit_codes():
        write_page(html, html_report(evaluation, labelled, pixels, title))
    click.echo(f"{html}: the report", err=True)


def _write_figures(folder: Path, evaluation: Any) -> None:
    from cascade.evaluation.plots import write_figures

    with exit_codes(), output_file(folder / "reliability.png"):
        write_figures(folder, evaluation)
    click.echo(f"{folder}: confusion matrices and diagrams", err=True)
