"""The evaluation report: one HTML page with figures, diagrams and confident mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.evaluation.answers import Answers
from cascade.evaluation.evaluate import Evaluation
from cascade.evaluation.plots import confusion_png, coverage_png, reliability_png
from cascade.evaluation.tables import (
    CUTS,
    LEAVES,
    NUMBERS,
    RATES,
    STOPS,
    WIDEST,
    cut_rows,
    leaf_rows,
    number_rows,
    rate_rows,
    source_table,
    stop_rows,
    widest_rows,
)
from rendering.html import data_uri, jpeg_data_uri, render


def html_report(
    evaluation: Evaluation, answers: Answers, pixels: np.ndarray, title: str, mistakes: int = 60
) -> str:
    """The report as one page that loads nothing from elsewhere.

    Args:
        evaluation: What was measured.
        answers: The answers that were measured, for the mistakes.
        pixels: The pictures of the answers, ``(N, height, width, 3)`` uint8 RGB.
        title: Title and heading of the page.
        mistakes: Most mistakes that are shown.
    """
    return render(
        "evaluation_report.html",
        title=title,
        pictures=evaluation.pictures,
        partly_known=evaluation.partly_known,
        rates=(RATES, rate_rows(evaluation.rates)),
        figures=(NUMBERS, number_rows(evaluation)),
        leaves=(LEAVES, leaf_rows(evaluation)),
        stops=(STOPS, stop_rows(evaluation)),
        by_threshold=(CUTS, cut_rows(evaluation)),
        by_precision=(WIDEST, widest_rows(evaluation)),
        coverage=_png_uri(coverage_png(evaluation.cuts)),
        sources=source_table(evaluation) if evaluation.sources else None,
        reliability=_png_uri(reliability_png(evaluation.bins)),
        confusions=[
            (name, _png_uri(confusion_png(confusion)))
            for name, confusion in evaluation.confusions.items()
        ],
        mistakes=[
            _mistake(answers, pixels, row) for row in most_confident_mistakes(answers, mistakes)
        ],
    )


def most_confident_mistakes(answers: Answers, count: int) -> list[int]:
    """Row numbers of at most ``count`` wrong answers, the highest confidence first."""
    wrong = np.flatnonzero(answers.known & (answers.best != answers.truth))
    order = np.argsort(-answers.certainty[wrong], kind="stable")
    return [int(row) for row in wrong[order][:count]]


def _mistake(answers: Answers, pixels: np.ndarray, row: int) -> dict[str, Any]:
    leaves = answers.routing.taxonomy.leaves
    return {
        "source": jpeg_data_uri(pixels[row]),
        "truth": leaves[answers.truth[row]],
        "answer": leaves[answers.best[row]],
        "confidence": f"{100 * answers.certainty[row]:.1f}",
        "name": answers.items[row].path.rsplit("/", 1)[-1],
    }


def _png_uri(content: bytes) -> str:
    return data_uri(content, "image/png")
