"""``fashion-cascade audit``: certify the labels of a crawl by a random sample."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.audited import (
    HEADER,
    bound_rows,
    found_by,
    percent,
    report_of,
    sizes_of,
    summary,
)
from commands.common import (
    bundle_folder,
    exit_codes,
    load_settings,
    open_catalogue,
    user_name,
    write_page,
)
from commands.groups import UncutGroup
from commands.options import (
    NEW_FILE,
    NEW_PATH,
    PRECISION,
    by_option,
    catalogue_option,
    format_option,
    model_option,
    record_format_option,
)
from commands.output import FORMATS, write_records
from worker.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cascade.evaluation.audit import Findings
    from db.audits import Audit, Counted

COLUMNS = (
    *("audit", "crawl", "model_version", "number", "design", "pictures", "seed"),
    *("started_at", "started_by", "result"),
)
LARGEST_SEED = 2**31 - 1


@click.group(cls=UncutGroup)
def command() -> None:
    """Certify the labels of a crawl by a random sample that people check.

    \b
    Example:
      fashion-cascade audit start spring
      fashion-cascade review sheet audit.html --audit 1
      fashion-cascade review apply audit.csv
      fashion-cascade audit report spring --html report.html
    """


@command.command()
@click.argument("crawl")
@click.option(
    "--limit",
    type=click.IntRange(1, 5000),
    show_default="enough for two mistakes among the sure labels",
    help="Number of pictures to look at.",
)
@click.option(
    "--sure-only", is_flag=True, help="Draw sure labels only: fewer pictures for a certificate."
)
@click.option(
    "--stratified",
    is_flag=True,
    help="Draw each label by itself, in its share of the crawl, so that rare ones are seen.",
)
@click.option(
    "--at-least",
    type=click.IntRange(1, 500),
    default=5,
    help="With --stratified: pictures of each label, also of rare ones.",
)
@click.option(
    "--precision",
    type=PRECISION,
    default=0.98,
    metavar="FRACTION",
    help="Share of right labels to certify.",
)
@click.option(
    "--confidence",
    type=PRECISION,
    default=0.95,
    metavar="FRACTION",
    help="Of the certificate and of each bound.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    show_default="drawn and recorded",
    help="Random seed of the sample.",
)
@click.option(
    "--model-version",
    metavar="VERSION",
    show_default="the only one of the crawl",
    help="The model whose labels to audit.",
)
@by_option
@catalogue_option
def start(
    crawl: str,
    *,
    limit: int | None,
    sure_only: bool,
    stratified: bool,
    at_least: int,
    precision: float,
    confidence: float,
    seed: int | None,
    model_version: str | None,
    by: str | None,
    catalogue_url: str | None,
) -> None:
    """Draw the sample of CRAWL and record it, before anybody looks.

    The sample, what is to be shown with it, and the model are fixed now. Answer every picture
    afterwards, on the page of 'serve' or in a sheet: the right label, or a confirmation. Each
    further audit of the same crawl and model has to reach a higher confidence, so draw enough
    pictures at once.

    \b
    Example:
      fashion-cascade audit start spring
      fashion-cascade audit start spring --sure-only --limit 320 --by mara
      fashion-cascade audit start spring --stratified --limit 400
    """
    from cascade.evaluation.audit import MISTAKES_ALLOWED, STEPS, first_steps
    from cascade.evaluation.exact_bounds import needed
    from db import audits, ledger

    with open_catalogue(catalogue_url) as catalogue:
        engine = catalogue.engine
        ledger.require_crawl(engine, crawl)
        version, found = audits.counted(engine, crawl, model_version, STEPS)
        population = [one for one in found if one.sure or not sure_only]
        rows = sum(one.rows for one in population)
        sure = sum(one.rows for one in population if one.sure)
        least = needed(MISTAKES_ALLOWED, precision, confidence)
        size = min(rows, limit or _enough(least, rows, sure))
        if not size:
            raise click.UsageError(
                f"crawl {crawl!r} has no sure label to draw: leave --sure-only out"
            )
        sizes, shares = sizes_of(
            population, size, at_least, stratified=stratified, sure_only=sure_only
        )
        plan = audits.Plan(
            crawl,
            version,
            secrets.randbelow(LARGEST_SEED) if seed is None else seed,
            sizes,
            tuple(population),
            precision,
            confidence,
            (0.0,) if stratified else tuple(first_steps(*_expected(population, size, rows), least)),
            shares,
        )
        audit = audits.start(engine, plan, by or user_name())
        pending = ledger.counts(engine, crawl).get("pending", 0)
    click.echo(
        f"audit {audit.id}: {audit.size:,} of {rows:,} labels of crawl {crawl}, model {version}, "
        f"seed {plan.seed}"
    )
    if audit.number > 1:
        click.echo(
            f"it is audit {audit.number} of this crawl and model: judged at "
            f"{percent(audit.judged_at)} confidence",
            err=True,
        )
    if pending:
        click.echo(f"{pending:,} pending pictures of the crawl are not part of it", err=True)
    click.echo(
        f"answer every picture: fashion-cascade review sheet audit-{audit.id}.html "
        f"--audit {audit.id} --limit 5000, or on the page of 'serve': /?audit={audit.id}",
        err=True,
    )


def _enough(least: int, rows: int, sure: int) -> int:
    """The pictures that hold `least` sure labels in the mean; at most 5,000."""
    return min(5000, -(-least * rows // sure)) if sure else min(rows, least)


def _expected(
    population: Sequence[Counted], size: int, rows: int
) -> tuple[dict[tuple[str, bool], list[int]], dict[tuple[str, bool], float]]:
    """The strata, and how many pictures of each a simple sample holds in the mean."""
    counts = {(one.label, one.sure): [*one.at_least, one.rows] for one in population}
    return counts, {name: size * numbers[-1] / rows for name, numbers in counts.items()}


@command.command()
@click.argument("crawl")
@click.option(
    "--audit", "audit_id", type=click.IntRange(1), show_default="the newest", help="Its number."
)
@click.option("--html", type=NEW_FILE, help="Write the report as a page.")
@click.option(
    "--apply", "applied", is_flag=True, help="Write a bundle with what was certified, to --out."
)
@click.option("--out", type=NEW_PATH, help="With --apply: folder of the new bundle.")
@model_option
@format_option("table", "json")
@catalogue_option
def report(
    crawl: str,
    *,
    audit_id: int | None,
    html: Path | None,
    applied: bool,
    out: Path | None,
    model: str | None,
    output_format: str,
    catalogue_url: str | None,
) -> None:
    """Show what the audit of CRAWL tells, and keep it in the catalogue.

    Each bound holds with the confidence asked for, by itself. The certificate is about the sure
    labels: at least so many are right. A picture that nobody answered counts as a mistake.

    If only labels of a higher confidence can be certified, --apply writes a copy of the model with
    such thresholds, under a version of its own. Exit code 1: nothing is certified, so nothing is
    written.

    \b
    Example:
      fashion-cascade audit report spring
      fashion-cascade audit report spring --html report.html --format json
      fashion-cascade audit report spring --apply --out certified
    """
    from db import audits
    from rendering.html import render
    from rendering.text import text_table

    if applied != (out is not None):
        raise click.UsageError("expected --apply together with --out FOLDER, received one of them")
    with open_catalogue(catalogue_url) as catalogue:
        audit = audits.latest(catalogue.engine, crawl, audit_id)
        pictures = list(audits.pictures(catalogue.engine, audit.id))
        found = found_by(audit, pictures)
        lines = summary(audit, found, pictures)
        content = report_of(audit, found, lines)
        audits.keep_report(catalogue.engine, audit.id, content)
        if html is not None:
            page = render(
                "audit_report.html",
                content=content,
                bounds=(HEADER, bound_rows(found.bounds)),
                by_label=(HEADER, bound_rows(found.by_label)),
                confidence=percent(audit.judged_at),
            )
            write_page(html, page)
    if output_format == "json":
        click.echo(json.dumps(content, indent=1))
    else:
        for line in lines:
            click.echo(line)
        click.echo("\n" + text_table(HEADER, bound_rows(found.bounds)))
        click.echo("\n" + text_table(HEADER, bound_rows(found.by_label)))
    if out is not None:
        _apply(audit, found, lines[0], out, model)


def _apply(audit: Audit, found: Findings, sentence: str, out: Path, model: str | None) -> None:
    """Write the bundle that rests on the audit, or say why there is none."""
    from cascade.bundle import Bundle
    from cascade.training.recalibrate import write_certified

    threshold = found.certificate.threshold
    with exit_codes():
        bundle = Bundle.open(bundle_folder(load_settings(model=model)))
        if bundle.version != audit.plan.model_version:
            raise click.UsageError(
                f"expected the audited model {audit.plan.model_version}, received {bundle.version} "
                f"({bundle.folder}): name its folder with --model"
            )
        if not threshold:
            why = (
                "nothing is certified" if threshold is None else "its own thresholds are certified"
            )
            click.echo(f"nothing is written: {why}", err=True)
            raise click.exceptions.Exit(ExitCode.FAILED if threshold is None else ExitCode.DONE)
        facts = {
            "id": audit.id,
            "crawl": audit.plan.crawl,
            "model_version": audit.plan.model_version,
            "seed": audit.plan.seed,
            "pictures": audit.size,
            "started_at": audit.started_at.isoformat(),
            "precision": audit.plan.precision,
            "confidence": audit.judged_at,
            "threshold": threshold,
        }
        made = write_certified(bundle, threshold, out, audit=facts, sentence=sentence)
    click.echo(f"{out}: model {made.version}, from {bundle.version}", err=True)


@command.command("list")
@click.option("--crawl", metavar="NAME", show_default="all crawls", help="Only this crawl.")
@record_format_option(*FORMATS)
@catalogue_option
def list_audits(*, crawl: str | None, output_format: str | None, catalogue_url: str | None) -> None:
    """List the audits with their last result.

    \b
    Example:
      fashion-cascade audit list
    """
    from db import audits

    with open_catalogue(catalogue_url) as catalogue:
        found = audits.audits(catalogue.engine, crawl)
    records = (
        {
            "audit": one.id,
            "crawl": one.plan.crawl,
            "model_version": one.plan.model_version,
            "number": one.number,
            "design": "stratified" if one.stratified else "simple",
            "pictures": one.size,
            "seed": one.plan.seed,
            "started_at": one.started_at,
            "started_by": one.started_by,
            "result": one.report["summary"][0] if one.report else None,
        }
        for one in found
    )
    write_records(records, COLUMNS, output_format)
