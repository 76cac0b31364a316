"""Which files a message may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.pictures.safe_read import read
from worker.decode import require_available_root
from worker.errors import RootGone
from worker.queue.tasks import effective_roots


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
    assert effective_roots(("s3://b/xy",), ("s3://b/x",)) == ("s3://b/x",)


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
