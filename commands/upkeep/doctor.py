"""``fashion-cascade doctor``: find faults of the installation before they do harm."""

from __future__ import annotations

import click

from commands.common import exit_codes, load_settings
from commands.options import broker_option, catalogue_option, model_option, record_format_option
from commands.output import FORMATS, write_records
from worker.errors import ExitCode


@click.command()
@catalogue_option
@broker_option
@model_option
@record_format_option(*FORMATS)
def command(output_format: str | None, **options: object) -> None:
    """Check the installation and suggest a fix for each fault.

    Checks broker, catalogue, model, roots, process pool, GPU, clocks and disk. Exit code 1: there
    is an error; warnings alone give 0.

    \b
    Example:
      fashion-cascade doctor
    """
    from worker.queue.health_checks import ERROR, run_checks

    with exit_codes():
        findings = list(run_checks(load_settings(**options)))
    columns = ("check", "level", "found", "fix")
    write_records([vars(finding) for finding in findings], columns, output_format)
    if any(finding.level == ERROR for finding in findings):
        raise click.exceptions.Exit(ExitCode.FAILED)
