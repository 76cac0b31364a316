"""A command that fails leaves no empty catalogue behind, which would look like one with no work."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.schema import no_empty_file
from tests.commands.running import run
from tests.db.samples import labelled, put, register
from tests.worker.crawls import write_crawl

NOBODY = "redis://127.0.0.1:1/0"


class Failure(Exception):
    pass


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("no-export.csv").write_text("path\n/a.jpg\n")
    Path("bad.jsonl").write_text('{"path": 3}\n')
    return tmp_path


def files(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob("catalogue.db*"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("import", "no-export.csv"), 2),
        (("import", "bad.jsonl"), 2),
        (("enqueue", "--manifest", "bad.jsonl", "--broker", NOBODY), 2),
        (("enqueue", "no-export.csv", "--model", "absent", "--broker", NOBODY), 5),
        (("db", "check"), 4),
        (("db", "check", "--recount"), 4),
        (("db", "downgrade", "base", "--yes"), 4),
        (("db", "downgrade", "0002", "--yes"), 4),
        (("stats",), 4),
        (("vacuum",), 4),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_no_file_is_left(place: Path, words: tuple[str, ...], code: int) -> None:
    done = run(*words, exit_code=code)
    assert files(place) == []
    assert done.stderr.count("\n") == 1


def test_rows_that_were_added_stay(place: Path) -> None:
    write_crawl(Path("spring"), 1)
    run("enqueue", "spring", "--broker", NOBODY, "--model", "constant:out_of_scope", exit_code=3)
    assert run("query", "--count").stdout == "1\n"


@pytest.mark.parametrize("name", ["catalogue.db", "catalogue.db é"])
def test_an_empty_file_goes(place: Path, name: str) -> None:
    with pytest.raises(Failure), no_empty_file(name):
        Catalogue.open(name).close()
        assert (place / name).exists()
        raise Failure
    assert files(place) == []


def test_a_file_with_rows_or_that_was_there_stays(place: Path) -> None:
    for _ in range(2):
        with pytest.raises(Failure), no_empty_file("catalogue.db"):
            store = register(Catalogue.open("catalogue.db"))
            put(store, [labelled("/a.jpg")])
            store.close()
            raise Failure
        assert run("query", "--count").stdout == "1\n"
    run("forget", "--crawl", "spring", "--yes")
    with pytest.raises(Failure), no_empty_file("catalogue.db"):
        raise Failure
    assert files(place) != []


def test_a_file_that_another_process_has_open_stays(place: Path) -> None:
    with pytest.raises(Failure), no_empty_file("catalogue.db"):
        other = register(Catalogue.open("catalogue.db"))
        raise Failure
    put(other, [labelled("/a.jpg")])
    other.close()
    assert run("query", "--count").stdout == "1\n"


def test_what_is_older_cannot_be_downgraded(place: Path) -> None:
    run("db", "upgrade")
    run("db", "downgrade", "0002", "--yes")
    said = run("db", "downgrade", "0003", "--yes", exit_code=4).stderr
    assert "has schema 0002, which is older than 0003" in said
