"""What commands share: settings, opening the catalogue, writing files, and exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.errors import ExitCode, exit_code_of

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from worker.settings import Settings


@contextmanager
def exit_codes(usage: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Print an error of the rooms as one line and exit with its code; other errors pass through.

    Args:
        usage: classes that mean wrong arguments in this command, whatever the table says.
    """
    try:
        yield
    except Exception as error:
        code = ExitCode.USAGE if isinstance(error, usage) else exit_code_of(error)
        if code is None:
            raise
        click.echo(f"fashion-cascade: {error}", err=True)
        raise click.exceptions.Exit(code) from error


def load_settings(**options: Any) -> Settings:
    """The settings from options (None: not given), environment and files.

    Raises:
        SettingsError: a value cannot be used.
    """
    from worker.settings import resolve

    return resolve(options, environ=os.environ).settings


@contextmanager
def open_catalogue(catalogue_url: str | None, *, create: bool = False) -> Iterator[Catalogue]:
    """Open the catalogue that the option or the settings name; errors become exit codes."""
    from db.catalogue import Catalogue

    with exit_codes():
        url = load_settings(catalogue_url=catalogue_url).catalogue_url
        catalogue = Catalogue.open(url, create=create)
        try:
            yield catalogue
        finally:
            catalogue.close()


@contextmanager
def output_file(target: Path) -> Iterator[None]:
    """Make the parent folders of `target`; report a failed write as one line.

    Folders that were made here are removed again if the block fails and left them empty.

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
        raise  # the reader of standard output is gone: cli.py handles it
    except (OSError, sqlite3.Error) as error:  # sqlite3: the file that is written
        raise ExportError(
            f"{target} cannot be written: {error}; name a file in a folder that is writable, on a "
            "disk that is not full"
        ) from error
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()  # fails for a folder that is not empty
