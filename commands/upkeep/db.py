"""``fashion-cascade db``: the schema of the catalogue: upgrade, downgrade, check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from commands.common import DATABASE, catalogue_option, exit_codes

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@click.group()
def command() -> None:
    """Make, upgrade, downgrade and check the catalogue's tables.

    \b
    Example:
      fashion-cascade db check
      fashion-cascade db upgrade
    """


@contextmanager
def _engine(catalogue_url: str | None) -> Iterator[Engine]:
    """The database, whatever schema it has."""
    from db.session import make_engine
    from worker.settings import resolve

    with exit_codes():
        settings = resolve({"catalogue_url": catalogue_url}, environ=os.environ).settings
        engine = make_engine(settings.catalogue_url)
        try:
            yield engine
        finally:
            engine.dispose()


@command.command()
@catalogue_option
def upgrade(catalogue_url: str | None) -> None:
    """Bring the tables up to this version of the program; make them where there are none.

    \b
    Example:
      fashion-cascade db upgrade
    """
    from db import schema

    with _engine(catalogue_url) as engine:
        schema.upgrade(engine)
    click.echo(f"the schema is {schema.head()}", err=True)


@command.command()
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@catalogue_option
def downgrade(revision: str, yes: bool, catalogue_url: str | None) -> None:
    """Take the tables down to REVISION, such as 0002; what later ones added is lost.

    \b
    Example:
      fashion-cascade db downgrade 0002
    """
    from db import schema

    known = [*schema.known(), "base"]
    if revision not in known:
        raise click.UsageError(f"expected a revision out of {', '.join(known)}")
    with _engine(catalogue_url) as engine:
        if not yes:
            click.confirm("Have you got a backup? What was added is lost.", abort=True, err=True)
        schema.downgrade(engine, revision)
    click.echo(f"the schema is {revision}", err=True)


@command.command()
@click.option("--recount", is_flag=True, help="Count the rows anew first.")
@catalogue_option
def check(recount: bool, catalogue_url: str | None) -> None:
    """Is the schema the code's, do the counts add up, does every reference lead somewhere?

    Exit code 4 when something is wrong.

    \b
    Example:
      fashion-cascade db check
    """
    from db import check as checking
    from db.session import writing
    from db.writes import counters

    with _engine(catalogue_url) as engine:
        if recount:
            with writing(engine) as connection:
                counters.recount(connection)
        findings = checking.check(engine)
    for finding in findings:
        click.echo(f"{finding.what}; {finding.advice}")
    if findings:
        raise click.exceptions.Exit(DATABASE)
    click.echo("all is well", err=True)
