"""``fashion-cascade requeue``: publish unfinished rows of the ledger again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from commands.common import exit_codes, load_settings, open_catalogue
from commands.options import broker_option, catalogue_option, crawl_option
from rendering.text import counted, did_you_mean

if TYPE_CHECKING:
    from db.catalogue import Catalogue


@click.command()
@catalogue_option
@broker_option
@crawl_option
@click.option(
    "--stale", metavar="AGE", help="Rows whose lease expired longer ago than 30s, 10m or 2h."
)
@click.option("--lost", is_flag=True, help="With --stale: also rows that were never claimed.")
@click.option("--rejected", metavar="REASON", help="Rows that were rejected for this reason.")
@click.option(
    "--roots",
    "root_list",
    metavar="A,B,…",
    show_default="the worker's setting roots",
    help="Roots to write into the messages.",
)
def command(
    *,
    catalogue_url: str | None,
    broker_url: str | None,
    crawl: str | None,
    stale: str | None,
    lost: bool,
    rejected: str | None,
    root_list: str | None,
) -> None:
    """Enqueue unfinished pictures again.

    Use it after a broker or a worker has failed. It is safe to repeat: no picture is labelled
    twice. Each picture is labelled by the model that it was enqueued for. --lost has an effect only
    while the queue is empty, because the messages of unclaimed rows may still be in the queue.

    \b
    Example:
      fashion-cascade requeue --stale 10m --lost
      fashion-cascade requeue --rejected missing --crawl spring
    """
    from db import ledger
    from db.writes import backend_digests
    from worker.configuration.types import duration_seconds
    from worker.queue.requeue import publish_again, queue_is_empty

    if (stale is None) == (rejected is None):
        raise click.UsageError("expected one of --stale AGE and --rejected REASON")
    if lost and stale is None:
        raise click.UsageError("--lost needs --stale AGE")
    with exit_codes():
        age = duration_seconds(stale) if stale is not None else 0.0
        settings = load_settings(broker_url=broker_url)
        if lost and not queue_is_empty(settings):
            click.echo("the queue is not empty: --lost is ignored", err=True)
            lost = False
        roots = tuple(root_list.split(",")) if root_list else ()
        with open_catalogue(catalogue_url) as catalogue:
            if crawl is not None:
                ledger.require_crawl(catalogue.engine, crawl)
            if rejected is not None:
                _require_reason(catalogue, rejected)
            digests = backend_digests.known(catalogue.engine)
            for name in [crawl] if crawl else ledger.crawl_names(catalogue.engine):
                found: Iterable[tuple[str, str | None]]
                if rejected is not None:
                    rows = ledger.reopen_rejected(catalogue.engine, name, rejected)
                    found = [(row.path, row.model_version) for row in rows]
                else:
                    found = ledger.stale_paths(catalogue.engine, name, age, lost=lost)
                number = publish_again(settings, name, found, roots, digests)
                click.echo(f"{name}: {counted(number, 'picture')} requeued")
                if not number and stale is not None:
                    _say_why_none(catalogue, name, stale, lost=lost)


def _say_why_none(catalogue: Catalogue, crawl: str, stale: str, *, lost: bool) -> None:
    """Say which pending pictures were left, and how they are taken too."""
    from db import ledger

    if pending := ledger.counts(catalogue.engine, crawl)["pending"]:
        why = "their lease lasts" if lost else "nobody has claimed them, or their lease lasts"
        advice = "give a shorter --stale" if lost else "--lost takes those that nobody has claimed"
        click.echo(
            f"{crawl}: {counted(pending, 'picture')} pending and not stale: {why} or ended less "
            f"than {stale} ago; wait, or {advice}",
            err=True,
        )


def _require_reason(catalogue: Catalogue, reason: str) -> None:
    """Refuse a reason that pictures are never rejected for: a typing error would requeue none."""
    from cascade.pictures.decode import REASONS
    from db.session import reading
    from db.summaries import seen_values

    with reading(catalogue.engine) as connection:
        known = {*REASONS, *seen_values(connection, "reason")}
    if reason not in known:
        hint = did_you_mean(reason, known) or f"; expected one of: {', '.join(sorted(known))}"
        raise click.UsageError(f"--rejected: no picture was rejected for {reason!r}{hint}")
