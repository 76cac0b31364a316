"""Similar pictures on a picture's page, over HTTP."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from db.catalogue import Catalogue
from db.features import IndexCache
from db.records import Outcome, Vector
from db.session import reading
from tests.db.samples import labelled, put, register
from tests.web.serving import served

DIGEST = "trunk-a"


def seen(path: str, *components: int, digest: str = DIGEST) -> Outcome:
    vector = Vector(digest, np.array(components, np.int8).tobytes())
    return replace(labelled(path), vector=vector)


def ids(store: Catalogue) -> dict[str, int]:
    with reading(store.engine) as connection:
        found = connection.execute(sa.text("SELECT path, id FROM catalogue")).all()
    return dict(found)


def shown(page: str) -> list[tuple[int, str]]:
    """The ids and the similarities of the pictures shown as similar, in order."""
    part = page.partition('<ul class="similar">')[2].partition("</ul>")[0]
    numbers = re.findall(r'href="/pictures/(\d+)"', part)
    shares = re.findall(r'title="similarity">([-\d.]+)<', part)
    return [(int(number), share) for number, share in zip(numbers, shares, strict=True)]


def test_a_picture_shows_those_that_look_like_it(catalogue: Catalogue, tmp_path: Path) -> None:
    store = register(catalogue)
    put(
        store,
        [
            seen("/a.jpg", 100, 0),
            seen("/far.jpg", 0, 100),
            seen("/near.jpg", 100, 20),
            seen("/other.jpg", 100, 0, digest="trunk-b"),
            labelled("/without.jpg"),
        ],
    )
    number = ids(store)
    with served(store, tmp_path) as client:
        page = client.get(f"/pictures/{number['/a.jpg']}").text
        # 100 / sqrt(100² + 20²) = 0.98
        assert shown(page) == [(number["/near.jpg"], "0.98"), (number["/far.jpg"], "0.00")]
        assert shown(client.get(f"/pictures/{number['/other.jpg']}").text) == []
        assert "Similar" not in client.get(f"/pictures/{number['/without.jpg']}").text
        put(store, [seen("/new.jpg", 100, 10)])
        page = client.get(f"/pictures/{number['/a.jpg']}").text
        assert next(place for place, _ in shown(page)) == ids(store)["/new.jpg"]


def test_vectors_that_take_long_to_read_are_not_waited_for(catalogue: Catalogue) -> None:
    store = register(catalogue)
    put(store, [seen("/a.jpg", 100, 0)])
    cache = IndexCache(store.engine)
    try:
        first = cache.get(DIGEST, wait_seconds=60)
        assert first is not None and len(first) == 1
        assert cache.get(DIGEST) is first
        put(store, [seen("/b.jpg", 100, 0)])
        with store.engine.connect():  # whatever was read before is better than nothing
            again = cache.get(DIGEST, wait_seconds=0)
        assert again is first or (again is not None and len(again) == 2)
        newest = cache.get(DIGEST, wait_seconds=60)
        assert newest is not None and len(newest) == 2
        other = cache.get("trunk-b", wait_seconds=60)
        assert other is not None and len(other) == 0
    finally:
        cache.close()
