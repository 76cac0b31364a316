"""Write docs/settings.md from the declared settings: ``make docs``."""

from __future__ import annotations

from pathlib import Path

from worker.settings import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

`fashion-cascade settings` shows each with its value and where the value came from. The first of
these that has a value wins:

1. an option of the command (`--catalogue`, `--model`, …),
2. the environment variable,
3. the same line in `.env` of the current folder,
4. `fashion-cascade.toml` of the current folder,
5. `settings.toml` of your configuration folder (`~/.config/fashion-cascade` on Linux),
6. the default.

Files are TOML with the names below (`batch_size = 128`). Secrets are never printed:
in URLs, all between `//` and the last `@` and the values of parameters such as `sslpassword`
become `***`. Percent-encode `/ ? # @ : %` in a user name or password (`%2F %3F %23 %40 %3A %25`),
and in `roots` also `,` (`%2C`). A URL whose parts cannot be told apart is refused and not shown.

A password may stand apart from its URL: `broker_password` and `catalogue_password` are taken as
they are, whatever characters they have. A URL that has a password of its own is refused then.

Passwords, tokens, `catalogue_url`, `broker_url`, `model_store` and `roots` may also come from a
file, such as a mounted secret: set `FASHION_CASCADE_BROKER_PASSWORD_FILE=/run/secrets/broker`
instead of the variable itself, in the environment or in `.env`. The last line end is cut. Both
forms at once are refused with exit code 2.

`.env` is UTF-8 and taken as written: `${NAME}` is not expanded. It is not read if it belongs to
another user than you or root; a line on standard error says so.

| name | variable | default | |
|---|---|---|---|
"""


def page() -> str:
    """The text of docs/settings.md, one row per setting."""
    rows = []
    for setting in SETTINGS:
        default = ",".join(setting.default) if setting.default == () else setting.default
        shown = f"`{default}`" if default != "" else ""
        rows.append(f"| `{setting.name}` | `{setting.variable}` | {shown} | {setting.help} |\n")
    return HEAD + "".join(rows)


def write() -> None:
    """Write the page to docs/settings.md."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
