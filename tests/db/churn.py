"""One process of test_concurrency.py: ``python -m tests.db.churn ROLE URL SECONDS FOLDER``.

Each role works until the time is over, then prints its result as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from db import human_labels, relabelling
from db.catalogue import Catalogue
from db.exports.text import export_text
from db.human_labels import Correction
from db.queries import Filter, page
from db.records import FileState
from tests.db.samples import CRAWL, LEASE_SECONDS, MODEL, OTHER_MODEL, labelled, sandals

BOOTS = "shoes/male/boots"
BATCH = 32


def rounds(seconds: float) -> Iterator[int]:
    """Count up until the time is over, at least once."""
    end = time.monotonic() + seconds
    for number in count():
        yield number
        if time.monotonic() > end:
            return


def write(store: Catalogue, name: str, seconds: float, _folder: Path) -> object:
    done = 0
    for number in rounds(seconds):
        files = [FileState(f"/{name}/{number}/{n}", 10, 1.5) for n in range(BATCH)]
        found = store.claim(CRAWL, files, name, LEASE_SECONDS, MODEL)
        store.renew(CRAWL, name, [file.path for file in files], LEASE_SECONDS)
        done += store.store(CRAWL, name, MODEL, [labelled(file.path) for file in found.todo])
    return done


def correct(store: Catalogue, _name: str, seconds: float, _folder: Path) -> object:
    corrected: list[int] = []
    for _ in rounds(seconds):
        rows = page(store.engine, Filter(corrected=False), order_by="-id", limit=5).rows
        wanted = [Correction(row.id, BOOTS) for row in rows]
        applied = human_labels.apply(store.engine, wanted, "mara")
        assert applied.changed == len(rows)
        corrected += [row.id for row in rows]
    return corrected


def export(store: Catalogue, _name: str, seconds: float, folder: Path) -> object:
    before = 0
    for number in rounds(seconds):
        target = folder / f"{number}.jsonl"
        done = export_text(store.engine, Filter(), target, "jsonl")
        lines = [json.loads(line) for line in target.read_text().splitlines()]
        assert len(lines) == done.rows >= before
        before = done.rows
        target.unlink()
    return before


def relabel(store: Catalogue, name: str, seconds: float, _folder: Path) -> object:
    moved = 0
    relabels = relabelling.open_relabels(store.engine)
    for number in rounds(seconds):
        model = (OTHER_MODEL, MODEL)[number % 2]
        relabelling.begin(store.engine, Filter(path="/w0/*"), model)
        waiting = [path for path, _ in relabelling.pending_paths(store.engine, CRAWL)]
        for start in range(0, len(waiting), BATCH):
            files = [FileState(path) for path in waiting[start : start + BATCH]]
            found = relabels.claim(CRAWL, files, name, LEASE_SECONDS, model, reopen=False)
            outcomes = [labelled(file.path, sandals(confidence=0.5)) for file in found.todo]
            relabels.store(CRAWL, name, model, outcomes)
        moved += relabelling.promote(store.engine, model)
    return moved


ROLES = {"w0": write, "w1": write, "corrector": correct, "exporter": export, "relabeller": relabel}


def main(role: str, url: str, seconds: str, folder: str) -> None:
    store = Catalogue.open(url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    did = ROLES[role](store, role, float(seconds), Path(folder))
    sys.stdout.write(json.dumps(did) + "\n")
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
