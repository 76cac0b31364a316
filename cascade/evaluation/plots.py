"""Diagrams and confusion matrices as PNG. Matplotlib is imported when one is drawn."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.evaluation.evaluate import Confusion
from cascade.evaluation.metrics import Bin
from cascade.evaluation.risk_coverage import Cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERED = 24  # classes: beyond, the counts would run into each other


def confusion_png(each: Confusion, title: str = "") -> bytes:
    """Rows (truth) shaded by share, the counts written in."""
    size = max(3.5, 0.42 * len(each.names) + 2)
    figure, axes = _figure(size + 1, size)
    totals = np.maximum(each.table.sum(axis=1, keepdims=True), 1)
    axes.imshow(each.table / totals, cmap="Blues", vmin=0, vmax=1)
    places = range(len(each.names))
    axes.set_xticks(places, each.names, rotation=90, fontsize=7)
    axes.set_yticks(places, each.names, fontsize=7)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=9)
    if len(each.names) <= MOST_NUMBERED:
        for row, column in zip(*np.nonzero(each.table), strict=True):
            dark = each.table[row, column] / totals[row, 0] > 0.5
            axes.text(
                column,
                row,
                str(each.table[row, column]),
                ha="center",
                va="center",
                fontsize=6,
                color="white" if dark else "black",
            )
    return _png(figure)


def reliability_png(bins: Sequence[Bin], title: str = "") -> bytes:
    """How often answers are right against how sure they are; below, how many they are."""
    figure, axes = _figure(4.5, 4.5)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    middles = [(bar.low + bar.high) / 2 for bar in bins]
    widths = [bar.high - bar.low for bar in bins]
    axes.bar(middles, [bar.accuracy for bar in bins], widths, edgecolor="white", color="#4477aa")
    for bar in bins:
        axes.text((bar.low + bar.high) / 2, 0.01, str(bar.count), ha="center", fontsize=6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share that is right")
    axes.set_title(title, fontsize=9)
    return _png(figure)


def coverage_png(cuts: Iterable[Cut], title: str = "") -> bytes:
    """How many of the answers are right against how many are taken, the surest first."""
    figure, axes = _figure(4.5, 3.5)
    taken = sorted((cut for cut in cuts if cut.right.count), key=lambda cut: cut.right.count)
    shares = [(cut.covered.value, cut.right.value, cut.right.interval) for cut in taken]
    covered, right, spans = zip(*shares, strict=True) if shares else ((), (), ())
    axes.fill_between(covered, [low for low, _ in spans], [high for _, high in spans], alpha=0.2)
    axes.plot(covered, right, marker="o", markersize=3)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share that is taken")
    axes.set_ylabel("share of these that is right")
    axes.set_title(title, fontsize=9)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of its own canvas: pyplot would keep every figure of the process."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
