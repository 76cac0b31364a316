"""The command line: ``fashion-cascade COMMAND``. Thin: parse, call, print.

Each command lives in a module of ``commands/`` and is imported when it is asked for, and each
imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import click

# name -> module in commands/, in the order that --help shows them
COMMANDS: dict[str, str] = {
    "label": "everyday.label",
    "query": "everyday.query",
    "stats": "everyday.stats",
    "status": "queue.status",
    "enqueue": "queue.enqueue",
    "worker": "queue.worker",
    "up": "queue.up",
    "requeue": "queue.requeue",
    "cancel": "queue.cancel",
    "quarantine": "queue.quarantine",
    "doctor": "upkeep.doctor",
    "review": "everyday.review",
    "export": "everyday.export",
    "import": "upkeep.import_",
    "relabel": "models.relabel",
    "models": "models.models",
    "forget": "upkeep.forget",
    "archive": "upkeep.archive",
    "vacuum": "upkeep.vacuum",
    "db": "upkeep.db",
    "train": "models.train",
    "evaluate": "models.evaluate",
    "tune-thresholds": "models.tune_thresholds",
    "sweep": "models.sweep",
    "sample-crawl": "everyday.sample_crawl",
    "taxonomy": "models.taxonomy",
    "settings": "upkeep.settings",
    "completion": "upkeep.completion",
    "convert": "models.convert",
}


# as shells have it: 128 + SIGINT, 128 + SIGPIPE
STOPPED = 130
READER_GONE = 141


class LazyGroup(click.Group):
    """A group whose commands are imported on first use. ``commands/NAME.py`` holds ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"commands.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with short_usage_errors():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; end as a shell expects of Ctrl-C (130) and of a reader gone (141).

        Never with the 1 of rejected pictures. ``| head`` is such a reader.
        """
        try:
            try:
                with short_usage_errors():
                    return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # here, for at the interpreter's end it is a traceback
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            raise click.exceptions.Exit(STOPPED) from None
        except BrokenPipeError:
            if not output_is_closed():
                raise
            raise click.exceptions.Exit(READER_GONE) from None


@contextmanager
def short_usage_errors() -> Iterator[None]:
    """Say what is wrong with a command line the way that every other error is said."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # asks for the help, which click prints
    except click.UsageError as error:
        click.echo(f"fashion-cascade: {error.format_message()}", err=True)
        if error.ctx is not None:
            click.echo(f"see: {error.ctx.command_path} --help", err=True)
        raise click.exceptions.Exit(error.exit_code) from error


def output_is_closed() -> bool:
    """Whether nobody reads standard output any more; what is left of it is then dropped."""
    import select

    try:
        output = sys.stdout.fileno()
    except OSError:  # not a file: a caller that reads it in this process
        return False
    poll = select.poll()
    poll.register(output, 0)  # asks for nothing but what is always told: errors, a reader gone
    if not poll.poll(0):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
    return True


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
