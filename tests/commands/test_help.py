"""The help: commands in groups, whole summaries in any width, all exit codes in one place."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from cli import COMMANDS, GROUPS, main
from worker.errors import ExitCode

ROOT = Path(__file__).parents[2]
MODULES = {
    f"{path.parent.name}.{path.stem}"
    for path in (ROOT / "commands").glob("*/*.py")
    if "\ncommand = " in (text := path.read_text()) or "\ndef command(" in text
}


def help_of(*names: str, width: int = 80) -> str:
    command: click.Command = main
    context = click.Context(main, info_name="fashion-cascade", terminal_width=width)
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command = found
        context = click.Context(command, context, name, terminal_width=width)
    return command.get_help(context)


def test_each_command_is_in_one_group() -> None:
    assert sum(len(group) for group in GROUPS.values()) == len(COMMANDS)
    assert set(COMMANDS.values()) == MODULES
    lines = help_of(width=200).splitlines()
    for name, group in GROUPS.items():
        start = lines.index(f"{name.capitalize()}:") + 1
        found = [line.split()[0] for line in lines[start : start + len(group)]]
        assert found == list(group)


@pytest.mark.parametrize("names", [(), ("review",), ("models",), ("db",), ("quarantine",)])
def test_no_summary_is_cut_in_a_narrow_terminal(names: tuple[str, ...]) -> None:
    shown = help_of(*names, width=40)
    _, _, commands = shown.partition("Options:")
    assert "..." not in commands
    wide = " ".join(help_of(*names, width=200).partition("Options:")[2].split())
    assert " ".join(commands.split()) == wide


def test_all_exit_codes_are_listed_once() -> None:
    _, _, codes = help_of(width=120).partition("Exit codes:\n")
    lines = [line.split(maxsplit=1) for line in codes.splitlines()]
    assert lines == [[str(code.value), code.meaning] for code in ExitCode]
    assert (ROOT / "docs" / "commands.md").read_text().count("Exit codes:\n") == 1


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        (("query",), {"--out", "--output"}),
        (("archive",), {"--out", "--output", "--to"}),
        (("train",), {"--out", "--output"}),
        (("sweep",), {"--out", "--output"}),
        (("convert",), {"--out", "--output"}),
        (("tune-thresholds",), {"--out", "--output"}),
        (("worker",), {"--workers", "--pool-size"}),
        (("up",), {"--workers", "--pool-size"}),
    ],
)
def test_the_same_thing_has_the_same_name(names: tuple[str, ...], flags: set[str]) -> None:
    context = click.Context(main)
    command = main.get_command(context, names[0])
    assert command is not None
    assert flags in [set(parameter.opts) for parameter in command.params]
