"""An evaluation as text: for a terminal, and as Markdown for a model card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cascade.evaluation.evaluate import Confusion, Evaluation
from cascade.evaluation.metrics import Rate
from cascade.evaluation.risk_coverage import Cut
from rendering.text import text_table


def percent(value: float | None) -> str:
    """A share as people read it: ``99.62 %``, and a dash where there is none."""
    return "–" if value is None else f"{100 * value:.2f} %"


def rate_cells(rate: Rate) -> list[str]:
    """Share, interval and counts of a rate, as text."""
    low, high = rate.interval
    span = f"{100 * low:.1f}–{100 * high:.1f}" if rate.count else "–"
    return [percent(rate.value), span, f"{rate.right} / {rate.count}"]


def number_cell(name: str, value: float | None) -> str:
    """A plain figure; a calibration error is a share, the others are not."""
    if value is None:
        return "–"
    return percent(value) if name.startswith("calibration") else f"{value:.4f}"


RATES = ("measure", "share", "95 % interval", "right / of")
NUMBERS = ("figure", "value", "95 % interval")
STOPS = ("label stops at", "threshold", *RATES[1:])
LEAVES = ("leaf", "found", "95 % interval", "right / of", "F1")
CUTS = ("best leaf at least as sure as", "covered", *RATES[1:])
WIDEST = ("most that is covered at", *CUTS[1:], "least sure")


def rate_rows(rates: Mapping[str, Rate]) -> list[list[str]]:
    """Rows under ``RATES``."""
    return [[name, *rate_cells(rate)] for name, rate in rates.items()]


def number_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``NUMBERS``: the figures with their bootstrap intervals."""
    rows = []
    for name, value in evaluation.numbers.items():
        span = evaluation.intervals.get(name)
        cells = [number_cell(name, bound) for bound in span] if span else []
        rows.append([name, number_cell(name, value), "–".join(cells) or "–"])
    return rows


def leaf_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``LEAVES``."""
    return [
        [row.leaf, *rate_cells(row.found), "–" if row.f1 is None else f"{row.f1:.3f}"]
        for row in evaluation.leaves
    ]


def cut_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``CUTS``: what is covered by one threshold in scope, and how much is right."""
    return [[f"{cut.threshold:g}", *_cut_cells(cut)] for cut in evaluation.cuts]


def widest_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``WIDEST``: for each precision, the most that one threshold can cover."""
    return [
        [f"{100 * aim:g} % precision", *_cut_cells(cut), f"{cut.threshold:.3f}"]
        for aim, cut in evaluation.widest.items()
    ]


def _cut_cells(cut: Cut) -> list[str]:
    return [percent(cut.covered.value), *rate_cells(cut.right)]


def source_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each source's share right (and count), measure by measure."""
    names = [
        name
        for name in evaluation.rates
        if any(rates[name].count for rates in evaluation.sources.values())
    ]
    rows = [
        [name]
        + [
            f"{percent(rates[name].value)} ({rates[name].count})" if rates[name].count else "–"
            for rates in evaluation.sources.values()
        ]
        for name in names
    ]
    return ["measure", *(source or "no source" for source in evaluation.sources)], rows


def terminal(evaluation: Evaluation) -> str:
    """Everything that ``fashion-cascade evaluate`` prints."""
    parts = [
        f"{evaluation.pictures} pictures, {evaluation.partly_known} of them with a label that is "
        "partly known",
        text_table(RATES, rate_rows(evaluation.rates)),
        text_table(NUMBERS, number_rows(evaluation)),
        text_table(LEAVES, leaf_rows(evaluation)),
        text_table(STOPS, stop_rows(evaluation)),
        text_table(CUTS, cut_rows(evaluation)),
        text_table(WIDEST, widest_rows(evaluation)),
    ]
    if evaluation.sources:
        parts.append(text_table(*source_table(evaluation)))
    parts += [
        f"confusion of {name} (rows: truth, columns: answer)\n{confusion_text(each)}"
        for name, each in evaluation.confusions.items()
    ]
    return "\n\n".join(parts)


def stop_rows(evaluation: Evaluation) -> list[list[str]]:
    """Where labels stop, and how many are right there; nodes where none stops left out."""
    return [
        [row.node, f"{row.threshold:.3f}", *rate_cells(row.rate)]
        for row in evaluation.stops
        if row.rate.count
    ]


def confusion_text(each: Confusion) -> str:
    """The counts, columns numbered like the rows; a dot for 0."""
    rows = [
        [f"{n:2} {name}", *(str(count) if count else "·" for count in line)]
        for n, (name, line) in enumerate(zip(each.names, each.table.tolist(), strict=True))
    ]
    return text_table(("", *(str(n) for n in range(len(each.names)))), rows)


def weak_leaves(evaluation: Evaluation, below: float = 0.85) -> list[str]:
    """One line for each leaf of which too few pictures are found, the worst first."""
    weak = [row for row in evaluation.leaves if row.found.count and (row.found.value or 0) < below]
    lines = []
    for row in sorted(weak, key=lambda row: row.found.value or 0):
        share, span, counts = rate_cells(row.found)
        lines.append(
            f"{row.leaf}: {share} found ({span}; {counts}){_taken_for(evaluation, row.leaf)}"
        )
    return lines


def _taken_for(evaluation: Evaluation, leaf: str) -> str:
    each = evaluation.confusions["leaf"]
    line = each.table[each.names.index(leaf)].copy()
    line[each.names.index(leaf)] = 0
    if not line.any():
        return ""
    return f", most often taken for {each.names[int(np.argmax(line))]}"
