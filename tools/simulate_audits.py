"""How often audits of simulated crawls certify what is not true, and how often their bounds fail.

    python -m tools.simulate_audits --audits 10000 --others 1000

Each crawl is finite and its labels are known, so every certificate and bound can be checked. The
crawls are chosen to be hard: just short of the precision, at some confidences only, or with labels
of very different quality.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cascade.evaluation.audit import (
    MISTAKES_ALLOWED,
    STEPS,
    Findings,
    Judged,
    findings,
    first_steps,
)
from cascade.evaluation.exact_bounds import needed
from commands.audited import sizes_of
from db.audits import Counted, judged_at, key
from rendering.text import text_table

PRECISION, CONFIDENCE = 0.98, 0.95
ROWS = 20_000
SURE_SHARE = 0.46  # of the labels in a shop that training never saw
HEADER = ("crawl", "audits", "certified", "false certificates", "worst bound fails")


@dataclass(frozen=True)
class Crawl:
    """A crawl whose labels are all known; every picture is a row of each array."""

    name: str
    label: np.ndarray  # (N,) number
    sure: np.ndarray  # (N,) bool
    confidence: np.ndarray  # (N,)
    right: np.ndarray  # (N,) bool

    def precision_from(self, threshold: float) -> float:
        """The share of right ones among sure labels of at least this confidence."""
        kept = self.sure & (self.confidence >= threshold)
        return float(self.right[kept].mean())

    def strata(self) -> list[Counted]:
        """The labels, counted as the catalogue counts them."""
        found = []
        for number in np.unique(self.label):
            for sure in (False, True):
                own = self.confidence[(self.label == number) & (self.sure == sure)]
                if len(own):
                    steps = tuple(int((own >= step).sum()) for step in STEPS)
                    found.append(Counted(name_of(int(number)), sure, len(own), steps))
        return found


def name_of(number: int) -> str:
    """A label; the last one is out of scope."""
    return f"shoes/kind {number}"


def crawl_of(
    name: str, wrong: Callable[[np.ndarray, np.ndarray], np.ndarray], source: np.random.Generator
) -> Crawl:
    """A crawl of 20 labels of unequal frequency, sure or not, with some mistakes.

    Args:
        name: Of the crawl.
        wrong: From labels and confidences to the share of mistakes among sure labels.
        source: Of the randomness.
    """
    weights = 1 / np.arange(1, 21)
    label = source.choice(20, ROWS, p=weights / weights.sum())
    sure = source.random(ROWS) < SURE_SHARE
    confidence = np.where(sure, 1 - 0.3 * source.random(ROWS) ** 3, 0.9 * source.random(ROWS))
    share = np.where(sure, wrong(label, confidence), 0.35)
    # exactly that share, as far as whole pictures allow: chance would make some crawls easier
    right = np.ones(ROWS, bool)
    for own in np.unique(share):
        rows = np.flatnonzero(share == own)
        right[source.permutation(rows)[: math.ceil(own * len(rows))]] = False
    return Crawl(name, label, sure, confidence, right)


def crawls(seed: int) -> list[Crawl]:
    """The crawls of the simulation."""
    source = np.random.default_rng(seed)
    every = np.ones(ROWS)
    return [
        crawl_of("just short everywhere", lambda label, p: 0.0201 * every, source),
        crawl_of(
            "short where most confident", lambda label, p: np.where(p > 0.99, 0.021, 0.0), source
        ),
        crawl_of(
            "short where least confident", lambda label, p: np.where(p < 0.9, 0.12, 0.002), source
        ),
        crawl_of("one bad label", lambda label, p: np.where(label == 1, 0.14, 0.0), source),
        crawl_of("rare labels bad", lambda label, p: np.where(label > 9, 0.09, 0.003), source),
        crawl_of("an unseen shop", lambda label, p: 0.08 * every, source),
        crawl_of("at home", lambda label, p: 0.004 * every, source),
    ]


def audited(
    crawl: Crawl,
    strata: list[Counted],
    source: np.random.Generator,
    *,
    stratified: bool,
    number: int = 1,
    unanswered: float = 0.0,
) -> Findings:
    """One audit, planned, drawn, answered and reported as the command does it."""
    confidence = judged_at(CONFIDENCE, number)
    least = needed(MISTAKES_ALLOWED, PRECISION, CONFIDENCE)
    size = min(ROWS, math.ceil(least / (sum(one.rows for one in strata if one.sure) / ROWS)))
    sizes, shares = sizes_of(strata, size, 5, stratified=stratified, sure_only=False)
    if stratified:
        drawn = []
        for one in strata:
            own = np.flatnonzero(
                (crawl.label == int(one.label.split()[-1])) & (crawl.sure == one.sure)
            )
            name = key(one.label, one.sure)
            rows = source.permutation(own)[: sizes[name]]
            drawn += [(row, order >= shares[name]) for order, row in enumerate(rows)]
        steps = [0.0]
    else:
        drawn = [(row, False) for row in source.choice(ROWS, size, replace=False)]
        counts = {(one.label, one.sure): [*one.at_least, one.rows] for one in strata}
        expected = {name: size * numbers[-1] / ROWS for name, numbers in counts.items()}
        steps = first_steps(counts, expected, least)
    sample = []
    for row, extra in drawn:
        label = name_of(int(crawl.label[row]))
        truth = label if crawl.right[row] else "shoes/another"
        said = None if source.random() < unanswered else truth
        sample.append(
            Judged(label, label, crawl.confidence[row], bool(crawl.sure[row]), said, extra)
        )
    return findings(
        sample,
        {(one.label, one.sure): one.rows for one in strata},
        stratified=stratified,
        steps=steps,
        precision=PRECISION,
        confidence=confidence,
        next_confidence=confidence,
    )


@dataclass(frozen=True)
class Outcome:
    """What a number of audits of one crawl did."""

    name: str
    audits: int
    certified: int = 0
    false: int = 0
    failed: Counter[str] | None = None

    def cells(self) -> list[str]:
        """A row under `HEADER`."""
        worst = max((self.failed or Counter()).values(), default=0)
        shares = (self.certified, self.false, worst)
        return [self.name, f"{self.audits:,}", *(f"{100 * n / self.audits:.2f} %" for n in shares)]


def simulated(
    crawl: Crawl,
    audits: int,
    source: np.random.Generator,
    *,
    stratified: bool = False,
    attempts: int = 1,
    unanswered: float = 0.0,
) -> Outcome:
    """Audit a crawl many times; with ``attempts``, each time until it is certified."""
    strata = crawl.strata()
    failed = Counter[str]()
    certified = false = 0
    for _ in range(audits):
        for number in range(1, attempts + 1):
            found = audited(
                crawl, strata, source, stratified=stratified, number=number, unanswered=unanswered
            )
            if number == 1:
                failed.update(_failed(crawl, found))
            kept = [step for step in found.certificate.steps if step.certified]
            if kept:
                certified += 1
                false += any(crawl.precision_from(one.threshold) < PRECISION for one in kept)
                break
    return Outcome(crawl.name, audits, certified, false, failed)


def _failed(crawl: Crawl, found: Findings) -> list[str]:
    """The bounds that are not true of the crawl."""
    truth = {"sure labels": crawl.precision_from(0.0), "best leaf": float(crawl.right.mean())}
    truth |= {"level 1": 1.0, "level 2": truth["best leaf"]}
    wrong = []
    for bound in (*found.bounds, *found.by_label):
        share = truth.get(bound.name)
        if share is None:
            share = float(crawl.right[crawl.label == int(bound.name.split()[-1])].mean())
        if bound.low is not None and bound.low > share:
            wrong.append(bound.name)
    return wrong


def main() -> None:
    """Print a table for simple and for stratified audits, and for tries until one certifies."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--audits", type=int, default=10_000)
    parser.add_argument("--others", type=int, default=1_000, help="of the other crawls and designs")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    source = np.random.default_rng(asked.seed + 1)
    start = time.perf_counter()
    every = crawls(asked.seed)
    for title, options in (
        ("simple", {}),
        ("stratified", {"stratified": True}),
        ("simple, one answer in a hundred missing", {"unanswered": 0.01}),
        ("simple, up to four audits until one certifies", {"attempts": 4}),
    ):
        rows = []
        for number, crawl in enumerate(every):
            audits = asked.others if options or number else asked.audits
            rows.append(simulated(crawl, audits, source, **options).cells())
        print(f"{title}\n{text_table(HEADER, rows)}\n", flush=True)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
