"""The query language, compared with a reference implementation on random catalogues."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import check, index_pages
from db.catalogue import Catalogue
from db.errors import InvalidQuery
from db.queries import Filter, count, page, rows
from db.records import LabelEntry
from db.session import reading, writing
from db.summaries import stats
from db.tables import catalogue as table
from db.tables import crawls, path_key
from db.writes import counters
from tests.db.reference import fits
from tests.db.samples import LABELS, NASTY_PATHS

DAY0 = datetime(2026, 3, 1, 22, tzinfo=UTC)
NAMES = [
    "a",
    "A",
    "b%",
    "b_c",
    "x*y",
    "[z]",
    "?",
    "'; DROP TABLE catalogue; --",
    '"',
    "\\",
    "鞋\u202e",
]
TREE = {entry.label: vars(entry) for entry in LABELS}
FRACTIONS = st.sampled_from([0.0, 0.2, 0.5, 0.50001, 0.9, 1.0])
TIMES = st.integers(0, 12).map(lambda n: DAY0 + timedelta(hours=n))
PATHS = st.sampled_from([*NASTY_PATHS, *(f"/{name}.jpg" for name in NAMES)])


@st.composite
def row(draw: st.DrawFn) -> dict[str, Any]:
    status = draw(st.sampled_from(["labelled"] * 6 + ["rejected"] * 2 + ["cancelled", "pending"]))
    made: dict[str, Any] = {
        "crawl": draw(st.sampled_from(["spring", "sum%"])),
        "path": draw(PATHS),
        "url": draw(st.none() | st.sampled_from(NAMES)),
        "shop": draw(st.none() | st.sampled_from(NAMES)),
        "product_id": draw(st.none() | st.sampled_from(NAMES)),
        "content_hash": draw(st.none() | st.sampled_from(["h1", "h2", "h3", "h4"])),
        "human_label": draw(st.none() | st.none() | st.sampled_from(sorted(TREE))),
        "status": status,
        "reason": draw(st.sampled_from(["empty", "truncated"])) if status == "rejected" else None,
        "model_version": draw(st.sampled_from(["m1", "m2"])),
        "needs_review": False,
        "labelled_at": None,
        "created_at": DAY0,
        "updated_at": DAY0,
    }
    names = ("category", "gender", "type", "model_label", "best_leaf")
    names += ("confidence", "margin")
    names += ("category_confidence", "gender_confidence", "type_confidence", "best_leaf_confidence")
    made |= dict.fromkeys(names)
    if status == "labelled":
        label = draw(st.sampled_from(sorted(TREE)))
        made |= {name: TREE[label][name] for name in ("category", "gender", "type")}
        made |= {
            "model_label": label,
            "best_leaf": draw(st.sampled_from([label, *sorted(TREE)])),
            "needs_review": draw(st.booleans()),
            "labelled_at": draw(TIMES),
        }
        made |= {"confidence": draw(FRACTIONS), "margin": draw(FRACTIONS)}
        made |= {"category_confidence": draw(FRACTIONS)}
        made |= {"gender_confidence": draw(st.none() | FRACTIONS)}
        made |= {"type_confidence": draw(st.none() | FRACTIONS)}
        made |= {"best_leaf_confidence": draw(st.none() | FRACTIONS)}
    return made


CATALOGUES = st.lists(row(), max_size=25, unique_by=lambda r: (r["crawl"], r["path"]))
PATTERN = st.sampled_from([*NAMES, "*", "*_*", "b*", "*.jpg", "x*y*", "*%*", "[*", "\0", "\udce9"])
LABEL = st.sampled_from(
    ["shoes/*", "*/sandals", "Shoes-Female-sandals", "shoes", "*", "s*s", "shoes*", "none", ""]
)
FILTERS = st.builds(
    Filter,
    label=st.none() | LABEL,
    category=st.none() | st.sampled_from(["shoes", "SHOES", "glasses", "*s", "%"]),
    gender=st.none() | st.sampled_from(["female", "male", "*male"]),
    type=st.none() | st.sampled_from(["sandals", "boots", "*a*"]),
    best_leaf=st.none() | LABEL,
    status=st.none() | st.sampled_from(["labelled", "rejected", "cancelled", "pending"]),
    reason=st.none() | st.sampled_from(["empty", "'"]),
    crawl=st.none() | st.sampled_from(["spring", "sum%", "sum"]),
    shop=st.none() | st.sampled_from(NAMES),
    product_id=st.none() | PATTERN,
    url=st.none() | PATTERN,
    path=st.none() | PATTERN | PATHS,
    content_hash=st.none() | st.sampled_from(["h1", "h2", "h"]),
    model_version=st.none() | st.sampled_from(["m1", "m2"]),
    needs_review=st.none() | st.booleans(),
    corrected=st.none() | st.booleans(),
    duplicates=st.none() | st.booleans(),
    labelled_after=st.none() | TIMES,
    labelled_before=st.none() | TIMES,
    **{
        f"{end}_{name}": st.none() | FRACTIONS
        for end in ("min", "max")
        for name in (
            "confidence",
            "margin",
            "type_confidence",
            "gender_confidence",
            "best_leaf_confidence",
        )
    },
)
# a filter with every condition finds nothing: keep up to three
SPARSE = st.builds(
    lambda full, kept: Filter(**{name: getattr(full, name) for name in kept}),
    FILTERS,
    st.sets(st.sampled_from(sorted(Filter.__dataclass_fields__)), max_size=3),
)
NEAR = st.sampled_from([0, 1, 5])  # rows scanned before any index is used


def fill(store: Catalogue, drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert the rows by plain SQL and give each an id."""
    with writing(store.engine) as connection:
        connection.execute(sa.delete(table))
        connection.execute(sa.delete(crawls))
        for name in ("spring", "sum%"):
            connection.execute(sa.insert(crawls).values(name=name, created_at=DAY0))
        made = []
        for number, values in enumerate(drawn, 1):
            made.append({**values, "id": number, "path_key": path_key(values["path"])})
            connection.execute(sa.insert(table).values(**made[-1]))
    return made


