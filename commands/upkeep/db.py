"""``fashion-cascade db``: upgrade, downgrade and check the schema of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from commands.common import exit_codes, load_settings
from commands.groups import UncutGroup
from commands.options import catalogue_option, yes_option
from worker.errors import ExitCode

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@click.group(cls=UncutGroup)
def command() -> None:
    """Create, upgrade, downgrade and check the tables.

    \b
    Example:
      fashion-cascade db check
      fashion-cascade db upgrade
    """


@contextmanager
def _open_engine(catalogue_url: str | None) -> Iterator[Engine]:
    """Connect to the database without a check of its schema."""
    from db.session import make_engine

    with exit_codes():
        engine = make_engine(load_settings(catalogue_url=catalogue_url).catalogue_url)
        try:
            yield engine
        finally:
            engine.dispose()


@command.command()
@catalogue_option
def upgrade(catalogue_url: str | None) -> None:
    """Upgrade the tables to this version of the program.

    Missing tables are created.

    \b
    Example:
      fashion-cascade db upgrade
    """
    from db import schema

    with (
        exit_codes(),
        schema.no_empty_file(load_settings(catalogue_url=catalogue_url).catalogue_url),
        _open_engine(catalogue_url) as engine,
    ):
        schema.upgrade(engine)
    click.echo(f"the schema is {schema.head()}", err=True)


@command.command()
@click.argument("revision")
@yes_option
@catalogue_option
def downgrade(revision: str, yes: bool, catalogue_url: str | None) -> None:
    """Downgrade the tables to REVISION, such as 0002.

    Data that later revisions added is lost.

    \b
    Example:
      fashion-cascade db downgrade 0002
    """
    from db import schema

    known = [*schema.known(), "base"]
    if revision not in known:
        raise click.UsageError(
            f"expected a revision out of {', '.join(known)}, received {revision!r}"
        )
    with _open_engine(catalogue_url) as engine:
        if not yes:
            question = "Data that later revisions added is lost. Do you have a backup?"
            click.confirm(question, abort=True, err=True)
        schema.downgrade(engine, revision)
    click.echo(f"the schema is {revision}", err=True)


@command.command()
@click.option("--recount", is_flag=True, help="Correct the counters first.")
@catalogue_option
def check(recount: bool, catalogue_url: str | None) -> None:
    """Check schema, counters and references.

    Prints one line for each fault. Exit code 4: there is a fault.

    \b
    Example:
      fashion-cascade db check
    """
    from db import check as checking
    from db import schema
    from db.session import writing
    from db.writes import counters

    with _open_engine(catalogue_url) as engine:
        if recount:
            schema.require_current(engine)
            with writing(engine) as connection:
                counters.recount(connection)
        findings = checking.check(engine)
    for finding in findings:
        click.echo(f"{finding.what}; {finding.advice}")
    if findings:
        raise click.exceptions.Exit(ExitCode.DATABASE)
    click.echo("no faults found", err=True)
