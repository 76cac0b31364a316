"""``fashion-cascade tune-thresholds``: fit the thresholds of a bundle to a precision."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from commands.common import bundle_folder, exit_codes, load_settings
from commands.options import (
    PRECISION,
    encoding_option,
    format_option,
    model_option,
    out_option,
    pictures_argument,
    split_option,
)


@click.command()
@pictures_argument
@out_option("Folder of the new bundle.")
@model_option
@split_option
@encoding_option
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
@click.option(
    "--without-source",
    "without",
    metavar="PATTERN",
    multiple=True,
    help="Leave out the sources of the manifest that match; repeatable.",
)
@click.option(
    "--shop",
    "shops",
    metavar="PATTERNS",
    multiple=True,
    help="A shop that the bundle never saw, by its sources, with commas; give two or more.",
)
@click.option(
    "--familiar",
    type=PRECISION,
    metavar="FRACTION",
    show_default="all pictures",
    help="Share of PICTURES to find familiar; others need a review, however sure the label is.",
)
@click.option(
    "--guarantee",
    type=PRECISION,
    metavar="FRACTION",
    show_default="the precision is aimed at",
    help="Confidence at which the sure labels reach the precision: 0.95.",
)
@format_option("table", "json")
def command(
    pictures: Path,
    out: Path,
    model: str | None,
    split: str | None,
    encoding: str | None,
    precision: float,
    decoding: str,
    without: tuple[str, ...],
    shops: tuple[str, ...],
    familiar: float | None,
    guarantee: float | None,
    output_format: str,
) -> None:
    """Fit thresholds to PICTURES and write a new bundle.

    PICTURES is a folder whose folders are labels, or a manifest CSV. Use pictures that the bundle
    was not trained on. Prints the threshold and the coverage of each node.

    With --shop, thresholds must also hold in shops that the bundle never saw, in which every shop
    counts alike. All splits of those shops are used; --split is for the other sources, the shops of
    training. Prints how many labels are sure and how many of them are right, at home and in each
    shop, measured with thresholds that were fitted without it.

    With --guarantee, half of the products choose the order in which strictnesses are tried, and the
    other half tests them: of pictures like these, the sure labels reach the precision with that
    confidence. It costs coverage. For 98 % it needs 149 sure labels to test, at least. Without it,
    the precision is aimed at.

    With --familiar, labels of pictures that are unlike PICTURES by their logits need a review: a
    cascade is often sure and wrong about those. With --shop, PICTURES are here those of the shops
    of training.

    \b
    Example:
      fashion-cascade tune-thresholds photos/manifest.csv --split validation --precision 0.95 \\
        --out looser
      fashion-cascade tune-thresholds photos/manifest.csv --split validation --familiar 0.95 \\
        --out cautious
      fashion-cascade tune-thresholds photos/manifest.csv --split validation \\
        --shop 'north_*' --shop south --shop 'east,west' --out stricter
      fashion-cascade tune-thresholds photos/manifest.csv --split validation --guarantee 0.95 \\
        --out guaranteed
    """
    from cascade.bundle import Bundle
    from cascade.data.dataset import decode_items, read_labelled, without_sources
    from cascade.data.shops import items_across_shops
    from cascade.errors import TaxonomyError
    from cascade.training.across_shops import SHOP_HEADER, recalibrate_across_shops, shop_rows
    from cascade.training.recalibrate import HEADER, recalibrate, threshold_rows
    from rendering.text import text_table

    if guarantee is not None and (shops or familiar is not None):
        raise click.UsageError("--guarantee goes with neither --shop nor --familiar: leave it out")
    content: dict[str, Any] = {}
    kept = None
    with exit_codes(usage=(TaxonomyError,)):
        folder = bundle_folder(load_settings(model=model))
        bundle = Bundle.open(folder, verify=False)
        if shops:
            items = read_labelled(pictures, bundle.taxonomy, encoding=encoding)
            items = without_sources(items, without)
            items = items_across_shops(items, shops, split)
            decoded = decode_items(items, bundle.preprocessing)
            tuned, across = recalibrate_across_shops(
                folder, decoded, out, precision, shops, decoding=decoding, familiar=familiar
            )
            nodes, total = across.nodes, across.pictures_elsewhere
            content = {"sure": across.to_json()}
            if output_format == "table":
                click.echo(text_table(SHOP_HEADER, shop_rows(across)) + "\n")
        else:
            items = read_labelled(pictures, bundle.taxonomy, split, encoding=encoding)
            items = without_sources(items, without)
            decoded = decode_items(items, bundle.preprocessing)
            found = recalibrate(
                folder, decoded, out, precision, decoding, familiar=familiar, guarantee=guarantee
            )
            kept = found.guarantee
            tuned, nodes, total = found.bundle, found.nodes, len(decoded)
    if output_format == "json":
        if kept is not None:
            content["guarantee"] = asdict(kept)
        content |= {"nodes": {name: asdict(entry) for name, entry in nodes.items()}}
        click.echo(json.dumps({"model": tuned.version, **content}, indent=1))
        return
    if kept is not None:
        click.echo(
            f"guaranteed with {100 * kept.confidence:g} % confidence: of such pictures, "
            f"{100 * kept.precision:g} % of the sure labels are right; tested on {kept.tested} "
            f"pictures, {kept.sure} of them sure, {kept.right} right"
        )
        click.echo(f"{out}: model {tuned.version}", err=True)
        return
    click.echo(text_table(HEADER, threshold_rows(nodes)))
    leaves = [nodes[leaf] for leaf in bundle.taxonomy.leaves]
    stopped = sum(entry.answers for entry in leaves)
    click.echo(f"\n{stopped} of {total} pictures are labelled down to a leaf", err=True)
    click.echo(f"{out}: model {tuned.version}", err=True)
