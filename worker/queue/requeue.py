"""Publishes unfinished rows again, in shards of one model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

from db.chunks import chunks
from db.ledger import Reopened
from db.writes.backend_digests import Digests
from worker.enqueue import CeleryPublisher, Publisher
from worker.queue import broker
from worker.settings import Settings


def queue_is_empty(settings: Settings) -> bool:
    """Whether no message is waiting and none is unacknowledged."""
    return broker.queue_length(settings) + broker.unacknowledged(settings) == 0


def publish_again(
    settings: Settings,
    crawl: str,
    found: Iterable[tuple[str, str | None]],
    roots: tuple[str, ...] = (),
    digests: Mapping[str, Digests] | None = None,
) -> int:
    """Publish (path, model version) pairs of a crawl and return the number of paths.

    `digests` are those of the last `enqueue` (`db.writes.backend_digests.known`).
    """
    total = 0
    with closing(CeleryPublisher(settings, digests)) as publisher:
        for model_version, paths in shards_by_model(found, settings.shard_size):
            publisher.publish(
                crawl, paths, roots=roots, model_version=model_version, priority="normal"
            )
            total += len(paths)
    return total


def publish_reopened(publisher: Publisher, rows: Iterable[Reopened], shard_size: int) -> None:
    """Publish rows that were rejected or quarantined, each for the model that it had.

    Quarantined ones get a shard each, so that another crash affects no other picture.
    """
    shards: dict[tuple[str, str, str | None], list[str]] = {}
    for row in rows:
        shards.setdefault((row.status, row.crawl, row.model_version), []).append(row.path)
    for (status, crawl, model_version), found in shards.items():
        for paths in chunks(found, 1 if status == "quarantined" else shard_size):
            publisher.publish(
                crawl, paths, roots=(), model_version=model_version, priority="normal"
            )


def shards_by_model(
    found: Iterable[tuple[str, str | None]], size: int
) -> Iterator[tuple[str | None, list[str]]]:
    """Shards of at most `size` paths that ask for the same model."""
    for chunk in chunks(found, size):
        by_model: dict[str | None, list[str]] = {}
        for path, model_version in chunk:
            by_model.setdefault(model_version, []).append(path)
        yield from by_model.items()
