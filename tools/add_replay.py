"""Write the features that `adapt` replays into a bundle that was trained without them.

    python -m tools.add_replay photos/manifest.csv cascade/default_bundle

Only pictures of the splits train and validation count, of the sources that the bundle's manifest
says it was trained on. `train` does the same at its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cascade.adaptation.replay import SIZES, add_replay, replay_rows
from cascade.bundle import REPLAY, Bundle
from cascade.data.dataset import decode_items, read_labelled_manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("bundle", type=Path)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    sources = bundle.manifest["training"]["sources"]
    items = [
        item
        for item in read_labelled_manifest(arguments.manifest, bundle.taxonomy)
        if item.source in sources
    ]
    chosen = []
    for split, count in SIZES.items():
        of_split = [item for item in items if item.split == split]
        print(f"{split}: {len(of_split)} pictures", flush=True)
        wanted = [of_split[row] for row in replay_rows(of_split, count)]
        chosen.append(decode_items(wanted, bundle.preprocessing))
    made = add_replay(arguments.bundle, *chosen)
    size = (made.folder / REPLAY).stat().st_size / 1e6
    print(f"model {made.version}, {REPLAY} {size:.1f} MB")


if __name__ == "__main__":
    main()
