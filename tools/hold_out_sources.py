"""Evaluate unseen shops: hold out each source of a manifest in turn and print a table.

    python -m tools.hold_out_sources photos/manifest.csv --shops [--features cache.npy]
    python -m tools.hold_out_sources photos/manifest.csv [--features cache.npy]
    python -m tools.hold_out_sources photos/manifest.csv --train 6 --work runs/held-out \\
        --experiment trunk-plain --experiment trunk --experiment trunk+trunk-plain \\
        --only zappos_sedaozkaya,owndays,optic2000 --only myntra [--card BUNDLE]

--shops holds out shops (tools.shops) instead of sources, once for each of --seeds, and prints one
table: means over the seeds with their spread, by shop and over shops. The logits of each training
are kept in --work, so a stopped run goes on.

    python -m tools.hold_out_sources photos/manifest.csv --shops --judge my-bundle --judge default

trains nothing: it puts bundles side by side, at home and in the shops that none was trained on.

Sources with fewer than 30 pictures are held out together. By default the features of the frozen
trunk are computed once (--features caches them), and heads are trained for each source. --train
trains the full network of each experiment for that many epochs instead; trunk+trunk-plain trains
trunk with trunk-plain as its teacher. A stopped run resumes. Sources that --only lists with commas
are held out by one training and evaluated one by one. --card writes the table into a bundle's model
card and replaces an earlier one.

    python -m tools.hold_out_sources photos/manifest.csv --only smartstyle --adapt 0,25,50,100,200

trains nothing: it adapts --bundle (the shipped one) to shops that it never saw, by so many
corrections, and prints what that gains there and costs at home. A shop is every source whose name
begins with --only.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cascade.bundle import SHIPPED, Bundle, add_card_section
from cascade.data.dataset import Item, Pictures, decode_items, read_labelled_manifest
from cascade.evaluation.metrics import Rate
from cascade.evaluation.tables import rate_cells
from cascade.pictures.decode import Preprocessing
from cascade.taxonomy import Taxonomy
from cascade.training.experiments import experiment_settings
from rendering.text import markdown_table
from tools import shops
from tools.adapted_shops import HEADER, adapted_rows
from tools.held_out_training import (
    HEADS_VARIANTS,
    Features,
    HeldOutResult,
    cached_result,
    hold_out_heads,
    hold_out_network,
    trunk_features,
)
from tools.judged_bundles import judged, tables

HoldOut = Callable[[Sequence[str]], HeldOutResult]
MIN_PICTURES = 30
MAX_NAME = 100  # letters of a folder's name
HEADS = "heads on the frozen trunk"
TITLES = {
    False: "Shops that training never saw, heads alone",
    True: "Shops that training never saw, the whole network",
}
CARD_TEXT = "All pictures of the sources, labelled by a cascade that was trained without them"
COLUMNS = (
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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--features", type=Path, help="File that caches the features (.npy).")
    parser.add_argument(
        "--heads",
        action="append",
        choices=HEADS_VARIANTS,
        help="How heads are trained, without --train [plain]; repeatable.",
    )
    parser.add_argument("--only", action="append", help="Sources, separated by commas; repeatable.")
    parser.add_argument("--train", type=int, metavar="EPOCHS", help="Train the full network.")
    parser.add_argument(
        "--experiment", action="append", metavar="NAME[+TEACHER]", help="Network; repeatable."
    )
    parser.add_argument("--shops", action="store_true", help="Hold out shops; print one table.")
    parser.add_argument(
        "--judge", action="append", metavar="BUNDLE", help="With --shops: compare these bundles."
    )
    parser.add_argument("--seeds", default="2026,2027", help="Seeds for --shops [2026,2027].")
    parser.add_argument("--seed", type=int, help="Seed for --train [the experiment's].")
    parser.add_argument("--runs", type=int, default=1, help="Trainings to average, for --train.")
    parser.add_argument("--work", type=Path, default=Path("runs/held-out"))
    parser.add_argument("--card", type=Path, metavar="BUNDLE")
    parser.add_argument("--adapt", metavar="N,N", help="Numbers of corrections to adapt with.")
    parser.add_argument(
        "--bundle", type=Path, default=SHIPPED, help="For --adapt [the shipped one]."
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    items = read_labelled_manifest(arguments.manifest, Taxonomy.load())
    if arguments.judge:
        rows = tables(judged(arguments.judge, items))
        print(markdown_table(("shop", "bundle", *shops.HEADLINE), rows))
        return
    if arguments.shops:
        for network, results in shop_results(arguments, items).items():
            print(f"{network}\n\n{shops.markdown(results)}\n", flush=True)
        return
    if arguments.adapt:
        print_adapted(arguments, items)
        return
    rows = []
    networks = hold_outs(arguments, items)
    for names in held_out_sources(items, arguments.only):
        for network, hold_out in networks.items():
            for title, rates in rates_by_source(names, hold_out(names)):
                rows.append([title, network, *(cell(rates.get(name)) for name in COLUMNS)])
                print(rows[-1], flush=True)
    table = markdown_table(("held out", "network", *COLUMNS), rows)
    print(table)
    if arguments.card:
        how = f"{arguments.train} epochs; " if arguments.train else ""
        shared = "; ".join(
            names.replace(",", ", ") for names in arguments.only or () if "," in names
        )
        together = f" Held out by one training, evaluated one by one: {shared}." if shared else ""
        section = f"{CARD_TEXT} ({how}share, 95 % interval, pictures).{together}\n\n{table}\n"
        add_card_section(arguments.card, TITLES[bool(arguments.train)], section)


def print_adapted(arguments: argparse.Namespace, items: Sequence[Item]) -> None:
    counts = [int(count) for count in arguments.adapt.split(",")]
    rows = []
    for row in adapted_rows(Bundle.open(arguments.bundle), items, arguments.only or (), counts):
        rows.append(row)
        print(row, flush=True)
    print(markdown_table(HEADER, rows))


def held_out_sources(items: Sequence[Item], only: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Groups of sources to hold out together; the empty group is for comparison."""
    if only:
        return [tuple(name for name in names.split(",") if name) for names in only]
    sources = Counter(item.source for item in items)
    small = tuple(sorted(source for source, count in sources.items() if count < MIN_PICTURES))
    return [(), *((s,) for s, n in sources.most_common() if n >= MIN_PICTURES), small]


