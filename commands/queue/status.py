"""``fashion-cascade status``: how crawls, queue and workers stand."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, exit_codes, opened
from commands.output import chosen

if TYPE_CHECKING:
    from worker.crawl_progress import CrawlProgress
    from worker.settings import Resolved

PACE_SECONDS = 0.5  # so that an answer is there within a second
WATCH_SECONDS = 2.0


@click.command()
@catalogue_option
@click.option("--broker", "broker_url", metavar="URL", help="The queue [setting broker_url].")
@click.option("--crawl", metavar="NAME", help="Only this crawl.")
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@click.option("--no-queue", is_flag=True, help="Only the ledger; ask neither broker nor workers.")
@click.option("--format", "form", type=click.Choice(["table", "jsonl"]), help="[by terminal]")
def command(
    *,
    catalogue_url: str | None,
    broker_url: str | None,
    crawl: str | None,
    watch: bool,
    no_queue: bool,
    form: str | None,
) -> None:
    """Per crawl: enqueued = labelled + rejected + quarantined + cancelled + pending.

    With the pace since the last look (or over half a second), the time left, the queue's length,
    and what each worker does.

    \b
    Example:
      fashion-cascade status --crawl spring --watch
    """
    from db import ledger
    from worker.crawl_progress import crawl_progress
    from worker.settings import resolve

    with exit_codes(), opened(catalogue_url) as catalogue:
        resolved = resolve({"broker_url": broker_url}, environ=os.environ)
        if crawl is not None:
            ledger.require_crawl(catalogue.engine, crawl)
        before = {s.crawl: s for s in crawl_progress(catalogue.engine, crawl)}
        looked, pause = time.monotonic(), threading.Event()
        while True:
            pending = any(standing.pending for standing in before.values())
            with ThreadPoolExecutor(1) as pool:  # workers answer while the pace is taken
                asked = None if no_queue else pool.submit(_queue, resolved, pending)
                pause.wait(PACE_SECONDS if pending or watch else 0.0)  # two looks make a pace
                now = crawl_progress(catalogue.engine, crawl)
                seconds = time.monotonic() - looked
                queue = None if asked is None else asked.result()
            _print(now, before, seconds, queue, chosen(form))
            if not watch:
                return
            before, looked = {s.crawl: s for s in now}, time.monotonic()
            pause.wait(WATCH_SECONDS - PACE_SECONDS)


def _queue(resolved: Resolved, pending: bool) -> dict[str, Any]:
    """What broker and workers say; a broker that does not answer is said, not raised.

    Where none was set and no row waits for one, that is no fault, and is said shortly.
    """
    from worker.errors import BrokerUnreachable
    from worker.queue import broker

    settings = resolved.settings
    try:
        length, taken = broker.queue_length(settings), broker.unacknowledged(settings)
        return {"waiting": length, "taken": taken, "workers": broker.active_workers(settings)}
    except BrokerUnreachable as error:
        if resolved.sources["broker_url"] == "default" and not pending:
            return {"error": f"none (no broker answers at {settings.broker_url})"}
        return {"error": str(error)}


def _print(
    now: list[CrawlProgress],
    before: dict[str, CrawlProgress],
    seconds: float,
    queue: dict[str, Any] | None,
    form: str,
) -> None:
    crawls = []
    for standing in now:
        last = before.get(standing.crawl, standing)
        rate = max(0.0, (standing.finished - last.finished) / seconds) if seconds else 0.0
        left = standing.pending / rate if rate else None
        crawls.append({**vars(standing), "per_second": round(rate, 1), "seconds_left": left})
    if form == "jsonl":
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
            shown = f"{left:.0f} s left" if left is not None else "no end in sight"
            click.echo(f"  {crawl['per_second']} pictures/s, {shown}")
    if queue is not None:
        _print_queue(queue)
    sys.stdout.flush()


def _print_queue(queue: dict[str, Any]) -> None:
    if "error" in queue:
        click.echo(f"queue: {queue['error']}")
        return
    click.echo(f"queue: {queue['waiting']} shards waiting, {queue['taken']} taken")
    if not queue["workers"]:
        click.echo("workers: none answers")
    for name, tasks in queue["workers"].items():
        doing = ", ".join(f"{t.get('crawl')}/{t.get('shard')}" for t in tasks) or "idle"
        click.echo(f"worker {name}: {doing}")
