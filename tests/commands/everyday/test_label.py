"""The command `label`, run in a process on real files and databases."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import running
from tests.commands.running import run
from tests.servers import PostgresServer
from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.constant_model import ConstantModel

ROOT = Path(__file__).parents[3]
VERSION = ConstantModel(MODEL_NAME.removeprefix("constant:")).version


def start(folder: Path, *arguments: object, **more: str) -> subprocess.Popen[str]:
    """``fashion-cascade label ARGUMENTS`` in `folder`, without settings from elsewhere."""
    environ = {name: value for name, value in os.environ.items() if "FASHION" not in name}
    environ |= {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "config")}
    environ |= {"FASHION_CASCADE_MODEL": MODEL_NAME, "PYTHONWARNINGS": "error", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "label", *map(str, arguments)],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )


def label(
    folder: Path, *arguments: object, code: int = 0, stdin: str = "", **more: str
) -> tuple[list[str], str]:
    """Its lines on stdout and all of its stderr; the exit code is checked."""
    process = start(folder, *arguments, **more)
    out, err = process.communicate(stdin, timeout=120)
    assert process.returncode == code, err
    return out.splitlines(), err


def table(folder: Path) -> dict[str, tuple[str, str | None]]:
    """Path → (status, label), read by a different SQL client than the program's."""
    with sqlite3.connect(f"file:{folder / 'catalogue.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT path, status, label FROM catalogue").fetchall()
    connection.close()
    assert len(rows) == len({path for path, *_ in rows})
    return {path: (status, found) for path, status, found in rows}


def test_a_folder_becomes_rows_and_lines(tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "spring", 5)
    (tmp_path / "spring" / "bad.jpg").write_bytes(b"<html>")
    lines, err = label(tmp_path, "spring", code=1)
    found = {Path(row["path"]).name: row for row in map(json.loads, lines)}
    assert found[pictures[0].name] == {
        "path": str(pictures[0]),
        "status": "labelled",
        "label": "shoes/female/sandals",
        "category": "shoes",
        "gender": "female",
        "type": "sandals",
        "confidence": 1.0,
        "best_leaf": "shoes/female/sandals",
        "reason": None,
        "model_version": VERSION,
    }
    assert (found["bad.jpg"]["status"], found["bad.jpg"]["reason"]) == ("rejected", "not_an_image")
    assert found["bad.jpg"]["label"] is None
    assert len(found) == 6
    assert "labelled 5, rejected 1, skipped as done 0" in err
    assert "rejected as not_an_image: 1" in err
    assert "pictures/s" in err
    assert table(tmp_path) == {
        str(path): ("labelled", "shoes/female/sandals") for path in pictures
    } | {str(tmp_path / "spring" / "bad.jpg"): ("rejected", None)}


