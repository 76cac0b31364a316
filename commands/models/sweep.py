"""``fashion-cascade sweep``: hyperparameter search for the network of one decision."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import exit_codes, require_tensorflow, start_tensorflow
from commands.options import encoding_option, out_option, pictures_argument, seed_option
from commands.own_taxonomy import hint_at_folders, taxonomy_for, taxonomy_option


@click.command()
@pictures_argument
@click.option(
    "--node", metavar="NAME", required=True, help="The decision: a category, or 'primary'."
)
@out_option("Folder for logs and results.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=V,V",
    show_default="filter_size=3,5,7 and filters_number=32,64,96,128",
    help="Values to try; repeatable.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="Number of random combinations, instead of all of them.",
)
@click.option(
    "--architecture",
    type=click.Choice(["two_convolutions", "trunk"]),
    default="two_convolutions",
    help="The network.",
)
@click.option("--epochs", type=click.IntRange(1), default=10, help="Epochs of each trial.")
@seed_option
@taxonomy_option
@encoding_option
def command(
    pictures: Path,
    node: str,
    out: Path,
    params: tuple[str, ...],
    trials: int | None,
    architecture: str,
    epochs: int,
    seed: int,
    taxonomy: str | None,
    encoding: str | None,
) -> None:
    """Search hyperparameters for the network of one decision.

    PICTURES as for `train`. The trials are ranked by their validation pictures. Each trial is
    logged below OUT; an interrupted search is resumed by the same command. Names to try:
    filter_size, filters_number, second_filters, dense (none, 512, 512x256), dropout, l2,
    learning_rate, batch_size, balance, label_smoothing, augmentation (none, full), input_size
    (90x120), frozen_blocks and blocks (of the trunk's 16).

    \b
    Example:
      fashion-cascade sweep photos/manifest.csv --node glasses --out sweeps/glasses
      fashion-cascade sweep photos --node shoes --out s --param dense=none,512 --param dropout=0,0.5
      fashion-cascade sweep toys --taxonomy folders --node primary --out sweeps/toys
      tensorboard --logdir sweeps
    """
    require_tensorflow("sweep")
    start_tensorflow()
    from cascade.data.prepare import prepare
    from cascade.errors import CascadeError
    from cascade.pictures.decode import Preprocessing
    from cascade.training.sweep import (
        ORIGINAL_GRID,
        PicturesBySize,
        SweepPlan,
        parse_space,
        ranking,
        run_sweep,
    )
    from commands.progress_log import log_to_stderr

    log_to_stderr()
    with exit_codes(usage=(CascadeError, ValueError)):
        tree, preprocessing = taxonomy_for(pictures, taxonomy), Preprocessing()
        decisions = {decision.node or "primary": decision for decision in tree.decisions()}
        if node not in decisions:
            own = "; for categories of your own, add --taxonomy folders" if not taxonomy else ""
            raise click.UsageError(
                f"--node: expected one of {', '.join(decisions)}, received {node!r}{own}"
            )
        space = parse_space(params) or ORIGINAL_GRID
        plan = SweepPlan(decisions[node], tree, space, architecture, epochs, seed, trials)
        with hint_at_folders(pictures, taxonomy):
            splits = prepare(pictures, tree, preprocessing, seed, encoding=encoding)
        sizes = PicturesBySize(splits.train, splits.validation, preprocessing)
        ranked = run_sweep(plan, sizes, out)
    click.echo(ranking(ranked), nl=False)
    click.echo(f"show the logs:  tensorboard --logdir {out}", err=True)
