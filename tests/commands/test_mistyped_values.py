"""A value that the catalogue never had is named, with the one that was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.records import PendingRow
from tests.commands.running import run
from tests.db.samples import labelled, put, register, rejected

CALLS_THAT_READ = [
    ("query",),
    ("query", "--count"),
    ("stats",),
    ("export", "out.csv"),
    ("review", "sheet", "sheet.html"),
    ("relabel", "--diff", "--model", "constant:glasses/optical"),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows of one shop, labelled by model-1, and one that is truncated."""
    monkeypatch.chdir(tmp_path)
    store = register(Catalogue.open("sqlite:///catalogue.db"))
    store.add_pending("spring", [PendingRow("/a.jpg", shop="shoe-shop")], "model-1")
    put(store, [labelled("/a.jpg"), rejected("/b.jpg", "truncated")])
    store.close()
    return tmp_path


@pytest.mark.parametrize("words", CALLS_THAT_READ, ids=" ".join)
@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("--shop", "shoe-shpo", "shoe-shop"),
        ("--shop", "Shoe-Shop", "shoe-shop"),
        ("--reason", "truncatd", "truncated"),
        ("--model-version", "modle-1", "model-1"),
    ],
)
def test_reading_says_so(words: tuple[str, ...], option: str, value: str, meant: str) -> None:
    said = run(*words, option, value).stderr
    word = option.removeprefix("--").removesuffix("-version")
    assert f"no row has the {word} {value!r}; did you mean {meant}?" in said


@pytest.mark.parametrize(
    "words",
    [
        *CALLS_THAT_READ[:-1],
        ("status", "--no-queue"),
        ("quarantine", "list"),
        ("quarantine", "list", "--format", "jsonl"),
    ],
    ids=" ".join,
)
def test_reading_an_unknown_crawl_finds_nothing_and_says_so(words: tuple[str, ...]) -> None:
    said = run(*words, "--crawl", "sprung").stderr
    assert "no crawl 'sprung'; the catalogue's crawls: spring\n" in said


@pytest.mark.parametrize(
    "options",
    [
        ("--shop", "shoe-shop"),
        ("--reason", "truncated"),
        ("--model-version", "model-1"),
        ("--model-version", "model-1", "--shop", "shoe-shop"),
    ],
)
def test_values_that_were_seen_are_not_named(options: tuple[str, ...]) -> None:
    assert run("query", *options).stderr == ""


def test_the_beginning_of_a_model_version_suffices() -> None:
    assert run("query", "--count", "--model-version", "model-1").stdout == "2\n"
    said = run("query", "--count", "--model-version", "mod", exit_code=2).stderr
    assert "one version of: model-1, model-2; received 'mod'" in said
    store = Catalogue.open("sqlite:///catalogue.db")
    store.register_model("3f2a9c41", [])
    store.close()
    assert run("query", "--count", "--model-version", "3f2a").stdout == "0\n"
    assert run("query", "--count", "--model-version", "3f2a").stderr == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("requeue", "--stale", "1h", "--crawl", "sprung"), "crawls: spring"),
        (("requeue", "--rejected", "mising"), "did you mean missing?"),
        (("requeue", "--rejected", "colour"), "expected one of: empty, "),
        (("cancel", "--crawl", "sprung"), "crawls: spring"),
        (("archive", "--crawl", "sprung"), "crawls: spring"),
        (("forget", "--yes", "--crawl", "sprung"), "crawls: spring"),
        (("forget", "--yes", "--path", "a.jpg"), "never had the path 'a.jpg'"),
        (("forget", "--yes", "--hash", "0" * 32), "never had the hash '000"),
        (("quarantine", "release", "--crawl", "sprung"), "crawls: spring"),
        (
            ("relabel", "--model", "constant:glasses/optical", "--crawl", "sprung"),
            "crawls: spring",
        ),
    ],
)
def test_changing_refuses_it(words: tuple[str, ...], said: str) -> None:
    done = run(*words, exit_code=2)
    assert said in done.stderr
    assert done.stderr.count("\n") <= 2
    assert run("query", "--count").stdout == "2\n"


def test_forgetting_twice_is_no_error() -> None:
    for kind, value in (("--path", "/a.jpg"), ("--crawl", "spring")):
        run("forget", "--yes", kind, value)
        assert "0 rows forgotten" in run("forget", "--yes", kind, value).stderr


def test_a_crawl_among_many_is_suggested() -> None:
    store = Catalogue.open("sqlite:///catalogue.db")
    for number in range(11):
        store.add_pending(f"crawl {number}", [PendingRow("/a.jpg")], None)
    store.close()
    said = run("cancel", "--crawl", "sprung", exit_code=2).stderr
    assert said.endswith("and 2 older; did you mean spring?\n")


def test_a_misspelt_correction_is_named_with_its_line_and_the_label_that_was_meant() -> None:
    run("review", "sheet", "sheet.html")
    header, *rows = Path("sheet.csv").read_text(encoding="utf-8-sig").splitlines()
    column = header.split(",").index("correct_label")
    for written, meant in (
        ("shoes/female/sandal", "shoes/female/sandals"),
        ("Glases/optical", "glasses/optical"),
        ("boots", "shoes/male/boots"),
    ):
        cells = rows[0].split(",")
        cells[column] = written
        Path("sheet.csv").write_text("\n".join([header, "", ",".join(cells), *rows[1:]]))
        said = run("review", "apply", "sheet.csv", exit_code=2).stderr
        assert "sheet.csv, line 3 (row " in said
        assert f"did you mean {meant}" in said
    assert run("query", "--corrected", "--count").stdout == "0\n"
