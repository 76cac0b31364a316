"""Run a command in this process and capture its output."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from cli import main


def run(*arguments: str, exit_code: int = 0, input: str | None = None) -> Result:
    """The result of ``fashion-cascade ARGUMENTS``; its exit code is checked."""
    result = CliRunner().invoke(main, list(arguments), input=input)
    if result.exit_code != exit_code:
        raise AssertionError(
            f"exit code {result.exit_code}, expected {exit_code}\n{result.output}"
        ) from result.exception
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    """The JSON lines that a command printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]
