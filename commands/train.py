"""``fashion-cascade train``: labelled pictures in, a bundle out."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cascade.building import Material
    from cascade.dataset import Item
    from cascade.taxonomy import Taxonomy
    from cascade.training_settings import TrainingSettings


@click.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle's folder.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Where the state lies that a stopped run goes on from [OUT with -work behind it].",
)
@click.option("--architecture", type=click.Choice(["trunk", "two_convolutions"]), default="trunk")
@click.option("--form", type=click.Choice(["combined", "hierarchical"]), default="combined")
@click.option("--taxonomy", type=click.Path(exists=True), help="A tree of labels of your own.")
@click.option("--epochs", type=click.IntRange(1), help="[12; 30 for two_convolutions]")
@click.option("--seed", type=click.IntRange(0), default=2026, show_default=True)
@click.option("--limit-minutes", type=float, help="Stop after the last epoch that fits.")
@click.option(
    "--precision",
    type=click.FloatRange(0.5, 0.999),
    default=0.98,
    show_default=True,
    help="How often a label that stops at a node should be right.",
)
@click.option("--drawings", type=click.IntRange(0), default=0, help="Add N drawings a leaf.")
@click.option("--terms", default="", help="What the model card says of the pictures' terms.")
def command(
    pictures: Path,
    out: Path,
    work: Path | None,
    architecture: str,
    form: str,
    taxonomy: str | None,
    epochs: int | None,
    seed: int,
    limit_minutes: float | None,
    precision: float,
    drawings: int,
    terms: str,
) -> None:
    """Train a cascade on PICTURES and write it as a bundle.

    PICTURES is a manifest CSV (path, label, split, source, group) or a folder. Run the same
    command again after a stop, and it goes on where it was.

    \b
    Example:
      fashion-cascade train photos/manifest.csv --out my-bundle
      fashion-cascade train photos --out small --architecture two_convolutions --limit-minutes 30
    """
    from cascade.errors import CascadeError

    work = work or out.with_name(out.name + "-work")
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to stderr
    settings = _settings(architecture, form, epochs, seed, limit_minutes)
    try:
        from cascade.building import build_cascade

        material = replace(_material(pictures, taxonomy, work, drawings), terms=terms)
        bundle = build_cascade(material, settings, out, work, precision)
    except (CascadeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo((out / "MODEL_CARD.md").read_text(encoding="utf-8"), err=True)
    click.echo(f"{out}: model {bundle.version}")


def _settings(
    architecture: str, form: str, epochs: int | None, seed: int, limit_minutes: float | None
) -> TrainingSettings:
    from cascade.training_settings import settings_for

    settings = replace(
        settings_for(architecture), form=form, seed=seed, limit_minutes=limit_minutes
    )
    return settings if epochs is None else replace(settings, epochs=epochs)


def _material(pictures: Path, taxonomy: str | None, work: Path, drawings: int) -> Material:
    from cascade.building import Material
    from cascade.dataset import decode_items
    from cascade.images import Preprocessing
    from cascade.taxonomy import SHIPPED, Taxonomy

    tree = Taxonomy.load(taxonomy or SHIPPED)
    items = _items(pictures, tree)
    if drawings:
        items += _drawn(work / "drawings", tree, drawings)
    frame = Preprocessing()
    parts = [
        decode_items([item for item in items if item.split == split], frame)
        for split in ("train", "validation", "test")
    ]
    return Material(parts[0], parts[1], tree, parts[2], frame)


def _items(pictures: Path, tree: Taxonomy) -> list[Item]:
    """A manifest as it is; a folder by its folders train, validation and test."""
    from cascade.dataset import SPLITS, read_folder, read_manifest
    from cascade.errors import DatasetError

    if pictures.is_file():
        items = read_manifest(pictures, tree)
        if any(item.split is None for item in items):
            raise DatasetError(f"{pictures}: every line needs a split: {', '.join(SPLITS)}")
        return items
    if not (pictures / "train").is_dir():
        raise DatasetError(f"{pictures}: expected the folders {', '.join(SPLITS)} in it")
    return [
        item
        for split in SPLITS
        if (pictures / split).is_dir()
        for item in read_folder(pictures / split, tree, split)
    ]


def _drawn(folder: Path, tree: Taxonomy, number: int) -> list[Item]:
    from cascade.dataset import drawn_items
    from cascade.drawings import write_sample_crawl

    # another seed than the sample crawl: that one must stay unseen
    write_sample_crawl(folder, number, seed=7, junk=False, labelled=True)
    return drawn_items(folder, tree, "train")
