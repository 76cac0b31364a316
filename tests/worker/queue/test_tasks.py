"""Which files a message may name, and what a shard that is delivered again does first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cascade.pictures.safe_read import read
from db.catalogue import Catalogue
from db.records import PendingRow
from tests.worker.crawls import MODEL_NAME
from tests.worker.queues import ROOT
from worker.decode import require_available_root
from worker.errors import RootGone
from worker.queue.tasks import effective_roots, longest_pause


def test_a_message_cannot_widen_the_roots(tmp_path: Path) -> None:
    for name in ("data/crawl", "private"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "private")
    own = (str(tmp_path / "data"),)
    inside = str(tmp_path / "data" / "crawl")
    assert effective_roots((inside,), own) == (inside,)
    assert effective_roots((), own) == own
    assert effective_roots((str(tmp_path / "private"),), own) == own
    assert effective_roots((inside, "/"), own) == own
    assert effective_roots((str(tmp_path / "data" / "link"),), own) == own
    assert effective_roots((str(tmp_path / "data" / ".." / "private"),), own) == own
    assert effective_roots(("s3://b/x/y",), ("s3://b/x",)) == ("s3://b/x/y",)
    for outside in ("s3://b/xy", "s3://b/x/../y", "s3://b/x/%2e%2e/y", "ftp://b/x", "/"):
        assert effective_roots((outside,), ("s3://b/x",)) == ("s3://b/x",)


def test_roots_that_were_compared_are_used(tmp_path: Path) -> None:
    """A link that is changed after the comparison leads nowhere else."""
    for name in ("data/crawl", "private"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.jpg").write_bytes(b"x")
    link = tmp_path / "data" / "current"
    link.symlink_to(tmp_path / "data" / "crawl")
    roots = effective_roots((str(link),), (str(tmp_path / "data"),))
    link.unlink()
    link.symlink_to(tmp_path / "private")
    assert read(str(link / "a.jpg"), 10, roots).reason == "outside_root"
    assert read(str(tmp_path / "data" / "crawl" / "a.jpg"), 10, roots).data == b"x"


def test_own_roots_are_resolved_too(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    own = (str(tmp_path / "data"),)
    assert effective_roots((), own) == (str(tmp_path / "disk"),)
    assert effective_roots((str(tmp_path / "data" / "x"),), own) == (str(tmp_path / "disk" / "x"),)


def test_missing_file_below_a_link_to_a_disk_that_is_gone_waits(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path / "disk")  # nothing is there
    roots = effective_roots((str(tmp_path / "data"),), (str(tmp_path),))
    with pytest.raises(RootGone):
        require_available_root(str(tmp_path / "data" / "a.jpg"), roots)


@pytest.mark.parametrize("delivery", [{"retries": 1}, {"delivery_info": {"redelivered": True}}])
def test_a_shard_delivered_again_looks_for_the_dead_before_its_pictures(
    tmp_path: Path, delivery: dict[str, Any]
) -> None:
    """Else a second poison picture ends this process too, and the first death is never counted."""
    paths = [tmp_path / "held.png", tmp_path / "poison.png"]
    for path in paths:
        path.write_bytes(b"POISON")
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    catalogue = Catalogue.open(url)
    catalogue.add_pending("spring", [PendingRow(str(path)) for path in paths], None)
    catalogue.close()
    environ = {name: value for name, value in os.environ.items() if "FASHION" not in name} | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "worker" / "hooks"), str(ROOT)]),
        "XDG_CONFIG_HOME": str(tmp_path),
        "FASHION_CASCADE_CATALOGUE_URL": url,
        "FASHION_CASCADE_MODEL": MODEL_NAME,
        "FASHION_CASCADE_ROOTS": str(tmp_path),
    }
    module = "tests.worker.queue.delivery"
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(delivery), "spring", *map(str, paths)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGABRT, done.stderr  # the poison picture
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        query = sa.text("SELECT attempts, deaths_alone FROM catalogue WHERE path = :path")
        held = connection.execute(query, {"path": str(paths[0])}).one()
    engine.dispose()
    assert tuple(held) == (1, 1)


def test_a_pause_ends_before_the_message_is_delivered_again() -> None:
    assert longest_pause(visibility_timeout=20) == 10.0
    assert longest_pause(visibility_timeout=300) == 60.0
