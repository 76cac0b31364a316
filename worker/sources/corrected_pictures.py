"""Decode pictures with labels that people corrected or confirmed, as training data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from db.records import FileState

if TYPE_CHECKING:
    from cascade.data.dataset import Item, Pictures
    from cascade.pictures.decode import Loaded
    from cascade.taxonomy import Taxonomy
    from db.records import Row

CHANGED = "changed since a person saw it"
CONTRADICTED = "the same bytes with different labels by people"
REPEATED = "the same bytes as another correction"
UNKNOWN = "a label that the tree does not have"


def decode_corrections(
    rows: Sequence[Row],
    taxonomy: Taxonomy,
    decode: Callable[[Iterable[FileState]], Iterator[Loaded]],
) -> tuple[Pictures | None, Counter[str]]:
    """Decode the corrections that can be used for training.

    The file must still have the bytes that the person saw. Pictures of one product of a shop get
    the same group.

    Args:
        rows: catalogue rows with a `human_label`.
        taxonomy: the labels must be part of it.
        decode: decodes files in order.

    Returns:
        The pictures, None if none is left; and the number of unusable rows by reason.
    """
    import numpy as np

    from cascade.data.dataset import Pictures

    left_out: Counter[str] = Counter()
    chosen = _one_row_per_content(rows, taxonomy, left_out)
    decoded = decode(FileState(item.path) for item, _ in chosen)
    items, pixels = [], []
    for (item, row), loaded in zip(chosen, decoded, strict=True):
        if loaded.pixels is None:
            left_out[loaded.reason or "unreadable"] += 1
        elif row.content_hash not in (None, loaded.content_hash):
            left_out[CHANGED] += 1
        else:
            items.append(item)
            pixels.append(loaded.pixels)
    return (Pictures(tuple(items), np.stack(pixels)) if items else None), left_out


def _one_row_per_content(
    rows: Sequence[Row], taxonomy: Taxonomy, left_out: Counter[str]
) -> list[tuple[Item, Row]]:
    """Choose one row per content hash, with a label of the taxonomy; count the others."""
    from cascade.data.dataset import Item
    from cascade.errors import TaxonomyError

    by_content: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_content[row.content_hash or f"row {row.id}"].append(row)
    chosen = []
    for same in by_content.values():
        if len({row.human_label for row in same}) > 1:
            left_out[CONTRADICTED] += len(same)
            continue
        row, *repeated = same
        if repeated:
            left_out[REPEATED] += len(repeated)
        try:
            label = taxonomy.parse(str(row.human_label))
        except TaxonomyError:
            left_out[UNKNOWN] += 1
            continue
        product = f"product {row.shop or ''} {row.product_id}" if row.product_id else ""
        chosen.append((Item(row.path, label, group=product), row))
    return chosen
