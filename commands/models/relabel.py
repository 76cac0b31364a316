"""``fashion-cascade relabel``: what would another model say? Then, on request, let it count."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, exit_codes, placed
from commands.filters import check_filter, filter_options, made_filter
from commands.output import format_option, write

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from worker.model_loader import Model
    from worker.settings import Settings

COLUMNS = ("old", "new", "rows", "samples")
SAMPLES = 3  # paths a flow in the table
PICTURES = 12  # pictures a flow on the page


@click.command()
@click.option("--model", metavar="BUNDLE", help="The model that is to label them.")
@click.option("--all", "everything", is_flag=True, help="All labelled rows.")
@click.option("--diff", is_flag=True, help="Show where labels would go; change nothing.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --diff: also a page with sample pictures of each change.",
)
@click.option("--queue", "queued", is_flag=True, help="Let the workers do it; then run it again.")
@click.option("--discard", is_flag=True, help="Drop what this model said and was to say.")
@filter_options
@format_option()
@catalogue_option
def command(
    *,
    catalogue_url: str | None,
    model: str | None,
    everything: bool,
    diff: bool,
    html: Path | None,
    queued: bool,
    discard: bool,
    form: str | None,
    **filters: Any,
) -> None:
    """Label chosen rows again with another model.

    What the new model says is kept apart until all of it is there; only then the old labels go
    to the history, and people's labels stay in any case. With --diff it stays apart: look, then
    run it again without. A run that was broken off goes on when it is begun again. With --queue
    the workers do it: run the same without --queue afterwards, which does what is left. The bundle
    is put into the setting model_store, where there is one, so that workers find it.

    \b
    Example:
      fashion-cascade relabel --model new-bundle --max-margin 0.2 --diff --html diff.html
      fashion-cascade relabel --model new-bundle --max-margin 0.2
      fashion-cascade models use OLD-VERSION       (the way back)
    """
    wanted = made_filter(filters)
    if not discard and not everything and not any(dataclasses.astuple(wanted)):
        raise click.UsageError("which rows? Give a filter such as --max-margin 0.2, or --all")
    if html is not None and not diff:
        raise click.UsageError("--html shows what --diff finds: give both")
    from db.catalogue import Catalogue
    from worker.model_loader import open_model
    from worker.settings import resolve

    with exit_codes():
        options = {"catalogue_url": catalogue_url, "model": model}
        settings = resolve(options, environ=os.environ).settings
        opened = open_model(settings.model, settings.backend)
        catalogue = Catalogue.open(settings.catalogue_url, create=False)
        try:
            if discard:
                _discard(catalogue, opened)
                return
            check_filter(catalogue.engine, wanted)
            _work(catalogue, opened, settings, wanted, queued=queued)
            if queued:
                return
            if diff:
                _show(catalogue, opened, form, html)
            else:
                _promote(catalogue, opened)
        finally:
            catalogue.close()


def _work(
    catalogue: Catalogue, model: Model, settings: Settings, wanted: Any, *, queued: bool
) -> None:
    from db import relabelling
    from worker.relabel import enqueue, relabel
    from worker.report import Report

    catalogue.register_model(
        model.version, model.labels(), source=model.source, figures=model.figures()
    )
    waiting = relabelling.begin(catalogue.engine, wanted, model.version)
    click.echo(f"{waiting:,} rows wait for model {model.version}", err=True)
    if queued:
        _publish(model, settings)
        sent = enqueue(catalogue.engine, model.version, settings)
        click.echo(f"{sent:,} enqueued; run relabel again when the workers are done", err=True)
        return
    report = Report()
    relabel(catalogue.engine, model, settings, threading.Event(), report)
    if waiting:
        click.echo(report.summary(), err=True)


def _publish(model: Model, settings: Settings) -> None:
    """Put the bundle where workers find it; a model without files is every worker's own."""
    from worker.model_loader import BundleModel
    from worker.model_store import publish

    if settings.model_store and isinstance(model, BundleModel):
        place, _ = publish(settings.model_store, Path(model.source))
        click.echo(f"workers find the model in {place}", err=True)


def _show(catalogue: Catalogue, model: Model, form: str | None, html: Path | None) -> None:
    from commands.contact_sheets import relabel_diff
    from db import relabelling

    flows = relabelling.flow(catalogue.engine, model.version, SAMPLES if html is None else PICTURES)
    records = [vars(flow) | {"samples": ", ".join(flow.samples[:SAMPLES])} for flow in flows]
    write(records, COLUMNS, form)
    if html is not None:
        with placed(html):
            html.write_text(relabel_diff(flows, model.version), encoding="utf-8")
        click.echo(f"{html}: sample pictures of each change", err=True)
    same = sum(flow.rows for flow in flows if flow.old == flow.new)
    total = sum(flow.rows for flow in flows)
    click.echo(f"{total - same:,} of {total:,} labels would change; nothing was changed", err=True)


def _promote(catalogue: Catalogue, model: Model) -> None:
    from db import relabelling

    moved = relabelling.promote(catalogue.engine, model.version)
    left = relabelling.progress(catalogue.engine, model.version)
    click.echo(f"{moved:,} rows are labelled by model {model.version} now", err=True)
    for status in ("pending", "rejected", "quarantined"):
        if left[status]:
            click.echo(f"  {left[status]:,} {status}: they keep their old labels", err=True)


def _discard(catalogue: Catalogue, model: Model) -> None:
    from db import relabelling

    gone = relabelling.discard(catalogue.engine, model.version)
    click.echo(
        f"{gone:,} rows of model {model.version} dropped; the catalogue is as it was", err=True
    )
