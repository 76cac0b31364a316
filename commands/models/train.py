"""``fashion-cascade train``: labelled pictures in, a bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cascade.data.prepare import DatasetSplits
    from cascade.pictures.decode import Preprocessing
    from cascade.taxonomy import Taxonomy
    from cascade.training.build import Material
    from cascade.training.settings import TrainingSettings


def _list_experiments(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from cascade.training.experiments import EXPERIMENTS, described

        for name in EXPERIMENTS:
            click.echo(described(name))
        context.exit()


@click.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--from-catalogue",
    metavar="URL",
    help="Train on people's labels in this catalogue: alone, or added to PICTURES.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle's folder.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Where the state lies that a stopped run goes on from [OUT with -work behind it].",
)
@click.option(
    "--experiment",
    metavar="NAME",
    default="trunk",
    show_default=True,
    help="The networks: trunk, or one of the original's.",
)
@click.option(
    "--list-experiments",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_experiments,
    help="Show the experiments and exit.",
)
@click.option("--form", type=click.Choice(["combined", "hierarchical"]), help="[combined]")
@click.option(
    "--taxonomy",
    metavar="FILE",
    help="A tree of labels of your own; 'folders' takes the folders as they are.",
)
@click.option("--epochs", type=click.IntRange(1), help="[as the experiment says]")
@click.option("--input-size", metavar="WxH", help="What pictures are fitted into [90x120].")
@click.option(
    "--teacher",
    "teachers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="BUNDLE",
    multiple=True,
    help="A bundle whose answers are learnt beside the labels; of several their mean.",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Train so often, each from the next seed, and average the weights.",
)
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
    pictures: Path | None,
    from_catalogue: str | None,
    out: Path,
    work: Path | None,
    experiment: str,
    form: str | None,
    taxonomy: str | None,
    epochs: int | None,
    input_size: str | None,
    teachers: tuple[Path, ...],
    runs: int,
    seed: int,
    limit_minutes: float | None,
    precision: float,
    drawings: int,
    terms: str,
) -> None:
    """Train a cascade on PICTURES and write it as a bundle.

    PICTURES is a folder whose folders are labels (shoes/female/sandals/*.jpg), or that holds train,
    validation and test with such folders; a manifest CSV (path, label[, split, source, group]); or
    a .npz with the arrays images, labels and genders. Without splits they are made, nearly
    identical pictures together. Run the same command again after a stop, and it goes on.

    With --from-catalogue, labels that people gave or confirmed in review are trained on. Added to
    PICTURES, they change neither validation nor test, and what is alike a picture of those, or of
    one product with it, is left out.

    \b
    Example:
      fashion-cascade train photos/manifest.csv --out my-bundle
      fashion-cascade train photos --out small --experiment original --limit-minutes 30
      fashion-cascade train toys --taxonomy folders --out toys-bundle
      fashion-cascade train photos/manifest.csv --from-catalogue catalogue.db --out next-bundle
    """
    if pictures is None and from_catalogue is None:
        raise click.UsageError("train on what? Name PICTURES, or --from-catalogue URL, or both")
    from cascade.errors import CascadeError
    from cascade.training.experiments import experiment_settings
    from commands.progress_log import log_to_stderr

    work = work or out.with_name(out.name + "-work")
    log_to_stderr()
    try:
        from cascade.training.build import build_cascade

        settings = replace(
            experiment_settings(experiment), seed=seed, runs=runs, limit_minutes=limit_minutes
        )
        settings = settings if epochs is None else replace(settings, epochs=epochs)
        settings = settings if form is None else replace(settings, form=form)
        frame = _frame(input_size)
        prepared, tree = _prepared(pictures, from_catalogue, taxonomy, seed, frame)
        material = replace(_material(prepared, tree, work, drawings, frame), terms=terms)
        if teachers:
            material, settings = _taught(material, settings, teachers)
        bundle = build_cascade(material, settings, out, work, precision)
    except (CascadeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo((out / "MODEL_CARD.md").read_text(encoding="utf-8"), err=True)
    click.echo(f"{out}: model {bundle.version}")


def _prepared(
    pictures: Path | None,
    from_catalogue: str | None,
    taxonomy: str | None,
    seed: int,
    frame: Preprocessing,
) -> tuple[DatasetSplits, Taxonomy]:
    """The pictures by split and the tree that they are labelled by."""
    from cascade.data.corrected_pictures import (
        prepare_corrections,
        taxonomy_of_labels,
        with_corrections,
    )
    from cascade.data.prepare import prepare
    from commands.corrected import corrected_labels, corrected_pictures, corrected_rows

    if from_catalogue is None:
        assert pictures is not None
        tree = _tree(pictures, taxonomy)
        return prepare(pictures, tree, frame, seed), tree
    rows = corrected_rows(from_catalogue)
    if pictures is None:
        by_folders = taxonomy == "folders"
        tree = taxonomy_of_labels(corrected_labels(rows)) if by_folders else _loaded(taxonomy)
        corrections = corrected_pictures(rows, tree, frame)
        return prepare_corrections(corrections, tree, seed), tree
    tree = _tree(pictures, taxonomy)
    corrections = corrected_pictures(rows, tree, frame)
    prepared = prepare(pictures, tree, frame, seed)
    prepared, added = with_corrections(prepared, corrections)
    click.echo(
        f"{added.trained:,} corrections are trained on, in the place of {added.replaced:,} of the "
        f"same pictures; {added.held_out:,} are not: they are alike validation or test pictures",
        err=True,
    )
    return prepared, tree


def _material(
    prepared: DatasetSplits, tree: Taxonomy, work: Path, drawings: int, frame: Preprocessing
) -> Material:
    from cascade.data.prepare import with_drawings
    from cascade.training.build import Material

    train = prepared.train
    if drawings:
        train = with_drawings(train, tree, frame, work / "drawings", drawings)
    return Material(train, prepared.validation, tree, prepared.test, frame)


def _taught(
    material: Material, settings: TrainingSettings, teachers: Sequence[Path]
) -> tuple[Material, TrainingSettings]:
    from cascade.training.distillation import Teachers, open_teacher, taught_by

    if not settings.architecture.shared:
        raise ValueError("--teacher: expected an experiment with one network for all decisions")
    cascades = [open_teacher(teacher) for teacher in teachers]
    decisions = material.taxonomy.decisions(settings.form)
    settings = replace(settings, teachers=tuple(cascade.version for cascade in cascades))
    frames = {(each.preprocessing.width, each.preprocessing.height) for each in cascades}
    if frames == {(material.preprocessing.width, material.preprocessing.height)}:
        return replace(material, teach=Teachers(cascades, decisions)), settings
    return replace(material, train=taught_by(cascades, material.train, decisions)), settings


def _frame(size: str | None) -> Preprocessing:
    from cascade.pictures.decode import Preprocessing

    if size is None:
        return Preprocessing()
    parts = size.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) >= 16 for part in parts):
        raise ValueError(f"--input-size: expected WIDTHxHEIGHT of 16 or more, received {size!r}")
    return Preprocessing(width=int(parts[0]), height=int(parts[1]))


def _tree(pictures: Path, taxonomy: str | None) -> Taxonomy:
    from cascade.data.prepare import taxonomy_of_folders

    return taxonomy_of_folders(pictures) if taxonomy == "folders" else _loaded(taxonomy)


def _loaded(taxonomy: str | None) -> Taxonomy:
    from cascade.taxonomy import SHIPPED, Taxonomy

    return Taxonomy.load(taxonomy or SHIPPED)
