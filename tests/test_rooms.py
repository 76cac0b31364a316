"""Who may import whom: the table of the architecture, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# room -> what none of its modules may import, at any depth of the file
MUST_NOT_KNOW = {
    "cascade": {"celery", "kombu", "redis", "sqlalchemy", "alembic", "psycopg", "click"}
    | {"db", "worker", "commands", "cli"},
    "db": {"celery", "kombu", "redis", "click", "tensorflow", "keras", "PIL"}
    | {"cascade", "worker", "commands", "cli"},
    "worker": {"click", "commands", "cli"},
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0], node.lineno


@pytest.mark.parametrize("room", MUST_NOT_KNOW)
def test_room_imports_nothing_that_it_must_not_know(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for name, line in imports(path)
        if name in MUST_NOT_KNOW[room]
    ]
    assert not found


def test_cascade_reads_no_environment() -> None:
    for path in (ROOT / "cascade").rglob("*.py"):
        names = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        assert not names & {"environ", "getenv"}, path
