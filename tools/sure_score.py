"""Compare scores for "the best leaf is right": the probability alone, and models of correctness.

    python -m tools.sure_score photos/manifest.csv

Each score ranks pictures; its coverage is the share of pictures that can be called sure before more
than 2 % of them are wrong. Models of correctness are logistic regressions, fitted to the validation
pictures of the sources that the shipped bundle was trained on: five folds over groups for these,
all of them for shops that it never saw. A shop's coverage is that of the best threshold in
hindsight, so it judges the ranking and not the threshold. Intervals are bootstrapped over groups.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np

from cascade.adaptation.crossvalidation import FOLDS, fold_of_each
from cascade.adaptation.pick import entropy
from cascade.adaptation.replay import TRAIN, read_replay
from cascade.bundle import Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import Item, decode_items, read_labelled_manifest
from cascade.evaluation.predictions import LabelledPredictions
from cascade.projection import Projection

PRECISION = 0.98
NEIGHBOURS = 5
DRAWS = 200
MODELS = {
    "margin, entropy": (0, 1, 2),
    "and levels": (0, 1, 2, 3, 4),
    "and distance": (0, 1, 2, 3, 4, 5),
    "probability and distance": (0, 5),
}
Kept = tuple[list[Item], np.ndarray, np.ndarray]  # items, (N, K) logits, (N, F) features


def outputs(items: list[Item], name: str) -> Kept:
    """Logits and features of pictures; kept in the temporary folder, as they take minutes."""
    paths = "\n".join(item.path for item in items)
    key = hashlib.sha256(paths.encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"sure-score-{name}-{key}.npz"
    if not kept.is_file():
        cascade = Cascade.load(features=True)
        pictures = decode_items(items, cascade.preprocessing)
        width = cascade.bundle.decisions.width
        answers = cascade.runners[0](pictures.pixels)
        names = np.array([item.path for item in pictures.items])
        np.savez(kept, logits=answers[:, :width], values=answers[:, width:], paths=names)
    by_path = {item.path: item for item in items}
    with np.load(kept) as stored:
        found = [by_path[path] for path in stored["paths"].tolist()]
        return found, stored["logits"], stored["values"]


def measures(bundle: Bundle, logits: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``(N, 6)``: log odds of the best leaf, margin, entropy, two levels, distance."""
    leaves = bundle.routing.leaf_probabilities(logits)
    ranked = np.sort(leaves, axis=1)
    best, second = ranked[:, -1], ranked[:, -2]
    predictions = bundle.routing.label(logits)
    levels = [
        [
            share
            for share in (p.category_confidence, p.gender_confidence, p.type_confidence)
            if share
        ]
        for p in predictions
    ]
    projection = Projection.open(bundle)
    replay = read_replay(bundle).of_split(TRAIN)
    near = _unit(projection.vectors(replay.values))
    own = _unit(projection.vectors(values))
    closest = np.zeros(len(own))
    for start in range(0, len(own), 256):
        cosines = own[start : start + 256] @ near.T
        closest[start : start + 256] = np.sort(cosines, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    odds = np.log(np.clip(best, 1e-6, 1 - 1e-6) / np.clip(1 - best, 1e-6, 1))
    lowest = [min(each) for each in levels]
    return np.column_stack(
        [odds, best - second, entropy(leaves), lowest, [e[0] for e in levels], closest]
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    numbers = vectors.astype(np.float32)
    result: np.ndarray = numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1)
    return result


def fitted(x: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression with a small penalty, by Newton's method; bias last."""
    padded = np.column_stack([x, np.ones(len(x))])
    weights = np.zeros(padded.shape[1])
    for _ in range(30):
        share = 1 / (1 + np.exp(-np.clip(padded @ weights, -30, 30)))
        gradient = padded.T @ (share - right) + 1e-2 * weights
        curvature = (padded * (share * (1 - share))[:, None]).T @ padded
        weights -= np.linalg.solve(curvature + 1e-2 * np.eye(len(weights)), gradient)
    return weights


def coverage(score: np.ndarray, right: np.ndarray) -> float:
    """The largest share of pictures, the highest scores first, of which 98 % are right."""
    order = np.argsort(-score, kind="stable")
    precise = np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= PRECISION
    return float((np.flatnonzero(precise)[-1] + 1) / len(order)) if precise.any() else 0.0


def compared(scores: dict[str, np.ndarray], right: np.ndarray, groups: list[str]) -> None:
    """Print the coverage of each score, and the interval of its difference to the first."""
    names, number = np.unique(np.array(groups), return_inverse=True)
    rows_of = [np.flatnonzero(number == n) for n in range(len(names))]
    random = np.random.default_rng(1)
    draws = []
    for _ in range(DRAWS):
        chosen = random.integers(0, len(names), len(names))
        draws.append(np.concatenate([rows_of[n] for n in chosen]))
    first = next(iter(scores.values()))
    for name, score in scores.items():
        differences = [coverage(score[d], right[d]) - coverage(first[d], right[d]) for d in draws]
        low, high = np.percentile(differences, [2.5, 97.5])
        print(f"  {name:28} {coverage(score, right):6.1%}  ({low:+.1%} to {high:+.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    arguments = parser.parse_args()
    bundle = Bundle.open()
    own = set(bundle.manifest["training"]["sources"])
    items = read_labelled_manifest(arguments.manifest, bundle.taxonomy)
    home = [item for item in items if item.source in own and item.split == "validation"]
    away = [item for item in items if item.source not in own]
    sets = {}
    for name, chosen in (("home", home), ("shops", away)):
        found, logits, values = outputs(chosen, name)
        judged = LabelledPredictions(bundle.routing, logits, found)
        known = judged.leaf_known
        right = (judged.best_leaf == judged.true_leaf)[known].astype(float)
        kept = [item for item, whole in zip(found, known.tolist(), strict=True) if whole]
        sets[name] = (kept, measures(bundle, logits, values)[known], right)
    items, x, right = sets["home"]
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    groups = [item.group or item.path for item in items]
    folds = fold_of_each(groups, seed=0)
    scaled = (x - middle) / spread
    scores = {"probability alone": x[:, 0]}
    for name, columns in MODELS.items():
        score = np.zeros(len(x))
        for fold in range(FOLDS):
            out = folds == fold
            weights = fitted(scaled[~out][:, columns], right[~out])
            score[out] = scaled[out][:, columns] @ weights[:-1] + weights[-1]
        scores[name] = score
    print(f"home: {len(x)} pictures, {right.mean():.1%} right")
    compared(scores, right, groups)
    others, far, hits = sets["shops"]
    scaled_far = (far - middle) / spread
    by_shop = np.array([item.source.partition("_")[0] for item in others])
    for shop in ["all shops", *sorted(set(by_shop.tolist()))]:
        rows = np.flatnonzero((by_shop == shop) | (shop == "all shops"))
        if len(rows) < 100:
            continue
        scores = {"probability alone": far[rows, 0]}
        for name, columns in MODELS.items():
            weights = fitted(scaled[:, columns], right)
            scores[name] = scaled_far[rows][:, columns] @ weights[:-1] + weights[-1]
        print(f"{shop}: {len(rows)} pictures, {hits[rows].mean():.1%} right")
        compared(scores, hits[rows], [others[n].group or others[n].path for n in rows])


if __name__ == "__main__":
    main()
