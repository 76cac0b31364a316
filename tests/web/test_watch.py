"""Crawls and queue as they change: the page, its events, and work that is queued again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from db import ledger
from db.catalogue import Catalogue
from db.queries import Filter, rows
from tests.db.samples import MODEL, labelled, put, quarantine, register, rejected
from tests.redis_server import RedisServer, free_port
from tests.web.serving import served
from tests.web.test_access import csrf, origin
from tests.web.test_browser import CHECKS, opened
from web import watch
from worker.queue.broker import queue_length
from worker.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Catalogue]:
    """Three labelled, two rejected as truncated, one quarantined."""
    catalogue = register(Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}"))
    outcomes = [labelled(f"/a/{i}.jpg") for i in range(3)]
    outcomes += [rejected("/a/3.jpg"), rejected("/a/4.jpg")]
    put(catalogue, outcomes, MODEL, "spring <b>")
    yield catalogue
    catalogue.close()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    server = RedisServer(tmp_path / "redis", data=False).start()
    yield Settings(broker_url=server.url)
    server.kill()


def events(client: httpx.Client) -> Iterator[str]:
    """The pieces that the page sends, as they come."""
    with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines: list[str] = []
        for line in answer.iter_lines():
            if line.startswith("data: "):
                lines.append(line.removeprefix("data: "))
            elif not line and lines:
                yield "\n".join(lines)
                lines = []


def test_events_come_when_a_crawl_changes(
    store: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.05)
    with served(store, tmp_path) as client:
        pieces = events(client)
        first = next(pieces)
        assert "spring &lt;b&gt;" in first and "<b>3</b> labelled" in first
        put(store, [labelled("/a/9.jpg")], MODEL, "spring <b>")
        while "<b>4</b> labelled" not in (piece := next(pieces)):
            pass
        assert "6 pictures" in piece
        pieces.close()  # type: ignore[attr-defined]


def test_a_stream_ends_so_that_a_browser_must_show_its_session_again(
    store: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.01)
    monkeypatch.setattr(watch, "EVENTS_PER_STREAM", 3)
    with served(store, tmp_path) as client:
        assert len(list(events(client))) == 1  # one piece, and then "still there" twice


def test_rejected_pictures_are_labelled_again_and_quarantined_ones_released(
    store: Catalogue, tmp_path: Path, settings: Settings
) -> None:
    with served(store, tmp_path, settings=settings) as client:
        headers = origin(client) | {"X-CSRF-Token": csrf(client)}
        body = {"crawl": "spring <b>", "reason": "truncated"}
        done = client.post("/api/v1/requeue", json=body, headers=headers)
        assert done.json() == {"requeued": 2}
        assert ledger.counts(store.engine)["pending"] == 2
        assert queue_length(settings) == 1
        done = client.post("/api/v1/release", json=body, headers=headers)
        assert done.json() == {"released": 0}
        page = client.get("/watch").text
        assert "<b>1</b> shards waiting" in page


def test_a_selection_and_a_filter_are_queued_again_in_shards_of_their_crawl(
    store: Catalogue, tmp_path: Path, settings: Settings
) -> None:
    quarantine(store, "/a/5.jpg", "spring <b>")
    quarantine(store, "/a/6.jpg", "spring <b>")
    quarantine(store, "/a/7.jpg", "spring <b>")
    put(store, [rejected(f"/b/{i}.jpg", "missing") for i in range(3)], MODEL, "autumn")
    with served(store, tmp_path, settings=settings) as client:
        headers = origin(client) | {"X-CSRF-Token": csrf(client)}
        ids = {row.path: row.id for row in rows(store.engine, Filter())}
        chosen = [ids[path] for path in ("/a/0.jpg", "/a/3.jpg", "/a/5.jpg", "/b/0.jpg")]
        done = client.post("/api/v1/requeue", json={"ids": chosen}, headers=headers)
        assert done.json() == {"requeued": 2, "released": 1, "left": [ids["/a/0.jpg"]]}
        assert queue_length(settings) == 3  # a shard for each crawl, and one for the quarantined
        body = {"where": "crawl=autumn&status=rejected", "expected": 3}
        done = client.post("/api/v1/requeue", json=body, headers=headers)
        assert done.status_code == 400 and "found 2" in done.json()["error"]
        done = client.post("/api/v1/requeue", json=body | {"expected": 2}, headers=headers)
        assert done.json() == {"requeued": 2, "released": 0}
        done = client.post("/api/v1/requeue", json={"where": "", "expected": 3}, headers=headers)
        assert done.json() == {"requeued": 1, "released": 2}
        assert queue_length(settings) == 7
        assert ledger.counts(store.engine)["pending"] == 8


@pytest.mark.parametrize(
    "body",
    [{"ids": []}, {"ids": ["1"]}, {"ids": [True]}, {"ids": [-1]}, {"ids": [2**63]}, {"ids": 1}]
    + [{"ids": list(range(10_001))}, {"where": ""}, {"where": "colour=red", "expected": 1}, {}],
)
def test_a_wrong_request_to_queue_again_changes_nothing(
    store: Catalogue, tmp_path: Path, settings: Settings, body: dict[str, Any]
) -> None:
    with served(store, tmp_path, settings=settings) as client:
        headers = origin(client) | {"X-CSRF-Token": csrf(client)}
        done = client.post("/api/v1/requeue", json=body, headers=headers)
        assert done.status_code == 400 and "expected" in done.json()["error"]
        assert ledger.counts(store.engine)["rejected"] == 2


def test_nothing_is_reopened_while_no_broker_answers(store: Catalogue, tmp_path: Path) -> None:
    nowhere = Settings(broker_url=f"redis://:s3cret-word@127.0.0.1:{free_port()}/0")
    with served(store, tmp_path, settings=nowhere) as client:
        headers = origin(client) | {"X-CSRF-Token": csrf(client)}
        for body in (
            {"crawl": "spring <b>", "reason": "truncated"},
            {"ids": [row.id for row in rows(store.engine, Filter())]},
            {"where": "status=rejected", "expected": 2},
        ):
            done = client.post("/api/v1/requeue", json=body, headers=headers)
            assert done.status_code == 503 and "does not answer" in done.json()["error"]
        assert "s3cret-word" not in done.text + client.get("/watch").text
        assert ledger.counts(store.engine)["rejected"] == 2


@pytest.mark.slow
def test_a_browser_shows_new_numbers_without_a_reload(
    browser: Browser, store: Catalogue, tmp_path: Path, settings: Settings
) -> None:
    with (
        served(store, tmp_path, settings=settings) as client,
        opened(browser, client, "/watch") as page,
    ):
        expect(page.locator(".live")).to_contain_text("3 labelled")
        assert page.evaluate(CHECKS) == []
        put(store, [labelled("/a/9.jpg")], MODEL, "spring <b>")
        expect(page.locator(".live")).to_contain_text("4 labelled", timeout=20_000)
        page.get_by_role("button", name="Label again").click()
        expect(page.locator(".live-state")).to_contain_text("2 pictures will be labelled again")
        expect(page.locator(".live")).to_contain_text("2 pending", timeout=20_000)


@pytest.mark.slow
def test_a_selection_and_a_filter_of_rejected_pictures_are_queued_again_in_a_browser(
    browser: Browser, store: Catalogue, tmp_path: Path, settings: Settings
) -> None:
    more = [rejected(f"/b/{i}.jpg", "missing") for i in range(5)]
    put(store, more, MODEL, "autumn")
    quarantine(store, "/b/9.jpg", "autumn")
    with (
        served(store, tmp_path, settings=settings) as client,
        opened(browser, client, "/?crawl=autumn") as page,
    ):
        again = page.get_by_role("button", name="Label again…")
        again.click()
        expect(page.locator(".done")).to_contain_text("first select")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        # another program takes one of the two first
        id = int(str(page.locator(".tile").nth(1).get_attribute("data-id")))
        ledger.reopen_rows(store.engine, [id])
        again.press("Enter")
        expect(page.locator(".confirm h2")).to_have_text("Label 2 pictures again?")
        page.get_by_role("button", name="Label again", exact=True).click()
        expect(page.locator(".done")).to_have_text("1 picture will be labelled again")
        expect(page.locator(".tile").nth(0).locator(".badges")).to_contain_text("pending")
        expect(page.locator(".tile").nth(1).locator(".state")).to_have_text("changed since")
        assert ledger.counts(store.engine, "autumn")["pending"] == 2
        page.get_by_role("button", name="All again…").click()
        expect(page.locator(".confirm h2")).to_contain_text("all 4 pictures")
        page.get_by_role("button", name="Cancel").locator("visible=true").click()
        assert ledger.counts(store.engine, "autumn")["pending"] == 2
        page.get_by_role("button", name="All again…").click()
        page.get_by_role("button", name="Label again", exact=True).click()
        expect(page.locator(".done")).to_have_text("4 pictures will be labelled again")
        assert ledger.counts(store.engine, "autumn")["pending"] == 6
        assert ledger.counts(store.engine)["rejected"] == 2  # of the other crawl
        expect(page.get_by_role("button", name="All again…")).to_have_count(0)
        assert queue_length(settings) == 2  # one of the quarantined, one of the rejected
