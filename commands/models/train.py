"""``fashion-cascade train``: train a bundle on labelled pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import exit_codes, require_tensorflow, start_tensorflow
from commands.options import (
    EXISTING_FOLDER,
    EXISTING_PATH,
    NEW_FILE,
    NEW_PATH,
    PRECISION,
    encoding_option,
    out_option,
    seed_option,
)
from commands.own_taxonomy import hint_at_folders, load_taxonomy, taxonomy_for, taxonomy_option

if TYPE_CHECKING:
    from cascade.data.prepare import DatasetSplits
    from cascade.pictures.decode import Preprocessing
    from cascade.taxonomy import Taxonomy
    from cascade.training.build import TrainingData


def _list_experiments(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from cascade.training.experiments import EXPERIMENTS, description_line

        for name in EXPERIMENTS:
            click.echo(description_line(name))
        context.exit()


@click.command()
@click.argument("pictures", type=EXISTING_PATH, required=False)
@click.option(
    "--from-catalogue",
    metavar="URL",
    help="Train on the corrections in this catalogue, alone or in addition to PICTURES.",
)
@click.option(
    "--without-source",
    "without",
    metavar="PATTERN",
    multiple=True,
    help="Leave out the sources of a manifest that match, such as 'zappos_*'; repeatable.",
)
@out_option("Folder of the new bundle.")
@click.option(
    "--work",
    type=NEW_PATH,
    show_default="OUT-work",
    help="Folder for the state that an interrupted training is resumed from.",
)
@click.option(
    "--experiment",
    metavar="NAME",
    default="trunk",
    help="The networks: trunk, or an experiment of the original project.",
)
@click.option(
    "--list-experiments",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_experiments,
    help="List the experiments and exit.",
)
@click.option(
    "--form",
    type=click.Choice(["combined", "hierarchical"]),
    show_default="combined",
    help="One decision for gender and type together, or one for each.",
)
@taxonomy_option
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    show_default="of the experiment",
    help="Number of epochs.",
)
@click.option(
    "--input-size", metavar="WxH", show_default="90x120", help="Size that pictures are scaled to."
)
@click.option(
    "--teacher",
    "teachers",
    type=EXISTING_FOLDER,
    metavar="BUNDLE",
    multiple=True,
    help="Bundle to distil from; repeat it to use the mean of several.",
)
@click.option(
    "--teacher-views",
    is_flag=True,
    help="Ask teachers of another input size about each picture as it is shown, changed at random, "
    "instead of once about each original: better soft labels, slower.",
)
@click.option(
    "--teacher-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    metavar="FRACTION",
    help="Share of the loss that comes from the teachers.",
)
@click.option(
    "--start-from",
    type=EXISTING_FOLDER,
    metavar="BUNDLE",
    show_default="the ImageNet weights",
    help="Bundle whose weights the network starts from.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="RATE",
    show_default="of the experiment",
    help="Greatest learning rate.",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Number of trainings to average; each uses the next seed.",
)
@seed_option
@click.option(
    "--limit-minutes",
    type=float,
    metavar="MINUTES",
    help="Stop after the last epoch that fits into this time.",
)
@click.option(
    "--precision",
    type=PRECISION,
    default=0.98,
    metavar="FRACTION",
    help="Share of correct labels to reach at each node.",
)
@click.option(
    "--drawings", type=click.IntRange(0), default=0, metavar="N", help="Drawings to add per leaf."
)
@click.option(
    "--terms", default="", metavar="TEXT", help="Terms of use of the pictures, for the model card."
)
@click.option(
    "--head-only",
    is_flag=True,
    help="Fit the heads alone, on a trunk that stays as it is: a first answer in about a minute.",
)
@click.option(
    "--suspects",
    type=NEW_FILE,
    metavar="REPORT",
    help="Write a page of labels that are likely wrong, before training.",
)
@encoding_option
def command(
    pictures: Path | None,
    from_catalogue: str | None,
    without: tuple[str, ...],
    out: Path,
    work: Path | None,
    experiment: str,
    form: str | None,
    taxonomy: str | None,
    epochs: int | None,
    input_size: str | None,
    teachers: tuple[Path, ...],
    teacher_views: bool,
    teacher_share: float,
    start_from: Path | None,
    learning_rate: float | None,
    runs: int,
    seed: int,
    limit_minutes: float | None,
    precision: float,
    drawings: int,
    terms: str,
    head_only: bool,
    suspects: Path | None,
    encoding: str | None,
) -> None:
    """Train a cascade on PICTURES and write it as a bundle.

    PICTURES is one of: a folder whose folders are labels (shoes/female/sandals/*.jpg), or that
    contains train, validation and test with such folders; a manifest CSV (path, label[, split,
    source, group]); a .npz file with the arrays images, labels and genders. If there are no splits,
    they are made so that near-duplicates stay together. An interrupted training is resumed by the
    same command.

    --from-catalogue trains on the labels that people gave or confirmed in review. In addition to
    PICTURES, they change neither validation nor test: near-duplicates of those pictures, and other
    pictures of the same products, are left out.

    --head-only passes each picture through the trunk once or twice and fits linear heads to its
    features. The trunk is that of ImageNet or of the shipped bundle, whichever suits validation
    better. A whole training is better and takes longer.

    --suspects shows labels of PICTURES that heads on the features of the shipped bundle, fitted
    without them, find improbable. Correct them and train again, or stop and correct them first.

    \b
    Example:
      fashion-cascade train photos/manifest.csv --out my-bundle
      fashion-cascade train photos --out small --experiment original --limit-minutes 30
      fashion-cascade train toys --taxonomy folders --head-only --out first-bundle
      fashion-cascade train toys --taxonomy folders --out toys-bundle
      fashion-cascade train photos/manifest.csv --from-catalogue catalogue.db --out next-bundle
    """
    if pictures is None and from_catalogue is None:
        raise click.UsageError("train on what? Expected PICTURES, --from-catalogue URL, or both")
    require_tensorflow("train")
    start_tensorflow()
    from cascade.errors import CascadeError
    from cascade.training.experiments import experiment_settings
    from commands.progress_log import log_to_stderr

    work = work or out.with_name(out.name + "-work")
    log_to_stderr()
    with exit_codes(usage=(CascadeError, ValueError)):
        from cascade.bundle import add_card_section
        from cascade.evaluation.doubts import doubts
        from cascade.networks.architectures import Architecture
        from cascade.training.build import build_cascade

        settings = replace(
            experiment_settings(experiment), seed=seed, runs=runs, limit_minutes=limit_minutes
        )
        if head_only:
            _check_head_only(
                epochs=epochs, runs=runs, teacher=teachers, limit_minutes=limit_minutes
            )
            network = settings.architecture
            options = {name: each for name, each in network.options.items() if name != "drop_path"}
            plain = Architecture(network.name, options)
            settings = replace(settings, head_only=True, architecture=plain)
        settings = settings if epochs is None else replace(settings, epochs=epochs)
        settings = settings if form is None else replace(settings, form=form)
        if learning_rate is not None:
            settings = replace(settings, learning_rate=learning_rate)
        preprocessing = _parse_input_size(input_size)
        with hint_at_folders(pictures, taxonomy):
            sources = (pictures, from_catalogue, taxonomy, encoding)
            splits, tree = _prepare_splits(*sources, seed, preprocessing, without)
        if suspects is not None:
            from commands.suspected import write_suspects

            parts = [part for part in (splits.train, splits.validation, splits.test) if len(part)]
            write_suspects(suspects, parts, tree, settings.form)
        data = replace(_training_data(splits, tree, work, drawings, preprocessing), terms=terms)
        if teachers:
            from cascade.training.distillation import with_teachers

            settings = replace(
                settings, teacher_views=teacher_views, distillation_weight=teacher_share
            )
            data, settings = with_teachers(data, settings, teachers)
        if start_from is not None:
            from cascade.training.build import with_start

            data, settings = with_start(data, settings, start_from)
        bundle = build_cascade(data, settings, out, work, precision)
        found = doubts(bundle.manifest["training"], bundle.manifest["figures"], tree.out_of_scope)
        if found:
            add_card_section(out, "Doubtful", " ".join(found))
    for line in _headline(bundle.manifest["figures"]):
        click.echo(line, err=True)
    click.echo(f"the rest is in {out / 'MODEL_CARD.md'}", err=True)
    for sentence in found:
        click.echo(f"warning: {sentence}", err=True)
    click.echo(f"{out}: model {bundle.version}")


HEADLINE = ("primary", "leaf, in scope", "labels without review", "labels without review right")


def _headline(figures: Mapping[str, Any]) -> list[str]:
    """The most important figures of a bundle, on test pictures or else on validation pictures."""
    split = "test" if "test" in figures else "validation"
    rates = figures[split]["rates"]
    width = max(map(len, HEADLINE))
    return [f"{split}, {figures[split]['pictures']:,} pictures:"] + [
        f"  {name:<{width}}  {rates[name]['right']:,} / {rates[name]['count']:,}"
        + (f"  {rates[name]['value']:.1%}" if rates[name]["count"] else "")
        for name in HEADLINE
        if name in rates
    ]


def _check_head_only(**others: object) -> None:
    """Refuse options of a training by epochs."""
    given = [name for name, value in others.items() if value not in (None, 1, ())]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"--head-only trains no epochs: leave out {options}")


def _prepare_splits(
    pictures: Path | None,
    from_catalogue: str | None,
    taxonomy: str | None,
    encoding: str | None,
    seed: int,
    preprocessing: Preprocessing,
    without: tuple[str, ...],
) -> tuple[DatasetSplits, Taxonomy]:
    """The pictures by split, and their taxonomy."""
    from cascade.data.corrected_pictures import (
        prepare_corrections,
        taxonomy_of_labels,
        with_corrections,
    )
    from cascade.data.prepare import prepare
    from commands.corrected import corrected_labels, corrected_pictures, corrected_rows

    if from_catalogue is None:
        assert pictures is not None
        tree = taxonomy_for(pictures, taxonomy)
        return prepare(
            pictures, tree, preprocessing, seed, encoding=encoding, without=without
        ), tree
    rows = corrected_rows(from_catalogue)
    if pictures is None:
        if taxonomy == "folders":
            tree = taxonomy_of_labels(corrected_labels(rows))
        else:
            tree = load_taxonomy(taxonomy)
        corrections = corrected_pictures(rows, tree, preprocessing)
        return prepare_corrections(corrections, tree, seed), tree
    tree = taxonomy_for(pictures, taxonomy)
    corrections = corrected_pictures(rows, tree, preprocessing)
    splits = prepare(pictures, tree, preprocessing, seed, encoding=encoding, without=without)
    splits, added = with_corrections(splits, corrections)
    click.echo(
        f"{added.trained:,} corrections are trained on; they replace {added.replaced:,} labels of "
        f"the same pictures; {added.held_out:,} are left out: near-duplicates of validation or "
        "test pictures, or of the same products",
        err=True,
    )
    return splits, tree


def _training_data(
    splits: DatasetSplits, tree: Taxonomy, work: Path, drawings: int, preprocessing: Preprocessing
) -> TrainingData:
    from cascade.data.prepare import with_drawings
    from cascade.training.build import TrainingData

    train = splits.train
    if drawings:
        train = with_drawings(train, tree, preprocessing, work / "drawings", drawings)
    return TrainingData(train, splits.validation, tree, splits.test, preprocessing)


def _parse_input_size(size: str | None) -> Preprocessing:
    from cascade.pictures.decode import Preprocessing

    if size is None:
        return Preprocessing()
    parts = size.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) >= 16 for part in parts):
        raise ValueError(f"--input-size: expected WIDTHxHEIGHT of 16 or more, received {size!r}")
    return Preprocessing(width=int(parts[0]), height=int(parts[1]))
