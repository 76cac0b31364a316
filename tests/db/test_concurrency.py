"""Two processes write, one corrects, one exports, one relabels, all at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from db import ledger
from db.catalogue import Catalogue
from db.check import check
from db.queries import Filter, rows
from db.tables import catalogue as table
from db.tables import corrections, label_history
from tests.db.churn import BOOTS, ROLES

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [20, pytest.param(60, marks=pytest.mark.heavy)])
def test_concurrent_writes_corrections_exports_and_relabelling(
    store: Catalogue, catalogue_url: str, tmp_path: Path, seconds: int
) -> None:
    workers = {
        role: subprocess.Popen(
            [sys.executable, "-m", "tests.db.churn", role, catalogue_url, str(seconds), tmp_path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in ROLES
    }
    for worker in workers.values():
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    did, failures = {}, {}
    for role, worker in workers.items():
        out, errors = worker.communicate(timeout=seconds + 120)
        if worker.returncode or errors:
            failures[role] = errors[-2000:]
        else:
            did[role] = json.loads(out)
    assert failures == {}

    counts = ledger.counts(store.engine)
    assert counts["labelled"] == did["w0"] + did["w1"] == sum(counts.values())
    human = {row.id for row in rows(store.engine, Filter(corrected=True))}
    assert human == set(did["corrector"])
    with store.engine.connect() as connection:
        said = connection.execute(
            sa.select(sa.func.count()).where(table.c.human_label == BOOTS)
        ).scalar()
        logged = connection.execute(sa.select(sa.func.count(corrections.c.id))).scalar()
        history = connection.execute(sa.select(sa.func.count(label_history.c.id))).scalar()
    assert said == logged == len(did["corrector"]) == len(human)
    assert history == did["relabeller"]
    assert check(store.engine) == []
    print(
        f"{seconds} s: {counts['labelled']:,} rows written, {len(human)} corrected, "
        f"{history:,} relabelled, {did['exporter']:,} rows in the last export"
    )
