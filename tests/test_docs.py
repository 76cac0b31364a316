"""Documentation that cannot go stale: commands, reasons, limits, links and decision records."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cascade.pictures.decode import REASONS, Preprocessing
from cli import main
from tools.write_docs import PAGE, commands_page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def commands() -> dict[str, click.Command]:
    context = click.Context(main, info_name="fashion-cascade")
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert all(found.values())
    return {name: command for name, command in found.items() if command is not None}


def test_the_page_of_commands_is_what_they_say_themselves() -> None:
    assert PAGE.read_text(encoding="utf-8") == commands_page(), "stale: run `make docs`"


@pytest.mark.parametrize("name", commands())
def test_each_command_is_documented_with_its_options_and_an_example(name: str) -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    title = f"fashion-cascade {name}"
    about = [text for text in sections if (text.split("\n", 1)[0] + " ").startswith(title + " ")]
    assert len(about) >= 1
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert all(option in about[0] for option in parameter.opts)
    assert any(title in text.partition("Example")[2] for text in about), "its help has no example"


def test_each_reason_is_a_row_of_the_table_and_no_other() -> None:
    page = (DOCS / "pictures.md").read_text(encoding="utf-8")
    table = page.partition("| `reason` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(REASONS)


def test_the_limits_that_the_page_states_are_the_ones_that_hold() -> None:
    page = (DOCS / "pictures.md").read_text(encoding="utf-8")
    limits = Preprocessing()
    assert f"at most {limits.max_pixels // 1_000_000} million pixels" in page
    assert limits.max_pixels % 1_000_000 == 0
    assert f"At most\n   {limits.max_bytes // 2**20} MiB" in page
    assert f"at least {limits.min_side} on each side" in page
    assert f"in {limits.width} × {limits.height}" in page
    assert f"({limits.height}, {limits.width}, 3)" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_decision_records_are_numbered_once_and_say_what_they_must() -> None:
    records = sorted((DOCS / "decisions").glob("*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {record.name[:4]} "), record
        for part in ("Context", "Decision", "Consequences"):
            assert part in text, f"{record} has no {part}"
