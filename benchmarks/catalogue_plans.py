"""Write docs/query-plans.md: the plan of each documented filter on each database.

    python -m benchmarks.catalogue_plans SQLITE_URL POSTGRESQL_URL > docs/query-plans.md

The catalogues come from ``benchmarks.catalogue_rows``. The first look at the nearest rows is left
out (`db.index_pages.bounded_scan`), since it is the same for all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.catalogue_reads import FilterCase, documented
from db import index_pages
from db.catalogue import Catalogue
from db.queries import page
from db.tables import catalogue as table

HEAD = """# Query plans

How each database finds the first page of each filter in [catalogue](catalogue.md), as `EXPLAIN`
prints it. Written by `python -m benchmarks.catalogue_plans` from catalogues of {rows} rows. A test
(`tests/db/test_plans.py`) checks that each filter uses the index that its section is named after.

Filters whose plans differ only in names and numbers share a plan. Of plan lines that differ only so
(one for each label that a pattern matches), the first is shown. Not shown: a combined filter first
scans 2,000 rows by the primary key, and runs the plan below only if they do not fill the page.
"""


def explained(
    engine: Engine, work: Callable[[], object], part: str = "", settings: str = ""
) -> list[str]:
    """The plan, line by line, of the last statement containing `part` that `work` executes."""
    executed: list[tuple[str, Any]] = []

    def record(_c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if part in statement:
            executed.append((statement, values))

    sa.event.listen(engine, "before_cursor_execute", record)
    work()
    sa.event.remove(engine, "before_cursor_execute", record)
    statement, values = executed[-1]
    explain = "EXPLAIN (COSTS OFF) "
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            explain = "EXPLAIN QUERY PLAN "
        elif settings:
            connection.execute(sa.text(settings))
        found = connection.exec_driver_sql(explain + statement, values).all()
    return [str(row[-1]) for row in found]


def without_literals(line: str) -> str:
    """A line without quoted names and numbers, which differ from label to label."""
    return re.sub(r"'[^']*'|\d+", "", line)


def distinct(lines: list[str]) -> list[str]:
    """The lines without those that repeat an earlier one for another label."""
    seen: dict[str, str] = {}
    for line in lines:
        seen.setdefault(without_literals(line), line)
    return list(seen.values())


def first_page(engine: Engine, case: FilterCase) -> Callable[[], object]:
    return lambda: page(engine, case.wanted, order_by=case.order_by, limit=100)


def main(*urls: str) -> None:
    index_pages.ROWS_SCANNED_FIRST = 0
    engines = [Catalogue.open(url).engine for url in urls]
    with engines[0].connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    print(HEAD.format(rows=f"{rows / 1e6:.1f} million" if rows >= 1e6 else f"{rows:,}"))
    shown: dict[str, tuple[list[FilterCase], str]] = {}
    for cases in zip(*(documented(engine) for engine in engines), strict=True):
        text = ""
        for engine, case in zip(engines, cases, strict=True):
            lines = distinct(explained(engine, first_page(engine, case)))
            plan = "\n".join(f"    {line}" for line in lines)
            text += f"\n{engine.dialect.name}:\n\n{plan}\n"
        shown.setdefault(without_literals(text), ([], text))[0].append(cases[0])
    parts = []
    for those, text in shown.values():
        titles = "\n".join(f"- `{case.typed}`" for case in those)
        parts.append(f"## {those[0].index}\n\n{titles}\n{text}")
    print("\n".join(parts), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
