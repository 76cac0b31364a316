"""``fashion-cascade enqueue``: register pictures in the catalogue and put them into the queue."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import exit_codes, load_settings, warn_of_unreadable
from commands.options import (
    EXISTING_FILE,
    broker_option,
    catalogue_option,
    encoding_option,
    images_store_option,
    model_option,
    new_crawl_option,
    nul_option,
    setting_option,
    shop_from_option,
    shop_option,
)
from rendering.text import counted
from worker.errors import ExitCode

if TYPE_CHECKING:
    from db.records import PendingRow
    from worker.settings import Settings
    from worker.sources.scan import Source
    from worker.sources.shops import Shops


@click.command()
@click.argument("paths", nargs=-1)
@catalogue_option
@broker_option
@new_crawl_option
@shop_option
@shop_from_option
@click.option(
    "--manifest",
    type=EXISTING_FILE,
    help="CSV, JSON lines or Parquet file with the column path, optionally url, shop, product_id; "
    "or a feed of Scrapy.",
)
@images_store_option
@setting_option("--shard-size", "shard_size", "Paths in one message.", type=int, metavar="N")
@setting_option(
    "--max-queue-length",
    "max_queue_length",
    "Pause while more messages than this are waiting.",
    type=int,
    metavar="N",
)
@click.option(
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    default="normal",
    help="Priority of the messages.",
)
@model_option
@click.option("--follow", is_flag=True, help="Keep running and enqueue new files in the folders.")
@click.option("--dry-run", is_flag=True, help="Count the pictures and change nothing.")
@nul_option
@encoding_option
def command(
    paths: tuple[str, ...],
    *,
    crawl: str | None,
    manifest: Path | None,
    images_store: str | None,
    shop: str | None,
    shop_from: str | None,
    priority: str,
    follow: bool,
    dry_run: bool,
    nul: bool,
    encoding: str | None,
    **options: object,
) -> None:
    """Put pictures into the queue.

    PATHS are folders, zip and tar archives, files, URLs (s3://…), or - for a list on stdin.
    Unchanged files that this model has labelled before are not enqueued, so it is safe to repeat.
    Prints how many pictures were found and how many were enqueued. Exit code 1: a folder could not
    be read.

    A --manifest may be a feed of Scrapy (JSON lines, JSON or CSV with `images`): failed downloads
    become rows with the reason not_downloaded.

    Pictures of a shop with a rule (`models use VERSION --shop NAME`) are enqueued for its model,
    unless --model is given.

    \b
    Example:
      fashion-cascade enqueue /data/spring --crawl spring
      fashion-cascade enqueue /data/shops --crawl spring --shop-from '^/data/shops/([^/]+)/'
      fashion-cascade enqueue --manifest crawl.csv --crawl spring --priority high
      fashion-cascade enqueue --manifest items.jsonl --images-store images --crawl spring
      fashion-cascade enqueue /data/live --crawl live --follow
    """
    from db.schema import no_empty_file
    from worker.concurrency import StopFlag
    from worker.sources.scan import SkippedFiles
    from worker.sources.shops import Shops

    skipped = SkippedFiles()
    with exit_codes():
        settings, shops = load_settings(**options), Shops.parse(shop, shop_from)
        listing = (manifest, images_store)
        inputs = _inputs(paths, listing, crawl, settings, nul=nul, encoding=encoding, shops=shops)
        if follow and not all(source.folder for source in inputs):
            raise click.UsageError("--follow needs folders, received another kind of input")
        stop = StopFlag()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        for source in inputs:
            name, rows = source.crawl, source.rows(skipped)
            if dry_run:
                total = sum(1 for _ in rows)
                click.echo(
                    f"{name}: {counted(total, 'picture')} would be looked at; nothing was changed"
                )
            else:
                with no_empty_file(settings.catalogue_url):
                    own_model = options.get("model") is not None
                    how = (settings, priority, follow, not own_model)
                    _enqueue(source, rows, how, stop)
    if warn_of_unreadable(skipped):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _inputs(
    paths: tuple[str, ...],
    listing: tuple[Path | None, str | None],
    crawl: str | None,
    settings: Settings,
    *,
    nul: bool,
    encoding: str | None,
    shops: Shops | None,
) -> list[Source]:
    """The sources of the arguments and of the manifest."""
    from worker.sources.manifest import manifest_source
    from worker.sources.scan import sources

    manifest, store = listing
    if not paths and manifest is None:
        raise click.UsageError("expected folders, files, - for stdin, or --manifest FILE")
    if store is not None and manifest is None:
        raise click.UsageError("--images-store needs --manifest, a feed of Scrapy")
    found = []
    how: dict[str, Any] = {"crawl": crawl, "encoding": encoding, "shops": shops}
    if manifest is not None:
        found.append(manifest_source(manifest, store=store, **how))
    return found + sources(paths, nul=nul, roots=settings.roots, **how)


def _enqueue(
    source: Source,
    rows: Iterable[PendingRow],
    how: tuple[Settings, str, bool, bool],
    stop: threading.Event,
) -> None:
    from tqdm import tqdm

    from worker.enqueue import Enqueuer

    settings, priority, follow, follow_shop_rules = how
    started = time.monotonic()
    enqueuer = Enqueuer(
        source.crawl,
        # single files and lists are trusted: the workers' own roots hold for them
        roots=source.roots if source.folder or source.archive or source.listed else (),
        settings=settings,
        priority=priority,
        follow_shop_rules=follow_shop_rules,
        flush_seconds=2.0 if follow or source.listed is not None else 0.0,
        stop=stop,
    )
    if follow and source.folder is not None:
        from worker.sources.follow import follow as follow_folder

        rows = follow_folder(source.folder, stop)
        rows = rows if source.shops is None else source.shops.rows(rows, source.folder)
    hidden = not sys.stderr.isatty()
    with enqueuer, tqdm(unit=" paths", disable=hidden, file=sys.stderr) as bar:
        for row in rows:
            enqueuer.add_row(row)
            bar.update()
            if stop.is_set():
                break
    seconds = time.monotonic() - started
    done = enqueuer.seen - enqueuer.queued - enqueuer.failed
    rate = enqueuer.seen / seconds if seconds else 0.0
    click.echo(
        f"{source.crawl}: {enqueuer.seen} looked at, {enqueuer.queued} enqueued in "
        f"{enqueuer.shards} shards, {done} done before; "
        f"{rate:.0f} paths/s"
    )
    if enqueuer.failed:
        click.echo(f"{source.crawl}: {counted(enqueuer.failed, 'picture')} not downloaded")
