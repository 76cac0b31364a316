"""The store in memory gives the same answers and rows as the catalogue."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db import clocks
from db.catalogue import Catalogue
from db.errors import InvalidRecord
from db.records import Claim, FileState, LabelEntry, LabelFields, Outcome
from db.session import make_engine
from db.tables import catalogue as catalogue_table
from worker.memory_store import MemoryStore

T = TypeVar("T")
LABELS = ("shoes/female/boots", "shoes/male/boots")
COMPARED = (
    *("crawl", "path", "status", "reason", "size", "mtime", "content_hash", "model_version"),
    *("attempts", "deaths_alone", "claimed_by", "claimed_until", "claimed_alone"),
    *("shop", "detail", "put_offs", "put_off_since", "not_before", "generation"),
    *LabelFields.__dataclass_fields__,
)
# few values, and one of each more likely, so that the steps of a history meet each other
CRAWLS, OWNERS, MODELS = st.sampled_from("xxxy"), st.sampled_from("AAB"), st.sampled_from("mmmn")
PATHS = st.sampled_from(["/a", "/a", "/b"])
SIZES = st.sampled_from([None, 1, 2])
SECONDS = st.sampled_from([1.0, 10.0, 60.0])
GENERATIONS = st.sampled_from([None, None, 0, 1])
HASHES = ["h1", "h2"]
FILES = st.builds(
    FileState,
    PATHS,
    SIZES,
    st.sampled_from([None, 1.0]),
    shop=st.sampled_from([None, None, "s", "t"]),
)
Step = tuple[str, tuple[Any, ...], dict[str, Any]]


def label_fields(model: str, content_hash: str) -> LabelFields:
    """What a model says depends on the bytes alone."""
    number = (model + content_hash).encode()[-1] % 2
    category, gender, kind = LABELS[number].split("/")
    sure = 1.0 + 1e-6 if content_hash == "h1" else 0.75  # rounding is clipped to 1
    return LabelFields(
        category,
        gender,
        kind,
        *[LABELS[number]] * 2,
        sure,
        0.8,
        0.7,
        0.7,
        0.4,
        number > 0,
        *(0.7, LABELS[1 - number], 1.0 - 0.7, json.dumps({LABELS[number]: 0.7})),
    )


def few(items: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    return st.lists(items, min_size=1, max_size=3)


@st.composite
def outcomes(draw: st.DrawFn, model: str) -> Outcome:
    path, size, content_hash = draw(PATHS), draw(SIZES), draw(st.sampled_from(HASHES))
    rejected = ["missing", "truncated", "unreadable"] * 2
    status = draw(st.sampled_from([*["labelled"] * 9, *rejected, *["put_off"] * 4, "invalid"]))
    if status == "labelled":
        fields = label_fields(model, content_hash)
        return Outcome(path, "labelled", size, 1.0, content_hash, fields=fields)
    if status == "missing":
        return Outcome(path, "rejected", None, None, None, "missing")
    if status == "truncated":
        return Outcome(path, "rejected", size, 1.0, content_hash, "truncated", detail="a\0\udcff")
    if status == "unreadable":
        return Outcome(path, "rejected", None, None, None, "unreadable", detail="x" * 500)
    if status == "put_off":
        return Outcome(path, "put_off", None, None, None, detail="[Errno 5] Input/output error")
    return Outcome(path, "labelled", size, 1.0, content_hash)  # no label: refused


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """One call of a store, or the time that passes before the next one."""
    crawl, owner, model = draw(CRAWLS), draw(OWNERS), draw(MODELS)
    lease = (owner, draw(SECONDS), model)
    calls: dict[str, Any] = {
        "claim": lambda: (crawl, draw(few(FILES)), *lease),
        "claim_alone": lambda: (crawl, draw(PATHS), *lease),
        "renew": lambda: (crawl, owner, draw(few(PATHS)), draw(SECONDS)),
        "store": lambda: (crawl, owner, model, draw(few(outcomes(model)))),
        "labels_by_hash": lambda: (draw(few(st.sampled_from(HASHES))), model),
        "release": lambda: (crawl, owner),
        "expire": lambda: (owner,),
        "owners": lambda: (),
        "pass": lambda: (draw(SECONDS),),
    }
    likely = ["claim", "claim", "claim_alone", "store", "expire", "pass"] * 2
    name = draw(st.sampled_from(likely + list(calls)))
    options: dict[str, Any] = {"reopen": draw(st.booleans())} if name == "claim" else {}
    if name == "claim_alone":
        options = {"generation": draw(GENERATIONS)}
    if name == "store":
        options = {"generations": {"/a": draw(GENERATIONS), "/b": draw(GENERATIONS)}}
    return name, calls[name](), options


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty catalogue that knows the labels."""
    file = tmp_path_factory.mktemp("empty") / "catalogue.db"
    opened = Catalogue.open(f"sqlite:///{file}")
    entries = [LabelEntry(label, *label.split("/")) for label in LABELS]
    for model in "mn":
        opened.register_model(model, entries)
    opened.close()
    return file


