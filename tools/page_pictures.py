"""Photograph the page of `serve` for the documentation: ``make page-pictures``.

It labels drawings (never photographs) with the shipped bundle in a temporary folder, serves them,
and has a headless Chromium take docs/page-*.png.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COLOURS = 128  # of the PNGs' palettes: a quarter of the bytes
WIDE, PHONE = {"width": 1240, "height": 820}, {"width": 390, "height": 780}


def run(folder: Path, *arguments: str) -> None:
    """``fashion-cascade ARGUMENTS`` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode in (0, 1), done  # 1: the broken files of the crawl were rejected


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of the page while it is served."""
    command = [sys.executable, "-m", "cli", "serve", "--port", "0", "--cache", str(folder / "kept")]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.match(r"http://\S+", server.stdout.readline())
        assert found is not None
        yield found[0].rstrip("/")
    finally:
        server.terminate()
        server.wait()


def keep(name: str, photograph: bytes) -> None:
    """Write a photograph as docs/page-NAME.png."""
    target = DOCS / f"page-{name}.png"
    picture = Image.open(io.BytesIO(photograph)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target}: {target.stat().st_size:,} bytes")


def photograph(browser: Any, address: str) -> None:
    """Take all pictures."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    context.add_init_script("localStorage.setItem('name', 'mara')")
    page = context.new_page()
    page.goto(f"{address}/?needs_review=true&sort=least+sure")
    page.keyboard.press("ArrowRight")
    for key in ("Enter", "1", "2", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("4 in the last hour").wait_for()
    page.wait_for_load_state("networkidle")
    keep("review", page.screenshot())
    page.keyboard.press("/")
    page.keyboard.type("male sandals")
    page.locator("#found-labels li").first.wait_for()
    keep("search", page.screenshot())
    page.keyboard.press("Escape")
    page.goto(f"{address}/pictures/{page.locator('.tile').nth(1).get_attribute('data-id')}")
    page.get_by_text("All probabilities").click()
    page.wait_for_load_state("networkidle")
    keep("picture", page.screenshot())
    context.close()
    dark = browser.new_page(viewport=WIDE | {"height": 480}, color_scheme="dark")
    dark.goto(f"{address}/watch")
    dark.locator(".crawl").first.wait_for()
    keep("watch", dark.screenshot())
    phone = browser.new_page(viewport=PHONE, color_scheme="dark")
    phone.goto(f"{address}/?level=1=shoes")
    phone.wait_for_load_state("networkidle")
    keep("phone", phone.screenshot())


def main() -> None:
    """Label, serve, photograph."""
    from playwright.sync_api import sync_playwright

    from tests.programs import find_program

    chromium = find_program(("chromium", "chromium-browser", "google-chrome", "chrome"))
    if chromium is None:
        raise SystemExit("expected Chromium: install it (Debian: apt-get install chromium)")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="fashion-page-") as name:
        folder = Path(name)
        for seed, crawl in enumerate(("autumn", "spring")):
            run(folder, "sample-crawl", f"pictures/{crawl}", "--per-leaf", "9", "--seed", str(seed))
            run(folder, "label", f"pictures/{crawl}", "--crawl", crawl)
        with serving(folder) as address, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=options)
            photograph(browser, address)
            browser.close()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