ON_BOTH = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@ON_BOTH
@given(drawn=CATALOGUES, asked=st.lists(SPARSE, min_size=5, max_size=15), near=NEAR)
def test_filters_agree_with_the_reference(
    store: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    drawn: list[dict[str, Any]],
    asked: list[Filter],
    near: int,
) -> None:
    monkeypatch.setattr(index_pages, "ROWS_SCANNED_FIRST", near)
    made = fill(store, drawn)
    for wanted in asked:
        expected = [r["id"] for r in made if fits(r, wanted, made, TREE)]
        assert [r.id for r in rows(store.engine, wanted)] == expected, wanted
        assert count(store.engine, wanted) == len(expected)
        assert [r.id for r in page(store.engine, wanted, limit=3).rows] == expected[:3]


@ON_BOTH
@given(
    drawn=CATALOGUES,
    wanted=SPARSE,
    limit=st.integers(1, 4),
    order_by=st.sampled_from(
        ["id", "-id", "label", "-label", "-confidence", "margin", "-labelled_at"]
    ),
    near=NEAR,
)
def test_pages_concatenate_to_the_full_result(
    store: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    drawn: list[dict[str, Any]],
    wanted: Filter,
    limit: int,
    order_by: str,
    near: int,
) -> None:
    monkeypatch.setattr(index_pages, "ROWS_SCANNED_FIRST", near)
    made = fill(store, drawn)
    name, down = order_by.removeprefix("-"), order_by.startswith("-")
    made = [r | {"label": r["human_label"] or r["model_label"]} for r in made]
    fitting = [r for r in made if fits(r, wanted, made, TREE) and r[name] is not None]
    expected = sorted(fitting, key=lambda r: (r[name], r["id"]), reverse=down)
    found, after = [], None
    while True:
        got = page(store.engine, wanted, order_by=order_by, limit=limit, after=after)
        found += [r.id for r in got.rows]
        after = got.next
        if after is None:
            break
    assert found == [r["id"] for r in expected]


@ON_BOTH
@given(drawn=CATALOGUES, wanted=SPARSE, by=st.sampled_from([None, "crawl", "shop", "model", "day"]))
def test_stats_agree_with_the_reference(
    store: Catalogue, drawn: list[dict[str, Any]], wanted: Filter, by: str | None
) -> None:
    made = fill(store, drawn)
    expected: Counter[Any] = Counter()
    for r in made:
        if fits(r, wanted, made, TREE):
            day = r["labelled_at"].strftime("%Y-%m-%d") if r["labelled_at"] else None
            group = {"model": r["model_version"], "day": day}.get(by or "", r.get(by or ""))
            label = r["human_label"] or r["model_label"]
            expected[(group, r["status"], label, r["reason"])] += 1
    found = stats(store.engine, wanted, by=by)
    assert {(c.group, c.status, c.label, c.reason): c.rows for c in found} == dict(expected)
    assert sum(c.rows for c in found) == sum(expected.values())


