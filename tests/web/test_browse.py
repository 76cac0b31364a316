"""The grid, the facets, a picture's page and the pictures themselves, over HTTP."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import httpx
import pytest
from PIL import Image

from db.browsing import SORTS
from db.catalogue import Catalogue
from db.queries import Filter, rows
from db.records import LabelEntry, PendingRow
from tests.db.samples import MODEL, labelled, put, register, rejected, sandals
from tests.pictures import BLUE, RED, encoded, solid
from tests.web.serving import served
from web.disk_cache import DiskCache
from web.site import CACHE_KIB, limit_memory
from web.thumbnails import DECODES, Thumbnails


def tiles(page: str) -> list[int]:
    """The ids of a page's pictures, in order."""
    return [int(number) for number in re.findall(r'<li class="tile" data-id="(\d+)"', page)]


def link(page: str, key: str) -> str | None:
    """The address of the page before or after."""
    found = re.search(f'<a href="([^"]+)" rel="{key}"', page)
    return found and unescape(found[1])


@pytest.fixture
def store(catalogue: Catalogue) -> Catalogue:
    """130 rows with two shops' worth of confidences, every seventh rejected."""
    register(catalogue)
    outcomes = [
        rejected(f"/a/{i}.jpg")
        if i % 7 == 0
        else labelled(f"/a/{i}.jpg", sandals(confidence=0.5 + i / 300))
        for i in range(130)
    ]
    put(catalogue, outcomes, MODEL, "spring")
    return catalogue


@pytest.mark.parametrize("sort", SORTS)
def test_paging_to_the_end_and_back_shows_every_row_once(
    store: Catalogue, tmp_path: Path, sort: str
) -> None:
    expected = {
        row.id
        for row in rows(store.engine, Filter())
        if sort == "newest" or row.status == "labelled"
    }
    with served(store, tmp_path) as client:
        pages = [client.get("/", params={"sort": sort}).text]
        while (at := link(pages[-1], "next")) is not None:
            pages.append(client.get(at).text)
        shown = [id for page in pages for id in tiles(page)]
        assert len(shown) == len(set(shown)) and set(shown) == expected
        back = pages[-1]
        for earlier in reversed(pages[:-1]):
            at = link(back, "prev")
            assert at is not None
            back = client.get(at).text
            assert tiles(back) == tiles(earlier)


def test_an_address_holds_the_whole_view(store: Catalogue, tmp_path: Path) -> None:
    with served(store, tmp_path) as client:
        found = client.get("/?status=rejected&reason=truncated&size=5&crawl=spring")
        assert len(tiles(found.text)) == 5
        after = link(found.text, "next")
        assert after is not None
        query = urlsplit(after).query
        for part in ("status=rejected", "reason=truncated", "size=5", "crawl=spring", "at=after."):
            assert part in query
        assert 'aria-current="true"' in found.text


@pytest.mark.parametrize(
    "query",
    ["colour=red", "sort=random", "status=lost", "size=0", "min_margin=2", "needs_review=maybe"]
    + ["day=yesterday", "level=winter", "at=nowhere", "crawl=a&crawl=b", "labelled_after=soon"],
)
def test_a_wrong_address_is_refused_with_what_was_expected(
    store: Catalogue, tmp_path: Path, query: str
) -> None:
    with served(store, tmp_path) as client:
        found = client.get(f"/?{query}")
        assert found.status_code == 400
        assert "expected" in found.text


def test_facets_count_under_the_other_filters(store: Catalogue, tmp_path: Path) -> None:
    with served(store, tmp_path) as client:
        page = client.get("/facets/status", params={"reason": "truncated"}).text
        assert re.findall(r'class="count">([\d,]+)', page) == ["19"]
        assert client.get("/facets/colour").status_code == 404


def picture_file(folder: Path, name: str = "red.jpg") -> Path:
    file = folder / name
    file.write_bytes(encoded(solid(RED, (300, 400)), "JPEG"))
    return file


def id_of(store: Catalogue, path: str) -> int:
    (row,) = rows(store.engine, Filter(path=path))
    return row.id


