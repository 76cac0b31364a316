"""What commands share: settings, opening the catalogue, writing files, and exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.errors import ExitCode, exit_code_of

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from worker.settings import Settings
    from worker.sources.scan import SkippedFiles

# requirements-cpu.txt has all other packages
LEFT_OUT = ("tensorflow", "keras", "tensorboard", "matplotlib")

_hints_given: set[str] = set()  # each is printed once a process


@contextmanager
def exit_codes(
    usage: tuple[type[Exception], ...] = (), *, json_lines: bool = False
) -> Iterator[None]:
    """Print an error of the rooms as one line and exit with its code; other errors pass through.

    Args:
        usage: classes that mean wrong arguments in this command, whatever the table says.
        json_lines: print the error as a line of a log in JSON.
    """
    try:
        yield
    except Exception as error:
        error = _as_missing_library(error)
        code = ExitCode.USAGE if isinstance(error, usage) else exit_code_of(error)
        if code is None:
            raise
        if json_lines:
            from worker import logs

            logs.write_line("fashion-cascade", logs.ERROR, str(error))
        else:
            click.echo(f"fashion-cascade: {error}", err=True)
        raise click.exceptions.Exit(code) from error


def _as_missing_library(error: Exception) -> Exception:
    """The error itself, or what a library means that was left out of this installation."""
    library = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or library not in LEFT_OUT:
        return error
    from cascade.backends import install_hint
    from cascade.errors import LibraryMissing

    return LibraryMissing(install_hint(library, "this"))


def require_tensorflow(command: str) -> None:
    """Exit with one line where TensorFlow was left out, before `command` does any work."""
    from cascade.backends import require_tensorflow as require

    with exit_codes():
        require(command)


def start_tensorflow() -> None:
    """Start TensorFlow without what it says about this machine."""
    from worker.native_libraries import start_tensorflow as start

    start()


def load_settings(**options: Any) -> Settings:
    """The settings from options (None: not given), environment and files.

    Raises:
        SettingsError: a value cannot be used.
    """
    from worker.settings import resolve

    resolved = resolve(options, environ=os.environ)
    for hint in resolved.hints():
        if hint not in _hints_given:
            _hints_given.add(hint)
            click.echo(f"fashion-cascade: {hint}", err=True)
    return resolved.settings


def bundle_folder(settings: Settings) -> Path:
    """The folder of the bundle that the setting `model` names; raises `BundleError`."""
    from cascade.bundle import folder_of

    return folder_of(settings.model)


@contextmanager
def open_catalogue(catalogue_url: str | None, *, create: bool = False) -> Iterator[Catalogue]:
    """Open the catalogue that the option or the settings name; errors become exit codes."""
    from db.catalogue import Catalogue
    from db.schema import no_empty_file

    with exit_codes():
        url = load_settings(catalogue_url=catalogue_url).catalogue_url
        with no_empty_file(url) if create else nullcontext():
            catalogue = Catalogue.open(url, create=create)
            try:
                yield catalogue
            finally:
                catalogue.close()


def warn_of_unreadable(skipped: SkippedFiles) -> bool:
    """Name the folders that could not be read; whether there are any."""
    for folder in skipped.unreadable_folders:
        click.echo(f"  cannot read the folder {folder}", err=True)
    return bool(skipped.unreadable_folders)


def user_name() -> str:
    """The name of the user, or ``uid NUMBER``: in a container, a user may have no name."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # KeyError before Python 3.13
        return f"uid {os.getuid()}"


def write_page(target: Path, page: str) -> None:
    """Write a text as a file, or to a pipe or device.

    Raises:
        ExportError: it cannot be written.
    """
    from rendering.output import open_output

    with output_file(target), open_output(target) as file:
        file.write(page.encode())


@contextmanager
def output_file(target: Path) -> Iterator[None]:
    """Make the parent folders of `target`; report a failed write as one line.

    Pipes and devices need no folder.

    Folders that were made here are removed again if the block fails and left them empty.

    Raises:
        OutputFailed: the disk is full or fails.
        ExportError: the folder cannot be made or written to, or writing failed inside the block.
    """
    import sqlite3

    from db.errors import ExportError, OutputFailed
    from rendering.output import NO_SPACE, file_behind, is_stdout, is_stream

    folder = file_behind(target).parent
    stream = is_stream(target)
    # the deepest first
    new = [] if stream else [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        if not stream:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(f"the folder {folder} is not writable")
        yield
    except BrokenPipeError as error:
        if is_stdout(target):
            raise  # cli.py handles it
        raise ExportError(f"{target}: the reader of the pipe is gone") from error
    except (OSError, sqlite3.Error) as error:  # sqlite3: the file that is written
        full = getattr(error, "errno", None) in NO_SPACE
        if full and is_stdout(target):
            raise  # cli.py handles it
        # SQLite calls a file that reached its greatest size an I/O error
        of_sqlite = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if full or of_sqlite in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OutputFailed(
                f"{target} cannot be written: {error}; free space, or name a file on another disk"
            ) from error
        raise ExportError(
            f"{target} cannot be written: {error}; name a file in a folder that is writable"
        ) from error
    finally:
        for each in new:
            with suppress(OSError):
                each.rmdir()  # fails for a folder that is not empty