def answer(store: MemoryStore | Catalogue, name: str, *args: Any, **options: Any) -> Any:
    try:
        result = getattr(store, name)(*args, **options)
    except InvalidRecord as error:
        return str(error)
    if isinstance(result, Claim):  # files are equal whatever their generation
        return result, [file.generation for file in result.todo + result.suspects]
    return result


def rows_of(store: MemoryStore | Catalogue) -> list[dict[str, Any]]:
    """The rows by crawl and path, with the columns that both stores have."""
    if isinstance(store, Catalogue):
        columns = [catalogue_table.c[name] for name in COMPARED]
        query = sa.select(*columns).order_by(catalogue_table.c.crawl, catalogue_table.c.path)
        with store.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
    blank: dict[str, Any] = dict.fromkeys(LabelFields.__dataclass_fields__)
    found = []
    for (crawl, path), row in sorted(store.rows.items()):
        values = vars(row) | {"crawl": crawl, "path": path}
        values |= vars(row.fields) if row.fields else blank | {"needs_review": False}
        found.append({name: values[name] for name in COMPARED})
    return found


def poison() -> list[Step]:
    """A picture that kills its worker: in its shard, then twice alone; then its file changes."""
    lease = (60.0, "m")
    claim: Step = ("claim", ("x", [FileState("/a", 1, 1.0)], "A", *lease), {"reopen": True})
    history: list[Step] = [claim, ("expire", ("A",), {})]
    for owner in "BC":
        history.append(("claim", ("x", [FileState("/a", 1, 1.0)], owner, *lease), {}))
        history.append(("claim_alone", ("x", "/a", owner, *lease), {}))
        history.append(("expire", (owner,), {}))
    other_model: Step = ("claim", ("x", [FileState("/a", 1, 1.0)], "A", 60.0, "n"), {})
    changed: Step = ("claim", ("x", [FileState("/a", 2, 1.0)], "A", *lease), {})
    return [*history, claim, other_model, changed]


def two_leases() -> list[Step]:
    """A third worker asks for two files whose leases end at different times."""
    a, b = FileState("/a"), FileState("/b")
    long: Step = ("claim", ("x", [a], "A", 60.0, "m"), {})
    short: Step = ("claim", ("x", [b], "B", 10.0, "m"), {})
    return [long, short, ("claim", ("x", [a, b], "C", 10.0, "m"), {})]


def unreadable_for_long() -> list[Step]:
    """A picture that is put off until it is rejected, and then tried again by a new run."""
    outcome = Outcome("/a", "put_off", None, None, None, detail="[Errno 116] Stale file handle")
    history: list[Step] = []
    for seconds in (29.0, 1.0, 60.0, 120.0, 180.0, 239.0, 1.0, 1.0, 1.0):
        history.append(("claim", ("x", [FileState("/a")], "A", 60.0, "m"), {}))
        history.append(("claim_alone", ("x", "/a", "B", 60.0, "m"), {}))
        history.append(("store", ("x", "A", "m", [outcome]), {}))
        history.append(("pass", (seconds,), {}))
    return history


@given(history=st.lists(steps(), min_size=10, max_size=40))
@example(history=unreadable_for_long())
@example(history=poison())
@example(history=two_leases())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_random_history_gives_equal_answers_and_rows_in_both_stores(
    history: list[Step], empty: Path, tmp_path: Path
) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    file = tmp_path / "catalogue.db"
    for part in tmp_path.glob("catalogue.db*"):
        part.unlink()
    shutil.copy(empty, file)
    real = Catalogue(make_engine(f"sqlite:///{file}"))
    memory = MemoryStore(clock=lambda: now[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clocks, "now", lambda connection: now[0])
        for name, args, options in history:
            if name == "pass":
                now[0] += timedelta(seconds=args[0])
                continue
            expected = answer(real, name, *args, **options)
            assert answer(memory, name, *args, **options) == expected, (name, args, options)
            assert rows_of(memory) == rows_of(real), (name, args, options)
    real.close()
