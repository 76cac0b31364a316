"""The user's folders for settings and caches, also for a user without a home.

A container may run under any number (OpenShift does), which has no entry in the password database;
and the home may be absent or read-only.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

NAME = "fashion-cascade"


def user_settings_folder() -> Path | None:
    """The folder of the user's settings file; None for a user without a home."""
    import platformdirs

    try:
        return platformdirs.user_config_path(NAME)
    except RuntimeError:  # neither HOME nor an entry
        return None


def user_cache_folder() -> Path:
    """A folder for what can be made again: the user's, or a private one for temporary files."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path(NAME)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return _temporary()
    return folder if os.access(folder, os.W_OK | os.X_OK) else _temporary()


def _temporary() -> Path:
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    # anybody may have made it before
    private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
    if private and status.st_uid == os.getuid():
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
