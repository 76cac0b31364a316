"""Turns the errors of the rooms into one line on stderr and the exit code of their kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def reported() -> Iterator[None]:
    """Print what the rooms raise for a person, and exit: 2 usage, 3 broker, 4 database, 5 model."""
    from db.errors import CatalogueError, DatabaseUnavailable, InvalidUrl, SchemaError
    from worker.errors import WorkerError

    try:
        yield
    except WorkerError as error:
        _exit(error, error.exit_code)
    except InvalidUrl as error:
        _exit(error, 2)
    except (DatabaseUnavailable, SchemaError) as error:
        _exit(error, 4)
    except CatalogueError as error:
        _exit(error, 1)


def _exit(error: Exception, code: int) -> None:
    click.echo(f"fashion-cascade: {error}", err=True)
    raise click.exceptions.Exit(code) from error
