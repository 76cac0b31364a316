"""An evaluation as tables of text, for a terminal, a page or a model card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cascade.evaluation.evaluate import LEAF_CONFUSION, ConfusionMatrix, Evaluation, LeafResult
from cascade.evaluation.metrics import Rate
from cascade.evaluation.risk_coverage import OperatingPoint
from rendering.text import text_table

RATE_HEADER = ("measure", "share", "95 % interval", "right / of")
FIGURE_HEADER = ("figure", "value", "95 % interval")
STOP_HEADER = ("label stops at", "threshold", *RATE_HEADER[1:])
LEAF_HEADER = ("leaf", "found", "95 % interval", "right / of", "F1")
OPERATING_POINT_HEADER = ("threshold on the best leaf", "coverage", "precision", *RATE_HEADER[2:])
COVERAGE_HEADER = ("highest coverage with", *OPERATING_POINT_HEADER[1:], "threshold")
WEAK = 0.85  # recall of a leaf below which it is reported as weak


def percent(value: float | None) -> str:
    """A share in percent, such as ``99.62 %``; a dash for None."""
    return "–" if value is None else f"{100 * value:.2f} %"


def rate_cells(rate: Rate) -> list[str]:
    """Share, interval and counts of a rate."""
    low, high = rate.interval
    interval = f"{100 * low:.1f}–{100 * high:.1f}" if rate.count else "–"
    return [percent(rate.value), interval, f"{rate.right} / {rate.count}"]


def figure_cell(name: str, value: float | None) -> str:
    """A figure: calibration errors in percent, all others as a plain number."""
    if value is None:
        return "–"
    return percent(value) if name.startswith("calibration") else f"{value:.4f}"


def rate_rows(rates: Mapping[str, Rate]) -> list[list[str]]:
    """Rows under ``RATE_HEADER``."""
    return [[name, *rate_cells(rate)] for name, rate in rates.items()]


def figure_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``FIGURE_HEADER``: the figures with their bootstrap intervals."""
    rows = []
    for name, value in evaluation.figures.items():
        bounds = [figure_cell(name, bound) for bound in evaluation.intervals.get(name, ())]
        rows.append([name, figure_cell(name, value), "–".join(bounds) or "–"])
    return rows


def leaf_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``LEAF_HEADER``."""
    return [
        [row.leaf, *rate_cells(row.found), "–" if row.f1 is None else f"{row.f1:.3f}"]
        for row in evaluation.leaves
    ]


def operating_point_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``OPERATING_POINT_HEADER``: precision and coverage, in scope."""
    return [
        [f"{point.threshold:g}", *_operating_point_cells(point)]
        for point in evaluation.operating_points
    ]


def coverage_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``COVERAGE_HEADER``: the highest coverage of one threshold, by precision."""
    return [
        [
            f"{100 * precision:g} % precision",
            *_operating_point_cells(point),
            f"{point.threshold:.3f}",
        ]
        for precision, point in evaluation.coverage_at_precision.items()
    ]


def _operating_point_cells(point: OperatingPoint) -> list[str]:
    return [percent(point.coverage.value), *rate_cells(point.precision)]


def source_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the share (and count) of each measure, a column for each source."""
    sources = evaluation.sources
    measures = [
        measure
        for measure in evaluation.rates
        if any(rates[measure].count for rates in sources.values())
    ]
    rows = [
        [measure, *(_source_cell(rates[measure]) for rates in sources.values())]
        for measure in measures
    ]
    return ["measure", *(source or "no source" for source in sources)], rows


def _source_cell(rate: Rate) -> str:
    return f"{percent(rate.value)} ({rate.count})" if rate.count else "–"


def stop_rows(evaluation: Evaluation) -> list[list[str]]:
    """Rows under ``STOP_HEADER``, without the nodes where no counted label stops."""
    return [
        [stop.node, f"{stop.threshold:.3f}", *rate_cells(stop.rate)]
        for stop in evaluation.stops
        if stop.rate.count
    ]


def text_report(evaluation: Evaluation) -> str:
    """All tables, as ``fashion-cascade evaluate`` prints them."""
    parts = [
        f"{evaluation.pictures} pictures, {evaluation.partly_known} of them with a label that is "
        "partly known",
        text_table(RATE_HEADER, rate_rows(evaluation.rates)),
        text_table(FIGURE_HEADER, figure_rows(evaluation)),
        text_table(LEAF_HEADER, leaf_rows(evaluation)),
        text_table(STOP_HEADER, stop_rows(evaluation)),
        text_table(OPERATING_POINT_HEADER, operating_point_rows(evaluation)),
        text_table(COVERAGE_HEADER, coverage_rows(evaluation)),
    ]
    if evaluation.sources:
        parts.append(text_table(*source_table(evaluation)))
    parts += [
        f"confusion of {name} (rows: truth, columns: answer)\n{confusion_text(matrix)}"
        for name, matrix in evaluation.confusions.items()
    ]
    return "\n\n".join(parts)


def confusion_text(matrix: ConfusionMatrix) -> str:
    """The counts, with numbered columns and a dot for 0."""
    rows = [
        [f"{n:2} {name}", *(str(count) if count else "·" for count in counts)]
        for n, (name, counts) in enumerate(zip(matrix.names, matrix.counts.tolist(), strict=True))
    ]
    return text_table(("", *(str(n) for n in range(len(matrix.names)))), rows)


def weak_leaves(evaluation: Evaluation) -> list[str]:
    """One line for each leaf whose recall is below ``WEAK``, the lowest first."""
    weak = [leaf for leaf in evaluation.leaves if leaf.found.count and _recall(leaf) < WEAK]
    lines = []
    for leaf in sorted(weak, key=_recall):
        share, interval, counts = rate_cells(leaf.found)
        confused = _most_frequent_mistake(evaluation.confusions[LEAF_CONFUSION], leaf.leaf)
        lines.append(f"{leaf.leaf}: {share} found ({interval}; {counts}){confused}")
    return lines


def _recall(leaf: LeafResult) -> float:
    return leaf.found.value or 0.0


def _most_frequent_mistake(matrix: ConfusionMatrix, leaf: str) -> str:
    number = matrix.names.index(leaf)
    mistakes = matrix.counts[number].copy()
    mistakes[number] = 0
    if not mistakes.any():
        return ""
    return f", most often taken for {matrix.names[int(np.argmax(mistakes))]}"
