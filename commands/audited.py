"""What `audit` draws, and how it shows what the sample tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cascade.evaluation.audit import Bound, Certificate, Findings
    from db.audits import Audit, AuditPicture, Counted

HEADER = ("what", "right", "estimate", "bound", "labels of the crawl")


def sizes_of(
    population: Sequence[Counted], limit: int, at_least: int, *, stratified: bool, sure_only: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """How many pictures to draw of each stratum, and how many of them are its share.

    Shares are rounded up: no stratum has less weight in the sample than in the crawl.

    Args:
        population: The strata to draw from.
        limit: Pictures to draw; a stratified sample has up to one more for each stratum.
        at_least: Pictures of each stratum of a stratified sample, if it has so many.
        stratified: Draw each stratum by itself.
        sure_only: Draw sure labels only.
    """
    from db.audits import ALL, ALL_SURE, key

    if not stratified:
        return {ALL_SURE if sure_only else ALL: limit}, {}
    total = sum(one.rows for one in population)
    shares = {
        key(one.label, one.sure): min(one.rows, math.ceil(limit * one.rows / total))
        for one in population
    }
    rows = {key(one.label, one.sure): one.rows for one in population}
    return {name: min(rows[name], max(share, at_least)) for name, share in shares.items()}, shares


def found_by(audit: Audit, pictures: Sequence[AuditPicture]) -> Findings:
    """What the sample tells now."""
    from cascade.evaluation.audit import Judged, findings
    from db.audits import judged_at, population_of

    sample = [
        Judged(one.label, one.best_leaf, one.confidence, one.sure, one.human_label, one.extra)
        for one in pictures
    ]
    return findings(
        sample,
        population_of(audit),
        stratified=audit.stratified,
        steps=audit.plan.steps,
        precision=audit.plan.precision,
        confidence=audit.judged_at,
        next_confidence=judged_at(audit.plan.confidence, audit.number + 1),
    )


def summary(audit: Audit, found: Findings, pictures: Sequence[AuditPicture]) -> list[str]:
    """The report in sentences, the certificate first."""
    plan = audit.plan
    lines = [verdict(found.certificate, plan.crawl, audit.size)]
    if missing := found.sample - found.answered:
        lines.append(
            f"{missing} of {found.sample} pictures are not answered; they count as mistakes until "
            "they are."
        )
    if audit.number > 1:
        lines.append(
            f"This is audit {audit.number} of this crawl and model, so it is judged at "
            f"{percent(audit.judged_at)} confidence instead of {percent(plan.confidence)}: "
            "otherwise trying again would end in a certificate sooner or later."
        )
    if others := sum(one.model_version not in (None, plan.model_version) for one in pictures):
        lines.append(
            f"{others} of the pictures have a label of another model now. This audit is about "
            f"model {plan.model_version} only; audit the new labels again."
        )
    return lines


def verdict(certificate: Certificate, crawl: str, size: int) -> str:
    """Whether the sure labels are certified, in a sentence or two."""
    goal, sure_of = percent(certificate.precision), percent(certificate.confidence)
    if certificate.threshold is not None:
        step = next(one for one in certificate.steps if one.threshold == certificate.threshold)
        which = (
            "the sure labels"
            if certificate.threshold == 0
            else f"the sure labels with a confidence of {certificate.threshold:g} or more"
        )
        return (
            f"Certified: at least {goal} of {which} are right (confidence {sure_of}). "
            f"{step.kept} looked at, {mistakes_of(step.kept - step.right)}."
        )
    tested = certificate.steps[-1]
    seen = f"{tested.kept} sure labels looked at, {mistakes_of(tested.kept - tested.right)}"
    text = (
        f"Not certifiable with this sample: look at {certificate.more} more sure labels without "
        f"a further mistake to show that {goal} are right (confidence {sure_of}). {seen}."
    )
    if certificate.new_audit is None:
        return (
            f"{text} At this rate of mistakes no sample will do: correct and adapt the model first."
        )
    limit = math.ceil(certificate.new_audit * size / max(1, tested.kept))
    return (
        f"{text} Do not go on with this sample. If mistakes stay as rare, a new audit needs about "
        f"{certificate.new_audit} sure labels: fashion-cascade audit start {crawl} --limit {limit}"
    )


def bound_rows(bounds: Sequence[Bound]) -> list[list[str]]:
    """Table rows under `HEADER`."""
    return [
        [
            bound.name,
            f"{bound.count} of {bound.of}",
            percent(bound.share),
            "at least " + percent(bound.low, down=True)
            if bound.low is not None
            else "at most " + percent(bound.high),
            f"{bound.rows:,}",
        ]
        for bound in bounds
    ]


def report_of(audit: Audit, found: Findings, lines: Sequence[str]) -> dict[str, Any]:
    """The report as JSON: what was planned, what was found, in figures and sentences."""
    plan = audit.plan
    return {
        "audit": audit.id,
        "crawl": plan.crawl,
        "model_version": plan.model_version,
        "number": audit.number,
        "design": "stratified" if audit.stratified else "simple",
        "seed": plan.seed,
        "started_at": audit.started_at.isoformat(),
        "started_by": audit.started_by,
        "confidence": audit.judged_at,
        "summary": list(lines),
        **found.to_json(),
    }


def mistakes_of(number: int) -> str:
    """A number of mistakes in words."""
    return "no mistake" if number == 0 else f"{number} mistake{'' if number == 1 else 's'}"


def percent(share: float | None, *, down: bool = False) -> str:
    """A share as per cent; a lower bound is never rounded up."""
    if share is None:
        return "–"
    tenths = math.floor(share * 1000 + 1e-9) if down else math.ceil(share * 1000 - 1e-9)
    return f"{tenths / 10:.1f} %".replace(".0 %", " %")
