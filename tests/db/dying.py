"""Run an export that is killed at a given call.

    python -m tests.db.dying URL WHAT TARGET PLACE NUMBER

It exports the catalogue at URL as WHAT and kills itself right before call NUMBER of the function
PLACE, given as MODULE:NAME.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import Engine

from db.exports import arrow, files, folders, huggingface, parquet, sqlite_file, text
from db.filters import Filter
from db.session import make_engine
from tests.db.samples import DiskFiles
from tests.dying import die_before

EVERYTHING = Filter()
EXPORTS: dict[str, Callable[[Engine, Path], object]] = {
    "csv": lambda engine, to: text.export_text(engine, EVERYTHING, to, "csv"),
    "jsonl": lambda engine, to: text.export_text(engine, EVERYTHING, to, "jsonl"),
    "sqlite": lambda engine, to: sqlite_file.export_sqlite(engine, EVERYTHING, to),
    "parquet": lambda engine, to: parquet.export_parquet(engine, EVERYTHING, to),
    "parts": lambda engine, to: parquet.export_parquet_by_category(engine, EVERYTHING, to),
    "tree": lambda engine, to: folders.export_tree(
        engine, EVERYTHING, to, link_type="copy", files=DiskFiles()
    ),
    "huggingface": lambda engine, to: huggingface.export_huggingface(
        engine, EVERYTHING, to, files=DiskFiles()
    ),
}


def small_steps() -> None:
    """Make many batches of forty rows."""
    files.ROWS_PER_FETCH = text.ROWS_PER_CHECKPOINT = 4
    arrow.ROWS_PER_FETCH = arrow.ROWS_PER_TABLE = 4
    arrow.BYTES_PER_PARSE = 100
    huggingface.ROWS_PER_GROUP = 4


def main(url: str, what: str, target: str, place: str, number: str) -> None:
    small_steps()
    die_before(place, int(number))
    EXPORTS[what](make_engine(url), Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
