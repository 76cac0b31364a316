"""The command `settings`: values, sources, and no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.running import lines, run
from tools.settings_page import page
from worker.settings import SETTINGS


def test_each_setting_with_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("FASHION_CASCADE_CATALOGUE_URL", "postgresql://me:hidden@host/db")
    monkeypatch.setenv("FASHION_CASCADE_TYPO", "1")
    (tmp_path / "fashion-cascade.toml").write_text("batch_size = 7\n")
    result = run("settings")
    found = {row["name"]: row for row in lines(result)}
    assert list(found) == [setting.name for setting in SETTINGS]
    assert (found["batch_size"]["value"], found["batch_size"]["source"]) == (
        "7",
        str(tmp_path / "fashion-cascade.toml"),
    )
    assert found["catalogue_url"]["source"] == "environment"
    assert "hidden" not in result.output
    assert "FASHION_CASCADE_TYPO names no setting" in result.stderr


def test_the_page_of_the_settings_is_up_to_date() -> None:
    written = (Path(__file__).parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run: make docs"