def test_a_thumbnail_is_made_kept_and_sent_with_a_tag(catalogue: Catalogue, tmp_path: Path) -> None:
    file = picture_file(tmp_path)
    put(register(catalogue), [labelled(str(file))], MODEL, "spring")
    with served(catalogue, tmp_path, roots=[str(tmp_path)]) as client:
        address = f"/pictures/{id_of(catalogue, str(file))}"
        page = client.get(address).text
        small = client.get(f"{address}/small")
        assert small.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(small.content)).size == (240, 320)
        assert Image.open(io.BytesIO(client.get(f"{address}/large").content)).size == (900, 1200)
        kept = list((tmp_path / "thumbnails").rglob("*-240x320"))
        assert [each.read_bytes() for each in kept] == [small.content]
        tag = {"If-None-Match": small.headers["etag"]}
        assert client.get(f"{address}/small", headers=tag).status_code == 304
        digest = kept[0].name.partition("-")[0]
        assert "immutable" in client.get(f"{address}/small?v={digest}").headers["cache-control"]
        assert "no-cache" in small.headers["cache-control"]
        assert "/large" in page


def test_a_kept_thumbnail_does_not_wait_for_pictures_that_are_decoded(tmp_path: Path) -> None:
    kept, other = picture_file(tmp_path, "kept.jpg"), picture_file(tmp_path, "other.jpg")
    other.write_bytes(encoded(solid(BLUE, (300, 400)), "JPEG"))
    thumbnails = Thumbnails((), DiskCache(tmp_path / "thumbnails"))
    thumbnails.make_now(str(kept))
    release = threading.Event()
    for _ in range(DECODES):
        thumbnails._decodes.submit(release.wait)

    async def both() -> None:
        waiting = asyncio.create_task(thumbnails.make(lambda: str(other)))
        found = await asyncio.wait_for(thumbnails.make(lambda: str(kept)), 30)
        assert found is not None and found.jpeg is not None
        assert not waiting.done()
        release.set()
        made = await waiting
        assert made is not None and made.jpeg is not None and made.jpeg != found.jpeg

    try:
        asyncio.run(both())
    finally:
        release.set()
        thumbnails.close()


def reason_of(response: httpx.Response) -> str:
    assert response.headers["content-type"].startswith("image/svg+xml")
    assert response.headers["cache-control"] == "no-store"
    return re.findall(r"<text[^>]*>([^<]*)<", response.text)[0]


