"""The probe is asked every few seconds: it imports nothing that the answer does not need."""

from __future__ import annotations

import subprocess
import sys

from tests.test_light_imports import HEAVY

ASKS = """
import sys
import cli
cli.main(["probe", "live", "--name", "nobody@nowhere"], standalone_mode=False)
print(sorted({name.split(".")[0] for name in sys.modules}))
print(sorted(name for name in sys.modules if name.startswith(("worker.", "commands."))))
"""


def test_a_probe_imports_a_few_modules_of_the_standard_library_and_click() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True)
    libraries, own = map(eval, done.stdout.splitlines())
    assert not {*HEAVY.split(), "psutil", "tempfile", "ssl", "asyncio"} & {*libraries}
    assert not {"worker.settings", "worker.queue", "commands.options"} & {*own}
