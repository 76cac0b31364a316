"""Paired comparison of two cascades, bootstrap intervals, and the HTML report."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from cascade.data.dataset import Item
from cascade.evaluation.bootstrap import bootstrap_weights
from cascade.evaluation.compare import compare, gender_and_type_points, mcnemar
from cascade.evaluation.evaluate import evaluate_predictions
from cascade.evaluation.html import html_report, most_confident_mistakes
from cascade.evaluation.predictions import Correctness, LabelledPredictions
from cascade.routing import Routing
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.load()


def predict(
    labels: list[str], predicted: list[str], probability: float = 0.9, **items: str
) -> LabelledPredictions:
    """Predictions of ``predicted`` with about this probability at each decision on the way."""
    routing = Routing(TREE, TREE.decisions())
    logits = np.zeros((len(predicted), routing.decisions.width), np.float32)
    for row, leaf in enumerate(predicted):
        for decision, columns in routing.decisions.with_columns():
            for number, outcome in enumerate(decision.outcomes, columns.start):
                if leaf == outcome or leaf.startswith(outcome + "/"):
                    odds = probability * (len(decision.outcomes) - 1) / (1 - probability)
                    logits[row, number] = np.log(odds)
    return LabelledPredictions(
        routing, logits, tuple(Item(f"{n}.jpg", label, **items) for n, label in enumerate(labels))
    )


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 * 0.5**5),
        (1, 9, 2 * (1 + 10) / 2**10),
        (2000, 2000, 1.0),
    ],
)
def test_mcnemar_is_an_exact_binomial_test(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)
    assert mcnemar(only_second, only_first) == pytest.approx(p)


def test_only_pictures_that_count_for_both_are_compared() -> None:
    yes, no = True, False
    first = {"m": Correctness(np.array([yes, yes, no, yes]), np.array([yes, yes, yes, no]))}
    second = {"m": Correctness(np.array([yes, no, no, no]), np.array([yes, yes, yes, yes]))}
    (found,) = compare(first, second)
    assert (found.first.right, found.second.right, found.first.count) == (2, 1, 3)
    assert (found.only_first, found.only_second) == (1, 0)
    with pytest.raises(ValueError, match="the same pictures"):
        compare(first, {"m": Correctness(np.array([yes]), np.array([yes]))})


def test_points_for_gender_and_type() -> None:
    labels = [
        "shoes/male/boots",
        "shoes/male/boots",
        "trousers_jeans/female/jeans",
        "shoes/?/boots",
    ]
    predicted = [
        "shoes/female/boots",
        "shoes/male/formal",
        "trousers_jeans/female/jeans",
        labels[0],
    ]
    found = gender_and_type_points(predict(labels, predicted))
    assert found == {"trousers_jeans": (1, 1, 2, 2), "shoes": (1, 1, 2, 4)}


def test_the_bootstrap_draws_complete_groups() -> None:
    weights = bootstrap_weights(["a", "a", "b", "", ""], resamples=50, seed=1)
    assert weights.shape == (50, 5)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert not (weights[:, 3] == weights[:, 4]).all()
    drawn = weights[:, 0] + weights[:, 2] + weights[:, 3] + weights[:, 4]
    assert (drawn == 4).all()  # four groups each time


def test_bootstrap_intervals_contain_the_figure_and_are_reproducible() -> None:
    labels = ["glasses/optical", "glasses/sunglasses"] * 30
    found = evaluate_predictions(predict(labels, labels[:50] + labels[49:59]))
    low, high = found.intervals["macro-F1 of the leaves, in scope"]
    assert low < (found.figures["macro-F1 of the leaves, in scope"] or 0) < high < 1
    again = evaluate_predictions(predict(labels, labels[:50] + labels[49:59]))
    assert again.intervals == found.intervals


class Links(HTMLParser):
    """The tags of a page, and the addresses that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("data:"):
                self.outside.append(f"{tag} {value}")


def test_the_report_is_self_contained_and_shows_the_mistakes() -> None:
    labels = ["glasses/optical"] * 3 + ["shoes/male/boots"]
    predicted = ["glasses/optical", "glasses/sunglasses", "glasses/optical", "shoes/male/formal"]
    given = predict(labels, predicted, source="a<b>&shop")
    pixels = np.zeros((4, 120, 90, 3), np.uint8)
    pixels[3] = (200, 40, 40)
    page = html_report(evaluate_predictions(given), given, pixels, "<script>alert(1)</script>")
    links = Links()
    links.feed(page)
    assert links.outside == []
    assert "script" not in links.tags
    assert links.tags.count("figure") == 2
    assert "&lt;script&gt;" in page
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in pictures]
    assert {picture.shape for picture in shown} == {(120, 90, 3)}
    assert any(abs(int(picture[60, 45, 0]) - 200) < 8 for picture in shown)
    assert "is shoes/male/boots" in page.replace("<wbr>", "")


def test_the_most_confident_mistake_comes_first() -> None:
    labels = ["glasses/optical"] * 3
    given = predict(labels, ["glasses/sunglasses"] * 3, 0.8)
    given.logits[1] *= 3
    again = LabelledPredictions(given.routing, given.logits, given.items)
    assert most_confident_mistakes(again, 2) == [1, 0]
