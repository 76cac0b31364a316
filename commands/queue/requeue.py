"""``fashion-cascade requeue``: publish again what the ledger says is not finished."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from commands.common import catalogue_option, exit_codes, opened

if TYPE_CHECKING:
    from worker.settings import Settings


@click.command()
@catalogue_option
@click.option("--broker", "broker_url", metavar="URL", help="The queue [setting broker_url].")
@click.option("--crawl", metavar="NAME", help="Only this crawl [all].")
@click.option("--stale", metavar="AGE", help="Rows whose lease ran out longer ago: 30s, 10m, 2h.")
@click.option("--lost", is_flag=True, help="With --stale: also rows that nobody ever claimed.")
@click.option("--rejected", metavar="REASON", help="Rows that were rejected for this reason.")
@click.option("--roots", "asked_roots", metavar="A,B,…", help="Roots that the messages name.")
def command(
    *,
    catalogue_url: str | None,
    broker_url: str | None,
    crawl: str | None,
    stale: str | None,
    lost: bool,
    rejected: str | None,
    asked_roots: str | None,
) -> None:
    """Heal what a broker or a worker lost. Harmless to repeat: no picture is worked twice.

    --lost only does something while the queue is empty: before that, unclaimed rows are those
    whose messages still wait.

    \b
    Example:
      fashion-cascade requeue --stale 10m --lost
      fashion-cascade requeue --rejected missing --crawl spring
    """
    from db import ledger
    from worker.setting_types import duration_seconds
    from worker.settings import resolve

    if (stale is None) == (rejected is None):
        raise click.UsageError("name one of --stale AGE and --rejected REASON")
    if lost and stale is None:
        raise click.UsageError("--lost goes with --stale AGE")
    with exit_codes():
        age = duration_seconds(stale) if stale is not None else 0.0
        settings = resolve({"broker_url": broker_url}, environ=os.environ).settings
        if lost and not _is_empty(settings):
            click.echo("the queue is not empty: unclaimed rows are left to it", err=True)
            lost = False
        roots = tuple(asked_roots.split(",")) if asked_roots else ()
        with opened(catalogue_url) as catalogue:
            for name in [crawl] if crawl else ledger.crawl_names(catalogue.engine):
                if rejected is not None:
                    paths = ledger.reopen_rejected(catalogue.engine, name, rejected)
                    found: Iterable[tuple[str, str | None]] = ((path, None) for path in paths)
                else:
                    found = ledger.stale_paths(catalogue.engine, name, age, lost=lost)
                click.echo(f"{name}: {_publish(settings, name, found, roots)} pictures requeued")


def _is_empty(settings: Settings) -> bool:
    from worker.queue import broker

    return broker.queue_length(settings) + broker.unacknowledged(settings) == 0


def _publish(
    settings: Settings,
    crawl: str,
    found: Iterable[tuple[str, str | None]],
    roots: tuple[str, ...],
) -> int:
    from worker.enqueue import CeleryPublisher

    publisher, total = CeleryPublisher(settings), 0
    for model_version, paths in _shards(found, settings.shard_size):
        publisher.publish(crawl, paths, roots=roots, model_version=model_version, priority="normal")
        total += len(paths)
    return total


def _shards(
    found: Iterable[tuple[str, str | None]], size: int
) -> Iterator[tuple[str | None, list[str]]]:
    """Shards of paths that want the same model."""
    from db.chunks import chunks

    for chunk in chunks(found, size):
        by_model: dict[str | None, list[str]] = {}
        for path, model_version in chunk:
            by_model.setdefault(model_version, []).append(path)
        yield from by_model.items()
