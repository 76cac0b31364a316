"""Which files a message may name."""

from __future__ import annotations

from pathlib import Path

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
