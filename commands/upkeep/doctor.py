"""``fashion-cascade doctor``: what could go wrong with the queue, before it does."""

from __future__ import annotations

import os

import click

from commands.common import catalogue_option, exit_codes
from commands.output import format_option, write


@click.command()
@catalogue_option
@click.option("--broker", "broker_url", metavar="URL", help="The queue [setting broker_url].")
@click.option("--model", metavar="BUNDLE", help="The bundle of networks [setting model].")
@format_option()
def command(form: str | None, **options: object) -> None:
    """Look at broker, catalogue, model, roots, pool, GPU, clocks and disk; each finding's fix.

    Exit code 0 when nothing is an error, else 1.

    \b
    Example:
      fashion-cascade doctor
    """
    from worker.queue.health_checks import ERROR, run_checks
    from worker.settings import resolve

    with exit_codes():
        settings = resolve(options, environ=os.environ).settings
        findings = list(run_checks(settings))
    write([vars(finding) for finding in findings], ("check", "level", "found", "fix"), form)
    raise click.exceptions.Exit(1 if any(f.level == ERROR for f in findings) else 0)
