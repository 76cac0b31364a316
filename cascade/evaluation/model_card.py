"""The model card of a bundle: training data, settings, figures and weak spots, as Markdown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cascade.data.dataset import Item
from cascade.evaluation.evaluate import Evaluation
from cascade.evaluation.tables import (
    FIGURE_HEADER,
    LEAF_HEADER,
    RATE_HEADER,
    STOP_HEADER,
    WEAK,
    figure_rows,
    leaf_rows,
    rate_rows,
    source_table,
    stop_rows,
    weak_leaves,
)
from rendering.text import markdown_table

FEW_PICTURES = 30  # of a leaf, too few to measure it well
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
    """The model card as Markdown.

    Args:
        training: The entry ``training`` of the bundle's manifest.
        items: The labelled pictures of the training split.
        figures: An evaluation for each split, the test split last.
        terms: Terms of use of the training pictures, as Markdown.
    """
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
        f"A cascade of {training['networks']} network(s) with the architecture "
        f"`{settings['architecture']['name']}`, the form `{settings['form']}` and the seed "
        f"{settings['seed']}. Trained {training['date']}, {_effort(training)}, "
        f"{training['minutes']} minutes on {training['machine']}. Thresholds for "
        f"{100 * training['precision']:.3g} % precision and temperatures were fitted on validation."
        f"{mean}"
    )


def _effort(training: Mapping[str, Any]) -> str:
    if "trunk" not in training:
        return f"{training['epochs_done']} epoch(s)"
    trunk = training["trunk"]
    return f"its heads alone, on the trunk of {trunk if trunk == 'ImageNet' else f'model {trunk}'}"


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
        return "All pictures were drawn equally often, so large classes weigh more."
    text = (
        "Small classes and small sources were drawn more often: each picture in proportion to "
        f"the count of its label in its source, to the power of −{balance:g}."
    )
    adjusted = [f"{node or 'primary'} {share:g}" for node, share in strengths.items() if share]
    if adjusted:
        text += (
            " Logit adjustment corrects the class priors for that, with the strength that is best "
            f"on validation: {', '.join(adjusted)}."
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
        "Intervals are at 95 %: Wilson for shares, a bootstrap over groups for figures. Pictures "
        "of one product are not independent, so the true intervals of shares are a little wider.",
        markdown_table(RATE_HEADER, rate_rows(evaluation.rates)),
        markdown_table(FIGURE_HEADER, figure_rows(evaluation)),
        markdown_table(LEAF_HEADER, leaf_rows(evaluation)),
        markdown_table(STOP_HEADER, stop_rows(evaluation)),
    ]


def _weak_spots(figures: Mapping[str, Evaluation]) -> str:
    if not figures:
        return "Not measured: there were no pictures to evaluate it on."
    split, evaluation = list(figures.items())[-1]
    weak = weak_leaves(evaluation)
    few = [row.leaf for row in evaluation.leaves if row.found.count < FEW_PICTURES]
    lines = [f"- {line}" for line in weak] or [
        f"- No leaf of {split} has fewer than {100 * WEAK:g} % of its pictures found."
    ]
    if few:
        lines.append(f"- Fewer than {FEW_PICTURES} pictures in {split}: {', '.join(few)}.")
    lines.append("- Pictures of unseen shops: expect less than these figures.")
    return "\n".join(lines)
