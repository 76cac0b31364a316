"""``fashion-cascade relabel``: label rows again with another model, and compare the labels."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import exit_codes, load_settings, write_page
from commands.filters import check_filter, filter_from_options, filter_options
from commands.options import NEW_FILE, catalogue_option, model_option, record_format_option
from commands.output import FORMATS, write_records
from commands.stopping import stops_on_signal
from rendering.output import is_stdout
from worker.errors import ExitCode

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from worker.model_loader import Model
    from worker.settings import Settings

COLUMNS = ("old", "new", "rows", "samples")
SAMPLES = 3  # paths a flow in the table
PICTURES = 12  # pictures a flow on the page


@click.command()
@model_option
@click.option("--all", "everything", is_flag=True, help="All labelled rows.")
@click.option("--diff", is_flag=True, help="Show which labels would change, and change nothing.")
@click.option(
    "--html", type=NEW_FILE, help="With --diff: write a page with sample pictures of each change."
)
@click.option(
    "--queue", "queued", is_flag=True, help="Let the workers label; then run it again without."
)
@click.option(
    "--discard", is_flag=True, help="Delete this model's new labels that are not yet in use."
)
@filter_options
@record_format_option(*FORMATS)
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
    output_format: str | None,
    **filters: Any,
) -> None:
    """Label rows again with another model.

    The new labels are stored separately until all rows are done. Then they replace the old labels,
    which go to the history; labels by people stay. With --diff nothing is replaced: run the same
    command without --diff to do so. A stopped or killed run is resumed by the same command. Exit
    code 1: some rows keep their old labels, because their pictures could not be labelled or have
    changed.

    With --queue the workers do the labelling: run the same command without --queue afterwards. The
    bundle is copied to the setting model_store, if there is one, so that workers find it.

    \b
    Example:
      fashion-cascade relabel --model new-bundle --max-margin 0.2 --diff --html diff.html
      fashion-cascade relabel --model new-bundle --max-margin 0.2
      fashion-cascade models use OLD-VERSION       (to switch back)
    """
    wanted = filter_from_options(filters)
    if not discard and not everything and not any(dataclasses.astuple(wanted)):
        raise click.UsageError("which rows? Add a filter such as --max-margin 0.2, or --all")
    if html is not None and not diff:
        raise click.UsageError("--html needs --diff: give both")
    from db.catalogue import Catalogue
    from worker.model_loader import open_model

    with exit_codes():
        settings = load_settings(catalogue_url=catalogue_url, model=model)
        opened = open_model(settings.model, settings.backend, features=settings.features)
        catalogue = Catalogue.open(settings.catalogue_url, create=False)
        try:
            if discard:
                _discard(catalogue, opened)
                return
            wanted = check_filter(catalogue.engine, wanted, work=True)
            if not _work(catalogue, opened, settings, wanted, queued=queued):
                click.echo("stopped; the same command resumes from here", err=True)
                raise click.exceptions.Exit(ExitCode.STOPPED)
            if queued:
                return
            if diff:
                _show(catalogue, opened, output_format, html)
            elif _promote(catalogue, opened):
                raise click.exceptions.Exit(ExitCode.FAILED)
        finally:
            catalogue.close()


def _work(
    catalogue: Catalogue, model: Model, settings: Settings, wanted: Any, *, queued: bool
) -> bool:
    """Label the chosen rows, or enqueue them; False if a signal stopped it."""
    from db import relabelling
    from worker.concurrency import StopFlag
    from worker.model_loader import register_model
    from worker.queue.backend_digests import announce
    from worker.relabel import enqueue, relabel
    from worker.report import Report

    register_model(catalogue, model)
    waiting = relabelling.begin(catalogue.engine, wanted, model.version)
    click.echo(f"{waiting:,} rows wait for model {model.version}", err=True)
    if queued:
        _publish(model, settings)
        announce(catalogue, model)
        sent = enqueue(catalogue.engine, model.version, settings)
        click.echo(f"{sent:,} enqueued; run relabel again when the workers are done", err=True)
        return True
    report, stop = Report(), StopFlag()
    with stops_on_signal(stop):
        relabel(catalogue.engine, model, settings, stop, report)
    if waiting:
        click.echo(report.summary(), err=True)
    return not stop.is_set()


def _publish(model: Model, settings: Settings) -> None:
    """Copy the bundle to where workers find it; a model without files needs no copy."""
    from worker.model_loader import BundleModel
    from worker.model_store import publish

    if settings.model_store and isinstance(model, BundleModel):
        place, _ = publish(settings.model_store, Path(model.source))
        click.echo(f"workers find the model in {place}", err=True)


def _show(catalogue: Catalogue, model: Model, output_format: str | None, html: Path | None) -> None:
    from commands.contact_sheets import relabel_diff
    from db import relabelling

    flows = relabelling.label_changes(
        catalogue.engine, model.version, SAMPLES if html is None else PICTURES
    )
    records = [vars(flow) | {"samples": ", ".join(flow.samples[:SAMPLES])} for flow in flows]
    page_on_stdout = html is not None and is_stdout(html)
    write_records(records, COLUMNS, output_format, sys.stderr if page_on_stdout else None)
    if html is not None:
        write_page(html, relabel_diff(flows, model.version, load_settings().roots))
        click.echo(f"{html}: sample pictures of each change", err=True)
    same = sum(flow.rows for flow in flows if flow.old == flow.new)
    total = sum(flow.rows for flow in flows)
    click.echo(f"{total - same:,} of {total:,} labels would change; nothing was changed", err=True)


def _promote(catalogue: Catalogue, model: Model) -> int:
    """Take the new labels over; the number of rows that keep their old ones."""
    from db import relabelling

    ready = relabelling.counts(catalogue.engine, model.version)["labelled"]
    moved = relabelling.promote(catalogue.engine, model.version)
    left = relabelling.counts(catalogue.engine, model.version)
    click.echo(f"{moved:,} rows are labelled by model {model.version} now", err=True)
    kept = {status: left[status] for status in ("pending", "rejected", "quarantined")}
    kept["whose files have changed since: label them again"] = max(ready - moved, 0)
    for why, number in kept.items():
        if number:
            click.echo(f"  {number:,} {why}: they keep their old labels", err=True)
    return sum(kept.values())


def _discard(catalogue: Catalogue, model: Model) -> None:
    from db import relabelling

    gone = relabelling.discard(catalogue.engine, model.version)
    click.echo(
        f"{gone:,} rows of model {model.version} deleted; the catalogue is unchanged", err=True
    )
