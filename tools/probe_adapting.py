"""Measure what refitting the heads to an unseen shop gains there and costs at home.

    python -m tools.probe_adapting photos/manifest.csv --features runs/features.npz \\
        --shop smartstyle --corrections 50,100,200 --draws 3 --replay-weight 1 --steps 120

The shop is every source whose name begins with --shop; name only shops that the bundle never saw.
Products (groups, and pictures whose features have a cosine above 0.985) are never on both sides.
Home is the test split without the shops of UNSEEN. The heads start from the shipped ones divided by
the temperatures; the loss is cross-entropy of the corrections, plus that of replayed training
features, plus a penalty towards the old heads. Recentring uses the shop's pictures without labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import relpath
from pathlib import Path

import keras
import numpy as np

from cascade.bundle import Bundle
from cascade.chunks import chunks
from cascade.data.dataset import Item, decode_items, read_labelled_manifest, targets
from cascade.data.near_duplicates import merged_groups
from cascade.decisions import DecisionSet
from cascade.networks.serialisation import read_network
from cascade.routing import Routing

UNSEEN = ("smartstyle", "magento2", "maho", "ooad", "gurudev", "fashion4u")
SAME_PICTURE = 0.985  # cosine of two feature vectors
REPLAYED = 2000
DECODED_AT_ONCE = 512
NAMES = ("leaf in scope", "leaf or out_of_scope", "gender", "type")


@dataclass(frozen=True)
class Sample:
    """Pictures as features: ``values`` is ``(N, 1280)`` float32, ``fits`` ``(N, K)`` targets."""

    items: tuple[Item, ...]
    values: np.ndarray
    fits: np.ndarray

    def subset(self, rows: np.ndarray) -> Sample:
        """The pictures of ``(n,)`` row numbers."""
        return Sample(tuple(self.items[n] for n in rows), self.values[rows], self.fits[rows])


def head_parameters(model: keras.Model) -> np.ndarray:
    """``(1281, K)``: the weights of all heads side by side, and their bias in the last row."""
    heads = [layer.get_weights() for layer in model.layers if layer.name.startswith("decide_")]
    return np.concatenate(
        [np.concatenate([w for w, _ in heads], 1), [np.hstack([b for _, b in heads])]]
    )


def read_sample(manifest: Path, cache: Path, bundle: Bundle, model: keras.Model) -> Sample:
    """The pictures of a manifest as features, computed once and kept in ``cache``."""
    items = read_labelled_manifest(manifest, bundle.taxonomy)
    if not cache.exists():
        from cascade.backends.tensorflow import keras_runner

        run = keras_runner(keras.Model(model.input, model.get_layer("features").output))
        values, kept = [], []
        for part in chunks(len(items), DECODED_AT_ONCE):
            pictures = decode_items(items[part], bundle.preprocessing, 2)
            values.append(run(pictures.pixels).astype(np.float16))
            kept += [relpath(item.path, manifest.parent) for item in pictures.items]
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, values=np.concatenate(values), paths=np.array(kept))
    with np.load(cache) as stored:
        by_path = {relpath(item.path, manifest.parent): item for item in items}
        kept_items = tuple(by_path[path] for path in stored["paths"].tolist())
        values = stored["values"].astype(np.float32)
    return Sample(kept_items, values, targets(kept_items, bundle.decisions, bundle.taxonomy))


def product_groups(sample: Sample) -> np.ndarray:
    """The group of each picture; near-duplicates by features share one."""
    unit = sample.values / np.linalg.norm(sample.values, axis=1, keepdims=True)
    first = [str(row) for row in (unit @ unit.T > SAME_PICTURE).argmax(axis=1)]
    return np.array(merged_groups(first, [item.group or item.path for item in sample.items]))


def draw(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``(N,)`` bool: whole groups at random, until there are ``count`` pictures."""
    chosen = np.zeros(len(groups), bool)
    for group in np.random.default_rng(seed).permutation(np.unique(groups)):
        if chosen.sum() >= count:
            break
        chosen |= groups == group
    return chosen


def replay_rows(items: Sequence[Item], rows: np.ndarray, seed: int = 1) -> np.ndarray:
    """``REPLAYED`` of ``rows``: half of them equally many a label, the others at random."""
    shuffled = np.random.default_rng(seed).permutation(rows)
    by_label: dict[str, list[int]] = {}
    for row in shuffled:
        by_label.setdefault(items[row].label, []).append(row)
    each = REPLAYED // 2 // len(by_label)
    balanced = [row for same in by_label.values() for row in same[:each]]
    taken = set(balanced)
    others = [row for row in shuffled if row not in taken]
    return np.array(sorted(balanced + others[: REPLAYED - len(balanced)]))


