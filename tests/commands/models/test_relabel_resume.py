"""kill -9 and clean stops of `relabel`: finished work is visible, and the next run resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db import relabelling
from db.check import check
from db.session import make_engine, reading
from tests.commands.running import run
from tests.worker.crawls import write_crawl
from worker.model_loader import open_model

ROOT = Path(__file__).parents[3]
ROWS = 40
OLD, NEW = "shoes/female/sandals", "glasses/optical"
OLD_MODEL, NEW_MODEL = f"constant:{OLD}", f"constant:{NEW}"


@dataclass
class Labelled:
    """A catalogue of forty sandals."""

    url: str
    engine: Engine

    def labels(self) -> dict[str, int]:
        """Rows by label; each must have the label of the model that it names."""
        version = {NEW: open_model(NEW_MODEL).version, OLD: open_model(OLD_MODEL).version}
        found: dict[str, int] = {}
        with reading(self.engine) as connection:
            query = sa.text("SELECT label, model_version, status FROM catalogue")
            for label, model, status in connection.execute(query):
                assert (model, status) == (version[label], "labelled")
                found[label] = found.get(label, 0) + 1
        return found

    def history(self) -> list[str]:
        with reading(self.engine) as connection:
            return list(
                connection.execute(sa.text("SELECT model_label FROM label_history")).scalars()
            )

    def waiting(self) -> dict[str, int]:
        """Rows of the unfinished relabelling, by status."""
        found = relabelling.counts(self.engine, open_model(NEW_MODEL).version)
        return {status: number for status, number in found.items() if number}

    def kill(self, place: str, number: int) -> None:
        """Run `relabel` and kill it right before that call."""
        done = self.signalled(place, number, signal.SIGKILL)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert check(self.engine) == []

    def signalled(
        self, place: str, number: int, by: signal.Signals, *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `relabel`, which gets a signal right before that call."""
        command = ["relabel", "--all", "--model", NEW_MODEL, "--catalogue", self.url, *options]
        return subprocess.run(
            [sys.executable, "-m", "tests.commands.dying", place, str(number), by.name, *command],
            cwd=ROOT,
            env=os.environ | {"FASHION_CASCADE_BATCH_SIZE": "8"},
            check=False,
            capture_output=True,
            text=True,
        )

    def leases(self) -> int:
        with reading(self.engine) as connection:
            query = sa.text("SELECT count(*) FROM relabels WHERE claimed_by IS NOT NULL")
            return int(connection.execute(query).scalar_one())


@pytest.fixture
def sandals(catalogue_url: str, tmp_path: Path) -> Iterator[Labelled]:
    """Forty pictures, labelled by the old model."""
    write_crawl(tmp_path / "spring", ROWS)
    run("label", str(tmp_path / "spring"), "--model", OLD_MODEL, "--catalogue", catalogue_url)
    made = Labelled(catalogue_url, make_engine(catalogue_url))
    yield made
    made.engine.dispose()


def finish(sandals: Labelled) -> None:
    """The next run does the rest, and nothing twice."""
    run("relabel", "--all", "--model", NEW_MODEL, "--catalogue", sandals.url)
    assert sandals.labels() == {NEW: ROWS}
    assert sandals.history() == [OLD] * ROWS
    assert sandals.waiting() == {}
    assert check(sandals.engine) == []


def test_killed_while_rows_are_chosen(sandals: Labelled) -> None:
    sandals.kill("db.writes.pending:add", 3)
    assert sandals.waiting() == {"pending": 16}
    assert sandals.labels() == {OLD: ROWS}
    finish(sandals)


def test_killed_while_the_model_labels(sandals: Labelled) -> None:
    sandals.kill("db.catalogue:Catalogue.store", 4)
    assert sandals.waiting() == {"pending": 16, "labelled": 24}
    assert sandals.labels() == {OLD: ROWS}
    assert sandals.history() == []
    finish(sandals)


def test_killed_while_labels_are_taken_over(sandals: Labelled) -> None:
    sandals.kill("db.relabelling:_replace_labels", 3)
    assert sandals.waiting() == {"labelled": 24}
    assert sandals.labels() == {OLD: 24, NEW: 16}
    assert sandals.history() == [OLD] * 16
    finish(sandals)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_the_model_labels(sandals: Labelled, by: signal.Signals) -> None:
    """It keeps what is finished, releases its leases, and neither shows nor takes over labels."""
    done = sandals.signalled("db.catalogue:Catalogue.store", 2, by, "--diff")
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    assert "stopped; the same command resumes from here" in done.stderr
    assert "Traceback" not in done.stderr
    assert sandals.leases() == 0
    assert 0 < sandals.waiting()["labelled"] < ROWS
    done = sandals.signalled("db.catalogue:Catalogue.store", 1, by)
    assert done.returncode == 130, done.stderr
    assert sandals.leases() == 0
    assert sandals.labels() == {OLD: ROWS}
    assert sandals.history() == []
    finish(sandals)
