"""``fashion-cascade tune-thresholds``: fit the thresholds of a bundle to a precision."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from commands.common import exit_codes
from commands.options import (
    PRECISION,
    bundle_option,
    format_option,
    out_option,
    pictures_argument,
    split_option,
)


@click.command()
@pictures_argument
@out_option("Folder of the new bundle.")
@bundle_option
@split_option
@click.option(
    "--precision",
    type=PRECISION,
    default=0.98,
    metavar="FRACTION",
    help="Share of correct labels to reach at each node.",
)
@click.option(
    "--decoding",
    type=click.Choice(["thresholds", "tree_distance"]),
    default="thresholds",
    help="How to choose the label; tree_distance minimises the expected distance in the tree.",
)
@format_option("table", "json")
def command(
    pictures: Path,
    out: Path,
    model: str | None,
    split: str | None,
    precision: float,
    decoding: str,
    output_format: str,
) -> None:
    """Fit thresholds to PICTURES and write a new bundle.

    PICTURES is a folder whose folders are labels, or a manifest CSV. Use pictures that the bundle
    was not trained on. Prints the threshold and the coverage of each node.

    \b
    Example:
      fashion-cascade tune-thresholds photos/manifest.csv --split validation --precision 0.95 \\
        --out looser
    """
    from cascade.bundle import SHIPPED, Bundle
    from cascade.data.dataset import decode_items, read_labelled
    from cascade.errors import TaxonomyError
    from cascade.training.recalibrate import HEADER, recalibrate, threshold_rows
    from rendering.text import text_table

    folder = Path(model or SHIPPED)
    with exit_codes(usage=(TaxonomyError,)):
        bundle = Bundle.open(folder, verify=False)
        items = read_labelled(pictures, bundle.taxonomy, split)
        decoded = decode_items(items, bundle.preprocessing)
        found = recalibrate(folder, decoded, out, precision, decoding)
    if output_format == "json":
        nodes = {name: asdict(entry) for name, entry in found.nodes.items()}
        click.echo(json.dumps({"model": found.bundle.version, "nodes": nodes}, indent=1))
        return
    click.echo(text_table(HEADER, threshold_rows(found.nodes)))
    leaves = [found.nodes[leaf] for leaf in bundle.taxonomy.leaves]
    stopped, total = sum(e.answers for e in leaves), len(decoded)
    click.echo(f"\n{stopped} of {total} pictures are labelled down to a leaf", err=True)
    click.echo(f"{out}: model {found.bundle.version}", err=True)
