"""``review suspects``, and the page of ``train --suspects``: labels that are likely wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import bundle_folder, exit_codes, load_settings, open_catalogue, write_page
from commands.filters import check_filter, filter_from_options, filter_options
from commands.options import catalogue_option, model_option, record_format_option
from commands.output import FORMATS, write_records
from rendering.text import counted

if TYPE_CHECKING:
    from cascade.data.dataset import Pictures
    from cascade.taxonomy import Taxonomy

COLUMNS = ("id", "label", "suggested", "confidence", "margin", "path")
MOST_SHOWN = 300  # on a page, with their pictures inside


@click.command()
@click.option(
    "--limit", type=click.IntRange(1), default=50, metavar="N", help="Maximum number of labels."
)
@click.option("--all", "all_", is_flag=True, help="Rank also labels that the model agrees with.")
@model_option
@filter_options
@record_format_option(*FORMATS)
@catalogue_option
def suspects(
    *,
    limit: int,
    all_: bool,
    model: str | None,
    output_format: str | None,
    catalogue_url: str | None,
    **filters: Any,
) -> None:
    """List labels of people that are likely wrong, the most likely first.

    Heads are refitted as by `adapt`, five times, each time without a fifth of the products; those
    that did not see a label judge it. The column confidence is their probability of the label,
    margin is that minus the probability of the best other leaf, which is suggested. At least ten
    products must have a label of a person. Their files are read again.

    \b
    Example:
      fashion-cascade review suspects --crawl spring --limit 20
    """
    from db.queries import rows

    with open_catalogue(catalogue_url) as catalogue:
        wanted = check_filter(catalogue.engine, filter_from_options(filters))
        corrected = list(rows(catalogue.engine, replace(wanted, corrected=True)))
    if not corrected:
        raise click.UsageError(
            "no matching picture has a label of a person: fashion-cascade review sheet, then "
            "review apply"
        )
    from cascade.errors import DatasetError
    from commands.corrected import corrected_pictures
    from worker.native_libraries import suppress_startup_messages

    with exit_codes(usage=(DatasetError,)), suppress_startup_messages():
        from cascade.adaptation.adapt import corrected_features, product_groups
        from cascade.adaptation.suspects import suspects_of_corrections
        from cascade.bundle import Bundle

        bundle = Bundle.open(bundle_folder(load_settings(model=model)))
        pictures = corrected_pictures(corrected, bundle.taxonomy, bundle.preprocessing)
        found = suspects_of_corrections(
            bundle,
            corrected_features(bundle, pictures),
            product_groups(pictures),
            least_margin=2.0 if all_ else 0.0,
        )
    by_path = {row.path: row for row in reversed(corrected)}
    records = (
        {
            "id": by_path[pictures.items[each.row].path].id,
            "label": pictures.items[each.row].label,
            "suggested": each.suggested,
            "confidence": round(each.confidence, 4),
            "margin": round(each.margin, 4),
            "path": pictures.items[each.row].path,
        }
        for each in found[:limit]
    )
    write_records(records, COLUMNS, output_format)
    click.echo(f"{counted(len(found), 'label')} of {len(pictures):,} are doubtful", err=True)


def write_suspects(target: Path, parts: Sequence[Pictures], taxonomy: Taxonomy, form: str) -> None:
    """Write a page of the labels of a training set that are likely wrong.

    Raises:
        BundleError: the pictures have another size than those of the shipped bundle.
        DatasetError: there are too few groups.
    """
    from cascade.adaptation.suspects import suspects_of_pictures
    from cascade.bundle import Bundle
    from rendering.html import jpeg_data_uri, render

    found = suspects_of_pictures(Bundle.open(), parts, taxonomy, form)
    places = [(part, row) for part in parts for row in range(len(part))]
    shown = []
    for each in found[:MOST_SHOWN]:
        part, row = places[each.row]
        shown.append(
            {
                "path": part.items[row].path,
                "label": part.items[row].label,
                "suggested": each.suggested,
                "confidence": f"{each.confidence:.2f}",
                "thumbnail": {"source": jpeg_data_uri(part.pixels[row]), "reason": None},
            }
        )
    count, total = counted(len(found), "doubtful label"), f"{len(places):,}"
    page = render("suspects.html", count=count, total=total, shown=shown)
    write_page(target, page)
    click.echo(f"{target}: {count} of {total} pictures", err=True)
