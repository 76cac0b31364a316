"""Passwords that are set apart from the URL that they belong to, written into it."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from worker.errors import SettingsError


def has_password(url: str) -> bool:
    """Whether the URL of a server has a password."""
    return ":" in _authority(url).rpartition("@")[0]


def _authority(url: str) -> str:
    """What stands between ``//`` and the path; '' where nobody can tell."""
    try:
        return urlsplit(url).netloc
    except ValueError:  # who uses the URL says what is wrong with it
        return ""


def with_password(url: str, password: str, names: tuple[str, str]) -> str:
    """`url` with the password, percent-encoded; unchanged without one, or for a file.

    Args:
        url: of a server: ``redis://HOST``, ``postgresql://USER@HOST/DATABASE``.
        password: any text, as it is; '' for none.
        names: of the settings that the URL and the password come from, for the message.

    Raises:
        SettingsError: the URL has a password of its own.
    """
    scheme, found, rest = url.partition("://")
    if not password or not found or scheme.startswith(("sqlite", "file")):
        return url
    authority = _authority(url)
    user, _, host = authority.rpartition("@")
    if has_password(url):
        raise SettingsError(
            f"{names[0]} has a password, and {names[1]} is set too: expected one of them; leave "
            "the password out of the URL"
        )
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}{rest[len(authority) :]}"
