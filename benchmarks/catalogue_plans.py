"""Writes docs/query-plans.md: how each database answers the documented filters, in its own words.

    python -m benchmarks.catalogue_plans SQLITE_URL POSTGRESQL_URL > docs/query-plans.md

of catalogues that benchmarks.catalogue_rows made. The first look at the nearest rows is left out
(`db.index_pages.near`), since it is the same for all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.catalogue_reads import Question, documented
from db import index_pages
from db.catalogue import Catalogue
from db.queries import page
from db.tables import catalogue as table

HEAD = """# Query plans

How the first page of each filter in [catalogue](catalogue.md) is found, as each database explains
it. Written by `python -m benchmarks.catalogue_plans` from catalogues of {rows} rows; a test
(`tests/db/test_plans.py`) holds each filter to the index that its section is named after.

Filters whose plans differ by names and numbers alone stand together, and of lines that differ so
(one for each label that a pattern means) the first is shown. Left out: a combined filter is first
looked for among the 2,000 rows nearest to the beginning, by the primary key; only where these do
not fill the page comes what stands here.
"""


def explained(
    engine: Engine, work: Callable[[], object], part: str = "", settings: str = ""
) -> list[str]:
    """The plan of the last statement with `part` in it that `work` executes, line by line."""
    asked: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if part in statement:
            asked.append((statement, values))

    sa.event.listen(engine, "before_cursor_execute", remember)
    work()
    sa.event.remove(engine, "before_cursor_execute", remember)
    statement, values = asked[-1]
    explain = "EXPLAIN (COSTS OFF) "
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            explain = "EXPLAIN QUERY PLAN "
        elif settings:
            connection.execute(sa.text(settings))
        found = connection.exec_driver_sql(explain + statement, values).all()
    return [str(row[-1]) for row in found]


def alike(line: str) -> str:
    """A line without what differs between two labels: names and numbers."""
    return re.sub(r"'[^']*'|\d+", "", line)


def short(lines: list[str]) -> list[str]:
    """Without the lines that say again, of another label, what an earlier one says."""
    seen: dict[str, str] = {}
    for line in lines:
        seen.setdefault(alike(line), line)
    return list(seen.values())


def first_page(engine: Engine, question: Question) -> Callable[[], object]:
    return lambda: page(engine, question.wanted, order_by=question.order_by, limit=100)


def main(*urls: str) -> None:
    index_pages.ROWS_NEAR = 0
    engines = [Catalogue.open(url).engine for url in urls]
    with engines[0].connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    print(HEAD.format(rows=f"{rows / 1e6:.1f} million" if rows >= 1e6 else f"{rows:,}"))
    shown: dict[str, tuple[list[Question], str]] = {}
    for questions in zip(*(documented(engine) for engine in engines), strict=True):
        text = ""
        for engine, question in zip(engines, questions, strict=True):
            lines = short(explained(engine, first_page(engine, question)))
            plan = "\n".join(f"    {line}" for line in lines)
            text += f"\n{engine.dialect.name}:\n\n{plan}\n"
        shown.setdefault(alike(text), ([], text))[0].append(questions[0])
    parts = []
    for those, text in shown.values():
        titles = "\n".join(f"- `{question.typed}`" for question in those)
        parts.append(f"## {those[0].index}\n\n{titles}\n{text}")
    print("\n".join(parts), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
