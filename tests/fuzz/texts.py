"""Damaged texts: manifests, sheets, imports, lists, settings and JSON, mutated by their grammar."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

from db.exports import review_table

LONG, DEEP = 200_000, 3_000
CELLS = (
    *("", " ", "ok", "TRUE", "=1+1", "'-", "NULL", "None", "nan", "NaN", "inf", "1e999", "-0"),
    *("0", "1", "-1", "1.5", "12345.0", str(2**63), str(2**70), "2026-13-45", "45321.5", "٣"),
    *(
        "a\rb",
        "a\nb",
        "a\r\nb",
        'a"b',
        "a,b",
        "a;b",
        "a\tb",
        "a\0b",
        "\x1b[31m",
        "\ufeff",
        "\u2028",
    ),
    *(
        "é",
        "日本",
        "\U0001f600",
        "\udc80",
        "../../etc/passwd",
        "/dev/zero",
        "ftp://h/x",
        "s3://b/k",
    ),
    *(
        "http://[",
        "shoes/female/sandals",
        "shoes//",
        "*" * 40,
        "x" * LONG,
        "[]",
        "{}",
        "%41",
        "\x85",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**63, 10**400, float("nan"), float("inf"), -1e308),
    *([], {}, [[]], {"a": {"b": []}}, [None], ["x"] * 3),
)
TEXT_KINDS = (
    *("manifest_csv", "manifest_jsonl", "manifest_parquet", "review_csv", "import_csv"),
    *("import_jsonl", "paths", "paths_nul", "toml", "dotenv", "taxonomy", "bundle_manifest"),
    *("bundle_part", "training_csv"),
)
COLUMNS = {
    "manifest_csv": ("path", "url", "shop", "product_id"),
    "manifest_jsonl": ("path", "url", "shop", "product_id"),
    "manifest_parquet": ("path", "url", "shop", "product_id"),
    "review_csv": review_table.WRITTEN,
    "training_csv": ("path", "label", "split", "shop", "product_id", "source"),
}
IMPORT = (
    *("id", "crawl", "path", "status", "label", "category", "best_leaf", "confidence", "reason"),
    *("model_version", "labelled_at", "created_at", "updated_at", "human_label", "attempts"),
    *("content_hash", "size", "mtime", "needs_review", "margin", "category_confidence"),
)


def cell(rng: random.Random) -> str:
    return rng.choice(CELLS)


def value(rng: random.Random) -> Any:
    return rng.choice(VALUES) if rng.random() < 0.5 else cell(rng)


def good_row(kind: str, rng: random.Random) -> dict[str, Any]:
    """A row that the reader takes."""
    label = "shoes/female/sandals"
    if kind.startswith("import"):
        return dict.fromkeys(IMPORT, None) | {
            "id": rng.randrange(9), "crawl": "spring", "path": f"/p/{rng.randrange(10**6)}.jpg",
            "status": "rejected", "reason": "empty", "attempts": 0, "needs_review": False,
            "created_at": "2026-11-25T10:00:00Z", "updated_at": "2026-11-25T10:00:00Z",
        }  # fmt: skip
    if kind == "review_csv":
        leaves = (label, 0.5, "shoes/female/boots", 0.25)
        row = {"id": 1, "path": None, "label": label, "correct_label": "ok", "note": ""}
        return row | dict(zip(review_table.LEAVES, leaves, strict=True))
    if kind == "training_csv":
        return {"path": "1.jpg", "label": label, "split": "train", "shop": "a", "product_id": "1"}
    return {
        "path": f"{rng.randrange(99)}.jpg",
        "url": "https://s/1",
        "shop": "a",
        "product_id": "1",
    }


def columns(kind: str) -> tuple[str, ...]:
    return COLUMNS.get(kind, IMPORT)


def rows(kind: str, rng: random.Random) -> list[dict[str, Any]]:
    """Rows with damaged cells, missing columns and strange ones."""
    made = []
    for _ in range(rng.choice((0, 1, 2, 5, 20))):
        row = good_row(kind, rng)
        for _ in range(rng.randrange(3)):
            name = rng.choice(columns(kind))
            how = rng.random()
            if how < 0.15:
                row.pop(name, None)
            elif how < 0.25:
                row[cell(rng)[:50]] = value(rng)
            else:
                row[name] = value(rng)
        made.append(row)
    return made


def csv_text(kind: str, rng: random.Random) -> bytes:
    mark = rng.choice((",", ",", ",", ";", "\t", "|"))
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    names = list(columns(kind))
    if rng.random() < 0.3:
        rng.shuffle(names)
    if rng.random() < 0.2:
        names[rng.randrange(len(names))] = rng.choice(
            (" path ", "", "path", "PATH", cell(rng)[:99])
        )
    lines = [mark.join(names)]
    for row in rows(kind, rng):
        cells = ["" if row.get(name) is None else str(row[name]) for name in names]
        if rng.random() < 0.7:
            cells = [_quoted(text) for text in cells]
        if rng.random() < 0.15:  # ragged
            cells = cells[: rng.randrange(len(cells) + 1)] + ["more"] * rng.randrange(3)
        lines.append(mark.join(cells))
        if rng.random() < 0.1:
            lines.append("")
    if rng.random() < 0.1:
        lines = lines[1:]
    return encode(end.join(lines) + end, rng)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',;\t|"\r\n') else text


def jsonl_text(kind: str, rng: random.Random) -> bytes:
    made = rows(kind, rng)
    if rng.random() < 0.1:
        return encode(json.dumps(made), rng)
    lines = []
    for row in made:
        line = json.dumps(row, ensure_ascii=rng.random() < 0.5)
        how = rng.random()
        if how < 0.05:
            line = "[" * DEEP + "]" * DEEP
        elif how < 0.1:
            line = line[: rng.randrange(len(line) + 1)]
        elif how < 0.15:
            line = rng.choice(
                ("", "null", "1", '"x"', "[]", "{}", '{"path": 1, "path": "/a"}', "{'a': 1}")
            )
        elif how < 0.2:
            line = '{"path": "\\ud800"}'
        lines.append(line)
    return encode(rng.choice(("\n", "\n", "\r\n")).join(lines) + "\n", rng)


def encode(text: str, rng: random.Random) -> bytes:
    """In one of the encodings that people's programs write, sometimes scrubbed."""
    how = rng.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"))
    errors = "surrogatepass" if how.startswith("utf") else "replace"
    data = text.encode(how, errors)
    if rng.random() < 0.1:
        changed = bytearray(data)
        for _ in range(rng.randint(1, 5)):
            if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        data = bytes(changed)
    if rng.random() < 0.05:
        data = data[: rng.randrange(len(data) + 1)]
    return data


