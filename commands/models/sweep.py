"""``fashion-cascade sweep``: which settings suit one decision, shown in TensorBoard."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option("--node", required=True, help="The decision: a category, or 'primary'.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Logs and results.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=V,V",
    help="Values to try [filter_size=3,5,7 and filters_number=32,64,96,128].",
)
@click.option("--trials", type=click.IntRange(1), help="So many at random instead of the grid.")
@click.option(
    "--architecture",
    type=click.Choice(["two_convolutions", "trunk"]),
    default="two_convolutions",
    show_default=True,
)
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=2026, show_default=True)
@click.option("--taxonomy", type=click.Path(exists=True), help="A tree of labels of your own.")
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
) -> None:
    """Train a network for one decision with many settings, and rank them on validation.

    PICTURES as for train. Each trial is logged below OUT; run the same command again after a stop,
    and it goes on. Names to try: filter_size, filters_number, second_filters, dense (none, 512,
    512x256), dropout, l2, learning_rate, batch_size, balance, label_smoothing, augmentation (none,
    full), input_size (90x120), frozen_blocks and blocks (of the trunk's 16).

    \b
    Example:
      fashion-cascade sweep photos/manifest.csv --node glasses --out sweeps/glasses
      fashion-cascade sweep photos --node shoes --out s --param dense=none,512 --param dropout=0,0.5
      tensorboard --logdir sweeps
    """
    from cascade.data.prepare import prepare
    from cascade.errors import CascadeError
    from cascade.pictures.decode import Preprocessing
    from cascade.taxonomy import SHIPPED, Taxonomy
    from cascade.training.sweep import (
        ORIGINAL_GRID,
        Frames,
        SweepPlan,
        parse_space,
        ranking,
        run_sweep,
    )
    from commands.progress_log import log_to_stderr

    log_to_stderr()
    try:
        tree, frame = Taxonomy.load(taxonomy or SHIPPED), Preprocessing()
        wanted = "" if node == "primary" else node
        decisions = {decision.node: decision for decision in tree.decisions()}
        if wanted not in decisions:
            raise click.UsageError(
                f"--node: expected primary or one of {', '.join(n for n in decisions if n)}"
            )
        space = parse_space(params) or ORIGINAL_GRID
        plan = SweepPlan(decisions[wanted], tree, space, architecture, epochs, seed, trials)
        prepared = prepare(pictures, tree, frame, seed)
        ranked = run_sweep(plan, Frames(prepared.train, prepared.validation, frame), out)
    except (CascadeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(ranking(ranked), nl=False)
    click.echo(f"see it all:  tensorboard --logdir {out}", err=True)
