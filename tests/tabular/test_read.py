"""Tests of `tabular/`: files as people and programs write them, and one line for each fault."""

from __future__ import annotations

import datetime
import io
import json
import random
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tabular import values
from tabular.errors import TabularError
from tabular.lines import MAX_LINE, text_lines
from tabular.read import read_rows

COLUMNS = ("path", "shop", "note")
WANTED = [{"path": "/a/é.jpg", "shop": "Müller", "note": None}]


def read(file: Path, columns: Sequence[str] = COLUMNS, **how: Any) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(file, columns, ["path"], **how)]


def written(folder: Path, content: bytes | str, name: str = "in.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_delimiters_and_line_ends(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    text = delimiter.join([" path ", "shop", "note\t" if delimiter != "\t" else "note"])
    text += f"{end}{delimiter.join(['/a/é.jpg', 'Müller', ''])}{end}{end}{delimiter * 2}{end}"
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    assert read(written(tmp_path, (mark + text).encode(encoding))) == WANTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("array", [False, True])
def test_json_lines_and_one_array(tmp_path: Path, encoding: str, array: bool) -> None:
    records = [*WANTED, {"path": "/b\n.jpg", "other": [1]}]
    text = (
        json.dumps(records, indent=1)
        if array
        else "\n \n".join(json.dumps(record) for record in records) + "\n\n"
    )
    file = written(tmp_path, text.encode(encoding), "in")
    assert read(file) == [*WANTED, {"path": "/b\n.jpg"}]


def test_cp1252_is_read_on_request_only(tmp_path: Path) -> None:
    file = written(tmp_path, "path,shop\n/a.jpg,one\n/b.jpg,Müller\n".encode("cp1252"))
    with pytest.raises(TabularError, match=r"in\.csv, line 3: .*0xFC.*--encoding cp1252"):
        read(file)
    assert read(file, encoding="cp1252")[1] == {"path": "/b.jpg", "shop": "Müller"}


def test_utf_16_without_a_mark_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "path\n/a.jpg\n".encode("utf-16-le"))
    with pytest.raises(TabularError, match="line 1: .*--encoding utf-16"):
        read(file)
    assert read(file, encoding="utf-16") == [{"path": "/a.jpg"}]


def test_cells_with_line_ends_and_delimiters(tmp_path: Path) -> None:
    file = written(
        tmp_path, 'sep=;\npath;shop;note\r\n"/a;\n""b"".jpg";x;"1\r\n2"\n/c;;\n/d\n/e;;;;\n'
    )
    found = list(read_rows(file, COLUMNS, ["path"]))
    assert found[0] == (f"{file}, line 3", {"path": '/a;\n"b".jpg', "shop": "x", "note": "1\r\n2"})
    assert [place.rpartition(" ")[2] for place, _ in found] == ["3", "6", "7", "8"]
    assert [row["path"] for _, row in found][1:] == ["/c", "/d", "/e"]


def test_big_cells(tmp_path: Path) -> None:
    file = written(tmp_path, f"path,note,html\n/a,{'x' * 200_000},{'y' * 500_000}\n")
    assert len(read(file)[0]["note"]) == 200_000


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("in.csv", "", 'expected a column "path", found none'),
        ("in.csv", "file;shop\n", "found 'file', 'shop'"),
        ("in.csv", "path,path\n", "the column 'path' twice"),
        ("in.csv", "path,shop\n/a,b,c\n", "line 2: expected 2 cells .* received 3; put quotes"),
        ("in.csv", 'path\n/a\n"/b\n/c\n', "line 3: .*quotes"),
        ("in.csv", 'path\n"/a"b\n', "line 2: "),
        ("in.csv", "path\n/a\0\n", "line 2: expected text, received a NUL"),
        ("in.csv", f"path,x\n/a,{'x' * MAX_LINE}\n", "line 2: longer than"),
        ("in.csv", 'path,x\n/a,"' + "xxxx\n" * (MAX_LINE // 5), "line 2: longer than"),
        ("in.csv", f"path\n{'x' * 300_000}\n", "line 2: path: expected at most"),
        ("in.jsonl", '{"path": ["/a"]}', "line 1: path: expected one value, received a list"),
        ("in.jsonl", '\n{"path": "/a"}\n{"path": {}}', "line 3: path: .* received an object"),
        ("in.jsonl", '{"path": 1e400}', "line 1: path: expected a finite number"),
        ("in.jsonl", '{"path": Infinity}', "line 1: expected JSON: Infinity"),
        ("in.jsonl", '{"path": ' + "[" * 100_000, "line 1: expected JSON: it is nested"),
        ("in.jsonl", '{"path": ' + "9" * 5000 + "}", "line 1: expected JSON: "),
        ("in.jsonl", '"path"', "line 1: expected an object"),
        ("in.json", '[{"path": "/a"},\n3]', "line 2: expected an object of the array"),
        ("in.json", '[{"path": "/a"}\n', "line 2: expected an object of the array.*end of the"),
        ("in.json", '[{"path": "/a"},]', "line 1: expected an object of the array"),
        ("in.json", '[{"path": "/a"}]\n{}', "line 2: expected nothing after"),
        ("in.json", '[{"path": "/a"},\n{"path": }]', "line 2: expected JSON"),
        ("in.json", '[{"path": ' + "[" * 100_000, "line 1: expected JSON: it is nested"),
    ],
)
def test_each_fault_is_one_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(TabularError, match=says) as error:
        read(written(tmp_path, text, name))
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_row_where_rows_must_be_whole(tmp_path: Path) -> None:
    file = written(tmp_path, "path,shop\n/a,b\n/c")
    with pytest.raises(TabularError, match="line 3: .* may be cut"):
        read(file, whole_rows=True)


