"""Writes docs/commands.md from the commands' own help: ``make docs``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
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


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(commands_page(), encoding="utf-8")
