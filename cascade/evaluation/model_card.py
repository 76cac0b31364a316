"""The model card of a bundle: what it was trained on, how good it is, and where it is not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cascade.data.dataset import Item
from cascade.evaluation.evaluate import Evaluation
from cascade.evaluation.tables import (
    LEAVES,
    NUMBERS,
    RATES,
    STOPS,
    leaf_rows,
    number_rows,
    rate_rows,
    source_table,
    stop_rows,
    weak_leaves,
)
from rendering.text import markdown_table

NO_TERMS = (
    "The terms of the training pictures were not given (`--terms`); ask whoever trained this "
    "bundle before you pass it on."
)


def model_card(
    training: Mapping[str, Any],
    items: Sequence[Item],
    figures: Mapping[str, Evaluation],
    terms: str = "",
) -> str:
    """Markdown: ``training`` as in the manifest, the ``items`` trained on, ``figures`` by split."""
    parts = ["# Model card", _summary(training), "## Training data", _data(training, items)]
    parts += [terms or NO_TERMS]
    parts += ["## Settings", f"```json\n{json.dumps(training['settings'], indent=1)}\n```"]
    for split, evaluation in figures.items():
        parts += [f"## Figures on {split}", *_figures(evaluation)]
    parts += ["## What it is not good at", _weak_spots(figures)]
    return "\n\n".join(parts) + "\n"


def _summary(training: Mapping[str, Any]) -> str:
    settings = training["settings"]
    runs = settings.get("runs", 1)
    mean = f" The weights are the mean of {runs} trainings." if runs > 1 else ""
    return (
        f"A cascade of {training['networks']} network(s) of the architecture "
        f"`{settings['architecture']['name']}`, form `{settings['form']}`, seed "
        f"{settings['seed']}. Trained {training['date']}, {training['epochs_done']} epoch(s), "
        f"{training['minutes']} minutes on {training['machine']}. Thresholds for "
        f"{100 * training['precision']:.3g} % precision, temperatures fitted on validation."
        f"{mean}"
    )


def _data(training: Mapping[str, Any], items: Sequence[Item]) -> str:
    labels, sources = Counter(i.label for i in items), Counter(i.source or "–" for i in items)
    return "\n\n".join(
        [
            f"{len(items)} pictures, fingerprint `{training['fingerprint']}`. "
            + _balance_text(training["settings"]["balance"], training.get("prior_strengths", {})),
            markdown_table(("label", "pictures"), [[k, str(labels[k])] for k in sorted(labels)]),
            markdown_table(("source", "pictures"), [[k, str(n)] for k, n in sources.most_common()]),
        ]
    )


def _balance_text(balance: float, strengths: Mapping[str, float]) -> str:
    if not balance:
        return "Each picture is drawn equally often, so large classes weigh more."
    text = (
        "Small classes and small sources are drawn more often: a picture by the count of its "
        f"label in its source to the power of −{balance:g}."
    )
    taken = [f"{node or 'primary'} {share:g}" for node, share in strengths.items() if share]
    if taken:
        text += (
            " What that adds to the expectation of rare classes was taken back, by the share of "
            f"it that suits validation best: {', '.join(taken)}."
        )
    return text


def _figures(evaluation: Evaluation) -> list[str]:
    parts = _figure_parts(evaluation)
    if evaluation.sources:
        parts += ["By source (share right, count):", markdown_table(*source_table(evaluation))]
    return parts


def _figure_parts(evaluation: Evaluation) -> list[str]:
    return [
        f"{evaluation.pictures} pictures ({evaluation.partly_known} with a partly known label). "
        "Intervals at 95 %: Wilson's for shares, a bootstrap over groups for figures. Pictures of "
        "one product are not independent, so the shares' true intervals are a little wider.",
        markdown_table(RATES, rate_rows(evaluation.rates)),
        markdown_table(NUMBERS, number_rows(evaluation)),
        markdown_table(LEAVES, leaf_rows(evaluation)),
        markdown_table(STOPS, stop_rows(evaluation)),
    ]


def _weak_spots(figures: Mapping[str, Evaluation]) -> str:
    if not figures:
        return "Not measured: no pictures were given to judge it by."
    split, evaluation = list(figures.items())[-1]
    weak = weak_leaves(evaluation)
    few = [row.leaf for row in evaluation.leaves if row.found.count < 30]
    lines = [f"- {line}" for line in weak] or [f"- No leaf below 85 % found on {split}."]
    if few:
        lines.append(f"- Fewer than 30 pictures to judge by on {split}: {', '.join(few)}.")
    lines.append("- Pictures of shops that it never saw: expect less than these figures.")
    return "\n".join(lines)
