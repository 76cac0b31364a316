"""One HTML page that needs nothing beside itself: figures, matrices, confident mistakes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from cascade.evaluation.answers import Answers
from cascade.evaluation.evaluate import Evaluation
from cascade.evaluation.plots import confusion_png, coverage_png, reliability_png
from cascade.evaluation.tables import (
    CUTS,
    LEAVES,
    NUMBERS,
    RATES,
    WIDEST,
    cut_rows,
    leaf_rows,
    number_rows,
    rate_rows,
    source_table,
    stop_rows,
    widest_rows,
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .7rem }
td:not(:first-child), th:not(:first-child) { text-align: right; white-space: nowrap }
tr:nth-child(even) { background: #f4f4f4 } th { border-bottom: 1px solid #999 }
figure { display: inline-block; margin: .5rem; width: 9rem; vertical-align: top; font-size: 12px }
figure img { border: 1px solid #ccc; display: block } figcaption { overflow-wrap: anywhere }
"""


def html_report(
    evaluation: Evaluation, answers: Answers, pixels: np.ndarray, title: str, mistakes: int = 60
) -> str:
    """The page as text. ``pixels`` are the judged pictures, ``(N, height, width, 3)`` uint8."""
    sections = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{evaluation.pictures} pictures, {evaluation.partly_known} of them with a label that "
        "is partly known. Shares with Wilson's intervals, figures with bootstrap intervals over "
        "groups, both 95&nbsp;%.</p>",
        _table(RATES, rate_rows(evaluation.rates)),
        _table(NUMBERS, number_rows(evaluation)),
        "<h2>Leaves</h2>",
        _table(LEAVES, leaf_rows(evaluation)),
        "<h2>Where labels stop</h2>",
        _table(("label stops at", "threshold", *RATES[1:]), stop_rows(evaluation)),
        "<h2>Precision and coverage</h2>",
        "<p>In scope, by the probability of the best leaf. The second table chooses its thresholds "
        "by the pictures that it counts: no threshold that was chosen elsewhere covers more.</p>",
        _table(CUTS, cut_rows(evaluation)),
        _table(WIDEST, widest_rows(evaluation)),
        _image(coverage_png(evaluation.cuts), "precision against coverage"),
    ]
    if evaluation.sources:
        header, rows = source_table(evaluation)
        sections += ["<h2>By source</h2>", _table(header, rows)]
    sections += [
        "<h2>Reliability</h2>",
        _image(reliability_png(evaluation.bins), "reliability diagram"),
        "<h2>Confusion</h2>",
        *(
            f"<h3>{escape(name)}</h3>" + _image(confusion_png(each), f"confusion of {name}")
            for name, each in evaluation.confusions.items()
        ),
        "<h2>The most confident mistakes</h2>",
        _mistakes(answers, pixels, mistakes),
    ]
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n"
        "</body></html>\n"
    )


def worst_mistakes(answers: Answers, count: int) -> list[int]:
    """The wrong pictures whose best leaf is surest, the surest first, as row numbers."""
    wrong = np.flatnonzero(answers.known & (answers.best != answers.truth))
    order = np.argsort(-answers.certainty[wrong], kind="stable")
    return [int(row) for row in wrong[order][:count]]


def _mistakes(answers: Answers, pixels: np.ndarray, count: int) -> str:
    rows = worst_mistakes(answers, count)
    if not rows:
        return "<p>None.</p>"
    leaves = answers.routing.taxonomy.leaves
    return "\n".join(
        f"<figure>{_image(_jpeg(pixels[row]), leaves[answers.truth[row]], 'jpeg')}"
        f"<figcaption>{100 * answers.certainty[row]:.1f}&nbsp;% {escape(leaves[answers.best[row]])}"
        f"<br>is {escape(leaves[answers.truth[row]])}<br><small>"
        f"{escape(_name(answers.items[row].path))}</small></figcaption></figure>"
        for row in rows
    )


def _name(path: str) -> str:
    """The end of a path; a name that is not UTF-8 is shown with marks in place."""
    return path.rsplit("/", 1)[-1].encode("utf-8", "replace").decode()


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"


def _image(data: bytes, text: str, kind: str = "png") -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{encoded}">'


def _jpeg(picture: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
