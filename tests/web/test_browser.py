"""The page in a real browser: browse, correct from the keyboard, undo, two people, a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from db.catalogue import Catalogue
from db.corrections import Choice, correct
from db.queries import Filter, rows
from tests.db.samples import MODEL, labelled, put, quarantine, register, rejected, sandals
from tests.pictures import RED, encoded, solid
from tests.redis_server import free_port
from tests.web.serving import served
from web.access import Access, Secrets
from worker.settings import Settings

BOOTS = "shoes/male/boots"
pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Catalogue]:
    """90 pictures on disk, least sure last; two are rejected."""
    catalogue = register(Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}"))
    content = encoded(solid(RED), "JPEG")
    outcomes = []
    for i in range(90):
        file = tmp_path / f"{i:02}.jpg"
        file.write_bytes(content)
        sure = 0.95 - i / 200
        fields = replace(sandals(), confidence=sure, margin=sure / 2, needs_review=sure < 0.6)
        fields = replace(
            fields,
            best_leaf_confidence=sure,
            second_leaf=BOOTS,
            second_leaf_confidence=(1 - sure) / 2,
        )
        outcomes.append(rejected(str(file)) if i in (3, 4) else labelled(str(file), fields))
    put(catalogue, outcomes, MODEL, "spring")
    yield catalogue
    catalogue.close()


@contextmanager
def opened(
    browser: Browser,
    client: httpx.Client,
    path: str = "/",
    *,
    refusals: bool = False,
    **options: Any,
) -> Iterator[Page]:
    """A page of a new person; errors on its console and requests to other hosts fail the test.

    With `refusals`, the server may refuse requests, and other servers of this machine be asked.
    """
    context = browser.new_context(**options)
    context.add_init_script("localStorage.setItem('name', localStorage.getItem('name') || 'mara')")
    page = context.new_page()
    page.set_default_timeout(20_000)
    troubles: list[str] = []
    base = str(client.base_url).rstrip("/")
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else 0)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(base) else troubles.append(r.url))
    page.goto(base + path)
    try:
        yield page
    finally:
        context.close()
    if refusals:
        troubles = [
            text
            for text in troubles
            if not text.startswith(("Failed to load resource: the server", "http://127.0.0.1:"))
        ]
    assert not troubles


def human_labels(store: Catalogue) -> list[str]:
    return [r.human_label for r in rows(store.engine, Filter(corrected=True)) if r.human_label]


def saved(page: Page, number: int) -> None:
    """Wait until so many pictures of the page are saved."""
    expect(page.locator('.tile[data-state="saved"]')).to_have_count(number)


def test_thirty_pictures_are_corrected_from_the_keyboard(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client) as page:
        page.get_by_role("link", name="least sure").click()
        page.wait_for_url("**/?sort=least+sure")
        page.keyboard.press("ArrowRight")
        for key in ("Enter", "2", "1") * 10:
            page.keyboard.press(key)
        saved(page, 30)
        found = human_labels(store)
        assert (len(found), found.count(BOOTS)) == (30, 10)
        words = "30 of 90 corrected, 30 in the last hour"
        expect(page.locator(".work .progress")).to_have_text(words)
        # the state is the catalogue's, not the page's
        page.reload()
        expect(page.locator(".tile .by-person:visible")).to_have_count(30)
        # undo takes back the last action, also after a reload
        page.keyboard.press("u")
        expect(page.locator(".tile .by-person:visible")).to_have_count(29)
        assert len(human_labels(store)) == 29


def test_pages_forward_and_back_and_a_deep_link(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client, "/?size=40") as page:
        first = page.locator(".tile").first.get_attribute("data-id")
        page.keyboard.press("]")
        expect(page).to_have_url(re.compile("at=after"))
        second = page.locator(".tile").first.get_attribute("data-id")
        assert first != second
        link = page.url
        page.keyboard.press("[")
        expect(page.locator(".tile").first).to_have_attribute("data-id", str(first))
        path = link.removeprefix(str(client.base_url).rstrip("/"))
        with opened(browser, client, path) as colleague:
            expect(colleague.locator(".tile").first).to_have_attribute("data-id", str(second))


def test_a_selection_and_a_whole_filter_are_relabelled_and_undone(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client, "/?needs_review=true") as page:
        expected = page.locator(".tile").count()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("/")
        page.keyboard.type("male boots")
        page.keyboard.press("Enter")
        saved(page, 3)
        assert human_labels(store) == [BOOTS] * 3
        more = "3 in the last hour, 7 more products until adapt can start"
        expect(page.locator(".work .progress")).to_contain_text(more)
        page.keyboard.press("u")
        expect(page.locator(".work .done")).to_contain_text("3 undone")
        assert human_labels(store) == []
        page.get_by_role("button", name="All of this filter").click()
        page.keyboard.type("boots")
        page.keyboard.press("Enter")
        expect(page.locator("dialog.confirm h2")).to_contain_text(f"all {expected} pictures")
        page.get_by_role("button", name="Relabel", exact=True).click()
        expect(page.locator(".work .done")).to_contain_text(f"{expected} saved")
        assert len(human_labels(store)) == expected
        page.keyboard.press("u")
        expect(page.locator(".tile")).to_have_count(expected)
        assert human_labels(store) == []


def test_a_search_for_male_does_not_find_female_first(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client) as page:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("m")  # a letter searches at once
        page.keyboard.type("ale sandals")
        page.keyboard.press("Enter")
        saved(page, 1)
        assert human_labels(store) == ["shoes/male/sandals"]


def test_of_two_people_on_one_row_the_second_is_told(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client) as page:
        id = int(str(page.locator(".tile").first.get_attribute("data-id")))
        (seen,) = [row.label for row in rows(store.engine, Filter()) if row.id == id]
        correct(store.engine, [Choice(id, BOOTS, seen)], by="jon")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        first = page.locator(".tile").first
        expect(first).to_have_attribute("data-state", "refused")
        expect(first.locator(".state")).to_have_text("jon was faster")
        expect(first.locator(".label")).to_have_text(BOOTS)
        assert human_labels(store) == [BOOTS]


def test_everything_on_a_page_is_right_in_one_key(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client, "/?size=20") as page:
        number = page.locator(".tile").count() - page.locator(".tile .rejected").count()
        page.keyboard.press(".")
        saved(page, number)
        assert len(human_labels(store)) == number


def test_a_picture_s_own_page_corrects_it_too(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client, opened(browser, client) as page:
        page.keyboard.press("ArrowRight")
        page.keyboard.press(" ")
        page.wait_for_url("**/pictures/*")
        page.keyboard.press("2")
        expect(page.locator("h1")).to_have_text(BOOTS)
        expect(page.locator(".one")).to_have_attribute("data-state", "saved")
        assert human_labels(store) == [BOOTS]
        page.reload()
        expect(page.locator(".history")).to_contain_text("mara changed")


def test_a_name_is_asked_for_once(browser: Browser, store: Catalogue, tmp_path: Path) -> None:
    with served(store, tmp_path) as client, opened(browser, client) as page:
        page.evaluate("localStorage.removeItem('name')")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.get_by_label("Your name").fill("Zoë <b>")
        page.keyboard.press("Enter")
        saved(page, 1)
        (batch,) = client.get("/api/v1/batches").json()["batches"]
        assert batch["by"] == "Zoë <b>"


def test_read_only_offers_no_corrections(
    browser: Browser, store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path, read_only=True) as client, opened(browser, client) as page:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Undo")).to_have_count(0)


CHECKS = """() => {
  const wrong = [];
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const bright = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const opacity = (element) => {
    let share = 1;
    for (let at = element; at; at = at.parentElement) share *= getComputedStyle(at).opacity;
    return share;
  };
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest(":disabled")) continue;
    const [colour, under] = [parse(getComputedStyle(element).color), ground(element)];
    const share = opacity(element);
    const seen = [0, 1, 2].map((i) => colour[i] * share + under[i] * (1 - share));
    const [a, b] = [bright(seen), bright(under)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${element.outerHTML.slice(0, 120)}`);
  }
  const named = "a, button, input:not([type=hidden]), img, summary, dialog[open], nav, [role]";
  for (const element of document.querySelectorAll(named)) {
    const label = element.labels && element.labels.length ? element.labels[0].textContent : "";
    const by = document.getElementById(element.getAttribute("aria-labelledby"))?.textContent;
    const name = by || element.getAttribute("aria-label") || element.getAttribute("alt") || label
      || (element.matches("dialog, nav, aside, [role=status]") ? "" : element.textContent)
      || (element.matches("[role=status], [role=listbox]") ? "live" : "")
      || element.querySelector("img")?.alt;
    if (!name || !name.trim()) wrong.push(`no name: ${element.outerHTML.slice(0, 120)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size !== ids.length) wrong.push(`ids twice: ${ids}`);
  for (const name of ["aria-labelledby", "aria-controls", "aria-activedescendant"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      const id = element.getAttribute(name);
      if (id && !ids.includes(id)) wrong.push(`${name} of nothing: ${id}`);
    }
  }
  if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
  return wrong;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_names_contrasts_and_widths(
    browser: Browser, store: Catalogue, tmp_path: Path, scheme: Any, width: int
) -> None:
    """Of every page and dialog, in both themes, on a desk and on a phone."""
    size: Any = {"width": width, "height": 800}
    looks: dict[str, Any] = {"viewport": size, "color_scheme": scheme}
    nowhere = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0")
    quarantine(store, str(tmp_path / "poison.jpg"))
    access = Access(Secrets("correct horse"))
    with (
        served(store, tmp_path, settings=nowhere) as client,
        served(store, tmp_path, access=access) as closed,
        opened(browser, client, refusals=True, **looks) as page,
    ):
        id = page.locator(".tile").first.get_attribute("data-id")
        base = str(client.base_url).rstrip("/")
        paths = ["/", "/?status=rejected", "/?status=quarantined", "/?label=nothing", "/watch"]
        paths += [f"/pictures/{id}", "/nowhere", "/?sort=random", "/pictures/0"]
        places = [base + path for path in paths]
        places += [str(closed.base_url).rstrip("/") + "/login"]
        for place in places:
            page.goto(place)
            assert page.evaluate(CHECKS) == [], place
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        assert page.evaluate(CHECKS) == [], "a wrong password"
        page.goto(base)
        for _ in range(2):  # the first is quarantined
            page.keyboard.press("ArrowRight")
        for key, title in (("?", "Keys"), ("/", "Label for 1 picture")):
            page.keyboard.press(key)
            expect(page.get_by_role("dialog", name=title)).to_be_visible()
            assert page.evaluate(CHECKS) == [], title
            page.keyboard.press("Escape")
        page.keyboard.press("2")
        expect(page.locator('.tile[data-state="saved"]')).to_have_count(1)
        page.locator(".who").click()
        expect(page.get_by_role("dialog", name="Who is correcting?")).to_be_visible()
        assert page.evaluate(CHECKS) == [], "name"


def test_hostile_rows_are_text_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    catalogue = register(Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}"))
    hostile = ['/a/"><img src=x onerror=alert(1)>.jpg', "/a/<script>alert(1)</script>.jpg"]
    hostile += ["/a/\u202egpj.exe", "/a/" + "n" * 4000]
    put(catalogue, [labelled(path) for path in hostile], MODEL, "spring")
    with served(catalogue, tmp_path) as client, opened(browser, client) as page:
        alerts: list[str] = []
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        assert page.evaluate(CHECKS) == []
        for row in list(rows(catalogue.engine, Filter())):
            page.goto(str(client.base_url).rstrip("/") + f"/pictures/{row.id}")
            assert page.evaluate(CHECKS) == []
        assert not alerts
    catalogue.close()