def test_what_is_no_picture_of_the_roots_is_a_placeholder_with_its_reason(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    secret = picture_file(outside)
    (inside / "link.jpg").symlink_to(secret)
    (inside / "broken.jpg").write_bytes(secret.read_bytes()[:200])
    (inside / "text.jpg").write_text("<script>alert(1)</script>")
    expected = {
        str(secret): "outside root",
        str(inside / "link.jpg"): "outside root",
        f"{inside}/../out/red.jpg": "outside root",
        str(inside / "gone.jpg"): "missing",
        str(inside / "broken.jpg"): "truncated",
        str(inside / "text.jpg"): "not an image",
        str(inside): "unreadable",
        "s3://elsewhere/picture.jpg": "outside root",
        "file://%00%ff": "unreadable",
    }
    put(register(catalogue), [labelled(path) for path in expected], MODEL, "spring")
    with served(catalogue, tmp_path, roots=[str(inside)]) as client:
        for path, reason in expected.items():
            found = client.get(f"/pictures/{id_of(catalogue, path)}/small")
            assert reason_of(found) == reason, path


def test_a_forged_hash_finds_no_picture_in_the_cache(catalogue: Catalogue, tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    shown = picture_file(inside)
    with served(catalogue, tmp_path, roots=[str(inside)]) as client:
        put(register(catalogue), [labelled(str(shown))], MODEL, "spring")
        client.get(f"/pictures/{id_of(catalogue, str(shown))}/small")
        (kept,) = (tmp_path / "thumbnails").rglob("*-240x320")
        digest = kept.name.partition("-")[0]
        forged = labelled("/elsewhere/secret.jpg", content_hash=digest)
        put(catalogue, [forged], MODEL, "spring")
        number = id_of(catalogue, "/elsewhere/secret.jpg")
        assert reason_of(client.get(f"/pictures/{number}/small?v={digest}")) == "outside root"


def test_pictures_of_an_object_store_are_shown_below_its_root(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    store = fsspec.filesystem("memory")
    for name in ("shown/red.jpg", "hidden/red.jpg"):
        store.pipe(f"/page/{name}", encoded(solid(RED), "JPEG"))
    expected = {
        "memory://page/shown/red.jpg": "image/jpeg",
        "memory://page/hidden/red.jpg": "image/svg+xml",
        "memory://page/shown/../hidden/red.jpg": "image/svg+xml",
        "memory://page/shown/gone.jpg": "image/svg+xml",
    }
    put(register(catalogue), [labelled(path) for path in expected], MODEL, "spring")
    with served(catalogue, tmp_path, roots=["memory://page/shown"]) as client:
        for path, kind in expected.items():
            found = client.get(f"/pictures/{id_of(catalogue, path)}/small")
            assert found.headers["content-type"].startswith(kind), path


def test_a_page_of_sqlite_keeps_little_in_memory(tmp_path: Path) -> None:
    opened = Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    limit_memory(opened.engine)
    with opened.engine.connect() as connection:
        (kept,) = connection.exec_driver_sql("PRAGMA cache_size").fetchone() or (0,)
    assert kept == -CACHE_KIB
    opened.close()


def test_only_rows_have_pictures(catalogue: Catalogue, tmp_path: Path) -> None:
    picture_file(tmp_path)
    with served(catalogue, tmp_path) as client:
        for path in (
            "/pictures/1",
            "/pictures/1/small",
            f"/pictures/{2**70}",
            f"/pictures/{tmp_path}/red.jpg",
            "/static/../app.py",
            "/static/%2e%2e%2fapp.py",
            "/pictures/1/huge",
        ):
            assert client.get(path).status_code == 404, path


HOSTILE = [
    '/a/"><script>alert(1)</script>.jpg',
    "/a/'onerror='x.jpg",
    "/a/line\nend\r\u202egpj.exe",
    "/a/{{ 7 * 7 }}.jpg",
    "file:///a/%ff%fe.jpg",
    "/a/" + "n" * 4096,
]


def test_hostile_names_and_addresses_are_text(catalogue: Catalogue, tmp_path: Path) -> None:
    put(register(catalogue), [labelled(path) for path in HOSTILE], MODEL, "spring")
    with served(catalogue, tmp_path) as client:
        page = client.get("/").text
        assert len(tiles(page)) == len(HOSTILE)
        for id in tiles(page):
            page += client.get(f"/pictures/{id}").text
        assert "<script>alert" not in page
        assert "onerror='" not in page
        assert "\u202e" not in page
        assert "n" * 4096 in page


def test_only_addresses_of_the_web_are_links(catalogue: Catalogue, tmp_path: Path) -> None:
    urls = ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>", "vbscript:x"]
    urls += [" javascript:alert(1)", "//evil.example/a", "file:///etc/passwd", "http://"]
    urls += ["https://shop.example/\u202egpj", "https://[", 'https://shop.example/"onclick="x']
    good = "https://shop.example/a?b=c"
    paths = [PendingRow(f"/{number}.jpg", url=url) for number, url in enumerate([*urls, good])]
    register(catalogue).add_pending("spring", paths, None)
    with served(catalogue, tmp_path) as client:
        for row in rows(catalogue.engine, Filter()):
            page = client.get(f"/pictures/{row.id}").text
            links = [unescape(found) for found in re.findall(r'<dd><a href="([^"]*)"', page)]
            allowed = row.url == good or (row.url or "").startswith('https://shop.example/"')
            assert links == ([row.url] if allowed else []), row.url
            assert "<script>" not in page and ' onclick="' not in page


def test_hostile_labels_are_text(catalogue: Catalogue, tmp_path: Path) -> None:
    """As `import` may bring them, with the taxonomy of another catalogue."""
    hostile = '<img src=x onerror=alert(1)>/"quoted"/{{ 7 * 7 }}'
    catalogue.register_model(MODEL, [LabelEntry(hostile, hostile, is_leaf=True)])
    fields = sandals(model_label=hostile, best_leaf=hostile, second_leaf=hostile)
    put(catalogue, [labelled("/a.jpg", fields)], MODEL, "<b>spring</b>")
    with served(catalogue, tmp_path) as client:
        (row,) = rows(catalogue.engine, Filter())
        for path in ("/", f"/pictures/{row.id}", "/facets/label", "/facets/crawl", "/watch"):
            page = client.get(path).text
            assert "<img src=x" not in page and "<b>spring" not in page, path
        assert "&lt;img src=x onerror=alert(1)&gt;" in client.get("/facets/label").text


def test_a_disk_cache_stays_within_its_limit(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", limit_bytes=10_000)
    for number in range(40):
        cache.put(f"{number:032x}-240x320", bytes(1000))
        files = [file.stat().st_size for file in (tmp_path / "cache").rglob("*-240x320")]
        assert sum(files) <= 10_000
    assert cache.get(f"{39:032x}-240x320") == bytes(1000)
    assert cache.get(f"{0:032x}-240x320") is None
