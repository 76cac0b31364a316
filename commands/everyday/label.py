"""``fashion-cascade label``: label pictures into the catalogue and print the labels."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import exit_codes, load_settings, warn_of_unreadable
from commands.options import (
    EXISTING_FILE,
    backend_option,
    batch_size_option,
    catalogue_option,
    encoding_option,
    features_option,
    images_store_option,
    model_option,
    new_crawl_option,
    nul_option,
    record_format_option,
    shop_from_option,
    shop_option,
)
from commands.output import FORMATS, RecordWriter
from commands.stopping import stops_on_signal
from rendering.text import counted
from worker.errors import ExitCode

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from db.records import Outcome
    from worker.local import LocalRun
    from worker.model_loader import Model
    from worker.settings import Settings
    from worker.sources.scan import SkippedFiles, Source

COLUMNS = (
    "path",
    "status",
    "label",
    "category",
    "gender",
    "type",
    "confidence",
    "best_leaf",
    "reason",
    "model_version",
)
WIDTHS = {"label": 30, "best_leaf": 30, "reason": 12, "model_version": 16}  # of the table


@click.command()
@click.argument("paths", nargs=-1)
@catalogue_option
@new_crawl_option
@click.option(
    "--manifest",
    type=EXISTING_FILE,
    help="CSV, JSON lines or Parquet file with the column path, optionally url, shop, product_id; "
    "or a feed of Scrapy.",
)
@images_store_option
@shop_option
@shop_from_option
@model_option
@backend_option
@batch_size_option
@features_option
@record_format_option(*FORMATS, default="no records on a terminal, else jsonl")
@click.option("--again", is_flag=True, help="Also label what was forgotten or archived.")
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
    output_format: str | None,
    nul: bool,
    encoding: str | None,
    again: bool,
    **options: object,
) -> None:
    """Label pictures in folders, archives, files or a list on stdin.

    PATHS are folders, zip and tar archives, files, or - for a list on stdin. Unchanged files that
    this model has labelled before are skipped, so an interrupted run is resumed by the next one. A
    folder is also a root: files that lead out of it are rejected. An archive is not unpacked. The
    crawl is named after the folder or archive, for single files
    after their folder, and for a list on stdin 'stdin', unless --crawl is given.

    Pictures that were forgotten, and archived crawls, come back only with --again.

    A --manifest may be a feed of Scrapy (JSON lines, JSON or CSV with `images`): failed downloads
    become rows with the reason not_downloaded.

    With --features, `query --similar-to` finds pictures that look alike; those of the crawl that
    were labelled without are read again.

    Prints one record for each picture on stdout, on a terminal only with --format, and a summary on
    stderr. Exit code 1: some pictures were rejected or left out, are leased by another worker, or
    are in a folder that cannot be read.

    \b
    Example:
      fashion-cascade label photos/spring
      fashion-cascade label crawl --shop-from folder
      fashion-cascade label spring.zip
      fashion-cascade label --manifest items.jsonl --images-store images --crawl spring
      find photos -newer last -print0 | fashion-cascade label -0 - --crawl spring > new.jsonl
    """
    from db.schema import no_empty_file
    from worker.sources.manifest import manifest_source
    from worker.sources.scan import sources
    from worker.sources.shops import Shops

    with exit_codes():
        settings, shops = load_settings(**options), Shops.parse(shop, shop_from)
        if not paths and manifest is None:
            raise click.UsageError("expected folders, files, - for stdin, or --manifest FILE")
        if images_store is not None and manifest is None:
            raise click.UsageError("--images-store needs --manifest, a feed of Scrapy")
        how: dict[str, Any] = {"encoding": encoding, "shops": shops, "roots": settings.roots}
        found = sources(paths, crawl=crawl, nul=nul, **how)
        if manifest is not None:
            found.append(manifest_source(manifest, crawl=crawl, store=images_store, **how))
        with no_empty_file(settings.catalogue_url):
            code = _label(settings, found, output_format, again=again)
        raise click.exceptions.Exit(code)


def _label(
    settings: Settings, sources: Sequence[Source], output_format: str | None, *, again: bool
) -> int:
    """Label, print records when they are committed and a summary at the end; the exit code."""
    from worker.concurrency import StopFlag
    from worker.lease_owners import expire_dead_owners
    from worker.local import LocalRun, count_files
    from worker.model_loader import open_model
    from worker.report import Report
    from worker.sources.scan import SkippedFiles

    model = open_model(settings.model, settings.backend, features=settings.features)
    catalogue = _open(settings, model)
    # on a terminal the rows would push the progress and the summary out of sight
    quiet = output_format is None and sys.stdout.isatty()
    writer = None if quiet else RecordWriter(COLUMNS, output_format, widths=WIDTHS)
    report, skipped, stop = Report(), SkippedFiles(), StopFlag()
    run = LocalRun(catalogue, model, settings, stop)
    complete, added = False, 0
    try:
        expire_dead_owners(catalogue, name=settings.worker_name)
        with stops_on_signal(stop), _progress(sources, count_files) as bar:

            def stored(outcomes: Sequence[Outcome]) -> None:
                if writer is not None:
                    with bar.external_write_mode(file=sys.stdout):
                        writer.write(record_of(outcome, model.version) for outcome in outcomes)
                        sys.stdout.flush()
                bar.update(len(outcomes))

            report.on_stored, report.on_skipped = stored, bar.update
            run.label(sources, report, skipped, again=again)
            added = _fill(run, catalogue, sources)
        complete = True
    finally:
        catalogue.close()
        # after an error, such as a full disk, that nothing was found would be no news
        if complete or report.processed or report.left or report.done:
            _summarise(report.summary(), skipped)
    if added:
        click.echo(f"{counted(added, 'picture')} labelled before got a vector", err=True)
    if quiet and report.processed:
        crawls = {source.crawl for source in sources}
        where = f" --crawl {shlex.quote(crawls.pop())}" if len(crawls) == 1 else ""
        click.echo(f"the labels: fashion-cascade stats{where}, or query{where}", err=True)
    if stop.is_set():
        click.echo("stopped; the next run resumes from here", err=True)
        return ExitCode.STOPPED
    return report.exit_code or (ExitCode.FAILED if skipped.unreadable_folders else 0)


def _fill(run: LocalRun, catalogue: Catalogue, sources: Sequence[Source]) -> int:
    """Give a vector to pictures of these crawls that were labelled without; how many."""
    if run.model.feature_digest() is None or run.stop.is_set():
        return 0
    from db.filters import Filter
    from worker.vectors import fill

    crawls = sorted({source.crawl for source in sources})
    given = (run.model, run.settings, run.stop)
    return sum(fill(catalogue.engine, Filter(crawl=crawl), *given) for crawl in crawls)


def _open(settings: Settings, model: Model) -> Catalogue:
    from db.catalogue import Catalogue
    from worker.model_loader import register_model

    catalogue = Catalogue.open(settings.catalogue_url)
    try:
        register_model(catalogue, model)
        catalogue.put_in_use(model.version)
    except BaseException:
        catalogue.close()
        raise
    return catalogue


def record_of(outcome: Outcome, model_version: str) -> dict[str, Any]:
    """The record of one picture, with the keys `COLUMNS`."""
    from db.records import PUT_OFF

    fields = outcome.fields
    names = ("category", "gender", "type", "confidence", "best_leaf")
    labels = {name: getattr(fields, name) if fields else None for name in names}
    return {
        "path": outcome.path,
        "status": "pending" if outcome.status == PUT_OFF else outcome.status,
        "label": fields.model_label if fields else None,
        **labels,
        "reason": outcome.reason,
        "model_version": model_version,
    }


def _summarise(summary: str, skipped: SkippedFiles) -> None:
    click.echo(summary, err=True)
    if extensions := skipped.extensions:
        most = ", ".join(f"{extension} {count}" for extension, count in extensions.most_common(5))
        total = extensions.total()
        click.echo(f"  skipped, not the extension of a picture: {total} ({most})", err=True)
    warn_of_unreadable(skipped)


@contextmanager
def _progress(sources: Sequence[Source], count: Any) -> Iterator[Any]:
    """A progress bar on a terminal; elsewhere a disabled one."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    total = count(sources) if shown else None
    with tqdm(total=total, unit=" pictures", disable=not shown, file=sys.stderr) as bar:
        yield bar
