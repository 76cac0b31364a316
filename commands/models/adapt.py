"""``fashion-cascade adapt``: refit a bundle to a shop, from corrections."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.common import bundle_folder, exit_codes, load_settings, require_tensorflow
from commands.options import PRECISION, model_option, out_option
from worker.errors import ExitCode

if TYPE_CHECKING:
    from cascade.adaptation.adapt import Trial
    from cascade.evaluation.compare import PairedComparison

HEADER = ("measure", "before", "after", "95 % interval", "pictures", "better", "worse")


@click.command()
@click.option(
    "--from-catalogue",
    metavar="URL",
    required=True,
    help="The catalogue in which people corrected or confirmed labels.",
)
@click.option("--crawl", metavar="NAME", help="Only corrections of this crawl.")
@click.option("--shop", metavar="NAME", help="Only corrections of this shop.")
@out_option("Folder of the new bundle.")
@model_option
@click.option(
    "--precision",
    type=PRECISION,
    default=0.98,
    metavar="FRACTION",
    help="Share of correct labels to aim at, where a label stops, at home.",
)
def command(
    from_catalogue: str,
    crawl: str | None,
    shop: str | None,
    out: Path,
    model: str | None,
    precision: float,
) -> None:
    """Refit a bundle to a shop, from the corrections of a catalogue.

    Only the heads of the network change. The features of training pictures that the bundle carries
    are replayed, so that it forgets little. The tables show cross-validation over products: how the
    new heads label corrected pictures that they were not fitted to, and the bundle's own validation
    pictures. The figures are of the corrected pictures: if those were doubtful ones, the others are
    better.

    If it would not help, nothing is written and the exit code is 1. Take one shop or one crawl at a
    time: a mixture gains less. Files that are missing, changed or outside the setting `roots` are
    left out and counted.

    \b
    Example:
      fashion-cascade adapt --from-catalogue catalogue.db --crawl spring --out spring-bundle
      fashion-cascade relabel --all --model spring-bundle --diff
    """
    from cascade.bundle import Bundle
    from commands.corrected import corrected_pictures, corrected_rows
    from worker.native_libraries import suppress_startup_messages

    require_tensorflow("adapt")
    rows = corrected_rows(from_catalogue, crawl=crawl, shop=shop)
    with exit_codes(), suppress_startup_messages():
        from cascade.adaptation.adapt import (
            check_free,
            corrected_features,
            product_groups,
            try_out,
            write_adapted,
        )

        check_free(out)
        bundle = Bundle.open(bundle_folder(load_settings(model=model)))
        pictures = corrected_pictures(rows, bundle.taxonomy, bundle.preprocessing)
        features = corrected_features(bundle, pictures)
        trial = try_out(bundle, features, product_groups(pictures), precision)
        _print(trial)
        if not trial.helps:
            click.echo(_refusal(trial), err=True)
            raise click.exceptions.Exit(ExitCode.FAILED)
        lineage = {"crawl": crawl, "shop": shop, "adapted_on": datetime.now(UTC).date().isoformat()}
        made = write_adapted(bundle, trial, pictures, out, lineage)
    click.echo(f"{out}: model {made.version}, adapted from {bundle.version}")


def _print(trial: Trial) -> None:
    from rendering.text import text_table

    shop = f"{trial.corrections} corrected pictures of {trial.groups} products, cross-validated"
    for title, compared in ((shop, trial.shop), ("at home, validation pictures", trial.home)):
        click.echo(f"{title}\n{text_table(HEADER, _table_rows(compared))}\n")


def _table_rows(compared: list[PairedComparison]) -> list[list[str]]:
    from cascade.evaluation.tables import percent, rate_cells

    return [
        [
            each.name,
            percent(each.second.value),
            percent(each.first.value),
            rate_cells(each.first)[1],
            str(each.first.count),
            str(each.only_first),
            str(each.only_second),
        ]
        for each in compared
        if each.first.count
    ]


def _refusal(trial: Trial) -> str:
    before, after = trial.right
    found = (
        f"nothing is written: with {trial.corrections} corrections it is not clear that adapting "
        f"helps ({before} corrected pictures have the right leaf now, {after} would)"
    )
    if before == trial.corrections:
        return f"{found}; every one is right already"
    if trial.needed is None:
        return f"{found}; correct more pictures, of the kinds that are wrong"
    return f"{found}; about {trial.needed} corrections might be enough"
