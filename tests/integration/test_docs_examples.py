"""The Python of the README and the pages runs as it is printed, on an empty catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from db.catalogue import Catalogue

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md", ROOT / "docs" / "catalogue.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_queries_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    blocks = [block for block in blocks if "make_engine" in block]
    assert blocks
    for block in blocks:
        (name,) = re.findall(r'make_engine\("(.*?)"\)', block)
        Catalogue.open(f"sqlite:///{name}").close()
        names: dict[str, object] = {}
        exec(compile(block, str(page), "exec"), names)
        names["engine"].dispose()  # type: ignore[attr-defined]
