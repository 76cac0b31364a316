"""Plant wrong labels in a manifest's split, and count how many of them `suspects` finds.

    python -m tools.planted_errors photos/manifest.csv --split validation --draws 5

A share of the pictures gets the label that the shipped cascade confuses most with its own, as
measured on the same pictures: an error that people make too. What is ranked first is looked at, a
share of all pictures; recall is the share of the planted errors among them. Some of the manifest's
own labels are wrong too, and cost places.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np

from cascade.adaptation.features import features_of, head_weights, read_adaptable
from cascade.adaptation.refit import logits_of
from cascade.adaptation.suspects import out_of_fold_logits, ranked
from cascade.bundle import Bundle
from cascade.data.dataset import Item, decode_items, read_labelled_manifest, targets
from cascade.routing import Routing

LOOKED_AT = (0.03, 0.05, 0.1)


def features_kept(manifest: Path, split: str) -> tuple[list[Item], np.ndarray]:
    """The split's items and features; kept in the temporary folder, as they take minutes."""
    bundle = Bundle.open()
    items = [i for i in read_labelled_manifest(manifest, bundle.taxonomy) if i.split == split]
    name = hashlib.sha256(f"{manifest.resolve()} {split} {len(items)}".encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"planted-errors-{name}.npz"
    pictures = None
    if not kept.is_file():
        pictures = decode_items(items, bundle.preprocessing)
        values = features_of(read_adaptable(bundle), pictures.pixels)
        paths = np.array([item.path for item in pictures.items])
        np.savez(kept, values=values, paths=paths)
    with np.load(kept) as stored:
        by_path = {item.path: item for item in items}
        return [by_path[path] for path in stored["paths"].tolist()], stored["values"]


def confused_most(routing: Routing, logits: np.ndarray, items: list[Item]) -> dict[str, str]:
    """For each leaf, the other leaf that its pictures are given most probability of."""
    shares, leaves = routing.leaf_probabilities(logits), routing.taxonomy.leaves
    found = {}
    for number, leaf in enumerate(leaves):
        rows = [row for row, item in enumerate(items) if item.label == leaf]
        if rows:
            mean = shares[rows].mean(axis=0)
            mean[number] = -1
            found[leaf] = leaves[int(mean.argmax())]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    items, values = features_kept(arguments.manifest, arguments.split)
    bundle = Bundle.open()
    decisions, taxonomy = bundle.decisions, bundle.taxonomy
    shipped = logits_of(head_weights(read_adaptable(bundle)), values)
    confused = confused_most(bundle.routing, shipped, items)
    groups = [item.group or item.path for item in items]
    plain = Routing(taxonomy, decisions)
    known = np.array([n for n, item in enumerate(items) if item.label in confused])
    print(f"{len(items)} pictures, {len(set(groups))} groups, {len(known)} with a whole label")
    found: dict[float, list[float]] = {share: [] for share in LOOKED_AT}
    for draw in range(arguments.draws):
        random = np.random.default_rng(draw)
        wrong = set(
            random.choice(known, round(arguments.share * len(items)), replace=False).tolist()
        )
        labels = [confused[i.label] if n in wrong else i.label for n, i in enumerate(items)]
        planted = [Item(i.path, label) for i, label in zip(items, labels, strict=True)]
        logits = out_of_fold_logits(
            values, targets(planted, decisions, taxonomy), groups, decisions
        )
        order = [each.row for each in ranked(plain, logits, labels, least_margin=2)]
        for share in LOOKED_AT:
            seen = order[: round(share * len(items))]
            found[share].append(len(wrong.intersection(seen)) / len(wrong))
        print(f"draw {draw}: {len(wrong)} planted", flush=True)
    for share, recalls in found.items():
        low, high = min(recalls), max(recalls)
        print(f"{share:.0%} looked at: recall {np.mean(recalls):.1%} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
