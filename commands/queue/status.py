"""``fashion-cascade status``: progress of the crawls, the queue and the workers."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from commands.common import exit_codes, open_catalogue
from commands.options import broker_option, catalogue_option, crawl_option, record_format_option
from commands.output import resolve_format

if TYPE_CHECKING:
    from worker.crawl_progress import CrawlProgress
    from worker.settings import Resolved

RATE_SECONDS = 0.5  # short enough to answer within a second
WATCH_SECONDS = 2.0


@click.command()
@catalogue_option
@broker_option
@crawl_option
@click.option("--watch", is_flag=True, help="Repeat every two seconds until Ctrl-C.")
@click.option("--no-queue", is_flag=True, help="Do not ask the broker and the workers.")
@record_format_option("table", "jsonl")
def command(
    *,
    catalogue_url: str | None,
    broker_url: str | None,
    crawl: str | None,
    watch: bool,
    no_queue: bool,
    output_format: str | None,
) -> None:
    """Show the progress of crawls, queue and workers.

    For each crawl: enqueued = labelled + rejected + quarantined + cancelled + pending, the pictures
    per second since the last update (at first, over half a second) and the time left. Then the
    length of the queue and the current shards of each worker.

    \b
    Example:
      fashion-cascade status --crawl spring --watch
    """
    from db import ledger
    from worker.crawl_progress import crawl_progress
    from worker.settings import resolve

    with exit_codes(), open_catalogue(catalogue_url) as catalogue:
        resolved = resolve({"broker_url": broker_url}, environ=os.environ)
        if crawl is not None and (words := ledger.unknown_crawl(catalogue.engine, crawl)):
            click.echo(f"fashion-cascade: {words}", err=True)
        before = {s.crawl: s for s in crawl_progress(catalogue.engine, crawl)}
        measured, pause = time.monotonic(), threading.Event()
        while True:
            pending = any(progress.pending for progress in before.values())
            with ThreadPoolExecutor(1) as pool:  # ask the workers while the rate is measured
                asked = None if no_queue else pool.submit(_queue, resolved, pending)
                pause.wait(RATE_SECONDS if pending or watch else 0.0)
                now = crawl_progress(catalogue.engine, crawl)
                seconds = time.monotonic() - measured
                queue = None if asked is None else asked.result()
            _print(now, before, seconds, queue, resolve_format(output_format))
            if not watch:
                return
            before, measured = {s.crawl: s for s in now}, time.monotonic()
            pause.wait(WATCH_SECONDS - RATE_SECONDS)


def _queue(resolved: Resolved, pending: bool) -> dict[str, Any]:
    """The state of broker and workers, or the error of a broker that does not answer.

    A missing broker is no fault, and the error is short, if no broker is set and no row waits.
    """
    from worker.errors import BrokerUnreachable
    from worker.queue import broker
    from worker.queue.broker import dead_letters

    settings = resolved.settings
    try:
        length, taken = broker.queue_length(settings), broker.unacknowledged(settings)
        number, newest = dead_letters(settings)
        workers, put_off = broker.active_workers(settings, taken)
        return {
            "waiting": length,
            "taken": taken,
            "put_off": put_off,
            "dead_letters": number,
            "newest_dead_letter": newest,
            "workers": workers,
        }
    except BrokerUnreachable as error:
        if resolved.sources["broker_url"] == "default" and not pending:
            return {"error": f"none (no broker answers at {settings.broker_url})"}
        return {"error": str(error)}


def _print(
    now: list[CrawlProgress],
    before: dict[str, CrawlProgress],
    seconds: float,
    queue: dict[str, Any] | None,
    output_format: str,
) -> None:
    crawls = [progress.with_rate(before.get(progress.crawl, progress), seconds) for progress in now]
    if output_format == "jsonl":
        record = {"crawls": crawls, "queue": queue}
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    for crawl in crawls:
        click.echo(
            "{crawl}: {enqueued} enqueued = {labelled} labelled + {rejected} rejected + "
            "{quarantined} quarantined + {cancelled} cancelled + {pending} pending".format(**crawl)
        )
        for reason, number in sorted(crawl["reasons"].items()):
            click.echo(f"  rejected as {reason}: {number}")
        if crawl["pending"]:
            left = crawl["seconds_left"]
            shown = f"{left:.0f} s left" if left is not None else "time left unknown"
            click.echo(f"  {crawl['per_second']} pictures/s, {shown}")
    if queue is not None:
        _print_queue(queue)
    sys.stdout.flush()


def _print_queue(queue: dict[str, Any]) -> None:
    if "error" in queue:
        click.echo(f"queue: {queue['error']}")
        return
    put_off = f" ({queue['put_off']} put off until a lease ends)" if queue["put_off"] else ""
    click.echo(f"queue: {queue['waiting']} shards waiting, {queue['taken']} taken{put_off}")
    if queue["dead_letters"]:
        number, newest = queue["dead_letters"], queue["newest_dead_letter"]
        click.echo(f"dead letters: {number} messages that no worker can read; the newest: {newest}")
    if not queue["workers"]:
        click.echo("workers: none answers")
    for name, tasks in queue["workers"].items():
        doing = ", ".join(f"{t.get('crawl')}/{t.get('shard')}" for t in tasks) or "idle"
        click.echo(f"worker {name}: {doing}")
