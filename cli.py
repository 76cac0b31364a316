"""The command line: ``fashion-cascade COMMAND``.

Each command is a module of ``commands/`` that is imported when it is called. A command imports what
it needs when it runs, so ``--help`` answers at once.
"""

from __future__ import annotations

import importlib
import io
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from commands.groups import UncutGroup
from rendering.output import NO_SPACE
from worker.errors import ExitCode

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# group -> name -> module in commands/, in the order that --help shows them
GROUPS: dict[str, dict[str, str]] = {
    "everyday": {
        "label": "everyday.label",
        "query": "everyday.query",
        "stats": "everyday.stats",
        "export": "everyday.export",
        "import": "upkeep.import_",
        "sample-crawl": "everyday.sample_crawl",
    },
    "queue": {
        "enqueue": "queue.enqueue",
        "worker": "queue.worker",
        "up": "queue.up",
        "probe": "queue.probe",
        "exporter": "queue.exporter",
        "status": "queue.status",
        "requeue": "queue.requeue",
        "cancel": "queue.cancel",
        "quarantine": "queue.quarantine",
    },
    "people": {
        "review": "everyday.review",
        "audit": "everyday.audit",
        "serve": "everyday.serve",
    },
    "models": {
        "train": "models.train",
        "adapt": "models.adapt",
        "evaluate": "models.evaluate",
        "tune-thresholds": "models.tune_thresholds",
        "sweep": "models.sweep",
        "relabel": "models.relabel",
        "models": "models.models",
        "taxonomy": "models.taxonomy",
        "convert": "models.convert",
    },
    "upkeep": {
        "doctor": "upkeep.doctor",
        "settings": "upkeep.settings",
        "db": "upkeep.db",
        "archive": "upkeep.archive",
        "forget": "upkeep.forget",
        "vacuum": "upkeep.vacuum",
        "completion": "upkeep.completion",
    },
}
COMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}


class LazyGroup(UncutGroup):
    """A group that imports a command's module on first use; the module defines ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"commands.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def sections(self, ctx: click.Context) -> dict[str, list[str]]:
        return {name.capitalize(): list(group) for name, group in GROUPS.items()}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), code.meaning) for code in ExitCode])

    def main(self, *args: Any, **options: Any) -> Any:
        prepare_home()
        prepare_streams()
        return super().main(*args, **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with endings(), short_usage_errors():  # --help and --version print here
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with endings():
            require_current_folder()
            with short_usage_errors():
                return super().invoke(ctx)


@contextmanager
def endings() -> Iterator[None]:
    """Exit with 130 after Ctrl-C, with 141 when the reader has gone, with 1 when output is full.

    A reader that closes standard output early is, for example, ``| head``.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # a failure at the interpreter's exit would print a traceback
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        raise click.exceptions.Exit(ExitCode.STOPPED) from None
    except BrokenPipeError:
        if not output_is_closed():
            raise
        raise click.exceptions.Exit(ExitCode.READER_GONE) from None
    except UnicodeEncodeError as error:
        # bytes of an argument that are not UTF-8 arrive as surrogates
        click.echo(f"fashion-cascade: an argument is not valid text: {error}", err=True)
        raise click.exceptions.Exit(ExitCode.USAGE) from error
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        click.echo(f"fashion-cascade: cannot write: {error}", err=True)
        discard_output()
        raise click.exceptions.Exit(ExitCode.FAILED) from error


@contextmanager
def short_usage_errors() -> Iterator[None]:
    """Print usage errors in the form of all other errors."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # click prints the help
    except click.UsageError as error:
        click.echo(f"fashion-cascade: {error.format_message()}", err=True)
        if error.ctx is not None:
            click.echo(f"see: {error.ctx.command_path} --help", err=True)
        raise click.exceptions.Exit(error.exit_code) from error


def output_is_closed() -> bool:
    """Whether the reader of standard output has gone; the remaining output is then discarded."""
    import select

    try:
        output = sys.stdout.fileno()
    except OSError:  # not a file: captured in this process
        return False
    poll = select.poll()
    poll.register(output, 0)  # 0: only errors and hang-ups, which are always reported
    if not poll.poll(0):
        return False
    discard_output()
    return True


def discard_output() -> None:
    """Send what is still to be written to standard output nowhere."""
    with suppress(OSError):  # no file: captured in this process
        output = sys.stdout.fileno()
        null_device = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_device, output)
        os.close(null_device)


def require_current_folder() -> None:
    """Exit with one line if the current folder was deleted: relative paths lead nowhere."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError as error:
        click.echo("fashion-cascade: the current folder was deleted: cd to another", err=True)
        raise click.exceptions.Exit(ExitCode.USAGE) from error


def prepare_home() -> None:
    """Give a user without a home one, as containers do: libraries fail without."""
    if "HOME" not in os.environ:
        try:
            pwd.getpwuid(os.getuid())
        except KeyError:
            os.environ["HOME"] = "/"


def prepare_streams() -> None:
    """Open closed standard streams on nothing; data in pipes and files is UTF-8.

    Python has None for a stream that was closed by the caller, and the next file that is opened
    would get its number. A message that standard error does not take is dropped: the exit code
    stays the documented one.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    original = sys.__stderr__
    if original is not None and sys.stderr is original:  # not captured in this process
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(DroppingFile(original.fileno(), "w", closefd=False)),
            encoding=original.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


class DroppingFile(io.FileIO):
    """A file that drops what it cannot take: a full disk, a pipe whose reader has gone."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def version() -> str:
    """The installed version, or a note that the checkout is not installed."""
    from importlib import metadata  # takes as long as all other imports here together

    try:
        return metadata.version("fashion-cascade")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and end."""
    if wanted and not ctx.resilient_parsing:
        click.echo(f"fashion-cascade, version {version()}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Label crawled shop pictures with a hierarchy of labels, in a SQL catalogue.

    \b
    Example:
      fashion-cascade label some/folder
    """


if __name__ == "__main__":
    main()
