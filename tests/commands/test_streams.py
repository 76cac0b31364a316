"""Standard streams, folders and arguments as they are on other people's machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main
from db.catalogue import Catalogue
from tests.db.samples import labelled, put, register

ROOT = Path(__file__).parents[2]
LOAD_A_MODEL = {"train", "evaluate", "tune-thresholds", "sweep", "convert"}
RUN_FOR_EVER = {"worker", "up", "serve", "exporter", "doctor"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store = register(Catalogue.open("sqlite:///catalogue.db"))
    put(store, [labelled("/é.jpg")])
    store.close()
    return tmp_path


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    line = line.replace("fc", f"'{sys.executable}' '{ROOT / 'cli.py'}'")
    return subprocess.run(
        ["/bin/sh", "-c", line], check=False, capture_output=True, env=os.environ | variables
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("fc query > /dev/full", 1),
        ("fc --help > /dev/full", 1),
        ("fc --version > /dev/full", 1),
        ("fc query --help > /dev/full", 1),
        ("fc query >&-", 0),
        ("fc query 2>&-", 0),
        ("fc query <&-", 0),
        ("mkdir gone; cd gone; rmdir ../gone; fc query", 2),
        ("fc query --shop \"$(printf 'a\\377')\"", 0),
        ("fc query --limit 99999999999999999999", 2),
        ("fc query --limit 9223372036854775806", 0),
        ("fc query 2> /dev/full", 0),
        ("fc query --limit x 2> /dev/full", 2),
        ("fc query --catalogue absent/x.db 2> /dev/full", 4),
        ("fc query --catalogue absent/x.db 2>&-", 4),
        ("fc query > /dev/full 2> /dev/full", 1),
        ("fc export --format csv - > /dev/full", 1),
        ("fc export --format parquet - > /dev/full", 1),
        ("fc export --format csv /dev/full", 1),
        ("fc export --format csv /dev/stdout > /dev/full", 1),
        ("fc query --format csv --output - > /dev/full", 1),
    ],
)
def test_no_traceback(line: str, code: int) -> None:
    done = shell(line)
    assert b"Traceback" not in done.stderr
    assert done.returncode == code
    assert done.stderr.count(b"\n") <= 2


def test_a_disk_that_is_full_is_no_wrong_usage(place: Path) -> None:
    """No file may grow beyond 40 kB here, which is enough to read the catalogue."""
    store = Catalogue.open("sqlite:///catalogue.db")
    put(store, [labelled(f"/{number}.jpg") for number in range(1500)])
    store.close()
    for line in (
        "export out.csv",
        "export out.db",
        "export out.xlsx",
        "query --output out.jsonl",
        "review sheet --limit 1000 sheet.html",
    ):
        done = shell(f"ulimit -f 80; fc {line}")
        assert b"cannot be written" in done.stderr, line
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), line
    assert {path.name for path in place.iterdir()} <= {"catalogue.db", "out.csv.partial"}


def text_options(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """(words of a command, option with a text as its value) of each command that loads no model."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            if not words and name in LOAD_A_MODEL | RUN_FOR_EVER:
                continue
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from text_options(below, (*words, name))
        return
    required = tuple(
        word
        for option in command.params
        if option.required
        for word in ([] if isinstance(option, click.Argument) else option.opts[:1]) + ["spring"]
    )
    for option in command.params:
        takes_text = isinstance(option.type, click.types.StringParamType | click.Path)
        if isinstance(option, click.Option) and takes_text and not option.is_flag:
            yield (*words, *required), option.opts[0]


def test_no_text_option_leads_to_a_traceback() -> None:
    """Bytes that are not UTF-8 arrive as surrogates, which no database can hold."""
    found = list(text_options(main))
    assert len(found) > 100
    for words, option in found:
        done = CliRunner().invoke(main, [*words, option, "a\udcff"])
        assert done.exception is None or isinstance(done.exception, SystemExit), (words, option)


def test_data_is_utf8_in_a_pipe_whatever_the_locale() -> None:
    done = shell("fc query", PYTHONIOENCODING="ascii")
    assert "/é.jpg" in done.stdout.decode()


def test_a_misspelt_variable_is_named() -> None:
    done = shell("fc query", FASHION_CASCADE_BATCHSIZE="3")
    assert b"did you mean FASHION_CASCADE_BATCH_SIZE?" in done.stderr
