"""Where the values of settings come from besides options: ``.env`` and files of secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from worker.errors import SettingsError

MAX_SECRET_BYTES = 1 << 16


def read_secret(variable: str, name: str) -> str:
    """The content of the file that a ``…_FILE`` variable names, without its last line end.

    Raises:
        SettingsError: the file cannot be read, is empty, too large or no text.
    """
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"{variable}: the file {name!r} cannot be read: {reason}; name a file that holds the "
            "value and that this user may read"
        ) from None
    if len(content) > MAX_SECRET_BYTES:
        raise SettingsError(f"{variable}: expected a file of at most 64 KiB, {name!r} is larger")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: expected UTF-8 text in the file {name!r}") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SettingsError(f"{variable}: expected a value in the file {name!r}, it is empty")
    return text


def read_dotenv(file: Path) -> tuple[Mapping[str, str | None], str]:
    """The variables of a ``.env``, as written, and a hint if the file is not read.

    ``${NAME}`` is not expanded: the file would otherwise pull values of the environment into URLs.
    A file that another user owns is not read, because it could send data elsewhere.

    Raises:
        SettingsError: it cannot be read or is no UTF-8 text.
    """
    import dotenv

    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return {}, ""
        if status.st_uid not in (os.geteuid(), 0):
            return {}, f"{file} is not read: it belongs to another user (uid {status.st_uid})"
        return dotenv.dotenv_values(file, interpolate=False, encoding="utf-8"), ""
    except (FileNotFoundError, NotADirectoryError):
        return {}, ""
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file}: expected UTF-8 text, byte {error.start} is not; save it as UTF-8"
        ) from None
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
