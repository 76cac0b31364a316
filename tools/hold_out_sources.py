"""Hold the sources of a manifest out in turn and print a table of how each is judged then.

    python -m tools.hold_out_sources photos/manifest.csv [--features cache.npy]
    python -m tools.hold_out_sources photos/manifest.csv --train 6 --work runs/held-out \\
        --only zappos_sedaozkaya --only owndays,optic2000 [--card BUNDLE]

Sources with fewer than 30 pictures are held out together. The trunk's features of every picture
are worked out once (and kept with --features), heads are trained anew for each source. With --train
the whole network is trained so many epochs without the sources instead; a stopped run goes on. With
--card the table is put into a bundle's model card.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cascade.bundle import add_to_card
from cascade.dataset import Item, decode_items, read_manifest
from cascade.evaluation import Rate
from cascade.experiments import experiment_settings
from cascade.holdout import Features, hold_out, hold_out_trained, trunk_features
from cascade.images import Preprocessing
from cascade.report import markdown_table, rate_cells
from cascade.taxonomy import Taxonomy

Judge = Callable[[Sequence[str]], Mapping[str, Rate]]
FEWEST = 30
CARD = "All pictures of the sources, judged by a cascade that was trained without them: "
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
    parser.add_argument("--only", action="append", help="Sources, comma between; may come again.")
    parser.add_argument("--train", type=int, metavar="EPOCHS", help="Train the whole network.")
    parser.add_argument("--work", type=Path, default=Path("runs/held-out"))
    parser.add_argument("--card", type=Path, metavar="BUNDLE")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    taxonomy = Taxonomy.load()
    items = read_manifest(arguments.manifest, taxonomy)
    judge = trained(arguments, items, taxonomy) if arguments.train else heads(arguments, items)
    rows = []
    for names in held_out(items, arguments.only):
        rates = judge(names)
        title = ", ".join(names) or "none (test split)"
        rows.append([title, *(cell(rates.get(name)) for name in SHOWN)])
        print(rows[-1], flush=True)
    table = markdown_table(("held out", *SHOWN), rows)
    print(table)
    if arguments.card:
        how = f"the whole network, {arguments.train} epochs" if arguments.train else "heads alone"
        add_to_card(
            arguments.card, f"## Shops that training never saw\n\n{CARD}{how}.\n\n{table}\n"
        )


def held_out(items: Sequence[Item], only: Sequence[str] | None) -> list[tuple[str, ...]]:
    if only:
        return [tuple(name for name in names.split(",") if name) for names in only]
    sources = Counter(item.source for item in items)
    small = tuple(sorted(source for source, count in sources.items() if count < FEWEST))
    return [(), *((s,) for s, n in sources.most_common() if n >= FEWEST), small]


def heads(arguments: argparse.Namespace, items: Sequence[Item]) -> Judge:
    taxonomy = Taxonomy.load()
    features = load_features(items, arguments.features)
    return lambda names: hold_out(features, names, taxonomy)


def trained(arguments: argparse.Namespace, items: Sequence[Item], taxonomy: Taxonomy) -> Judge:
    settings = replace(experiment_settings("trunk"), epochs=arguments.train)
    pictures = decode_items(items, Preprocessing())

    def judge(names: Sequence[str]) -> Mapping[str, Rate]:
        folder = arguments.work / ("-".join(names) or "none") / str(arguments.train)
        return hold_out_trained(pictures, names, taxonomy, settings, folder)

    return judge


def cell(rate: Rate | None) -> str:
    if rate is None or not rate.count:
        return "–"
    share, span, _ = rate_cells(rate)
    return f"{share} ({span}; {rate.count})"


def load_features(items: Sequence[Item], cache: Path | None) -> Features:
    if cache is not None and cache.is_file():
        return Features(tuple(items), np.load(cache))
    pictures = decode_items(items, Preprocessing())
    values = trunk_features(pictures.pixels)
    if cache is not None and len(pictures) == len(items):
        np.save(cache, values)
    return Features(pictures.items, values)


if __name__ == "__main__":
    main()