def parquet(kind: str, rng: random.Random) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as pq

    choices: list[Any] = [
        ["a.jpg", "b.jpg"], [1, 2], [1.0, 12345.0], [None, "a.jpg"], [b"\xff\xfe", b"a"],
        [["a"], []], [{"x": 1}, {"x": 2}], [True, False], [float("nan"), 1.5], ["x" * LONG, ""],
    ]  # fmt: skip
    columns = {name: pa.array(rng.choice(choices)) for name in COLUMNS[kind] if rng.random() < 0.8}
    if rng.random() < 0.7:
        columns["path"] = pa.array(["a.jpg", "b.jpg"])
    if rng.random() < 0.2:
        columns["path"] = pa.array(["a.jpg", "b.jpg"]).dictionary_encode()
    sink = io.BytesIO()
    pq.write_table(pa.table(columns or {"x": pa.array([1, 2])}), sink)
    data = bytearray(sink.getvalue())
    if rng.random() < 0.6:
        for _ in range(rng.randint(1, 6)):
            # the description stands at the end
            at = rng.choice((rng.randrange(len(data)), max(0, len(data) - rng.randint(1, 300))))
            data[at] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)


def lines(kind: str, rng: random.Random) -> bytes:
    end = "\0" if kind == "paths_nul" else rng.choice(("\n", "\n", "\r\n"))
    found = [cell(rng) if rng.random() < 0.6 else f"/p/{n}.jpg" for n in range(rng.randrange(12))]
    return encode(end.join(found) + end, rng)


def toml(rng: random.Random, names: tuple[str, ...]) -> bytes:
    made = []
    for _ in range(rng.randint(0, 4)):
        name = rng.choice(names) if rng.random() < 0.8 else rng.choice(("x", "a.b", "[t]", '"q w"'))
        shown = rng.choice((
            json.dumps(cell(rng), ensure_ascii=False), "1", "1e400", "nan", "true", "[]", "{}",
            "2026-11-25", '"""\na\n"""', "'redis://:p@ss/w:rd#%@h:99999/0'", "0x" + "f" * 30,
            '"postgresql://u:p@[::1/x"', "[" * 300 + "]" * 300, '"sqlite:///\\u0000.db"',
        ))  # fmt: skip
        made.append(f"{name} = {shown}")
    return encode("\n".join(made) + "\n", rng)


def dotenv(rng: random.Random, names: tuple[str, ...]) -> bytes:
    made = []
    for _ in range(rng.randint(0, 5)):
        name = f"FASHION_CASCADE_{rng.choice(names).upper()}"
        shown = rng.choice(
            (cell(rng), "${HOME}", "'a", '"b', "redis://:p@ss/w:rd#%@h:1/0", "$(id)", "1 # c")
        )
        made.append(rng.choice((f"{name}={shown}", f"export {name} = {shown}", name, f"={shown}")))
    return encode("\n".join(made) + "\n", rng)


def json_text(good: Any, rng: random.Random) -> bytes:
    """A JSON document with some of its values replaced, removed or nested deeply."""
    document = json.loads(json.dumps(good))
    for _ in range(rng.randint(1, 3)):
        document = _change(document, rng, rng.randint(1, 4))
    text = json.dumps(document)
    if rng.random() < 0.05:
        text = "[" * DEEP + text + "]" * DEEP
    return encode(text, rng)


def _change(node: Any, rng: random.Random, depth: int) -> Any:
    if depth == 0 or not isinstance(node, dict | list) or not node:
        return value(rng)
    changed = list(node) if isinstance(node, list) else dict(node)
    keys = range(len(changed)) if isinstance(changed, list) else list(changed)
    key: Any = rng.choice(list(keys))
    if rng.random() < 0.15:
        del changed[key]
    elif rng.random() < 0.1 and isinstance(changed, list):
        changed.append(changed[key])
    else:
        changed[key] = _change(changed[key], rng, depth - 1)
    return changed


MAKERS: dict[str, Callable[[str, random.Random], bytes]] = {
    "manifest_csv": csv_text, "review_csv": csv_text, "import_csv": csv_text,
    "training_csv": csv_text, "manifest_jsonl": jsonl_text, "import_jsonl": jsonl_text,
    "manifest_parquet": parquet, "paths": lines, "paths_nul": lines,
}  # fmt: skip
