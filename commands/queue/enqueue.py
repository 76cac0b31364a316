"""``fashion-cascade enqueue``: paths into the ledger and onto the queue."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.common import catalogue_option, exit_codes

if TYPE_CHECKING:
    from db.records import PendingRow
    from worker.settings import Settings
    from worker.sources.scan import Source


@click.command()
@click.argument("paths", nargs=-1)
@catalogue_option
@click.option("--broker", "broker_url", metavar="URL", help="The queue [setting broker_url].")
@click.option("--crawl", metavar="NAME", help="What the rows belong to [the folder's name].")
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV, JSON lines or Parquet with path, and maybe url, shop, product_id.",
)
@click.option("--shard-size", type=int, metavar="N", help="Paths in one message [128].")
@click.option("--max-queue-length", type=int, metavar="N", help="Pause above that [10000].")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="normal")
@click.option("--model", metavar="BUNDLE", help="The model that is to label them.")
@click.option("--follow", is_flag=True, help="Go on with what a crawler adds to the folder.")
@click.option("--dry-run", is_flag=True, help="Count what would be looked at; change nothing.")
@click.option("-0", "nul", is_flag=True, help="Paths on stdin are separated by NUL, not by lines.")
def command(
    paths: tuple[str, ...],
    *,
    crawl: str | None,
    manifest: Path | None,
    priority: str,
    follow: bool,
    dry_run: bool,
    nul: bool,
    **options: object,
) -> None:
    """Enqueue the pictures in folders, URLs (s3://…), files, a manifest, or a list on stdin (-).

    What the catalogue holds, labelled by this model and unchanged, is not enqueued; running it
    again is harmless. Says on stdout how many were looked at and how many enqueued.

    \b
    Example:
      fashion-cascade enqueue /data/spring --crawl spring
      fashion-cascade enqueue --manifest crawl.csv --crawl spring --priority high
      fashion-cascade enqueue /data/live --crawl live --follow
    """
    from worker.settings import resolve

    with exit_codes():
        settings = resolve(options, environ=os.environ).settings
        jobs = list(_jobs(paths, manifest, crawl, settings, nul))
        if follow and not all(source is not None and source.folder for _, source, _ in jobs):
            raise click.UsageError("--follow watches folders; name one")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        for name, source, rows in jobs:
            if dry_run:
                total = sum(1 for _ in rows)
                click.echo(f"{name}: {total} pictures would be looked at; nothing was changed")
            else:
                _enqueue(name, source, rows, (settings, priority, follow), stop)


def _jobs(
    paths: tuple[str, ...], manifest: Path | None, crawl: str | None, settings: Settings, nul: bool
) -> Iterator[tuple[str, Source | None, Iterable[PendingRow]]]:
    """(crawl, where from, rows) of each argument."""
    from db.records import PendingRow
    from worker.sources.manifest import read_manifest
    from worker.sources.scan import SkippedFiles, sources

    if not paths and manifest is None:
        raise click.UsageError("name folders, files, - for stdin, or --manifest FILE")
    if manifest is not None:
        yield crawl or manifest.stem, None, read_manifest(manifest)
    for source in sources(paths, crawl=crawl, roots=settings.roots, nul=nul):
        rows = (PendingRow(f.path, f.size, f.mtime) for f in source.files(SkippedFiles()))
        yield source.crawl, source, rows


def _enqueue(
    name: str,
    source: Source | None,
    rows: Iterable[PendingRow],
    how: tuple[Settings, str, bool],
    stop: threading.Event,
) -> None:
    from tqdm import tqdm

    from worker.enqueue import Enqueuer

    settings, priority, follow = how
    roots = source.roots if source is not None and source.folder else ()
    began = time.monotonic()
    enqueuer = Enqueuer(
        name,
        roots=roots,
        settings=settings,
        priority=priority,
        flush_seconds=2.0 if follow or source is None else 0.0,
        stop=stop,
    )
    shown = sys.stderr.isatty()
    if follow and source is not None and source.folder is not None:
        from worker.sources.follow import follow as follow_folder

        rows = follow_folder(source.folder, stop)
    with enqueuer, tqdm(unit=" paths", disable=not shown, file=sys.stderr) as bar:
        for row in rows:
            enqueuer.add_row(row)
            bar.update()
            if stop.is_set():
                break
    seconds = time.monotonic() - began
    rate = enqueuer.seen / seconds if seconds else 0.0
    click.echo(
        f"{name}: {enqueuer.seen} looked at, {enqueuer.queued} enqueued in {enqueuer.shards} "
        f"shards, {enqueuer.seen - enqueuer.queued} done before; {rate:.0f} paths/s"
    )
