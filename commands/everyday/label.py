"""``fashion-cascade label``: pictures in, rows of the catalogue and labels on stdout out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from commands.common import backend_option, catalogue_option, exit_codes
from commands.output import format_option

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from db.records import Outcome
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
INTERRUPTED = 130  # as shells have it: 128 + SIGINT


@click.command()
@click.argument("paths", nargs=-1, required=True)
@catalogue_option
@click.option("--crawl", metavar="NAME", help="What the rows belong to [the folder's name].")
@click.option("--model", metavar="BUNDLE", help="The bundle of networks [the shipped one].")
@backend_option
@click.option(
    "--batch-size", type=int, metavar="N", help="Pictures in one step [64, on a GPU what pays]."
)
@format_option()
@click.option("-0", "nul", is_flag=True, help="Paths on stdin are separated by NUL, not by lines.")
def command(
    paths: tuple[str, ...],
    *,
    catalogue_url: str | None,
    crawl: str | None,
    model: str | None,
    backend: str | None,
    batch_size: int | None,
    form: str | None,
    nul: bool,
) -> None:
    """Label the pictures in folders, single files, or a list on stdin (-).

    What the catalogue holds already, by this model and for an unchanged file, is not worked
    again; after a break the next run goes on. Each folder is a root that its files must not leave,
    and its own name is the crawl's, unless --crawl names one; single files belong to the crawl of
    the folder that they lie in, a list on stdin to the crawl 'stdin'.

    One object a picture on stdout, a summary on stderr. Exit code 1: some pictures were rejected.

    \b
    Example:
      fashion-cascade label photos/spring
      find photos -newer last -print0 | fashion-cascade label -0 - --crawl spring > new.jsonl
    """
    from worker.settings import resolve
    from worker.sources.scan import sources

    options = {
        "catalogue_url": catalogue_url,
        "model": model,
        "backend": backend,
        "batch_size": batch_size,
    }
    with exit_codes():
        settings = resolve(options, environ=os.environ).settings
        found = sources(paths, crawl=crawl, roots=settings.roots, nul=nul)
        raise click.exceptions.Exit(_label(settings, found, form))


def _label(settings: Settings, sources: Sequence[Source], form: str | None) -> int:
    """Run it, print rows as they are committed and a summary at the end; the exit code."""
    from commands.rows import RowWriter
    from worker.lease_owners import expire_dead_owners
    from worker.local import LocalRun, count_files
    from worker.model_loader import open_model
    from worker.report import Report
    from worker.sources.scan import SkippedFiles

    model = open_model(settings.model, settings.backend)
    catalogue = _open(settings, model)
    writer, report, stop = RowWriter(COLUMNS, form), Report(), threading.Event()
    skipped = SkippedFiles()
    run = LocalRun(catalogue, model, settings, stop)
    try:
        expire_dead_owners(catalogue)
        with _stops_on_signal(stop), _progress(sources, count_files) as bar:

            def stored(outcomes: Sequence[Outcome]) -> None:
                with bar.external_write_mode(file=sys.stdout):
                    writer.write([row(outcome, model.version) for outcome in outcomes])
                bar.update(len(outcomes))

            report.on_stored, report.on_skipped = stored, bar.update
            run.label(sources, report, skipped)
    finally:
        catalogue.close()
        _summarise(report.summary(), skipped)
    if stop.is_set():
        click.echo("stopped; the next run goes on from here", err=True)
        return INTERRUPTED
    return report.exit_code


def _open(settings: Settings, model: Model) -> Catalogue:
    from db.catalogue import Catalogue

    catalogue = Catalogue.open(settings.catalogue_url)
    catalogue.register_model(
        model.version, model.labels(), source=model.source, figures=model.figures()
    )
    catalogue.put_in_use(model.version)
    return catalogue


def row(outcome: Outcome, model_version: str) -> dict[str, Any]:
    """What stdout says of one picture."""
    fields = outcome.fields
    names = ("label", "category", "gender", "type", "confidence", "best_leaf")
    said = {name: getattr(fields, name) if fields else None for name in names}
    return {
        "path": outcome.path,
        "status": outcome.status,
        **said,
        "reason": outcome.reason,
        "model_version": model_version,
    }


def _summarise(summary: str, skipped: SkippedFiles) -> None:
    click.echo(summary, err=True)
    if extensions := skipped.extensions:
        most = ", ".join(f"{extension} {count}" for extension, count in extensions.most_common(5))
        total = extensions.total()
        click.echo(f"  passed over, no pictures by their names: {total} ({most})", err=True)
    for folder in skipped.unreadable_folders:
        click.echo(f"  not allowed to look into {folder}", err=True)


@contextmanager
def _progress(sources: Sequence[Source], count: Any) -> Iterator[Any]:
    """A bar with pictures a second and the time left, on a terminal; elsewhere one that is mute."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    total = count(sources) if shown else None
    with tqdm(total=total, unit=" pictures", disable=not shown, file=sys.stderr) as bar:
        yield bar


@contextmanager
def _stops_on_signal(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM finishes the batch at hand; a second Ctrl-C ends at once."""

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
