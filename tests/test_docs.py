"""Documentation that cannot go stale: commands, reasons, limits, links and decision records."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from cascade.pictures.decode import REASONS, Preprocessing
from cli import main
from tests.test_rooms import PRODUCT
from tools.write_docs import ARCHITECTURE, PAGE, architecture_page, commands_page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
RECORDS = sorted((DOCS / "decisions").glob("*.md"))
# what these tell was true on its day, and names what has gone since
HISTORY = {ROOT / "CHANGELOG.md", *(DOCS / "lab").glob("*.md"), *RECORDS}
CURRENT = sorted({*PAGES} - HISTORY)
ROOMS = (*PRODUCT, "tools", "tests", "benchmarks")
FILE = rf"(?:(?:{'|'.join(ROOMS)})(?:/\w+)*/(?:\w+\.py)?|cli\.py)"


def commands() -> dict[str, click.Command]:
    context = click.Context(main, info_name="fashion-cascade")
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert all(found.values())
    return {name: command for name, command in found.items() if command is not None}


def test_the_page_of_commands_is_up_to_date() -> None:
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


def defined(module: Path) -> set[str]:
    """What a module defines at its top, and the methods of its classes as CLASS.METHOD."""
    found = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (part for part in node.body if isinstance(part, ast.FunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def is_module_or_in_one(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module defines."""
    module, _, last = name.rpartition(".")
    whole, file = ROOT.joinpath(*name.split(".")), ROOT.joinpath(*module.split("."))
    if whole.is_dir() or whole.with_suffix(".py").exists():
        return True
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return file.exists() and last in defined(file)


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def test_the_architecture_states_the_import_rules_that_are_enforced() -> None:
    assert ARCHITECTURE.read_text(encoding="utf-8") == architecture_page(), "stale: run `make docs`"


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_module_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = set(re.findall(rf"(?<![\w./-]){FILE}", text))
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    dotted = set(re.findall(r"`((?:\w+\.)+\w+)`", text))
    dotted = {name for name in dotted if name.split(".")[0] in ROOMS}
    assert [name for name in sorted(dotted) if not is_module_or_in_one(name)] == []
    if page == ARCHITECTURE:
        assert len(files | dotted) > 50


def typed(page: Path) -> list[list[str]]:
    """The commands of this program in a page's code blocks, in words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|((?:^    \S.*\n)+)", page.read_text(), re.M | re.S)
    lines = "\n".join(map("".join, blocks)).replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        text = line.strip().removeprefix("$ ")
        if "| fashion-cascade " in text:
            text = "fashion-cascade " + text.partition("| fashion-cascade ")[2]
        if text.startswith("fashion-cascade "):
            words = shlex.split(text, comments=True)
            ends = [i for i, word in enumerate(words) if word in ("|", ">", "<")]
            found.append(words[1 : min(ends, default=len(words))])
    return found


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_that_a_page_types_has_these_options(page: Path) -> None:
    context = click.Context(main, info_name="fashion-cascade")
    for words in [] if page == PAGE else typed(page):
        command: click.Command | None = main
        rest = iter(words)
        while isinstance(command, click.Group):
            command = command.get_command(context, next(rest))
        assert command is not None, words
        known = {option for parameter in command.params for option in parameter.opts}
        asked = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
        assert asked <= known | {"--help"}, words


@pytest.mark.parametrize(
    "message",
    [
        "skipped as done ",
        "same bytes as another picture: ",
        " done before, looked at in ",
        " corrected or confirmed, ",
        " unchanged",
        " rows wait for model ",
        " labels would change; nothing was changed",
        " rows are labelled by model ",
        " is in use; ",
        " rows took its labels",
    ],
)
def test_each_message_in_the_tutorial_is_one_that_is_printed(message: str) -> None:
    assert message in (DOCS / "tutorial.md").read_text(encoding="utf-8"), "change this list too"
    modules = (path for room in PRODUCT for path in (ROOT / room).rglob("*.py"))
    assert any(message in path.read_text(encoding="utf-8") for path in modules)


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_make_target_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {*re.findall(r"(?:`|\$ )make ([\w-]+)", text)} <= {*targets}


def test_each_name_that_the_architecture_gives_in_a_module_is_defined_there() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    found = re.findall(rf"`({FILE})` \(((?:`[\w.]+`(?:, )?)+)\)", text)
    assert len(found) > 8
    for module, names in found:
        assert {*re.findall(r"`([\w.]+)`", names)} <= defined(ROOT / module), module


def test_each_test_that_a_page_names_exists() -> None:
    found = {
        (name, file)
        for page in CURRENT
        for file, name in re.findall(
            r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8")
        )
    }
    assert len(found) > 30
    assert [one for one in sorted(found) if one[0] not in defined(ROOT / one[1])] == []


def test_each_guarantee_names_a_test_that_shows_it() -> None:
    lines = (DOCS / "guarantees.md").read_text(encoding="utf-8").splitlines()
    header = "| Promise | Shown by |"
    promises = [line for line in lines if line.startswith("|") and line != header]
    rows = [line for line in promises if line != "|---|---|"]
    assert len(rows) > 60
    assert len(promises) - len(rows) == lines.count(header)  # no other table
    unshown = [row for row in rows if not re.search(r"\| `tests/[^|]+` \|$", row)]
    assert unshown == []


def test_the_front_page_leads_to_every_page() -> None:
    front = DOCS / "README.md"
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", front.read_text(encoding="utf-8"))
    linked = {(DOCS / target).resolve() for target in targets if "://" not in target}
    assert {*DOCS.rglob("*.md")} - {front} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page}: {target}"
            if anchor:
                assert anchor in anchors(page.parent / target if target else page), anchor


def test_decision_records_are_numbered_once_and_say_what_they_must() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert len(set(numbers)) == len(numbers)
    for record in RECORDS:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {record.name[:4]} "), record
        for part in ("Context", "Decision", "Consequences"):
            assert part in text, f"{record} has no {part}"
        assert {*re.findall(r"(?<![\d.,])00\d\d(?![\d.])", text)} <= {*numbers}, record
