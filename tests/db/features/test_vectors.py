"""Vectors in the catalogue: who has one, who loses it, and the exact search among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from db import features, housekeeping
from db.catalogue import Catalogue
from db.features import VectorIndex
from db.filters import Filter
from db.records import FileState, Outcome, Vector
from db.session import reading
from tests.db.samples import CRAWL, MODEL, SANDALS, labelled, put, rejected

DIGEST, OTHER = "trunk-a", "trunk-b"
WIDTH = 8


def vector(*components: int) -> np.ndarray:
    return np.array([*components, *[0] * (WIDTH - len(components))], np.int8)


def seen(
    path: str, values: np.ndarray, digest: str = DIGEST, content: str | None = None
) -> Outcome:
    return replace(labelled(path, content_hash=content), vector=Vector(digest, values.tobytes()))


def counted(store: Catalogue) -> int:
    with reading(store.engine) as connection:
        query = sa.text("SELECT count(*) FROM features")
        return int(connection.execute(query).scalar_one())


@pytest.fixture
def filled(store: Catalogue) -> Catalogue:
    """Four pictures with a vector, one without, one rejected."""
    put(
        store,
        [
            seen("/a", vector(100)),
            seen("/b", vector(99, 10)),
            seen("/c", vector(0, 100)),
            seen("/d", vector(100), OTHER),
            labelled("/e"),
            rejected("/f"),
        ],
    )
    return store


def test_search_finds_the_nearest_of_one_digest(filled: Catalogue) -> None:
    index = VectorIndex.load(filled.engine, DIGEST)
    assert len(index) == 3
    found = features.similar(filled.engine, index, vector(50, 1), Filter(), limit=2)
    assert [row.path for row, _ in found] == ["/a", "/b"]
    exact = 50 / np.hypot(50, 1)  # the cosine of (50, 1) and (100, 0)
    assert found[0][1] == pytest.approx(exact, abs=1e-6)
    assert features.missing(filled.engine, DIGEST, Filter()) == 2  # /d of another digest, /e
    assert features.missing(filled.engine, OTHER, Filter()) == 4
    lacking = features.rows_without(filled.engine, DIGEST, Filter())
    assert {row.path for row in lacking} == {"/d", "/e"}
    assert len(VectorIndex.load(filled.engine, "unknown")) == 0
    nothing = VectorIndex.load(filled.engine, "unknown")
    assert features.similar(filled.engine, nothing, vector(1), Filter(), limit=3) == []


def test_filters_are_exact_however_far_their_rows_are(store: Catalogue) -> None:
    random = np.random.default_rng(1)
    many = random.integers(-50, 50, (60, WIDTH), dtype=np.int8)
    put(store, [seen(f"/near{n}", vector(100, int(n % 9))) for n in range(40)])
    put(store, [seen(f"/far{n}", values) for n, values in enumerate(many)], crawl="other")
    index = VectorIndex.load(store.engine, DIGEST)
    asked = vector(100)
    found = features.similar(store.engine, index, asked, Filter(crawl="other"), limit=5)
    numbers = many.astype(float)
    cosines = numbers[:, 0] / np.linalg.norm(numbers, axis=1)
    assert [row.path for row, _ in found] == [f"/far{n}" for n in np.argsort(-cosines)[:5]]
    np.testing.assert_allclose([each for _, each in found], np.sort(cosines)[:-6:-1], atol=1e-5)


def test_rows_with_the_same_bytes_share_a_vector(store: Catalogue) -> None:
    put(store, [seen("/a", vector(9), content="same"), seen("/b", vector(9), content="same")])
    assert counted(store) == 1
    put(store, [seen("/c", vector(1, 9), content="same")])  # what is there stays
    index = VectorIndex.load(store.engine, DIGEST)
    found = features.similar(store.engine, index, vector(1), Filter(), limit=9)
    assert {row.path: round(cosine, 5) for row, cosine in found} == {"/a": 1, "/b": 1, "/c": 1}
    others = features.similar(store.engine, index, vector(1), Filter(), limit=9, without="same")
    assert others == []


def test_only_stored_rows_leave_a_vector(store: Catalogue) -> None:
    put(store, [seen("/a", vector(1))])
    store.claim(CRAWL, [FileState("/b")], "another", 300, MODEL)
    assert store.store(CRAWL, "me", MODEL, [seen("/b", vector(2))]) == 0
    assert counted(store) == 1
    features.add(store.engine, {"of no row": Vector(DIGEST, vector(1).tobytes())})
    assert counted(store) == 1


@pytest.mark.parametrize(("kind", "value", "left"), [("path", "/a", 3), ("hash", "hash of /b", 3)])
def test_forget_removes_vectors(filled: Catalogue, kind: str, value: str, left: int) -> None:
    housekeeping.forget(filled.engine, kind, value, by="mara")
    assert counted(filled) == left


def test_forget_keeps_the_vector_of_bytes_that_another_crawl_has(store: Catalogue) -> None:
    put(store, [seen("/a", vector(1), content="same"), seen("/b", vector(2))])
    put(store, [seen("/c", vector(1), content="same")], crawl="other")
    housekeeping.forget(store.engine, "crawl", CRAWL, by="mara")
    assert set(features.stored(store.engine, DIGEST, ["same", "hash of /b"])) == {"same"}
    # the bytes of a forgotten picture leave no vector, whoever sends them
    housekeeping.forget(store.engine, "hash", "same", by="mara")
    put(store, [seen("/x", vector(1), content="same")])
    assert counted(store) == 0


def test_vacuum_removes_vectors_without_a_row(filled: Catalogue) -> None:
    with filled.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM catalogue WHERE path = '/a'"))
    assert counted(filled) == 4
    housekeeping.vacuum(filled.engine)
    assert counted(filled) == 3


def test_labels_are_copied_only_with_their_vector(filled: Catalogue) -> None:
    asked = ["hash of /a", "hash of /d", "hash of /e"]
    assert set(filled.labels_by_hash(asked, MODEL)) == set(asked)
    assert filled.labels_by_hash(asked, MODEL, with_vector=DIGEST) == {"hash of /a": SANDALS}


def test_groups_are_linked_by_pairs(store: Catalogue) -> None:
    put(
        store,
        [
            seen("/a", vector(100, 0)),
            seen("/b", vector(100, 30)),  # cosine 0.958 with /a
            seen("/c", vector(100, 62)),  # 0.968 with /b, 0.850 with /a
            seen("/d", vector(-100)),
            seen("/e", vector(0, -100), content="twins"),
            seen("/f", vector(0, -100), content="twins"),
        ],
    )
    index = VectorIndex.load(store.engine, DIGEST)
    (group,) = features.groups_alike(store.engine, index, Filter(), least=0.95)
    assert {row.path for row in group} == {"/a", "/b", "/c"}
    assert not list(features.groups_alike(store.engine, index, Filter(path="/a"), least=0.95))


def test_every_pair_is_found_in_any_order_of_blocks() -> None:
    random = np.random.default_rng(2)
    vectors = random.integers(-90, 90, (5000, 3), dtype=np.int8)
    index = VectorIndex.of(DIGEST, np.arange(5000), vectors)
    unit = vectors / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    first, second = np.nonzero(np.triu(unit @ unit.T >= 0.99999, 1))
    expected = set(zip(first.tolist(), second.tolist(), strict=True))
    found = list(index.pairs(0.99999))
    assert len(found) == len(set(found)) > 50
    # rounding decides for a few pairs at the limit itself
    assert len(set(found) ^ expected) < 0.02 * len(expected)


def test_the_search_of_chunks_is_that_of_all() -> None:
    random = np.random.default_rng(3)
    vectors = random.integers(-127, 127, (10_001, 64), dtype=np.int8)
    index = VectorIndex.of(DIGEST, np.arange(10_001) * 7, vectors)
    ids, cosines = index.nearest(vectors[-1], 3)
    numbers = vectors.astype(np.float64)
    exact = numbers @ numbers[-1] / np.linalg.norm(numbers, axis=1) / np.linalg.norm(numbers[-1])
    assert ids.tolist() == (7 * np.argsort(-exact)[:3]).tolist()
    np.testing.assert_allclose(cosines, np.sort(exact)[:-4:-1], atol=1e-5)
