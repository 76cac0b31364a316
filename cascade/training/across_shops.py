"""Thresholds that hold in shops that a bundle never saw.

Thresholds fitted to pictures of the shops that a network was trained on say nothing about other
shops: there the network is as sure and more often wrong. So they are fitted to pictures of several
unseen shops, in which every shop counts alike. How they do in a further shop is measured by
cross-fitting: each shop is judged by thresholds that were fitted without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.bundle import MODEL_CARD, Bundle
from cascade.calibration import NodeThreshold, thresholds_of, tune_thresholds
from cascade.classifier import Cascade
from cascade.data.dataset import Item, Pictures
from cascade.data.shops import split_by_shop
from cascade.evaluation.metrics import Rate
from cascade.evaluation.predictions import LabelledPredictions, all_logits
from cascade.routing import THRESHOLDS, Routing
from cascade.training.recalibrate import (
    calibrate,
    check_new,
    check_shared_network,
    with_familiarity,
    write_recalibrated,
)
from rendering.text import markdown_table

MIN_JUDGED = 30  # sure labels of known correctness; a shop with fewer does not count in their mean
SHOP_HEADER = ("shop", "sure", "right, where known")


@dataclass(frozen=True)
class Answers:
    """``(N, K)`` logits of a cascade for N labelled pictures."""

    logits: np.ndarray
    items: tuple[Item, ...]

    def subset(self, rows: np.ndarray) -> Answers:
        """The pictures of an ``(N,)`` bool mask."""
        return Answers(self.logits[rows], tuple(self.items[n] for n in np.flatnonzero(rows)))


@dataclass(frozen=True)
class Sure:
    """Sure labels, those without review: how many of all, and how many are right where known."""

    coverage: Rate
    right: Rate

    @classmethod
    def of(cls, routing: Routing, answers: Answers) -> Sure:
        """Measure labels of ``routing``."""
        rates = LabelledPredictions(routing, answers.logits, answers.items).measures()
        names = "labels without review", "labels without review right"
        return cls(*(rates[name].rate for name in names))

    def to_json(self) -> dict[str, Any]:
        return {"coverage": self.coverage.to_json(), "right": self.right.to_json()}


@dataclass(frozen=True)
class AcrossShops:
    """Thresholds fitted across shops, and what they are worth.

    Attributes:
        routing: The calibrated routing.
        nodes: The threshold of each node; its evidence is that of the unseen shops.
        home: Sure labels in the shops of training, from thresholds fitted to other pictures.
        elsewhere: Sure labels by unseen shop, from thresholds fitted to the other shops.
    """

    routing: Routing
    nodes: Mapping[str, NodeThreshold]
    home: Sure
    elsewhere: Mapping[str, Sure]

    @property
    def mean_coverage(self) -> float:
        """Mean share of sure labels over the unseen shops."""
        return float(np.mean([sure.coverage.value or 0.0 for sure in self.elsewhere.values()]))

    @property
    def mean_right(self) -> float | None:
        """Mean share of right ones over the unseen shops with ``MIN_JUDGED``; None if none has."""
        shares = [
            sure.right.right / sure.right.count
            for sure in self.elsewhere.values()
            if sure.right.count >= MIN_JUDGED
        ]
        return float(np.mean(shares)) if shares else None

    @property
    def pictures_elsewhere(self) -> int:
        """All pictures of the unseen shops."""
        return sum(sure.coverage.count for sure in self.elsewhere.values())

    def to_json(self) -> dict[str, Any]:
        """Sure labels at home and elsewhere, as the manifest has them."""
        return {
            "home": self.home.to_json(),
            "elsewhere": {
                "right": self.mean_right,
                "coverage": self.mean_coverage,
                "shops": {shop: sure.to_json() for shop, sure in self.elsewhere.items()},
            },
        }

    def lines(self) -> tuple[str, str]:
        """The first two lines of the model card."""
        home, right = self.home, self.mean_right
        counted = sum(sure.right.count >= MIN_JUDGED for sure in self.elsewhere.values())
        share = "not known" if right is None else f"right in {100 * right:.1f} %"
        return (
            f"**Sure labels at home**, in the shops of training: {_right(home.right)}; "
            f"{100 * (home.coverage.value or 0):.1f} % of the pictures get one.",
            f"**Sure labels elsewhere**, in shops that neither training nor the thresholds saw: "
            f"{share} (mean of {counted} shops with at least {MIN_JUDGED} of them); "
            f"{100 * self.mean_coverage:.1f} % of the pictures get one "
            f"(mean of {len(self.elsewhere)} shops).",
        )


def fit_across_shops(
    routing: Routing,
    home: Answers,
    shops: Mapping[str, Answers],
    precision: float,
    familiar: float | None = None,
) -> AcrossShops:
    """Fit temperatures at home and thresholds across unseen shops.

    A node's threshold is the higher one of two: that of the pictures at home, and that of the
    unseen shops, where every shop counts alike. Labels never stop at a node where the unseen shops
    show that no threshold reaches the precision. So with few shops, or with a network that is often
    sure and wrong there, few labels are sure.

    Args:
        routing: Its own temperatures and thresholds are ignored.
        home: Pictures of the shops of training that the network was not trained on.
        shops: Pictures of each unseen shop, at least two.
        precision: Precision that the labels stopping at each node should reach, 0 to 1.
        familiar: The share of the pictures at home that is to be familiar; all are if None. The
            thresholds are fitted to the familiar pictures of the unseen shops.
    """
    fitted, nodes = _fit(routing, home, shops, precision, familiar)
    elsewhere = {}
    for name, answers in shops.items():
        others = {other: each for other, each in shops.items() if other != name}
        without, _ = _fit(routing, home, others, precision, familiar)
        elsewhere[name] = Sure.of(without, answers)
    halves = []
    second = _second_half(home.items)
    for rows in (second, ~second):
        half, _ = _fit(routing, home.subset(~rows), shops, precision, familiar)
        halves.append(Sure.of(half, home.subset(rows)))
    both = Sure(_sum([half.coverage for half in halves]), _sum([half.right for half in halves]))
    return AcrossShops(fitted, nodes, both, elsewhere)


def recalibrate_across_shops(
    folder: Path,
    pictures: Pictures,
    out_folder: Path,
    precision: float,
    shops: Sequence[str],
    *,
    decoding: str = THRESHOLDS,
    familiar: float | None = None,
) -> tuple[Bundle, AcrossShops]:
    """Copy a bundle with thresholds fitted across shops; its model card begins with their worth.

    Args:
        folder: The bundle to copy.
        pictures: Pictures of the shops of training, and of ``shops``.
        out_folder: The new bundle.
        precision: Precision that the labels stopping at each node should reach, 0 to 1.
        shops: The unseen shops, see ``split_by_shop``.
        decoding: How a label is chosen, see ``cascade.routing``.
        familiar: See ``fit_across_shops``.

    Raises:
        BundleError: ``out_folder`` exists, or with ``familiar`` the decisions do not share one
            network.
        DatasetError: The shops do not fit the pictures, see ``split_by_shop``.
    """
    check_new(out_folder)
    home_rows, rows_of_shop = split_by_shop(pictures.items, shops)
    cascade = Cascade.load(folder)
    if familiar is not None:
        check_shared_network(cascade.bundle)
    answers = Answers(all_logits(cascade, pictures.pixels), pictures.items)
    routing = replace(cascade.routing, decoding=decoding)
    by_shop = {shop: answers.subset(rows) for shop, rows in rows_of_shop.items()}
    found = fit_across_shops(routing, answers.subset(home_rows), by_shop, precision, familiar)
    facts = {
        "precision": precision,
        "tuned_on": len(pictures),
        "shops": list(shops),
    }
    card = (folder / MODEL_CARD).read_text(encoding="utf-8")
    card = _with_first_lines(card, found) + _card_section(cascade.version, found, precision)
    figures = {"tuned_on": found.to_json()}
    bundle = write_recalibrated(
        cascade.bundle, found.routing, out_folder, card=card, facts=facts, figures=figures
    )
    return bundle, found


def shop_rows(found: AcrossShops) -> list[list[str]]:
    """Table rows under ``SHOP_HEADER``: home, then each unseen shop."""
    return [
        [name, *(f"{100 * (rate.value or 0):.1f} % of {rate.count}" for rate in rates)]
        for name, rates in [
            ("home", (found.home.coverage, found.home.right)),
            *((shop, (sure.coverage, sure.right)) for shop, sure in found.elsewhere.items()),
        ]
    ]


def _with_first_lines(card: str, found: AcrossShops) -> str:
    """The card, its title followed by the two lines; earlier ones of this kind are replaced."""
    title, _, rest = card.partition("\n")
    kept = rest.lstrip("\n")
    while kept.startswith("**Sure labels "):
        kept = kept.partition("\n")[2].lstrip("\n")
    lines = "\n\n".join(found.lines())
    return f"{title}\n\n{lines}\n\n{kept}"


def _card_section(version: str, found: AcrossShops, precision: float) -> str:
    return (
        f"\n## Tuned across shops\n\nFrom model {version}: temperatures fitted at home, thresholds "
        f"at home and in unseen shops, where each shop counts alike, for {100 * precision:.3g} % "
        "precision. Each shop was judged by thresholds that were fitted without it. The figures "
        "above were measured before that, the first two lines apart.\n\n"
        f"{markdown_table(SHOP_HEADER, shop_rows(found))}\n"
    )


def _fit(
    routing: Routing,
    home: Answers,
    shops: Mapping[str, Answers],
    precision: float,
    familiar: float | None,
) -> tuple[Routing, dict[str, NodeThreshold]]:
    at_home, _ = calibrate(routing, home.logits, home.items, precision)
    at_home = with_familiarity(at_home, home.logits, familiar)
    logits = np.concatenate([answers.logits for answers in shops.values()])
    labels = np.array([item.label for answers in shops.values() for item in answers.items])
    sizes = np.array([len(answers.items) for answers in shops.values()])
    weights = np.repeat(1 / sizes, sizes)
    if at_home.familiarity is not None:
        leaves = {leaf: number for number, leaf in enumerate(routing.taxonomy.leaves)}
        best = np.array([leaves[each.best_leaf] for each in at_home.label(logits)], int)
        like = at_home.familiarity.familiar(logits, best)
        logits, labels, weights = logits[like], labels[like], weights[like]
    nodes = tune_thresholds(
        at_home, logits, labels.tolist(), precision, weights=weights, home=at_home.thresholds
    )
    return replace(at_home, thresholds=thresholds_of(nodes)), nodes


def _second_half(items: Sequence[Item]) -> np.ndarray:
    """``(N,)`` bool: every second group of a random order; a group stays whole."""
    _, group = np.unique([item.group or item.path for item in items], return_inverse=True)
    order = np.random.default_rng(0).permutation(int(group.max()) + 1)
    half: np.ndarray = order[group] % 2 == 1
    return half


def _sum(rates: Sequence[Rate]) -> Rate:
    return Rate(sum(rate.right for rate in rates), sum(rate.count for rate in rates))


def _right(rate: Rate) -> str:
    if not rate.count:
        return "none can be judged"
    return f"right in {100 * rate.right / rate.count:.1f} % of {rate.count:,}"
