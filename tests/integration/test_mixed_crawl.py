"""Label a crawl of good and bad pictures: each path ends as one row, with its reason.

The test has two sizes: a few hundred pictures in every run, and 2,000 pictures with 40 bad ones of
each kind in ``make test-heavy``.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from cascade.drawings import LEAVES, render
from cascade.pictures.decode import REASONS
from db.records import RETRIED_REASONS
from tests.pictures import BAD, encoded

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20
# newly drawn, three per leaf; the others are these in another size, so with other bytes
DRAWN = 3 * len(LEAVES)


@dataclass(frozen=True)
class Expected:
    """The expected outcome of a path: a reason, or a category (the first part of its leaf)."""

    reason: str | None
    category: str | None


def drawings(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield (leaf, JPEG); no two with the same bytes, some as large as a camera's."""
    drawn = [
        (LEAVES[i % len(LEAVES)], render(LEAVES[i % len(LEAVES)], 900 + i)) for i in range(DRAWN)
    ]
    for number in range(count):
        leaf, drawing = drawn[number % DRAWN]
        size = (2400, 3200) if number % 150 == 0 else (180 + number % 97, 240 + number % 101)
        image = drawing.resize(size)
        image.paste((number % 256, number // 256, 255), (0, 0, 3, 3))
        yield leaf, encoded(image, "JPEG")


def special(outside: Path) -> dict[str, Callable[[str], None]]:
    """Reason -> function that makes a path rejected for it, where file content alone cannot."""
    return {
        "unreadable": os.mkfifo,  # nobody writes: opening it in the ordinary way waits for ever
        "missing": lambda path: Path(path).symlink_to(f"{path}-nowhere"),
        "outside_root": lambda path: Path(path).symlink_to(outside),
    }


def names(folder: str, count: int) -> Iterator[str]:
    """Yield paths in several folders, some with difficult characters."""
    odd = ("plain", "with space", "quo'te\"", "new\nline", "靴", os.fsdecode(b"latin-\xe9"))
    for number in range(count):
        below = f"{folder}/shop {number % 7}/{number % 3}"
        os.makedirs(below, exist_ok=True)  # noqa: PTH103
        yield f"{below}/{odd[number % 60 % len(odd)] if number % 10 == 0 else 'p'}-{number:05d}.jpg"


def as_text(path: str) -> str:
    """A path as the catalogue writes it: unchanged, or a URL if its name is not UTF-8."""
    raw = os.fsencode(path)
    return path if b"\xe9" not in raw or "靴" in path else "file://" + quote(raw, safe="/")


def write_crawl(folder: Path, pictures: int, bad: int) -> dict[str, Expected]:
    """Write the crawl, bad pictures mixed in; path in the catalogue -> expected outcome."""
    outside = folder.with_name("outside.jpg")
    outside.write_bytes(encoded(render(LEAVES[0], 1), "JPEG"))
    links = special(outside)
    assert {*BAD, *links} == set(REASONS)
    kinds: list[str | None] = [None] * pictures + [reason for reason in REASONS for _ in range(bad)]
    random.Random(4).shuffle(kinds)
    source = drawings(pictures)
    expected = {}
    for kind, path in zip(kinds, names(str(folder), len(kinds)), strict=True):
        category = None
        if kind in links:
            links[kind](path)
        else:
            leaf, data = next(source) if kind is None else ("", BAD[kind]())
            category = leaf.split("/", maxsplit=1)[0] or None
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(data)
        expected[as_text(path)] = Expected(kind, category)
    return expected


def label(folder: Path) -> tuple[list[dict[str, str | None]], list[float], str]:
    """Run ``label crawl`` in `folder`: output lines, MiB of memory per 50 lines, last stderr."""
    environ = {name: value for name, value in os.environ.items() if "FASHION" not in name}
    environ |= {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config")}
    with (
        (folder / "stderr").open("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "cli", "label", "crawl"],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        memory, lines = [], []
        try:
            for line in process.stdout:
                if len(lines) % 50 == 0:
                    memory.append(psutil.Process(process.pid).memory_info().rss / MEBIBYTE)
                lines.append(json.loads(line))
            code = process.wait(timeout=60)
        finally:
            process.kill()  # nothing, unless the test was broken off
        errors.seek(0)
        said = errors.read()
    assert code == (1 if lines else 0), said
    return lines, memory, said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pictures", "bad"),
    [
        pytest.param(300, 6, marks=pytest.mark.timeout(900)),
        pytest.param(2000, 40, marks=[pytest.mark.heavy, pytest.mark.timeout(1800)]),
    ],
)
def test_every_path_has_one_row_and_memory_stays_flat(
    tmp_path: Path, pictures: int, bad: int
) -> None:
    expected = write_crawl(tmp_path / "crawl", pictures, bad)
    assert len(expected) == pictures + 9 * bad

    lines, memory, said = label(tmp_path)

    with sqlite3.connect(f"file:{tmp_path / 'catalogue.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT path, status, reason, category FROM catalogue").fetchall()
    connection.close()
    assert len(rows) == len(expected)
    found = {path: (status, reason) for path, status, reason, _ in rows}
    assert found == {
        path: ("rejected", wanted.reason) if wanted.reason else ("labelled", None)
        for path, wanted in expected.items()
    }
    # one line for each row, and a summary that adds up
    assert sorted((str(line["path"]), str(line["status"])) for line in lines) == sorted(
        (path, status) for path, (status, _) in found.items()
    )
    assert f"labelled {pictures}, rejected {9 * bad}" in said
    assert Counter(reason for _, reason in found.values() if reason) == dict.fromkeys(REASONS, bad)
    # other tests measure the accuracy; here each label must only belong to its row
    right = sum(category == expected[path].category for path, _, _, category in rows if category)
    assert right >= 0.85 * pictures
    # after the first third everything is loaded; from then on memory must not grow
    third = len(memory) // 3
    assert max(memory[third:]) - max(memory[: third + 1]) < 40, memory

    again, _, said = label(tmp_path)
    # rights, disks and links change without the file, so these are looked at again
    retried = {path for path, (_, reason) in found.items() if reason in RETRIED_REASONS}
    assert len(retried) == 2 * bad
    assert {str(line["path"]) for line in again} == retried
    assert f"labelled 0, rejected {2 * bad}, skipped as done {pictures + 7 * bad}" in said
