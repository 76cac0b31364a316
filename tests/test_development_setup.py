"""The Makefile, the pinned dependencies and the git hooks agree with each other and with CI."""

from __future__ import annotations

import os
import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PINS = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
}


def direct_dependencies() -> list[str]:
    """The requirements of setup.cfg, without the extra gpu, which constraints.txt leaves out."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = dict(config["options.extras_require"])
    del extras["gpu"]
    texts = [config["options"]["install_requires"], *extras.values()]
    return sorted({line for text in texts for line in text.splitlines() if line})


@pytest.mark.parametrize("line", direct_dependencies())
def test_each_direct_dependency_is_pinned_within_its_bounds(line: str) -> None:
    requirement = Requirement(line)
    version = PINS[canonicalize_name(requirement.name)]  # KeyError: run make constraints
    assert version in requirement.specifier, "run make constraints"


def test_the_pins_name_neither_this_project_nor_a_place() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "fashion-cascade" not in PINS
    assert not re.search(r"://|@|file:", text)


def test_make_without_a_target_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    # the variables of a make that runs the tests would add its lines
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert sorted(listed) == sorted(phony.replace("\\", "").split())


def test_the_hooks_run_what_ci_runs() -> None:
    config = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")
    entries = " ".join(hook["entry"] for repo in config["repos"] for hook in repo["hooks"])
    for tool in ("ruff format", "ruff check", "mypy", "make test"):
        assert tool in entries
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make .+$", ci, re.MULTILINE) == ["make check", "make test"]
