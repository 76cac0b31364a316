"""Hold the sources of a manifest out in turn and print a table of how each is judged then.

    python -m tools.hold_out_sources photos/manifest.csv [--features cache.npy]
    python -m tools.hold_out_sources photos/manifest.csv --train 6 --work runs/held-out \\
        --experiment trunk-plain --experiment trunk --experiment trunk+trunk-plain \\
        --only zappos_sedaozkaya,owndays,optic2000 --only myntra [--card BUNDLE]

Sources with fewer than 30 pictures are held out together. The trunk's features of every picture
are worked out once (and kept with --features), heads are trained anew for each source. With --train
the whole network of each experiment is trained so many epochs without the sources instead, and
trunk+trunk-plain learns from trunk-plain beside the labels; a stopped run goes on. Sources that
--only names with commas between are held out by one training and judged one by one. With --card
the table is put into a bundle's model card, in the place of the one of its kind that was there.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cascade.bundle import add_card_section
from cascade.data.dataset import Item, Pictures, decode_items, read_labelled_manifest
from cascade.evaluation.metrics import Rate
from cascade.evaluation.tables import rate_cells
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.experiments import experiment_settings
from rendering.text import markdown_table
from tools.held_out_training import Features, Strangers, hold_out, hold_out_trained, trunk_features

Judge = Callable[[Sequence[str]], Strangers]
FEWEST = 30
HEADS = "heads on the frozen trunk"
TITLES = {
    False: "Shops that training never saw, heads alone",
    True: "Shops that training never saw, the whole network",
}
CARD = "All pictures of the sources, judged by a cascade that was trained without them"
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
    "labels without review",
    "labels without review right",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--features", type=Path, help="Where the features are kept.")
    parser.add_argument("--only", action="append", help="Sources, comma between; may come again.")
    parser.add_argument("--train", type=int, metavar="EPOCHS", help="Train the whole network.")
    parser.add_argument(
        "--experiment", action="append", metavar="NAME[+TEACHER]", help="May come again."
    )
    parser.add_argument("--seed", type=int, help="Of --train [as the experiment says].")
    parser.add_argument("--runs", type=int, default=1, help="Of --train: average so many.")
    parser.add_argument("--work", type=Path, default=Path("runs/held-out"))
    parser.add_argument("--card", type=Path, metavar="BUNDLE")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    items = read_labelled_manifest(arguments.manifest, Taxonomy.load())
    asked, rows = judges(arguments, items), []
    for names in held_out(items, arguments.only):
        for network, judge in asked.items():
            for title, rates in judged(names, judge(names)):
                rows.append([title, network, *(cell(rates.get(name)) for name in SHOWN)])
                print(rows[-1], flush=True)
    table = markdown_table(("held out", "network", *SHOWN), rows)
    print(table)
    if arguments.card:
        how = f"{arguments.train} epochs; " if arguments.train else ""
        shared = "; ".join(
            names.replace(",", ", ") for names in arguments.only or () if "," in names
        )
        together = f" Held out by one training, judged one by one: {shared}." if shared else ""
        section = f"{CARD} ({how}share, 95 % interval, pictures).{together}\n\n{table}\n"
        add_card_section(arguments.card, TITLES[bool(arguments.train)], section)


def held_out(items: Sequence[Item], only: Sequence[str] | None) -> list[tuple[str, ...]]:
    if only:
        return [tuple(name for name in names.split(",") if name) for names in only]
    sources = Counter(item.source for item in items)
    small = tuple(sorted(source for source, count in sources.items() if count < FEWEST))
    return [(), *((s,) for s, n in sources.most_common() if n >= FEWEST), small]


def judged(names: Sequence[str], strangers: Strangers) -> list[tuple[str, Mapping[str, Rate]]]:
    """A row for each source that has enough pictures; one for all where none has."""
    counts = Counter(item.source for item in strangers.items)
    apart = [name for name in names if counts[name] >= FEWEST]
    if not apart:
        return [(", ".join(names) or "none (test split)", strangers.rates())]
    return [(name, strangers.rates(name)) for name in apart]


def judges(arguments: argparse.Namespace, items: Sequence[Item]) -> Mapping[str, Judge]:
    """Who is to be judged, by name."""
    if not arguments.train:
        features = load_features(items, arguments.features)
        return {HEADS: lambda names: hold_out(features, names, Taxonomy.load())}
    pictures = decode_items(items, Preprocessing())
    return {name: trained(arguments, pictures, name) for name in arguments.experiment or ["trunk"]}


def trained(arguments: argparse.Namespace, pictures: Pictures, network: str) -> Judge:
    """Trains an experiment without sources; ``network`` is its name, or ``NAME+TEACHER``."""
    name, _, teacher = network.partition("+")
    settings = replace(experiment_settings(name), epochs=arguments.train, runs=arguments.runs)
    run = str(arguments.train)
    if arguments.runs > 1:
        run += f"-x{arguments.runs}"
    if arguments.seed is not None:
        settings, run = replace(settings, seed=arguments.seed), f"{run}-{arguments.seed}"
    ask = trained(arguments, pictures, teacher) if teacher else None

    def judge(names: Sequence[str]) -> Strangers:
        folder = arguments.work / network / ("-".join(names) or "none") / run
        teach = ask(names).teach if ask else None
        return hold_out_trained(pictures, names, Taxonomy.load(), settings, folder, teach=teach)

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
