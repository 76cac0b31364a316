"""Writes docs/commands.md and the import rules in docs/architecture.md: ``make docs``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
IMPORT_RULES = "| What may"  # how the rows begin that are written here, the last of their table
HEAD = """# Commands

Written by `make docs` from the commands' own `--help`; a test keeps it so.

Data goes to stdout, everything else to stderr. Exit codes:

| code | meaning |
|---|---|
| 0 | all done |
| 1 | some pictures failed |
| 2 | wrong usage or settings |
| 3 | the broker cannot be reached |
| 4 | the database cannot be reached |
| 5 | the model cannot be used |
| 130 | stopped by Ctrl-C or SIGTERM; the next run goes on from there |
| 141 | the reader of standard output went away (as `head` does) before all was written |
"""


def sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """The help of a command, then of the commands below it."""
    yield f"\n## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from sections(below, _context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        max_content_width=98,
        terminal_width=98,
        **command.context_settings,
    )


def commands_page() -> str:
    """The whole page."""
    from cli import main

    return HEAD + "".join(sections(main, _context(main, "fashion-cascade", None)))


def architecture_page() -> str:
    """docs/architecture.md with its import rules as tests/test_rooms.py enforces them."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    return text[: text.index(IMPORT_RULES)] + "".join(_import_rules())


def _import_rules() -> Iterator[str]:
    from tests import test_rooms as rules

    for room in rules.PRODUCT:
        lines = []
        if libraries := rules.MUST_NOT_KNOW.get(room):
            lines.append(f"Never {_names(libraries)}.")
        if folders := rules.ROOT_MUST_NOT_IMPORT.get(room):
            lines.append(f"Modules right in `{room}/`: not {_names(folders)}.")
        lines += [
            f"`{folder}`, beside itself: {_allowed(allowed, rules.SHARED_BY_COMMANDS)}."
            for folder, allowed in rules.MAY_IMPORT.items()
            if folder.startswith(f"{room}.")
        ]
        yield f"{IMPORT_RULES} `{room}/` import? | {'<br>'.join(lines)} |\n"
    lines = [f"`{library}`: {_names(set(places))}." for library, places in rules.ONLY_HERE.items()]
    yield f"{IMPORT_RULES} only some modules import? | {'<br>'.join(lines)} |\n"


def _allowed(names: set[str], shared_by_commands: set[str]) -> str:
    if names == shared_by_commands:
        return "the modules right in `commands/`"
    return _names(names) if names else "nothing of its room"


def _names(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    ARCHITECTURE.write_text(architecture_page(), encoding="utf-8")
    PAGE.write_text(commands_page(), encoding="utf-8")
