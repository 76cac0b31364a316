"""The packages of requirements-cpu.txt suffice to label and to work a queue, without TensorFlow.

The environment has links to the installed packages that the file names and to those that they
require, by their own metadata, and no others: what it leaves out cannot be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cascade.drawings import write_sample_crawl
from tests.redis_server import RedisServer
from tests.worker.queues import Queue

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"tensorflow", "keras", "tensorboard", "matplotlib"}
LINES = [
    line
    for line in (ROOT / "requirements-cpu.txt").read_text().splitlines()
    if not line.startswith("#")
]


def required(line: str, found: dict[str, metadata.Distribution]) -> None:
    """Add the distribution of a requirement, and those that it requires."""
    requirement = Requirement(line)
    name = canonicalize_name(requirement.name)
    extras = requirement.extras or {""}
    if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in extras):
        return
    seen = name in found
    found[name] = metadata.distribution(name)
    if seen and not requirement.extras:
        return
    for other in found[name].requires or ():
        needed = Requirement(other)
        if needed.marker is None or any(
            needed.marker.evaluate({"extra": e}) for e in extras | {""}
        ):
            needed.marker = None
            required(str(needed), found)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment without TensorFlow."""
    folder = tmp_path_factory.mktemp("cpu")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    found: dict[str, metadata.Distribution] = {}
    for line in LINES:
        required(line, found)
    assert not LEFT_OUT & set(found)
    for distribution in found.values():
        for top in {file.parts[0] for file in distribution.files or () if ".." not in file.parts}:
            if top != "__pycache__" and not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


def run(python: Path, folder: Path, *arguments: object, code: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [str(python), "-m", "cli", *map(str, arguments)],
        cwd=folder,
        env={
            **{name: v for name, v in os.environ.items() if "FASHION" not in name},
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder / "config"),
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_sample_crawl(folder / "pictures", 1, 5, junk=False)
    return folder / "pictures"


def test_the_file_names_what_is_required_without_the_libraries_of_training() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    all_lines = [line for line in config["options"]["install_requires"].splitlines() if line]
    kept = [line for line in all_lines if canonicalize_name(Requirement(line).name) not in LEFT_OUT]
    assert kept == LINES
    assert len(all_lines) - len(kept) == len(LEFT_OUT)


def test_it_labels_on_openvino_and_on_litert(python: Path, pictures: Path, tmp_path: Path) -> None:
    labels = []
    for backend in ("auto", "litert_float32"):
        options = ("--backend", backend, "--catalogue", f"sqlite:///{backend}.db")
        out, _ = run(python, tmp_path, "label", pictures, *options, "--format", "jsonl")
        rows = [json.loads(line) for line in out.splitlines()]
        labels.append({row["path"]: row["label"] for row in rows})
    assert len(labels[0]) == len(list(pictures.iterdir())) and labels[0] == labels[1]
    assert len(set(labels[0].values())) > 3


@pytest.mark.servers
@pytest.mark.slow
def test_it_works_a_shard_from_a_queue(python: Path, pictures: Path, tmp_path: Path) -> None:
    broker = RedisServer(tmp_path / "redis").start()
    queue = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}", "default")
    queue.environ |= {"FASHION_CASCADE_ROOTS": str(pictures), "FASHION_CASCADE_POOL_SIZE": "1"}
    try:
        queue.run("enqueue", pictures, "--crawl", "spring")
        queue.python = str(python)
        worker = queue.start("worker", "cli", "worker")
        queue.wait_for_the_end()
        assert queue.statuses() == {"labelled": len(list(pictures.iterdir()))}
        maps = Path(f"/proc/{queue.children(worker)[0].pid}/maps").read_text()
        assert "openvino" in maps or "ai_edge_litert" in maps
        assert "libtensorflow" not in maps
        queue.stop(worker)
        assert worker.returncode == 0
    finally:
        queue.close()
        broker.kill()


@pytest.mark.parametrize(
    "command",
    [
        ("train", "pictures", "--out", "new"),
        ("sweep", "pictures", "--node", "shoes", "--out", "new"),
        ("convert", "bundle", "--pictures", "pictures", "--out", "new"),
        ("adapt", "--from-catalogue", "sqlite:///catalogue.db", "--crawl", "c", "--out", "new"),
        ("label", "pictures", "--backend", "tensorflow", "--catalogue", "sqlite:///new"),
        ("worker", "--roots", "/", "--backend", "tensorflow"),
    ],
)
def test_what_needs_tensorflow_says_what_to_install(
    python: Path, pictures: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "pictures").symlink_to(pictures)
    (tmp_path / "bundle").symlink_to(ROOT / "cascade" / "default_bundle")
    _, error = run(python, tmp_path, *command, code=2)
    assert error.count("\n") == 1
    assert "needs tensorflow" in error and "pip install fashion-cascade" in error
    assert not (tmp_path / "new").exists()


def test_the_tests_environment_has_what_this_one_lacks(python: Path) -> None:
    """Else the tests above would say nothing."""
    asks = "from importlib.util import find_spec as f; print(f('tensorflow'), f('keras'))"
    here = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    there = subprocess.run([python, "-c", asks], capture_output=True, text=True, check=True)
    assert "None" not in here.stdout
    assert there.stdout == "None None\n"
