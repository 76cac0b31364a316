"""``fashion-cascade tune-thresholds``: where labels should stop, for a precision of your own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new bundle.")
@click.option(
    "--model",
    metavar="BUNDLE",
    envvar="FASHION_CASCADE_MODEL",
    help="The bundle to start from [the shipped one].",
)
@click.option("--split", help="Only this split of a manifest, say validation.")
@click.option("--precision", type=click.FloatRange(0.5, 0.999), default=0.98, show_default=True)
@click.option(
    "--decoding",
    type=click.Choice(["thresholds", "tree_distance"]),
    default="thresholds",
    show_default=True,
    help="tree_distance answers with the node expected to lie nearest to the truth.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def command(
    pictures: Path,
    out: Path,
    model: str | None,
    split: str | None,
    precision: float,
    decoding: str,
    form: str,
) -> None:
    """Fit thresholds to PICTURES and write a new bundle with them.

    PICTURES is a folder whose folders are labels, or a manifest CSV, of pictures that the bundle
    was not trained on. Prints each node's threshold and the coverage that it costs.

    \b
    Example:
      fashion-cascade tune-thresholds photos/manifest.csv --split validation --precision 0.95 \\
        --out looser
    """
    from cascade.bundle import SHIPPED, Bundle
    from cascade.data.dataset import decode_items, read_labelled
    from cascade.errors import BundleError, CascadeError
    from cascade.training.recalibrate import HEADER, retune, retuned_rows
    from rendering.text import text_table

    folder = Path(model or SHIPPED)
    try:
        bundle = Bundle.open(folder, verify=False)
        items = read_labelled(pictures, bundle.taxonomy, split)
        decoded = decode_items(items, bundle.preprocessing)
        found = retune(folder, decoded, out, precision, decoding)
    except BundleError as error:
        click.echo(f"fashion-cascade: {error}", err=True)
        raise click.exceptions.Exit(5) from error
    except CascadeError as error:
        raise click.UsageError(str(error)) from error
    if form == "json":
        nodes = {name: asdict(entry) for name, entry in found.nodes.items()}
        click.echo(json.dumps({"model": found.bundle.version, "nodes": nodes}, indent=1))
        return
    click.echo(text_table(HEADER, retuned_rows(found.nodes)))
    leaves = [found.nodes[leaf] for leaf in bundle.taxonomy.leaves]
    stopped, total = sum(e.answers for e in leaves), len(decoded)
    click.echo(f"\n{stopped} of {total} pictures are labelled down to a leaf", err=True)
    click.echo(f"{out}: model {found.bundle.version}", err=True)
