"""Measure how well damaged JPEGs are found: false alarms on good ones, and what is missed.

    python -m tools.damaged_jpegs FOLDER [--count 2000] [--seed 1]

Takes COUNT JPEGs of the folder, spread evenly, and decodes each as it is, saved again as
progressive, and saved again with restart markers. Each of the three is then damaged in several
ways, in memory.
A damage that libjpeg cannot notice either, since each byte is valid, stays unfound: most single
bits, and a few bytes in the middle. Exits with 1 if a good picture is rejected.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from cascade.pictures.decode import Preprocessing, Rejected, decode
from rendering.text import markdown_table

END = b"\xff\xd9"
Damage = Callable[[bytes, random.Random], bytes]


def _overwritten(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _place(data: bytes, rng: random.Random, spare: int = 2) -> int:
    """A place in the coded data: behind the first start of scan."""
    return rng.randrange(data.rindex(b"\xff\xda") + 14, len(data) - spare)


DAMAGES: dict[str, Damage] = {
    "end mark missing": lambda data, _: data[:-2],
    "cut, end mark added": lambda data, rng: data[: _place(data, rng)] + END,
    "cut in the last tenth, end mark added": lambda data, rng: (
        data[: rng.randrange(len(data) * 9 // 10, len(data) - 40)] + END
    ),
    "40 bytes missing": lambda data, rng: data[: (at := _place(data, rng, 43))] + data[at + 40 :],
    "40 bytes zero": lambda data, rng: _overwritten(data, _place(data, rng, 43), bytes(40)),
    "40 bytes random": lambda data, rng: _overwritten(
        data, _place(data, rng, 43), rng.randbytes(40).replace(b"\xff", b"\0")
    ),
}


def variants(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The JPEG as it is, and saved again in two ways."""
    yield "as it is", data
    image = Image.open(io.BytesIO(data))
    ways: dict[str, dict[str, int]] = {
        "progressive": {"progressive": True},
        "with restarts": {"restart_marker_rows": 1},
    }
    for name, options in ways.items():
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85, **options)
        yield name, buffer.getvalue()


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    paths = sorted(p for p in arguments.folder.rglob("*.jp*g") if p.is_file())
    if not paths:
        print(f"{arguments.folder}: no file there ends in .jpg or .jpeg", file=sys.stderr)
        return 2
    rng = random.Random(arguments.seed)
    rejected: dict[str, Counter[str]] = {"none": Counter(), **{name: Counter() for name in DAMAGES}}
    totals: Counter[str] = Counter()
    for path in paths[:: max(1, len(paths) // arguments.count)][: arguments.count]:
        for variant, data in variants(path.read_bytes()):
            totals[variant] += 1
            copies = {"none": data, **{name: way(data, rng) for name, way in DAMAGES.items()}}
            for name, copy in copies.items():
                result = decode(copy, Preprocessing())
                if isinstance(result, Rejected):
                    rejected[name][variant] += 1
                    if name == "none":
                        print(f"{path}, {variant}: {result}", file=sys.stderr)
    rows = [
        [name, *(f"{counts[variant]} of {totals[variant]}" for variant in totals)]
        for name, counts in rejected.items()
    ]
    print(markdown_table(["damage: rejected", *totals], rows))
    return 1 if rejected["none"] else 0


if __name__ == "__main__":
    sys.exit(main())
