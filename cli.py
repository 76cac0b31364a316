"""The command line: ``fashion-cascade COMMAND``. Thin: parse, call, print.

Each command lives in a module of ``commands/`` and is imported when it is asked for, and each
imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import click

# name -> module in commands/, in the order that --help shows them
COMMANDS: dict[str, str] = {
    "label": "label",
    "query": "query",
    "stats": "stats",
    "status": "status",
    "enqueue": "enqueue",
    "worker": "worker",
    "up": "up",
    "requeue": "requeue",
    "cancel": "cancel",
    "quarantine": "quarantine",
    "doctor": "doctor",
    "review": "review",
    "export": "export",
    "import": "import_",
    "relabel": "relabel",
    "models": "models",
    "forget": "forget",
    "archive": "archive",
    "vacuum": "vacuum",
    "db": "db",
    "train": "train",
    "evaluate": "evaluate",
    "tune-thresholds": "tune_thresholds",
    "sweep": "sweep",
    "sample-crawl": "sample_crawl",
    "taxonomy": "taxonomy",
    "settings": "settings",
    "completion": "completion",
    "convert": "convert",
}


STOPPED = 130  # as shells have it: 128 + SIGINT


class LazyGroup(click.Group):
    """A group whose commands are imported on first use. ``commands/NAME.py`` holds ``command``."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C that no command took is 130, never the 1 of rejected pictures."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(STOPPED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"commands.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command


def version() -> str:
    """The installed version; a checkout that was never installed says so."""
    try:
        return metadata.version("fashion-cascade")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="fashion-cascade")
def main() -> None:
    """Label crawled shop pictures down a hierarchy, in a SQL catalogue.

    Start with:  fashion-cascade label some/folder
    """


if __name__ == "__main__":
    main()