def test_pictures_are_counted_by_shop_after_label(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring" / "asos", 3)
    write_crawl(tmp_path / "spring" / "zara", 2, 10)
    write_crawl(tmp_path / "spring", 1, 20)

    def by_shop() -> dict[str | None, int]:
        url = f"sqlite:///{tmp_path / 'catalogue.db'}"
        counted = running.run("stats", "--by", "shop", "--format", "jsonl", "--catalogue", url)
        return {row["group"]: row["rows"] for row in running.lines(counted)}

    label(tmp_path, "spring", "--shop-from", "folder")
    assert by_shop() == {"asos": 3, "zara": 2, None: 1}
    label(tmp_path, "spring")  # says nothing of shops: they stay
    assert by_shop() == {"asos": 3, "zara": 2, None: 1}
    # of pictures that are done
    _, err = label(tmp_path, "spring", "--shop-from", "/(z)ara/")
    assert "nothing to do" in err
    assert by_shop() == {"asos": 3, "z": 2, None: 1}
    label(tmp_path, "spring", "--shop", "one")
    assert by_shop() == {"one": 6}
    _, err = label(tmp_path, "spring", "--shop", "one", "--shop-from", "folder", code=2)
    assert "received both" in err


def test_a_second_run_skips_everything(tmp_path: Path) -> None:
    (first, *_) = write_crawl(tmp_path / "spring", 5)
    label(tmp_path, "spring")
    lines, err = label(tmp_path, "spring")
    assert lines == []
    assert "nothing to do: 5 pictures done before" in err
    first.write_bytes(first.read_bytes() + b" ")  # changed, and still a picture
    lines, err = label(tmp_path, "spring")
    assert [json.loads(line)["path"] for line in lines] == [str(first)]
    assert "labelled 1, rejected 0, skipped as done 4" in err


def test_a_second_run_loads_no_deep_learning_library(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring", 2)
    label(tmp_path, "spring")
    code = (
        "import sys, cli\n"
        "try: cli.main(['label', 'spring'])\n"
        "finally: print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    environ = dict(os.environ) | {"PYTHONPATH": str(ROOT), "FASHION_CASCADE_MODEL": MODEL_NAME}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("nul", [True, False])
def test_paths_from_stdin_with_any_name(tmp_path: Path, nul: bool) -> None:
    names = ["a b.png", 'it\'s "so".png', "größe.png", "\udcff.png"] + ["new\nline.png"] * nul
    paths = write_crawl(tmp_path / "in", len(names))
    for path, name in zip(paths, names, strict=True):
        path.rename(tmp_path / "in" / name)
    listed = ("\0" if nul else "\n").join(str(tmp_path / "in" / name) for name in names)
    lines, _ = label(tmp_path, *(["-0"] if nul else []), "-", "--crawl", "x", stdin=listed)
    found = [json.loads(line) for line in lines]
    assert {row["status"] for row in found} == {"labelled"}
    texts = {str(tmp_path / "in" / name) for name in names if "\udcff" not in name}
    assert {row["path"] for row in found} == texts | {f"file://{tmp_path}/in/%FF.png"}


def test_csv_and_table(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring", 2)
    lines, _ = label(tmp_path, "spring", "--format", "csv")
    rows = list(csv.DictReader(lines))
    assert [row["label"] for row in rows] == ["shoes/female/sandals"] * 2
    lines, _ = label(tmp_path, "spring", "--crawl", "again", "--format", "table")
    assert lines[0].split()[:2] == ["status", "label"]
    assert lines[0].endswith(" path")  # last, so that a long one pushes nothing out of place
    assert {line.rpartition("  ")[2] for line in lines[1:]} == {row["path"] for row in rows}


def test_a_folder_without_pictures_is_reported(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    lines, err = label(tmp_path, "texts")
    assert lines == []
    assert "no pictures were found" in err
    assert "skipped, not the extension of a picture: 1" in err


def refused(folder: Path, *arguments: str, code: int, says: str, **more: str) -> None:
    lines, err = label(folder, *arguments, code=code, **more)
    assert lines == []
    assert says in err
    assert "Traceback" not in err


def test_errors_have_messages_and_exit_codes(tmp_path: Path) -> None:
    write_crawl(tmp_path / "spring", 1)
    (tmp_path / "empty").mkdir()
    refused(tmp_path, "absent", code=2, says="found nothing there")
    refused(tmp_path, "empty", code=2, says="the folder is empty")
    refused(tmp_path, "spring", "--batch-size", "-1", code=2, says="expected a whole number")
    refused(tmp_path, "spring", "--model", "nowhere", code=5, says="no bundle there")
    refused(tmp_path, "spring", "--model", "constant:hats", code=5, says="expected a leaf")
    nobody = "postgresql://user:secret@127.0.0.1:1/x"
    refused(tmp_path, "spring", "--catalogue", nobody, code=4, says="127.0.0.1:1")
    refused(tmp_path, "spring", "--catalogue", "mysql://x", code=2, says="expected a catalogue URL")
    assert not (tmp_path / "catalogue.db").exists()


def test_roots_apply_to_paths_on_stdin_but_not_to_folders(tmp_path: Path) -> None:
    (inside,) = write_crawl(tmp_path / "root", 1)
    (outside,) = write_crawl(tmp_path / "other", 1)
    roots = {"FASHION_CASCADE_ROOTS": str(tmp_path / "root")}
    lines, _ = label(tmp_path, "-", stdin=f"{inside}\n{outside}\n", code=1, **roots)
    reasons = {row["path"]: row["reason"] for row in map(json.loads, lines)}
    assert reasons == {str(inside): None, str(outside): "outside_root"}
    lines, _ = label(tmp_path, "other", **roots)
    assert [json.loads(line)["status"] for line in lines] == ["labelled"]


def begin(folder: Path, count: int) -> tuple[subprocess.Popen[str], Sequence[Path]]:
    """A run over `count` pictures that has just printed its first row."""
    pictures = write_crawl(folder / "spring", count)
    process = start(folder, "spring", "--batch-size", 8)
    assert process.stdout is not None
    process.stdout.readline()
    return process, pictures


def test_a_killed_run_loses_no_finished_batch_and_is_resumed(tmp_path: Path) -> None:
    process, pictures = begin(tmp_path, 600)
    process.kill()
    out, _ = process.communicate(timeout=60)
    finished = {path for path, (status, _) in table(tmp_path).items() if status == "labelled"}
    assert 0 < len(finished) < 600
    # what was printed whole was committed before
    assert {json.loads(line)["path"] for line in out.splitlines()[:-1]} <= finished
    lines, err = label(tmp_path, "spring")  # at once: the dead run's lease is not waited for
    assert {json.loads(line)["path"] for line in lines} == {str(p) for p in pictures} - finished
    assert f"skipped as done {len(finished)}" in err
    assert {status for status, _ in table(tmp_path).values()} == {"labelled"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_exits_cleanly_and_is_resumed(tmp_path: Path, number: signal.Signals) -> None:
    process, pictures = begin(tmp_path, 600)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped; the next run resumes from here" in err
    assert "Traceback" not in err
    printed = {json.loads(line)["path"] for line in out.splitlines()}
    with sqlite3.connect(tmp_path / "catalogue.db") as connection:
        held = connection.execute("SELECT count(*) FROM catalogue WHERE claimed_by IS NOT NULL")
        assert held.fetchone() == (0,)
    connection.close()
    finished = {path for path, (status, _) in table(tmp_path).items() if status == "labelled"}
    assert 0 < len(finished) < len(pictures)
    assert printed <= finished  # not all of them: begin() has read some of the output
    lines, _ = label(tmp_path, "spring")
    assert {json.loads(line)["path"] for line in lines} == {str(p) for p in pictures} - finished
    assert {status for status, _ in table(tmp_path).values()} == {"labelled"}


@pytest.mark.parametrize("command", ["forget", "archive"])
def test_what_was_forgotten_or_archived_comes_back_only_again(tmp_path: Path, command: str) -> None:
    pictures = write_crawl(tmp_path / "spring", 3)
    label(tmp_path, "spring")
    catalogue = f"sqlite:///{tmp_path / 'catalogue.db'}"
    if command == "forget":
        withheld = {str(pictures[0])}
        run("forget", "--path", str(pictures[0]), "--yes", "--catalogue", catalogue)
    else:
        withheld = {str(path) for path in pictures}
        to = str(tmp_path / "spring.jsonl")
        run("archive", "--crawl", "spring", "--to", to, "--catalogue", catalogue)
    left = {str(path) for path in pictures} - withheld
    lines, said = label(tmp_path, "spring", code=1)
    assert lines == []
    assert set(table(tmp_path)) == left
    assert f"forgotten or archived, left out: {len(withheld)}; --again labels them" in said
    lines, _ = label(tmp_path, "spring", "--again")
    assert {json.loads(line)["path"] for line in lines} == withheld
    assert set(table(tmp_path)) == withheld | left
    lines, said = label(tmp_path, "spring")  # it is back for good
    assert lines == []
    assert "nothing to do: 3 pictures done before" in said


@pytest.mark.servers
def test_into_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    write_crawl(tmp_path / "spring", 3)
    url = postgres.new_url()
    lines, _ = label(tmp_path, "spring", "--catalogue", url)
    assert len(lines) == 3
    _, err = label(tmp_path, "spring", "--catalogue", url)
    assert "nothing to do: 3 pictures done before" in err


@pytest.mark.parametrize("asked", [(), ("--format", "jsonl")])
def test_a_terminal_shows_records_only_on_request(tmp_path: Path, asked: tuple[str, ...]) -> None:
    write_crawl(tmp_path / "spring", 3)
    screen, terminal = os.openpty()
    environ = {name: value for name, value in os.environ.items() if "FASHION" not in name}
    environ |= {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path)}
    environ |= {"FASHION_CASCADE_MODEL": MODEL_NAME}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "label", "spring", *asked],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    os.set_blocking(screen, False)
    try:
        shown = os.read(screen, 1 << 16)
    except BlockingIOError:
        shown = b""
    os.close(terminal)
    os.close(screen)
    assert len(shown.splitlines()) == (3 if asked else 0)
    assert "labelled 3, rejected 0" in done.stderr
    hint = "the labels: fashion-cascade stats --crawl spring, or query --crawl spring\n"
    assert (hint in done.stderr) == (not asked)
