"""``fashion-cascade settings``: each setting, its value, and the source of the value."""

from __future__ import annotations

import os

import click

from commands.common import exit_codes
from commands.options import record_format_option
from commands.output import FORMATS, write_records


@click.command()
@record_format_option(*FORMATS)
def command(output_format: str | None) -> None:
    """Show each setting with its value and its source.

    The first source that has a value wins: an option of the command, the environment variable
    FASHION_CASCADE_NAME, the same variable in .env of this folder, fashion-cascade.toml of this
    folder, settings.toml of your configuration folder, the default. Passwords are masked.

    \b
    Example:
      fashion-cascade settings
      FASHION_CASCADE_BATCH_SIZE=128 fashion-cascade settings --format jsonl
    """
    from worker.settings import resolve

    with exit_codes():
        resolved = resolve(environ=os.environ)
    columns = ("name", "value", "source", "variable", "help")
    write_records(resolved.shown(), columns, output_format)
    for hint in resolved.hints():
        click.echo(f"fashion-cascade: {hint}", err=True)
