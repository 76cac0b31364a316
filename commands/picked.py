"""The pictures that `review pick` chooses."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np
    from sqlalchemy.engine import Engine

    from cascade.bundle import Bundle
    from cascade.pictures.decode import Preprocessing
    from cascade.projection import Projection
    from db.records import Row
    from worker.settings import Settings


ALIKE = 0.97  # cosine from which one picture teaches what the other does


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
    engine: Engine,
    rows: Sequence[Row],
    bundle: Bundle,
    settings: Settings,
    *,
    limit: int,
    random_share: float,
    seed: int,
) -> list[tuple[Row, bool]]:
    """The chosen rows, each with whether it was drawn at random; print what could not be read.

    Rows that this model labelled and that have a vector of it are not read again.

    Raises:
        BundleError: the bundle has no pooled features.
    """
    import numpy as np

    from cascade.adaptation.pick import entropy, pick
    from cascade.data.near_duplicates import merged_groups

    vectors = _stored_vectors(engine, rows, bundle)
    ready = [row for row in rows if row.id in vectors]
    read = _read([row for row in rows if row.id not in vectors], bundle, settings)
    kept = [*ready, *read.rows]
    if not kept:
        return []
    stored = [vectors[row.id].astype(np.float32)[None] for row in ready]
    values = np.concatenate([*stored, read.values] if read.rows else stored)
    known = [np.array([*_probabilities(row).values()]) for row in ready]
    doubt = [float(entropy(shares[None])[0]) for shares in known]
    doubt += entropy(read.leaves).tolist() if read.rows else []
    products = [f"{row.shop or ''} {row.product_id}" if row.product_id else "" for row in kept]
    alike = _alike(values) if ready else [""] * len(kept)
    groups = merged_groups([""] * len(ready) + read.groups, alike, products)
    chosen = pick(values, np.array(doubt), groups, limit, random_share=random_share, seed=seed)
    return [(kept[each.row], each.at_random) for each in chosen]


@dataclass(frozen=True)
class _Read:
    """Rows whose files were read: values as of vectors, probabilities of leaves, groups."""

    rows: list[Row]
    values: np.ndarray
    leaves: np.ndarray
    groups: list[str]


def _read(rows: Sequence[Row], bundle: Bundle, settings: Settings) -> _Read:
    import numpy as np

    empty = np.zeros((0, 0), np.float32)
    if not rows:
        return _Read([], empty, empty, [])
    from cascade.adaptation.features import features_of, head_weights, read_adaptable
    from cascade.adaptation.refit import logits_of
    from cascade.data.near_duplicates import near_duplicate_groups

    model = read_adaptable(bundle)
    kept, pixels = decoded(rows, bundle.preprocessing, settings)
    if not kept:
        return _Read([], empty, empty, [])
    values = features_of(model, pixels)
    leaves = bundle.routing.leaf_probabilities(logits_of(head_weights(model), values))
    if (projection := _projection(bundle)) is not None:
        values = projection.vectors(values).astype(np.float32)
    return _Read(kept, values, leaves, near_duplicate_groups(pixels))


def _projection(bundle: Bundle) -> Projection | None:
    from cascade.bundle import PROJECTION
    from cascade.projection import Projection

    return Projection.open(bundle) if (bundle.folder / PROJECTION).is_file() else None


def _stored_vectors(engine: Engine, rows: Sequence[Row], bundle: Bundle) -> dict[int, np.ndarray]:
    """By id, the vectors of rows that this model labelled."""
    import numpy as np

    from db import features

    if (projection := _projection(bundle)) is None:
        return {}
    labelled = [row for row in rows if row.model_version == bundle.version and _probabilities(row)]
    hashes = [str(row.content_hash) for row in labelled]
    known = features.stored(engine, projection.digest, hashes)
    found = ((row.id, known.get(str(row.content_hash))) for row in labelled)
    return {number: np.frombuffer(each, np.int8) for number, each in found if each is not None}


def _probabilities(row: Row) -> dict[str, float]:
    found: dict[str, float] = json.loads(row.leaf_probabilities or "{}")
    return found


def _alike(values: np.ndarray) -> list[str]:
    """A group for each vector: those with a cosine of at least `ALIKE` to one another."""
    import numpy as np

    from db.features import VectorIndex

    index = VectorIndex.of("", np.arange(len(values)), values.astype(np.int8))
    return [str(first) for first in index.groups(ALIKE)]


def decoded(
    rows: Sequence[Row], preprocessing: Preprocessing, settings: Settings
) -> tuple[list[Row], np.ndarray]:
    """The rows whose files can be read inside the roots, with pixels; print what is left out."""
    import numpy as np

    from db.records import FileState
    from worker.decode import Decoder, decode_thread_count
    from worker.sources.row_files import row_loader

    threads = decode_thread_count(settings.decode_threads)
    kept, pixels, left_out = [], [], Counter[str]()
    with Decoder(row_loader(preprocessing), threads=threads, ahead=2 * threads) as decoder:
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
