"""``--help`` answers at once because nothing heavy is imported until a command runs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = """
tensorflow keras numpy PIL sqlalchemy alembic celery kombu redis matplotlib pyarrow pandas jinja2
starlette uvicorn anyio openpyxl
"""

LISTS_HEAVY_MODULES = f"""
import sys
import cli, click
context = click.Context(cli.main)
for name in cli.COMMANDS:
    cli.main.get_command(context, name).get_help(context)
print(sorted(set({HEAVY.split()!r}) & set(sys.modules)))
"""


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTS_HEAVY_MODULES], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
