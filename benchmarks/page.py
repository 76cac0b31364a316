"""The page of ``serve``: thumbnails cold and warm, pages, memory; pictures corrected by keyboard.

``python -m benchmarks.page`` prints one line of JSON. The pictures are drawings, 1200 × 1600. The
keyboard is driven in a headless Chromium by the folders' truth, without time to think.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

PICTURES = 200
CORRECTED = 100
SIZE = (1200, 1600)
CONNECTIONS = 6  # of a browser to one server
PAGES = 200


def main() -> None:
    """Measure all and print it."""
    with tempfile.TemporaryDirectory(prefix="fashion-page-") as name:
        folder = Path(name)
        write_pictures(folder / "large")
        run(folder, "label", "large")
        with serving(folder) as (address, server):
            found = measure_thumbnails(address, psutil.Process(server)) | measure_pages(address)
            found["resident_mb"] = round(psutil.Process(server).memory_info().rss / 1e6)
        (folder / "catalogue.db").unlink()
        run(folder, "sample-crawl", "truth", "--per-leaf", "12", "--labelled-folders")
        run(folder, "label", "truth")
        with serving(folder) as (address, _):
            found |= measure_keyboard(address, folder / "truth")
    print(json.dumps(found))


def write_pictures(folder: Path) -> None:
    """Drawings in the size of a shop's photographs."""
    from cascade.drawings import LEAVES, render

    folder.mkdir()
    for i in range(PICTURES):
        drawing = render(LEAVES[i % len(LEAVES)], i).convert("RGB").resize(SIZE)
        drawing.save(folder / f"{i}.jpg", quality=90)


def run(folder: Path, *arguments: str) -> None:
    """``fashion-cascade ARGUMENTS`` in a folder."""
    command = [sys.executable, "-m", "cli", *arguments]
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=True)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """The address and the process of the page of `folder`."""
    command = [sys.executable, "-m", "cli", "serve", "--port", "0", "--cache", str(folder / "kept")]
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    server = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.match(r"http://\S+", server.stdout.readline())
        assert found is not None
        yield found[0].rstrip("/"), server.pid
    finally:
        server.terminate()
        server.wait()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_thumbnails(address: str, server: psutil.Process) -> dict[str, float]:
    """Seconds for all thumbnails, when none is kept and when all are; the client keeps none.

    Processor time is the server's alone, and does not depend on what else the machine does.
    """

    def busy() -> float:
        times = server.cpu_times()
        return float(times.user + times.system)

    with httpx.Client(base_url=address, timeout=120) as client:
        page = client.get("/", params={"size": PICTURES}).text
        links = re.findall(r'<img src="([^"]+/small[^"]*)"', page)
        assert len(links) == PICTURES

        def load(link: str) -> None:
            found = client.get(link)
            assert found.headers["content-type"] == "image/jpeg", found.text

        def load_all() -> None:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                list(pool.map(load, links))

        before = busy()
        cold = timed(load_all)
        between = busy()
        warm = statistics.median(timed(load_all) for _ in range(5))
        after = busy()
    return {
        "thumbnails_cold_s": round(cold, 2),
        "thumbnails_cold_cpu_s": round(between - before, 2),
        "thumbnails_warm_s": round(warm, 2),
        "thumbnails_warm_cpu_s": round((after - between) / 5, 2),
    }


def measure_pages(address: str) -> dict[str, float]:
    """Milliseconds of the first page with its facets, and of a correction.

    An empty answer, measured between them, shows what the machine's other work costs any answer.
    """
    with httpx.Client(base_url=address, timeout=60) as client:
        pages = sorted(timed(lambda: client.get("/")) for _ in range(PAGES))
        token = re.findall(r'name="csrf" content="(\w+)"', client.get("/").text)[0]
        headers = {"X-CSRF-Token": token, "Origin": address}
        rows = client.get("/api/v1/pictures", params={"size": PICTURES}).json()["pictures"]

        def correct(row: dict[str, Any]) -> None:
            choice = {"id": row["id"], "label": row["best_leaf"], "seen": row["label"]}
            body = {"by": "benchmark", "choices": [choice]}
            done = client.post("/api/v1/corrections", json=body, headers=headers)
            assert done.status_code == 200, done.text

        empty = sorted(timed(lambda: client.get("/healthz")) for _ in range(PAGES))
        corrections = sorted(timed(lambda row=row: correct(row)) for row in rows)  # type: ignore[misc]
    return {
        "page_ms_p95": round(1000 * pages[int(0.95 * len(pages))], 1),
        "empty_ms_p95": round(1000 * empty[int(0.95 * len(empty))], 1),
        "correction_ms_p50": round(1000 * statistics.median(corrections), 1),
        "correction_ms_p95": round(1000 * corrections[int(0.95 * len(corrections))], 1),
    }


def measure_keyboard(address: str, truth: Path) -> dict[str, float]:
    """Seconds and key presses a picture, for the least sure pictures."""
    from playwright.sync_api import sync_playwright

    from tests.programs import find_program

    chromium = find_program(("chromium", "chromium-browser", "google-chrome", "chrome"))
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=options)
        context = browser.new_context()
        context.add_init_script("localStorage.setItem('name', 'benchmark')")
        page = context.new_page()
        page.goto(f"{address}/?sort=least+sure&size={CORRECTED}")
        page.wait_for_load_state("networkidle")
        with httpx.Client(base_url=address) as client:
            query = {"sort": "least sure", "size": str(CORRECTED)}
            rows = client.get("/api/v1/pictures", params=query).json()["pictures"]
        presses = 0
        start = time.perf_counter()
        page.keyboard.press("ArrowRight")
        for row in rows:
            right = str(Path(row["path"]).parent.relative_to(truth))
            choices = [row["label"], row["best_leaf"], row["second_leaf"]]
            if right in choices:
                keys = ["Enter", "1", "2"][choices.index(right)]
                page.keyboard.press(keys)
                presses += 1
            else:
                words = right.replace("/", " ")
                page.keyboard.press("/")
                page.keyboard.type(words)
                page.keyboard.press("Enter")
                presses += len(words) + 2
        page.locator('.tile[data-state="saved"]').nth(len(rows) - 1).wait_for()
        seconds = time.perf_counter() - start
        browser.close()
        with httpx.Client(base_url=address) as client:
            query = {"corrected": "true", "size": str(CORRECTED)}
            found = client.get("/api/v1/pictures", params=query).json()["pictures"]
    wrong = [r for r in found if r["label"] != str(Path(r["path"]).parent.relative_to(truth))]
    assert len(found) == len(rows) and not wrong, wrong[:3]
    return {
        "keyboard_s_per_picture": round(seconds / len(rows), 3),
        "keys_per_picture": round((presses + 1) / len(rows), 2),
    }


if __name__ == "__main__":
    main()
