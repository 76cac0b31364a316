"""Hold the sources of a manifest out in turn and print a table of how each is judged then.

    python tools/hold_out_sources.py photos/manifest.csv [--features cache.npy]

Sources with fewer than 30 pictures are held out together. The trunk's features of every picture
are worked out once (and kept with --features), heads are trained anew for each source.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from cascade.dataset import decode_items, read_manifest
from cascade.holdout import Features, hold_out, trunk_features
from cascade.images import Preprocessing
from cascade.report import markdown_table, rate_cells
from cascade.taxonomy import Taxonomy

FEWEST = 30
SHOWN = (
    "primary",
    "glasses",
    "trousers_jeans gender",
    "trousers_jeans type",
    "shoes gender",
    "shoes type",
    "leaf, in scope",
    "out_of_scope found",
    "in-scope lost",
    "labels right, at any depth",
    "labels without review right",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--features", type=Path, help="Where the features are kept.")
    arguments = parser.parse_args()
    taxonomy = Taxonomy.load()
    features = load_features(arguments.manifest, taxonomy, arguments.features)
    sources = Counter(item.source for item in features.items)
    small = tuple(sorted(source for source, count in sources.items() if count < FEWEST))
    held_out = [(), *((s,) for s, n in sources.most_common() if n >= FEWEST), small]
    rows = []
    for names in held_out:
        rates = hold_out(features, names, taxonomy)
        title = "none (test split)" if not names else ", ".join(names)
        rows.append([title, *(cell(rates.get(name)) for name in SHOWN)])
        print(rows[-1], flush=True)
    print(markdown_table(("held out", *SHOWN), rows))


def cell(rate: object) -> str:
    from cascade.evaluation import Rate

    if not isinstance(rate, Rate) or not rate.count:
        return "–"
    share, span, _ = rate_cells(rate)
    return f"{share} ({span}; {rate.count})"


def load_features(manifest: Path, taxonomy: Taxonomy, cache: Path | None) -> Features:
    items = read_manifest(manifest, taxonomy)
    if cache is not None and cache.is_file():
        return Features(tuple(items), np.load(cache))
    pictures = decode_items(items, Preprocessing())
    values = trunk_features(pictures.pixels)
    if cache is not None and len(pictures) == len(items):
        np.save(cache, values)
    return Features(pictures.items, values)


if __name__ == "__main__":
    main()
