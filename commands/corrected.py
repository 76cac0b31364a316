"""The corrections of a catalogue, read and decoded for ``train --from-catalogue``."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from commands.common import exit_codes, opened

if TYPE_CHECKING:
    from cascade.data.dataset import Item, Pictures
    from cascade.pictures.decode import Loaded
    from cascade.pictures.preprocessing import Preprocessing
    from cascade.taxonomy import Taxonomy
    from db.records import Row

CHANGED = "changed since a person saw it"
CONTRADICTED = "the same bytes with different labels by people"
REPEATED = "the same bytes as another correction"
UNKNOWN = "a label that the tree does not have"


def corrected_rows(url: str) -> list[Row]:
    """The rows that a person labelled or confirmed.

    Raises:
        click.UsageError: there are none.
    """
    from db.queries import Filter, rows

    with opened(url) as catalogue:
        found = list(rows(catalogue.engine, Filter(corrected=True)))
    if not found:
        raise click.UsageError(
            "nobody has corrected or confirmed a label of this catalogue yet: "
            "fashion-cascade review sheet, then review apply"
        )
    return found


def corrected_labels(rows: Iterable[Row]) -> list[str]:
    """The labels that people gave."""
    return sorted({row.human_label for row in rows if row.human_label is not None})


def corrected_pictures(
    rows: Sequence[Row], taxonomy: Taxonomy, preprocessing: Preprocessing
) -> Pictures:
    """Decode what can be trained on; says on standard error how many cannot, and why.

    A picture must lie in the setting `roots`, where it names any, and must still be the bytes that
    the person saw. Pictures of one product of a shop share a group.

    Raises:
        DatasetError: none is left.
    """
    import numpy as np

    from cascade.data.dataset import Pictures
    from cascade.errors import DatasetError

    left_out: Counter[str] = Counter()
    chosen = _chosen(rows, taxonomy, left_out)
    items, pixels = [], []
    for (item, row), loaded in zip(chosen, _loaded(chosen, preprocessing), strict=True):
        if loaded.pixels is None:
            left_out[loaded.reason or "unreadable"] += 1
        elif row.content_hash not in (None, loaded.content_hash):
            left_out[CHANGED] += 1
        else:
            items.append(item)
            pixels.append(loaded.pixels)
    said = f"{len(items):,} of {len(rows):,} corrections can be trained on"
    reasons = "".join(f"\n  left out, {reason}: {n}" for reason, n in left_out.most_common())
    click.echo(said + reasons, err=True)
    if not items:
        raise DatasetError(f"none of {len(rows)} corrections can be trained on: see above")
    return Pictures(tuple(items), np.stack(pixels))


def _chosen(
    rows: Sequence[Row], taxonomy: Taxonomy, left_out: Counter[str]
) -> list[tuple[Item, Row]]:
    """One row for each content, with a label of the tree; the others are counted."""
    from cascade.data.dataset import Item
    from cascade.errors import TaxonomyError

    by_content: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_content[row.content_hash or f"row {row.id}"].append(row)
    chosen = []
    for alike in by_content.values():
        if len({row.human_label for row in alike}) > 1:
            left_out[CONTRADICTED] += len(alike)
            continue
        row, *again = alike
        if again:
            left_out[REPEATED] += len(again)
        try:
            label = taxonomy.parse(str(row.human_label))
        except TaxonomyError:
            left_out[UNKNOWN] += 1
            continue
        product = f"product {row.shop or ''} {row.product_id}" if row.product_id else ""
        chosen.append((Item(row.path, label, group=product), row))
    return chosen


def _loaded(chosen: Sequence[tuple[Item, Row]], preprocessing: Preprocessing) -> list[Loaded]:
    from db.records import FileState
    from worker.decode import Decoder, thread_count
    from worker.local import opener
    from worker.settings import resolve

    with exit_codes():
        settings = resolve(environ=os.environ).settings
        threads = thread_count(settings.decode_threads)
        with Decoder(opener(preprocessing), threads=threads, ahead=2 * threads) as decode:
            return list(decode((FileState(item.path) for item, _ in chosen), settings.roots))
