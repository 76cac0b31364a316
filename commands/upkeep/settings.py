"""``fashion-cascade settings``: each setting, its value, and where the value came from."""

from __future__ import annotations

import os

import click

from commands.common import exit_codes
from commands.output import format_option, write


@click.command()
@format_option()
def command(form: str | None) -> None:
    """Show each setting with its value and its source; passwords are masked.

    A value is taken from the first of: an option of the command, FASHION_CASCADE_NAME in the
    environment, the same in .env of this folder, fashion-cascade.toml of this folder,
    settings.toml of your configuration folder, the default.

    \b
    Example:
      fashion-cascade settings
      FASHION_CASCADE_BATCH_SIZE=128 fashion-cascade settings --format jsonl
    """
    from worker.settings import resolve

    with exit_codes():
        resolved = resolve(environ=os.environ)
    write(resolved.shown(), ("name", "value", "source", "variable", "help"), form)
    for variable in resolved.unknown_variables:
        click.echo(f"fashion-cascade: {variable} names no setting", err=True)
