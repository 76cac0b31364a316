"""The corrections of a catalogue, for ``train --from-catalogue`` and ``adapt``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from commands.common import exit_codes, open_catalogue

if TYPE_CHECKING:
    from cascade.data.dataset import Pictures
    from cascade.pictures.preprocessing import Preprocessing
    from cascade.taxonomy import Taxonomy
    from db.records import Row


def corrected_rows(url: str, *, crawl: str | None = None, shop: str | None = None) -> list[Row]:
    """The rows that a person corrected or confirmed, of one crawl or shop if it is named.

    Raises:
        click.UsageError: there are none, or there is no such crawl.
    """
    from commands.filters import check_filter
    from db.queries import Filter, rows

    with open_catalogue(url) as catalogue:
        wanted = Filter(corrected=True, crawl=crawl, shop=shop)
        wanted = check_filter(catalogue.engine, wanted, work=True)
        found = list(rows(catalogue.engine, wanted))
    if not found:
        where = f"crawl {crawl!r}" if crawl else f"shop {shop!r}" if shop else "this catalogue"
        raise click.UsageError(
            f"nobody has corrected or confirmed a label of {where} yet: "
            "fashion-cascade review sheet, then review apply"
        )
    return found


def corrected_labels(rows: Iterable[Row]) -> list[str]:
    """The labels that people gave."""
    return sorted({row.human_label for row in rows if row.human_label is not None})


def corrected_pictures(
    rows: Sequence[Row], taxonomy: Taxonomy, preprocessing: Preprocessing
) -> Pictures:
    """Decode the corrections that can be used for training; print how many cannot, and why.

    A picture must be inside one of the folders of the setting `roots`, if it names any.

    Raises:
        DatasetError: none is left.
    """
    from cascade.errors import DatasetError
    from worker.decode import Decoder, decode_thread_count
    from worker.settings import resolve
    from worker.sources.corrected_pictures import decode_corrections
    from worker.sources.row_files import row_loader

    with exit_codes():
        settings = resolve(environ=os.environ).settings
        threads = decode_thread_count(settings.decode_threads)
        load = row_loader(preprocessing)
        with Decoder(load, threads=threads, ahead=2 * threads) as decoder:
            decode = partial(decoder, roots=settings.roots)
            pictures, left_out = decode_corrections(rows, taxonomy, decode)
    count = len(pictures) if pictures else 0
    click.echo(f"{count:,} of {len(rows):,} corrections can be trained on", err=True)
    for reason, number in left_out.most_common():
        click.echo(f"  left out, {reason}: {number}", err=True)
    if pictures is None:
        raise DatasetError(f"none of {len(rows)} corrections can be trained on: see above")
    return pictures
