"""The evaluation report: one HTML page with figures, diagrams and confident mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.evaluation.evaluate import Evaluation
from cascade.evaluation.plots import confusion_png, coverage_png, reliability_png
from cascade.evaluation.predictions import LabelledPredictions
from cascade.evaluation.tables import (
    COVERAGE_HEADER,
    FIGURE_HEADER,
    LEAF_HEADER,
    OPERATING_POINT_HEADER,
    RATE_HEADER,
    STOP_HEADER,
    coverage_rows,
    figure_rows,
    leaf_rows,
    operating_point_rows,
    rate_rows,
    source_table,
    stop_rows,
)
from rendering.html import data_uri, jpeg_data_uri, render


def html_report(
    evaluation: Evaluation,
    labelled: LabelledPredictions,
    pixels: np.ndarray,
    title: str,
    mistakes: int = 60,
) -> str:
    """The report as one page that loads nothing from elsewhere.

    Args:
        evaluation: The result to show.
        labelled: The predictions that were evaluated.
        pixels: Their pictures, ``(N, height, width, 3)`` uint8 RGB.
        title: Title and heading of the page.
        mistakes: Maximum number of mistakes to show.
    """
    return render(
        "evaluation_report.html",
        title=title,
        pictures=evaluation.pictures,
        partly_known=evaluation.partly_known,
        rates=(RATE_HEADER, rate_rows(evaluation.rates)),
        figures=(FIGURE_HEADER, figure_rows(evaluation)),
        leaves=(LEAF_HEADER, leaf_rows(evaluation)),
        stops=(STOP_HEADER, stop_rows(evaluation)),
        by_threshold=(OPERATING_POINT_HEADER, operating_point_rows(evaluation)),
        by_precision=(COVERAGE_HEADER, coverage_rows(evaluation)),
        coverage=_png_uri(coverage_png(evaluation.operating_points)),
        sources=source_table(evaluation) if evaluation.sources else None,
        reliability=_png_uri(reliability_png(evaluation.bins)),
        confusions=[
            (name, _png_uri(confusion_png(matrix)))
            for name, matrix in evaluation.confusions.items()
        ],
        mistakes=[
            _mistake(labelled, pixels, row) for row in most_confident_mistakes(labelled, mistakes)
        ],
    )


def most_confident_mistakes(labelled: LabelledPredictions, count: int) -> list[int]:
    """Row numbers of at most ``count`` wrong predictions, the highest confidence first."""
    wrong = np.flatnonzero(labelled.leaf_known & ~labelled.leaf_right)
    order = np.argsort(-labelled.confidence[wrong], kind="stable")
    return [int(row) for row in wrong[order][:count]]


def _mistake(labelled: LabelledPredictions, pixels: np.ndarray, row: int) -> dict[str, Any]:
    leaves = labelled.routing.taxonomy.leaves
    return {
        "source": jpeg_data_uri(pixels[row]),
        "truth": leaves[labelled.true_leaf[row]],
        "answer": leaves[labelled.best_leaf[row]],
        "confidence": f"{100 * labelled.confidence[row]:.1f}",
        "name": labelled.items[row].path.rsplit("/", 1)[-1],
    }


def _png_uri(content: bytes) -> str:
    return data_uri(content, "image/png")
