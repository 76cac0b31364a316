"""What the commands on the catalogue share: its option, opening it, and exit codes for errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cascade.backends import CHOICES

if TYPE_CHECKING:
    from db.catalogue import Catalogue

Command = TypeVar("Command", bound=Callable[..., Any])

USAGE, BROKER, DATABASE, MODEL = 2, 3, 4, 5


def catalogue_option(command: Command) -> Command:
    """The ``--catalogue`` option, passed to the command as `catalogue_url`."""
    option = click.option(
        "--catalogue",
        "catalogue_url",
        metavar="URL",
        help="sqlite:///FILE or postgresql://… [setting catalogue_url].",
    )
    decorated: Command = option(command)
    return decorated


def backend_option(command: Command) -> Command:
    """The ``--backend`` option."""
    option = click.option(
        "--backend",
        type=click.Choice(CHOICES),
        help="What the networks run in [auto: TensorFlow on a GPU, else OpenVINO or LiteRT].",
    )
    decorated: Command = option(command)
    return decorated


def failed(error: Exception, code: int) -> click.exceptions.Exit:
    """Say what went wrong on standard error; the exception to raise for the exit code."""
    click.echo(f"fashion-cascade: {error}", err=True)
    return click.exceptions.Exit(code)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the rooms' errors into a message and the documented exit code."""
    from cascade.errors import CascadeError
    from db.errors import (
        CatalogueError,
        DatabaseBusy,
        DatabaseUnavailable,
        SchemaError,
    )
    from worker.errors import WorkerError

    try:
        yield
    except (DatabaseUnavailable, DatabaseBusy, SchemaError) as error:
        raise failed(error, DATABASE) from error
    except CascadeError as error:
        raise failed(error, MODEL) from error
    except CatalogueError as error:
        raise failed(error, USAGE) from error
    except WorkerError as error:
        raise failed(error, error.exit_code) from error


@contextmanager
def placed(target: Path) -> Iterator[None]:
    """Make the folder that `target` goes into; what the file system refuses is said in a line.

    Folders that it made are taken away again where the block fails and has left nothing in them.

    Raises:
        ExportError: the folder cannot be made or written to, or writing failed inside the block.
    """
    import sqlite3

    from db.errors import ExportError

    new = [folder for folder in target.parents if not folder.exists()]  # the deepest first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(f"the folder {target.parent} is not writable")
        yield
    except BrokenPipeError:
        raise  # the reader of standard output went away: cli.py sees to it
    except (OSError, sqlite3.Error) as error:  # bare: of the file that is written
        raise ExportError(
            f"{target} cannot be written: {error}; name a file in a folder that is writable, on a "
            "disk that is not full"
        ) from error
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()  # which spares what is not empty


@contextmanager
def opened(catalogue_url: str | None, *, create: bool = False) -> Iterator[Catalogue]:
    """The catalogue that the option or the settings name, closed at the end of the block."""
    from db.catalogue import Catalogue
    from worker.settings import resolve

    with exit_codes():
        resolved = resolve({"catalogue_url": catalogue_url}, environ=os.environ)
        catalogue = Catalogue.open(resolved.settings.catalogue_url, create=create)
        try:
            yield catalogue
        finally:
            catalogue.close()
