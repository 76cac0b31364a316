"""What `query` finds by vectors: pictures similar to one, and near-duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rendering.text import counted

if TYPE_CHECKING:
    import numpy as np
    from sqlalchemy.engine import Engine

    from db.features import VectorIndex
    from db.filters import Filter
    from db.records import Row
    from worker.model_loader import Model
    from worker.settings import Settings

CANDIDATES = 0.9  # least cosine of pictures whose pixels are compared
MOST_AT_ONCE = 4000  # pictures of one group of candidates in memory, 32 KB each


def similar_records(
    engine: Engine, settings: Settings, path: Path, wanted: Filter, limit: int
) -> Iterator[tuple[Row, float]]:
    """The matching rows most like the picture in a file, with their cosines to four digits.

    Raises:
        ModelUnusable: the bundle has no directions of vectors.
        click.UsageError: the file is no picture that can be read.
    """
    from db.features import VectorIndex, similar
    from worker.model_loader import open_model

    model = open_model(settings.model, settings.backend, features=True)
    content_hash, vector = _vector_of(engine, model, path)
    index = VectorIndex.load(engine, str(model.feature_digest()))
    _say_missing(engine, index, wanted)
    found = similar(engine, index, vector, wanted, limit=limit, without=content_hash)
    yield from ((row, round(cosine, 4)) for row, cosine in found)


def _vector_of(engine: Engine, model: Model, path: Path) -> tuple[str, np.ndarray]:
    """The content hash and the vector of a file: the stored one, or worked out now."""
    import numpy as np

    from db import features
    from worker.sources.loading import file_loader

    loaded = file_loader(model.preprocessing)(str(path), ())
    if loaded.pixels is None:
        raise click.UsageError(
            f"{path}: expected a picture, received a file that is {loaded.reason}: {loaded.detail}"
        )
    content_hash = str(loaded.content_hash)
    known = features.stored(engine, str(model.feature_digest()), [content_hash]).get(content_hash)
    if known is None:
        (prediction,) = model.classify(loaded.pixels[None])
        known = prediction.vector or b""
    return content_hash, np.frombuffer(known, np.int8)


def near_duplicate_records(
    engine: Engine, settings: Settings, wanted: Filter
) -> Iterator[tuple[Row, int]]:
    """The rows of each group of near-duplicates, with the group's number from 1.

    Vectors choose which pictures to compare, and their pixels decide.
    """
    from cascade.data.near_duplicates import near_duplicate_groups
    from commands.picked import decoded
    from db.features import VectorIndex, groups_alike
    from worker.model_loader import open_model

    model = open_model(settings.model, settings.backend, features=True)
    index = VectorIndex.load(engine, str(model.feature_digest()))
    _say_missing(engine, index, wanted)
    numbers = count(1)
    for candidates in groups_alike(engine, index, wanted, least=CANDIDATES):
        for rows in _pieces(candidates):
            kept, pixels = decoded(rows, model.preprocessing, settings)
            by_group: dict[str, list[Row]] = {}
            for row, name in zip(kept, near_duplicate_groups(pixels), strict=True):
                by_group.setdefault(name, []).append(row)
            for same in by_group.values():
                if len(same) > 1:
                    number = next(numbers)
                    yield from ((row, number) for row in same)


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    if len(rows) > MOST_AT_ONCE:
        click.echo(
            f"{len(rows)} pictures look alike: they are compared {MOST_AT_ONCE} at a time, so "
            "near-duplicates in different parts are not found; narrow the filter",
            err=True,
        )
    for start in range(0, len(rows), MOST_AT_ONCE):
        yield rows[start : start + MOST_AT_ONCE]


def _say_missing(engine: Engine, index: VectorIndex, wanted: Filter) -> None:
    from db.features import missing

    if lacking := missing(engine, index.digest, wanted):
        click.echo(
            f"{counted(lacking, 'picture')} without a vector of this model, which cannot be found: "
            "add them with `fashion-cascade label --features`",
            err=True,
        )