def test_random_text_is_read_or_refused_in_a_line(tmp_path: Path) -> None:
    rng = random.Random(20261125)
    signs = [*',;\t"\r\n\0{}[]:', "path", "é", "\ufeff", *string.ascii_letters[:5]]
    for _ in range(500):
        text = "path" * rng.randrange(2) + "".join(rng.choices(signs, k=rng.randrange(40)))
        file = written(tmp_path, text.encode(rng.choice(["utf-8", "utf-16", "cp1252"]), "replace"))
        try:
            read(file)
        except TabularError as error:
            assert str(file) in str(error)


def write_parquet(folder: Path, **columns: Any) -> Path:
    file = folder / "in.parquet"
    parquet.write_table(pa.table(columns), file)
    return file


def test_parquet_values(tmp_path: Path) -> None:
    """Whole floats are how tools write integers with gaps."""
    file = write_parquet(
        tmp_path, path=["/a", "/b"], shop=[12345.0, None], note=[1.5, float("nan")]
    )
    assert read(file) == [
        {"path": "/a", "shop": 12345, "note": 1.5},
        {"path": "/b", "shop": None, "note": None},
    ]


def test_parquet_lists_are_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path, path=["/a"], shop=[["x"]], other=[[1]])
    with pytest.raises(TabularError, match="shop: expected one value in each row, received list"):
        read(file)
    assert read(file, ["path"]) == [{"path": "/a"}]


def test_small_parquet_files_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    file = write_parquet(tmp_path, path=pa.array(["x" * 100_000] * 2).take([0] * 10_000))
    assert file.stat().st_size < 100_000
    with pytest.raises(TabularError, match="bytes of text, the limit is"):
        read(file)
    plain = tmp_path / "plain.parquet"
    table = pa.table({"path": ["x" * 100_000] * 1000})
    parquet.write_table(table, plain, use_dictionary=False, compression="zstd")
    with pytest.raises(TabularError, match="unpack to"):
        read(plain)


def test_a_parquet_file_of_many_batches(tmp_path: Path) -> None:
    names = [f"/{n % 12_000}" for n in range(25_000)]
    file = write_parquet(tmp_path, path=names, shop=["one"] * 25_000)
    assert [row["path"] for row in read(file)] == names


def test_spreadsheets_values() -> None:
    day = datetime.datetime(2026, 11, 25, 18, 30, tzinfo=datetime.UTC)
    for text in (
        "2026-11-25T18:30:00Z",
        "2026-11-25 18:30",
        "25.11.2026 18:30",
        "2026/11/25 18:30",
    ):
        assert values.time_of(text) == day
    for wrong in ("03/04/2026", "yesterday", 3, True):
        with pytest.raises(ValueError, match="expected a time"):
            values.time_of(wrong)
    assert [values.truth(word) for word in ("TRUE", "FALSE", "WAHR", "falsch", None, True)] == [
        *(True, False, True, False, False, True)
    ]
    assert values.number("0,98") == 0.98
    assert [values.integer(text) for text in ("12", " 12 ", "12.0", 12, 12.0)] == [12] * 5
    for wrong in ("²", "1.5", "", None, True, str(2**63), "1" * 5000, "1_000"):
        with pytest.raises(ValueError, match="expected a"):
            values.integer(wrong)


def test_text_lines_keep_their_ends() -> None:
    lines = text_lines(io.BytesIO(b"a\rb\r\nc\n\rd"), "x", None)
    assert list(lines) == ["a\r", "b\r\n", "c\n", "\r", "d"]
