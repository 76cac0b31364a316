"""Write the main directions of its features into a bundle that was trained without them.

    python -m tools.add_projection cascade/default_bundle

They are fitted to the features of training that the bundle carries, so no photographs are needed.
`train` does the same at its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cascade.adaptation.replay import add_projection
from cascade.bundle import PROJECTION
from cascade.projection import Projection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    made = add_projection(parser.parse_args().bundle)
    size = (made.folder / PROJECTION).stat().st_size / 1e6
    digest = Projection.open(made).digest
    print(f"model {made.version}, {PROJECTION} {size:.2f} MB, vectors of {digest}")


if __name__ == "__main__":
    main()
