"""The pictures that `review pick` chooses."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np

    from cascade.bundle import Bundle
    from db.records import Row
    from worker.settings import Settings


def sampled(rows: Iterable[Row], count: int, seed: int) -> list[Row]:
    """At most ``count`` rows, each equally likely, in constant memory (reservoir sampling)."""
    drawn: list[Row] = []
    source = random.Random(seed)
    for number, row in enumerate(rows):
        if number < count:
            drawn.append(row)
        elif (place := source.randrange(number + 1)) < count:
            drawn[place] = row
    return drawn


def picked_rows(
    rows: Sequence[Row],
    bundle: Bundle,
    settings: Settings,
    *,
    limit: int,
    random_share: float,
    seed: int,
) -> list[tuple[Row, bool]]:
    """The chosen rows, each with whether it was drawn at random; print what could not be read.

    Raises:
        BundleError: the bundle has no pooled features.
    """
    from cascade.adaptation.features import features_of, head_weights, read_adaptable
    from cascade.adaptation.pick import entropy, pick
    from cascade.adaptation.refit import logits_of
    from cascade.data.near_duplicates import merged_groups, near_duplicate_groups

    model = read_adaptable(bundle)
    kept, pixels = _decoded(rows, bundle, settings)
    if not kept:
        return []
    features = features_of(model, pixels)
    leaves = bundle.routing.leaf_probabilities(logits_of(head_weights(model), features))
    products = [f"{row.shop or ''} {row.product_id}" if row.product_id else "" for row in kept]
    groups = merged_groups(near_duplicate_groups(pixels), products)
    chosen = pick(features, entropy(leaves), groups, limit, random_share=random_share, seed=seed)
    return [(kept[each.row], each.at_random) for each in chosen]


def _decoded(
    rows: Sequence[Row], bundle: Bundle, settings: Settings
) -> tuple[list[Row], np.ndarray]:
    """The rows whose files can be read inside the roots, with their pixels."""
    import numpy as np

    from db.records import FileState
    from worker.decode import Decoder, decode_thread_count
    from worker.sources.row_files import row_loader

    threads = decode_thread_count(settings.decode_threads)
    kept, pixels, left_out = [], [], Counter[str]()
    with Decoder(row_loader(bundle.preprocessing), threads=threads, ahead=2 * threads) as decoder:
        states = (FileState(row.path) for row in rows)
        for row, loaded in zip(rows, decoder(states, roots=settings.roots), strict=True):
            if loaded.pixels is None:
                left_out[loaded.reason or "unreadable"] += 1
            else:
                kept.append(row)
                pixels.append(loaded.pixels)
    for reason, number in left_out.most_common():
        click.echo(f"left out, {reason}: {number}", err=True)
    return kept, np.stack(pixels) if pixels else np.zeros((0, 0, 0, 3), np.uint8)


def sheet_files(target: Path) -> tuple[Path, Path]:
    """The page and the table of a review sheet.

    Raises:
        click.UsageError: `target` is a pipe or a device.
    """
    from rendering.output import is_stream

    if is_stream(target):
        raise click.UsageError(f"expected a file name, as two files are written, received {target}")
    return target.with_suffix(".html"), target.with_suffix(".csv")