def test_counters_follow_every_change(store: Catalogue) -> None:
    """Also changes by plain SQL; merging the changes alters no answer."""
    fill(store, [dict(r, path=f"/{n}") for n, r in enumerate([EXAMPLE] * 6)])
    for change in (
        "UPDATE catalogue SET human_label = 'shoes' WHERE id < 3",
        "UPDATE catalogue SET confidence = 0.25, shop = 'other' WHERE id = 4",
        "UPDATE catalogue SET claimed_by = 'me', claimed_until = created_at",
        "DELETE FROM catalogue WHERE id = 5",
    ):
        with writing(store.engine) as connection:
            connection.execute(sa.text(change))
            assert counters.differences(connection) == []
    before = stats(store.engine, by="shop")
    assert [(c.group, c.label, c.rows, c.mean_confidence) for c in before] == [
        ("other", "shoes/male/boots", 1, 0.25),
        ("s", "shoes", 2, 0.75),
        ("s", "shoes/male/boots", 2, 0.75),
    ]
    with writing(store.engine) as connection:
        counters.compact(connection)
    assert stats(store.engine, by="shop") == before
    with writing(store.engine) as connection:
        connection.execute(sa.text("DELETE FROM catalogue_counts WHERE shop = 'other'"))
    assert "3 rows, 2 counted" in check.check(store.engine)[0].what
    with writing(store.engine) as connection:
        counters.recount(connection)
    assert stats(store.engine, by="shop") == before


EXAMPLE: dict[str, Any] = {
    "crawl": "spring",
    "shop": "s",
    "status": "labelled",
    "category": "shoes",
    "gender": "male",
    "type": "boots",
    "model_label": "shoes/male/boots",
    "best_leaf": "shoes/male/boots",
    "confidence": 0.75,
    "model_version": "model-1",
    "labelled_at": DAY0,
    "created_at": DAY0,
    "updated_at": DAY0,
}


@pytest.mark.parametrize("order_by", ["", "path", "id; DROP TABLE catalogue", "--id"])
def test_invalid_order_is_refused(store: Catalogue, order_by: str) -> None:
    with pytest.raises(InvalidQuery, match="expected an order"):
        page(store.engine, Filter(), order_by=order_by)


@pytest.mark.parametrize("after", ["", "x", "bnVsbA", "WyJpZCIsIGZhbHNlLCAiMSJd", "é"])
def test_invalid_token_is_refused(store: Catalogue, after: str) -> None:
    with pytest.raises(InvalidQuery, match="next"):
        page(store.engine, Filter(), after=after)


def test_stats_by_an_unknown_group_is_refused(store: Catalogue) -> None:
    with pytest.raises(InvalidQuery, match="crawl"):
        stats(store.engine, by="path")
    with reading(store.engine) as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM catalogue")).scalar() == 0


DEEP = ("kids/winter/boots", "kids/summer/boots", "kids/summer", "adults/winter/boots")


def test_each_level_of_a_deep_tree_can_be_filtered_and_counted(catalogue: Catalogue) -> None:
    entries = [LabelEntry(label, label.split("/")[0]) for label in DEEP]
    catalogue.register_model("m1", entries)
    fill(catalogue, [dict(EXAMPLE, path=label, model_label=label) for label in DEEP])

    def paths(*levels: tuple[int, str]) -> list[str]:
        return [row.path for row in rows(catalogue.engine, Filter(levels=levels))]

    assert paths((2, "winter")) == ["kids/winter/boots", "adults/winter/boots"]
    assert paths((2, "WIN*"), (1, "kids")) == ["kids/winter/boots"]
    assert paths((3, "boots"), (2, "summer")) == ["kids/summer/boots"]
    assert paths((4, "*")) == []
    by_group: Counter[str | None] = Counter()
    for found in stats(catalogue.engine, by="level_2"):
        by_group[found.group] += found.rows
    assert by_group == {"kids/winter": 1, "kids/summer": 2, "adults/winter": 1}
    with reading(catalogue.engine) as connection:
        query = (
            "SELECT l.name, count(*) FROM catalogue c JOIN label_levels l ON l.label = c.label "
            "WHERE l.depth = 2 GROUP BY l.name ORDER BY l.name"
        )
        assert [tuple(r) for r in connection.execute(sa.text(query))] == [
            ("summer", 2),
            ("winter", 2),
        ]
