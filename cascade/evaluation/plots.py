"""Diagrams as PNG, confusion matrices also as CSV; Matplotlib is imported when one is drawn."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.evaluation.evaluate import ConfusionMatrix, Evaluation
from cascade.evaluation.metrics import ReliabilityBin
from cascade.evaluation.risk_coverage import OperatingPoint
from rendering.csv_lines import csv_line_writer
from rendering.output import open_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NUMBERED_CLASSES = 24  # with more classes the counts overlap


def confusion_png(matrix: ConfusionMatrix, title: str = "") -> bytes:
    """A confusion matrix: truth in rows, each shaded by its shares, with the counts."""
    counts = matrix.counts
    size = max(3.5, 0.42 * len(matrix.names) + 2)
    figure, axes = _figure(size + 1, size)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(counts / totals, cmap="Blues", vmin=0, vmax=1)
    places = range(len(matrix.names))
    axes.set_xticks(places, matrix.names, rotation=90, fontsize=7)
    axes.set_yticks(places, matrix.names, fontsize=7)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=9)
    if len(matrix.names) <= MAX_NUMBERED_CLASSES:
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = counts[row, column] / totals[row, 0] > 0.5
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                fontsize=6,
                color="white" if dark else "black",
            )
    return _png(figure)


def reliability_png(bins: Sequence[ReliabilityBin], title: str = "") -> bytes:
    """A reliability diagram: accuracy against confidence, with the count of each bin."""
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
    axes.set_ylabel("accuracy")
    axes.set_title(title, fontsize=9)
    return _png(figure)


def coverage_png(points: Iterable[OperatingPoint], title: str = "") -> bytes:
    """Precision against coverage, with 95 % intervals."""
    figure, axes = _figure(4.5, 3.5)
    counted = [point for point in points if point.precision.count]
    counted.sort(key=lambda point: point.precision.count)
    coverage = [point.coverage.value for point in counted]
    low, high = ([point.precision.interval[bound] for point in counted] for bound in (0, 1))
    axes.fill_between(coverage, low, high, alpha=0.2)
    axes.plot(coverage, [point.precision.value for point in counted], marker="o", markersize=3)
    axes.set_xlim(0, 1)
    axes.set_xlabel("coverage")
    axes.set_ylabel("precision")
    axes.set_title(title, fontsize=9)
    return _png(figure)


def write_figures(folder: Path, evaluation: Evaluation) -> None:
    """Write the reliability and coverage diagrams and each confusion matrix (PNG, CSV).

    Raises:
        OSError: the folder cannot be made, or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "reliability.png", reliability_png(evaluation.bins))
    _write(folder / "coverage.png", coverage_png(evaluation.operating_points))
    for name, matrix in evaluation.confusions.items():
        stem = "confusion-" + name.replace("/", "-")
        _write(folder / f"{stem}.png", confusion_png(matrix, name))
        _write(folder / f"{stem}.csv", confusion_csv(matrix).encode())


def confusion_csv(matrix: ConfusionMatrix) -> str:
    """A confusion matrix as CSV: a line for each truth, a column for each answer."""
    lines: list[str] = []
    write_line = csv_line_writer(lines.append)
    write_line(["truth", *matrix.names])
    for truth, row in zip(matrix.names, matrix.counts.tolist(), strict=True):
        write_line([truth, *map(str, row)])
    return "".join(lines)


def _write(target: Path, content: bytes) -> None:
    with open_output(target) as file:
        file.write(content)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    """A figure and its axes, without pyplot, which would keep every figure in memory."""
    # a home that is read-only is no news: its cache goes to a temporary folder then
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
