"""Who may import whom: the tables of docs/architecture.md, checked against the imports themselves.

A *room* is a folder of product code. A module that no row below allows fails here with its line,
so an upward or sideways import never lands unnoticed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("cascade", "db", "worker", "commands", "rendering", "tabular", "web")
MODULES_PER_FOLDER = 20

# top-level room -> libraries and rooms that none of its modules may import
MUST_NOT_KNOW = {
    "cascade": {"celery", "kombu", "redis", "sqlalchemy", "alembic", "psycopg", "click"}
    | {"db", "worker", "commands", "web", "cli"},
    "db": {"celery", "kombu", "redis", "click", "tensorflow", "keras", "PIL"}
    | {"cascade", "worker", "commands", "web", "cli"},
    "worker": {"click", "commands", "web", "cli"},
    "rendering": {"celery", "kombu", "redis", "sqlalchemy", "click", "tensorflow", "keras"}
    | {"cascade", "db", "worker", "commands", "web", "cli"},
    "tabular": {"celery", "kombu", "redis", "sqlalchemy", "click", "tensorflow", "keras"}
    | {"cascade", "db", "worker", "commands", "rendering", "web", "cli"},
    "web": {"celery", "kombu", "redis", "click", "tensorflow", "keras", "commands", "cli"},
}

# the modules right in commands/: a command never imports another command
SHARED_BY_COMMANDS = {f"commands.{path.stem}" for path in (ROOT / "commands").glob("*.py")}

# folder -> what it may import of its own top-level room, beside itself
MAY_IMPORT = {
    "cascade.drawings": set[str](),
    "cascade.pictures": {"cascade.errors"},
    "cascade.networks": {"cascade.errors", "cascade.decisions", "cascade.taxonomy"},
    "cascade.data": {
        *("cascade.errors", "cascade.decisions", "cascade.taxonomy"),
        *("cascade.pictures", "cascade.drawings"),
    },
    "cascade.backends": {"cascade.errors", "cascade.chunks", "cascade.bundle", "cascade.networks"},
    "cascade.evaluation": {
        *("cascade.errors", "cascade.chunks", "cascade.decisions", "cascade.taxonomy"),
        *("cascade.routing", "cascade.classifier"),
        "cascade.data",
    },
    "cascade.adaptation": {
        *("cascade.errors", "cascade.chunks", "cascade.decisions", "cascade.taxonomy"),
        *("cascade.routing", "cascade.calibration", "cascade.bundle", "cascade.conversion"),
        "cascade.guarantee",
        *("cascade.data", "cascade.networks", "cascade.backends", "cascade.evaluation"),
        "cascade.projection",
    },
    "cascade.training": {"cascade"},  # it puts everything together
    "db.migrations": {"db.column_types", "db.tables"},
    "db.postgresql": {"db.errors"},
    "db.writes": {
        *("db.chunks", "db.clocks", "db.errors", "db.records", "db.session", "db.tables"),
        "db.migrations",
    },
    "db.features": {
        *("db.chunks", "db.filters", "db.records", "db.session", "db.tables", "db.writes"),
    },
    "db.corrections": {
        *("db.chunks", "db.clocks", "db.errors", "db.filters", "db.label_patterns", "db.session"),
        *("db.summaries", "db.tables", "db.writes"),
    },
    "db.audits": {
        *("db.clocks", "db.corrections", "db.errors", "db.session", "db.tables", "db.writes"),
    },
    "db.exports": {
        *("db.errors", "db.filters", "db.index_pages", "db.records", "db.session", "db.tables"),
        *("db.chunks", "db.human_labels", "db.writes"),
    },
    "worker.sources": {"worker.errors"},
    "worker.configuration": {"worker.errors"},
    "worker.crawlers": {
        *("worker.configuration", "worker.enqueue", "worker.errors", "worker.lease_owners"),
        *("worker.settings", "worker.sources"),
    },
    "worker.probes": set[str](),
    "worker.queue": {"worker"},  # the Celery side stands on top of the pipeline
    "commands.everyday": SHARED_BY_COMMANDS,
    "commands.queue": SHARED_BY_COMMANDS,
    "commands.models": SHARED_BY_COMMANDS,
    "commands.upkeep": SHARED_BY_COMMANDS,
}

# modules right in a top-level room -> which folders of it they may not import
ROOT_MUST_NOT_IMPORT = {
    "cascade": {"cascade.training", "cascade.adaptation"},
    "db": set[str](),
    "worker": {"worker.queue"},
    "commands": {"commands.everyday", "commands.queue", "commands.models", "commands.upkeep"},
    "web": set[str](),
}
# worker.app is the name that `celery -A` is given; an Enqueuer publishes
EXCEPTIONS = {"worker.app", "worker.enqueue"}

# libraries -> the only places of their room that may import them
ONLY_HERE = {
    "celery": ("worker/queue/", "worker/enqueue.py"),
    "kombu": ("worker/queue/", "worker/enqueue.py"),
    "matplotlib": ("cascade/evaluation/plots.py",),
    "jinja2": ("rendering/html.py",),
    "starlette": ("web/",),
    "uvicorn": ("web/",),
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The full names of the modules that a file imports, at any depth of it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if is_module(inner) else node.module), node.lineno


def is_module(name: str) -> bool:
    where = ROOT.joinpath(*name.split("."))
    return where.with_suffix(".py").is_file() or (where / "__init__.py").is_file()


def files(folder: str) -> list[Path]:
    found = sorted(ROOT.joinpath(*folder.split(".")).rglob("*.py"))
    assert found, folder
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def within(name: str, places: set[str] | tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


@pytest.mark.parametrize("room", MUST_NOT_KNOW)
def test_room_imports_nothing_that_it_must_not_know(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(room)
        for name, line in imports(path)
        if name.split(".")[0] in MUST_NOT_KNOW[room]
    ]
    assert not found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folder_imports_only_what_its_row_allows(folder: str) -> None:
    top = folder.split(".", maxsplit=1)[0]
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(folder)
        for name, line in imports(path)
        if name.split(".")[0] == top and not within(name, {folder} | MAY_IMPORT[folder])
    ]
    assert not found, f"allowed beside itself: {sorted(MAY_IMPORT[folder])}"


def test_every_folder_has_its_row() -> None:
    folders = {
        f"{room}.{path.name}"
        for room in PRODUCT
        for path in (ROOT / room).iterdir()
        if (path / "__init__.py").is_file()
    }
    assert folders == set(MAY_IMPORT)


@pytest.mark.parametrize("room", ROOT_MUST_NOT_IMPORT)
def test_modules_right_in_a_room_do_not_look_upward(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / room).glob("*.py"))
        if module_name(path) not in EXCEPTIONS
        for name, line in imports(path)
        if within(name, ROOT_MUST_NOT_IMPORT[room])
    ]
    assert not found


@pytest.mark.parametrize("library", ONLY_HERE)
def test_library_is_imported_only_where_it_belongs(library: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for room in PRODUCT
        for path in files(room)
        for name, line in imports(path)
        if name.split(".")[0] == library
        and not str(path.relative_to(ROOT)).startswith(ONLY_HERE[library])
    ]
    assert not found


def test_no_folder_holds_more_modules_than_a_reader_can_survey() -> None:
    counts = {
        str(folder.relative_to(ROOT)): len({*folder.glob("*.py")} - {folder / "__init__.py"})
        for room in PRODUCT
        for folder in {path.parent for path in files(room)}
        if "versions" not in folder.parts
    }
    assert not {name: count for name, count in counts.items() if count > MODULES_PER_FOLDER}


def test_cascade_reads_no_environment() -> None:
    for path in files("cascade"):
        names = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        assert not names & {"environ", "getenv"}, path
