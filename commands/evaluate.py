"""``fashion-cascade evaluate``: how good is a bundle on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--model",
    metavar="BUNDLE",
    envvar="FASHION_CASCADE_MODEL",
    help="The bundle to judge [the shipped one].",
)
@click.option("--split", help="Only this split of a manifest: train, validation or test.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def command(pictures: Path, model: str | None, split: str | None, form: str) -> None:
    """Judge a bundle on PICTURES: a folder whose folders are labels, or a manifest CSV.

    A manifest has the columns path and label, and optionally split, source and group. Pictures
    whose label is partly known (shoes/?/boots) count where they settle the question.

    \b
    Example:
      fashion-cascade evaluate photos/test
      fashion-cascade evaluate photos/manifest.csv --split test --format json
    """
    from cascade.bundle import SHIPPED
    from cascade.classifier import Cascade
    from cascade.dataset import decode_items, read_labelled
    from cascade.errors import BundleError, CascadeError
    from cascade.evaluation_figures import every_logit, judge
    from cascade.report import terminal

    try:
        cascade = Cascade.load(model or SHIPPED)
        items = read_labelled(pictures, cascade.taxonomy, split)
        decoded = decode_items(items, cascade.preprocessing)
    except BundleError as error:
        click.echo(f"fashion-cascade: {error}", err=True)
        raise click.exceptions.Exit(5) from error
    except CascadeError as error:
        raise click.UsageError(str(error)) from error
    for item, reason in decoded.rejected:
        click.echo(f"left out: {item.path}: {reason}", err=True)
    evaluation = judge(cascade.routing, every_logit(cascade, decoded.pixels), decoded.items)
    if form == "json":
        content = {"model": cascade.version, "folder": str(pictures)} | evaluation.to_json()
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(f"model {cascade.version} on {pictures}\n")
        click.echo(terminal(evaluation))
    if decoded.rejected:
        raise click.exceptions.Exit(1)
