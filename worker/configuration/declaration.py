"""What a setting declares: its type, help, environment variable, and what of it may be shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rendering.secrets import HIDDEN, mask_url

PREFIX = "FASHION_CASCADE_"
FILE_SUFFIX = "_FILE"


def declared(
    default: Any,
    parse: Callable[[Any], Any],
    help: str,
    *,
    secret: bool = False,
    url: bool = False,
) -> Any:
    """Declare one setting as a dataclass field.

    `secret`: a password or token, never shown. `url`: a URL that may contain one, shown masked.
    Both may also come from a file, which the variable with ``_FILE`` names.
    """
    return dataclasses.field(
        default=default, metadata={"parse": parse, "help": help, "secret": secret, "url": url}
    )


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting, for options, docs and tests."""

    name: str
    default: Any
    parse: Callable[[Any], Any]
    help: str
    secret: bool
    url: bool

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def file_variable(self) -> str | None:
        """The variable that names a file with the value; None if the value cannot be a secret."""
        return self.variable + FILE_SUFFIX if self.secret or self.url else None


def masked_value(setting: Setting, value: Any) -> str:
    """The value as text: a secret is hidden, and passwords and tokens in URLs are masked."""
    if setting.secret:
        return HIDDEN if value else ""
    items = value if isinstance(value, tuple | list) else [value]
    texts = [str(item) for item in items]
    if not setting.url:
        return ",".join(texts)
    return ",".join(mask_url(text) for text in texts)