def shop_results(
    arguments: argparse.Namespace, items: Sequence[Item]
) -> dict[str, dict[str, dict[int, dict[str, Rate]]]]:
    """Headline rates by network, shop and seed. --only names shops."""
    only = set(arguments.only or ())
    found: dict[str, dict[str, dict[int, dict[str, Rate]]]] = {}
    for seed in (int(text) for text in arguments.seeds.split(",")):
        arguments.seed = seed
        networks = hold_outs(arguments, items)
        for shop, sources in shops.sources_by_shop(items).items():
            for network, hold_out in networks.items():
                if only and shop not in only:
                    continue
                rates = shops.headline_rates(hold_out(sources).rates())
                found.setdefault(network, {}).setdefault(shop, {})[seed] = rates
                line = ", ".join(f"{name} {cell(rates.get(name))}" for name in shops.HEADLINE)
                print(f"{network}, {shop}, seed {seed}: {line}", flush=True)
    return found


def rates_by_source(
    names: Sequence[str], result: HeldOutResult
) -> list[tuple[str, Mapping[str, Rate]]]:
    """Rates of each source that has enough pictures; of all together if none has."""
    counts = Counter(item.source for item in result.items)
    apart = [name for name in names if counts[name] >= MIN_PICTURES]
    if not apart:
        return [(", ".join(names) or "none (test split)", result.rates())]
    return [(name, result.rates(name)) for name in apart]


def hold_outs(arguments: argparse.Namespace, items: Sequence[Item]) -> Mapping[str, HoldOut]:
    """A function for each network to evaluate, by its name in the table."""
    if not arguments.train:
        features = load_features(items, arguments.features)
        return {
            HEADS if name == "plain" else f"{HEADS}, {name}": hold_out_with_heads(
                arguments, features, name
            )
            for name in arguments.heads or ["plain"]
        }
    pictures = decode_items(items, Preprocessing())
    names = arguments.experiment or ["trunk"]
    return {name: hold_out_with(arguments, pictures, name) for name in names}


def hold_out_with_heads(arguments: argparse.Namespace, features: Features, name: str) -> HoldOut:
    """A function that trains heads; with --shops from --seed, its logits kept in --work."""
    taxonomy = Taxonomy.load()
    by_shop, variant = shops.sources_by_shop(features.items), HEADS_VARIANTS[name]
    folder = arguments.work / ("heads" if name == "plain" else f"heads-{name}")

    def hold_out(names: Sequence[str]) -> HeldOutResult:
        if not arguments.shops:
            return hold_out_heads(features, names, taxonomy, shops=by_shop, variant=variant)
        seed = arguments.seed
        return cached_result(
            folder / folder_name(names) / f"{seed}.npz",
            features.items,
            names,
            taxonomy,
            lambda: hold_out_heads(
                features, names, taxonomy, seed=seed, shops=by_shop, variant=variant
            ),
        )

    return hold_out


def hold_out_with(arguments: argparse.Namespace, pictures: Pictures, network: str) -> HoldOut:
    """A function that trains an experiment, named ``NAME`` or ``NAME+TEACHER``."""
    name, _, teacher_name = network.partition("+")
    settings = replace(experiment_settings(name), epochs=arguments.train, runs=arguments.runs)
    run = str(arguments.train)
    if arguments.runs > 1:
        run += f"-x{arguments.runs}"
    if arguments.seed is not None:
        settings, run = replace(settings, seed=arguments.seed), f"{run}-{arguments.seed}"
    teach = hold_out_with(arguments, pictures, teacher_name) if teacher_name else None

    def hold_out(names: Sequence[str]) -> HeldOutResult:
        folder = arguments.work / network / folder_name(names) / run

        def train() -> HeldOutResult:
            teacher = teach(names).teacher if teach else None
            return hold_out_network(
                pictures, names, Taxonomy.load(), settings, folder, teacher=teacher
            )

        if not arguments.shops:
            return train()
        path = folder.with_name(folder.name + ".npz")
        return cached_result(path, pictures.items, names, Taxonomy.load(), train)

    return hold_out


def folder_name(names: Sequence[str]) -> str:
    """The sources side by side; of many, the first one and a hash of all."""
    joined = "-".join(names) or "none"
    if len(joined) <= MAX_NAME:
        return joined
    return f"{names[0]}-{hashlib.blake2b(joined.encode(), digest_size=6).hexdigest()}"


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
