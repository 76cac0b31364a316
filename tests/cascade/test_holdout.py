"""Heads on frozen features, with a whole source held out: on features that the test draws."""

from __future__ import annotations

import numpy as np

from cascade.dataset import Item
from cascade.holdout import Features, fit_heads, hold_out
from cascade.taxonomy import Taxonomy

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car"])


def drawn(source: str, shift: float, seed: int, count: int = 400) -> Features:
    """Eight features that tell the leaf; in another source they are shifted."""
    random = np.random.default_rng(seed)
    labels = [TREE.leaves[n] for n in random.integers(0, 4, count)]
    centres = np.eye(4, 8, dtype=np.float32) * 4
    values = np.stack([centres[TREE.leaves.index(label)] for label in labels])
    values = values + random.normal(shift, 1, values.shape).astype(np.float32)
    splits = ["train" if n % 4 else "validation" if n % 8 else "test" for n in range(count)]
    items = [
        Item(f"{n}", label, split, source)
        for n, (label, split) in enumerate(zip(labels, splits, strict=True))
    ]
    return Features(tuple(items), values)


def joined(*parts: Features) -> Features:
    items = tuple(item for part in parts for item in part.items)
    return Features(items, np.concatenate([part.values for part in parts]))


def test_heads_learn_and_a_strange_source_is_worse_than_one_that_is_known() -> None:
    known, strange = drawn("known", 0, 1), drawn("strange", 2.5, 2)
    both = joined(known, strange)
    seen = hold_out(both, (), TREE)["primary"]
    assert seen.count == 100  # the test split
    assert (seen.value or 0) > 0.95
    unseen = hold_out(both, ("strange",), TREE)["primary"]
    assert unseen.count == 400  # every picture of it
    assert (unseen.value or 1) < (seen.value or 0)


def test_partly_known_labels_teach_the_primary_decision() -> None:
    features = drawn("known", 0, 3)
    hidden = tuple(Item(i.path, i.label.split("/")[0], i.split, i.source) for i in features.items)
    heads = fit_heads(Features(hidden, features.values), TREE.decisions(), TREE)
    logits = heads.logits(features.values)
    truth = np.array([item.label.startswith("toys") for item in features.items])
    assert ((logits[:, :2].argmax(axis=1) == 1) == truth).mean() > 0.95
    # nothing was said of what is below, so nothing is believed of it
    assert np.abs(logits[:, 2:]).max() < 0.2