def loss_gradient(logits: np.ndarray, fits: np.ndarray, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)``: the gradient of ``cascade.training.losses.decision_loss`` by the logits."""
    result = np.zeros_like(logits)
    for columns in decisions.columns:
        fit, scores = fits[:, columns], logits[:, columns]
        count = np.maximum(fit.sum(axis=1), 1.0)
        together = (scores * fit).sum(axis=1) / count + np.log(count)
        masked = np.where(fit > 0, -1e4, scores)
        top = masked.max(axis=1, keepdims=True)
        powers = np.exp(masked - top)
        total = powers.sum(axis=1, keepdims=True)
        apart = np.clip(together - (top + np.log(total))[:, 0], -50, 50)
        wrong = 1 / (1 + np.exp(apart))
        raised, lowered = -(wrong / count)[:, None], wrong[:, None] * powers / total
        result[:, columns] = np.where(fit > 0, raised, lowered) * fit.any(axis=1, keepdims=True)
    return result


def refit(
    old: np.ndarray,
    corrections: Sample,
    replay: Sample,
    decisions: DecisionSet,
    *,
    replay_weight: float,
    penalty: float,
    steps: int,
    rate: float,
) -> np.ndarray:
    """``(1281, K)`` heads after full-batch Adam with a cosine schedule, from ``old``."""
    values = np.concatenate([corrections.values, replay.values])
    fits = np.concatenate([corrections.fits, replay.fits])
    sizes = len(corrections.items), len(replay.items)
    weights = np.repeat([1 / sizes[0], replay_weight / sizes[1]], sizes)[:, None]
    heads = old.astype(np.float32)
    first, second = np.zeros_like(heads), np.zeros_like(heads)
    for step in range(1, steps + 1):
        logits = values @ heads[:-1] + heads[-1]
        error = (weights * loss_gradient(logits, fits, decisions)).astype(np.float32)
        gradient = np.vstack([values.T @ error, error.sum(axis=0)]) + 2 * penalty * (heads - old)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        now = rate * 0.5 * (1 + np.cos(np.pi * step / (steps + 1)))
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        heads = (heads - now * move).astype(np.float32)
    return heads


def shares(routing: Routing, heads: np.ndarray, sample: Sample) -> np.ndarray:
    """``(4,)``: per cent right by best leaf, in the order of ``NAMES``."""
    best = [p.best_leaf for p in routing.label(sample.values @ heads[:-1] + heads[-1])]
    right: list[list[bool]] = [[], [], [], []]
    for guess, item in zip(best, sample.items, strict=True):
        label, parts, own = item.label, item.label.split("/"), guess.split("/")
        if label in routing.taxonomy.leaves:
            right[1].append(guess == label)
            if label != routing.taxonomy.out_of_scope:
                right[0].append(guess == label)
        if len(parts) == 3:
            if parts[1] != "?":
                right[2].append(own[1:2] == parts[1:2])
            right[3].append(own[2:] == parts[2:])
    return np.array([100 * np.mean(each) if each else np.nan for each in right])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--features", type=Path, required=True, help="File that caches features.")
    parser.add_argument("--shop", required=True, help="Beginning of the names of its sources.")
    parser.add_argument("--in-scope", action="store_true", help="Leave out_of_scope out.")
    parser.add_argument("--corrections", default="50,100,200")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--replay-weight", type=float, default=1.0)
    parser.add_argument("--penalty", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=120, help="0: the heads stay as they are.")
    parser.add_argument("--rate", type=float, default=0.006, help="Adam's first rate.")
    parser.add_argument(
        "--recentre",
        type=float,
        default=0.0,
        help="Share, 0 to 1, of the distance to the mean of training that the shop is moved.",
    )
    arguments = parser.parse_args()
    bundle = Bundle.open()
    model = read_network(bundle.folder, 0)
    sample = read_sample(arguments.manifest, arguments.features, bundle, model)
    widths = [len(decision.outcomes) for decision in bundle.decisions]
    routing = replace(bundle.routing, temperatures={})
    divisors = [bundle.routing.temperatures.get(d.node, 1.0) for d in bundle.decisions]
    old = head_parameters(model) / np.repeat(divisors, widths)
    seen = np.array([not item.source.startswith(UNSEEN) for item in sample.items])
    split = np.array([item.split for item in sample.items])
    home = sample.subset(np.flatnonzero(seen & (split == "test")))
    replay = sample.subset(replay_rows(sample.items, np.flatnonzero(seen & (split == "train"))))
    outside = bundle.taxonomy.out_of_scope if arguments.in_scope else None
    own = [i.source.startswith(arguments.shop) and i.label != outside for i in sample.items]
    shop = sample.subset(np.flatnonzero(own))
    groups = product_groups(shop)
    unmoved = shop
    shift = arguments.recentre * (replay.values.mean(axis=0) - shop.values.mean(axis=0))
    shop = replace(shop, values=shop.values + shift)
    print(f"{len(shop.items)} pictures of {len(set(groups))} products; home {len(home.items)}")
    home_before = shares(routing, old, home)
    for count in map(int, arguments.corrections.split(",")):
        results = []
        for seed in range(arguments.draws):
            chosen = draw(groups, count, seed)
            rest = shop.subset(np.flatnonzero(~chosen))
            heads = refit(
                old,
                shop.subset(np.flatnonzero(chosen)),
                replay,
                bundle.decisions,
                replay_weight=arguments.replay_weight,
                penalty=arguments.penalty,
                steps=arguments.steps,
                rate=arguments.rate,
            )
            lost = shares(routing, heads, home) - home_before
            before = shares(routing, old, unmoved.subset(np.flatnonzero(~chosen)))
            results.append((before, shares(routing, heads, rest), lost))
        before, after, lost = np.mean(results, axis=0)
        for line in zip(NAMES, before, after, lost, strict=True):
            print("{}: {}: {:.1f} -> {:.1f} %, at home {:+.2f}".format(count, *line), flush=True)


if __name__ == "__main__":
    main()
