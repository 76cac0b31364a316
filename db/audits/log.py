"""The tables `audits` and `audit_pictures`: what was drawn, and what was reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, RowMapping

from db import clocks
from db.audits.drawing import Counted, drawn
from db.corrections.log import checked_name
from db.errors import InvalidQuery
from db.session import reading, writing
from db.tables import audit_pictures, catalogue
from db.tables import audits as table
from db.writes import bulk


@dataclass(frozen=True)
class Plan:
    """What to draw, and what is to be shown with it; fixed before anybody looks.

    Attributes:
        crawl: The crawl.
        model_version: The model whose labels are audited.
        seed: Of the drawing.
        sizes: How many pictures of each stratum, see `drawing.drawn`.
        shares: Of these, how many have the stratum's share of the crawl; the rest are extra
            pictures of rare labels. A stratum that is left out has no extra ones.
        population: The labels that the audit speaks of.
        precision: The share of right labels to certify.
        confidence: As asked for; `judged_at` is what a repeated audit has to reach.
        steps: The confidences to test, in this order.
    """

    crawl: str
    model_version: str
    seed: int
    sizes: Mapping[str, int]
    population: tuple[Counted, ...]
    precision: float
    confidence: float
    steps: tuple[float, ...]
    shares: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """An audit, as it was planned. `number` counts those of the same crawl and model from 1.

    `report` is the last one that was kept; None before the first.
    """

    id: int
    plan: Plan
    number: int
    size: int
    started_at: datetime
    started_by: str
    report: Mapping[str, Any] | None
    reported_at: datetime | None

    @property
    def stratified(self) -> bool:
        """Each label has its own number of pictures."""
        return not any(name.startswith("*") for name in self.plan.sizes)

    @property
    def judged_at(self) -> float:
        """The confidence of this audit: after each one, half of what may be wrong is left."""
        return judged_at(self.plan.confidence, self.number)


@dataclass(frozen=True)
class AuditPicture:
    """A picture of the sample: the model's labels when it was drawn, and what is known now.

    `id` and `path` are None if the row was deleted since. `model_version` is that of its label now.
    """

    id: int | None
    path: str | None
    label: str
    best_leaf: str
    confidence: float
    sure: bool
    extra: bool
    human_label: str | None
    model_version: str | None


def judged_at(confidence: float, number: int) -> float:
    """The confidence at which the `number`-th audit of a crawl and model is judged.

    The first at `confidence`. Each further one may be wrong with half the probability of the one
    before, so however often somebody tries again, a false certificate is at most twice as likely.
    """
    return float(1 - (1 - confidence) / 2 ** (number - 1))


def start(engine: Engine, plan: Plan, by: str) -> Audit:
    """Draw the sample and record it with its plan, in one transaction.

    Raises:
        InvalidQuery: there is nothing to draw.
        InvalidRecord: no name.
    """
    checked_name(by)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            # both passes of the drawing see the same rows; no second audit gets the same number
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            connection.execute(sa.text("LOCK TABLE audits IN SHARE ROW EXCLUSIVE MODE"))
        rows = drawn(connection, plan.crawl, plan.model_version, plan.sizes, plan.seed)
        if not rows:
            raise InvalidQuery(f"crawl {plan.crawl!r} has no label to draw")
        same = (table.c.crawl == plan.crawl, table.c.model_version == plan.model_version)
        query = sa.select(sa.func.count()).select_from(table).where(*same)
        content = {
            "number": int(connection.execute(query).scalar_one()) + 1,
            "size": len(rows),
            "sizes": dict(plan.sizes),
            "shares": dict(plan.shares),
            "population": [[one.label, one.sure, one.rows] for one in plan.population],
            "precision": plan.precision,
            "confidence": plan.confidence,
            "steps": list(plan.steps),
        }
        values = {
            "crawl": plan.crawl,
            "model_version": plan.model_version,
            "seed": plan.seed,
            "plan": content,
            "started_at": clocks.now(connection),
            "started_by": by,
        }
        audit_id = int(
            connection.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one()
        )
        bulk.insert(
            connection,
            audit_pictures,
            [
                {
                    "audit_id": audit_id,
                    "number": number,
                    "catalogue_id": row["id"],
                    "model_label": row["model_label"],
                    "best_leaf": row["best_leaf"],
                    "confidence": row["confidence"],
                    "sure": not row["needs_review"],
                    "extra": row["order"] >= plan.shares.get(row["group"], row["order"] + 1),
                }
                for number, row in enumerate(rows, 1)
            ],
        )
        made = connection.execute(sa.select(table).where(table.c.id == audit_id)).mappings().one()
    return _audit(made)


def audits(engine: Engine, crawl: str | None = None) -> list[Audit]:
    """The audits, of one crawl if it is named, oldest first."""
    query = sa.select(table).order_by(table.c.id)
    if crawl is not None:
        query = query.where(table.c.crawl == crawl)
    with reading(engine) as connection:
        return [_audit(row) for row in connection.execute(query).mappings()]


def latest(engine: Engine, crawl: str, audit_id: int | None = None) -> Audit:
    """The crawl's audit of this id, or its newest one.

    Raises:
        InvalidQuery: there is none.
    """
    found = audits(engine, crawl)
    if audit_id is not None:
        found = [audit for audit in found if audit.id == audit_id]
    if not found:
        which = "no audit" if audit_id is None else f"no audit {audit_id}"
        raise InvalidQuery(
            f"crawl {crawl!r} has {which}: fashion-cascade audit start {crawl}, or look at: "
            "fashion-cascade audit list"
        )
    return found[-1]


def pictures(engine: Engine, audit_id: int) -> Iterator[AuditPicture]:
    """The sample of an audit, in the order in which it was drawn."""
    columns = [audit_pictures.c[name] for name in ("model_label", "best_leaf", "confidence")]
    columns += [audit_pictures.c.sure, audit_pictures.c.extra]
    now = [catalogue.c.human_label, catalogue.c.model_version]
    query = (
        sa.select(catalogue.c.id, catalogue.c.path, *columns, *now)
        .select_from(audit_pictures.outerjoin(catalogue))
        .where(audit_pictures.c.audit_id == audit_id)
        .order_by(audit_pictures.c.number)
    )
    with reading(engine) as connection:
        for values in connection.execute(query):
            yield AuditPicture(*values)


def keep_report(engine: Engine, audit_id: int, report: Mapping[str, Any]) -> None:
    """Store a report in place of the audit's last one."""
    with writing(engine) as connection:
        connection.execute(
            sa.update(table)
            .where(table.c.id == audit_id)
            .values(report=dict(report), reported_at=clocks.now(connection))
        )


def population_of(audit: Audit) -> dict[tuple[str, bool], int]:
    """How many rows of the crawl are in each stratum."""
    return {(one.label, one.sure): one.rows for one in audit.plan.population}


def _audit(row: RowMapping) -> Audit:
    content = row["plan"]
    plan = Plan(
        row["crawl"],
        row["model_version"],
        int(row["seed"]),
        content["sizes"],
        tuple(Counted(label, sure, rows) for label, sure, rows in content["population"]),
        content["precision"],
        content["confidence"],
        tuple(content["steps"]),
        content["shares"],
    )
    return Audit(
        row["id"],
        plan,
        content["number"],
        content["size"],
        row["started_at"],
        row["started_by"],
        row["report"],
        row["reported_at"],
    )
