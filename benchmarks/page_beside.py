"""What labelling loses while people use the page of ``serve`` on the same machine.

``python -m benchmarks.page_beside`` labels copies of a folder into one catalogue, by turns alone
and beside a page that `PEOPLE` people use, and prints one line of JSON. Each person looks at a page
with its thumbnails every `PAGE_SECONDS` and corrects a picture every `CORRECTION_SECONDS`. The
server and these clients take their processor time from the labelling: that is what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.page import run, serving, timed

PEOPLE = 2
PAGE_SECONDS, CORRECTION_SECONDS = 20.0, 1.0
SHOWN = 60


def main() -> None:
    """Measure and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="fashion-page-") as name:
        folder = Path(name)
        run(folder, "sample-crawl", "crawl", "--per-leaf", "60", "--labelled-folders")
        run(folder, "label", "crawl")  # the catalogue that the people look at, and a warm cache
        seconds: dict[str, list[float]] = {"alone": [], "beside": []}
        asked: Counter[str] = Counter()
        for number in range(rounds):
            seconds["alone"].append(label(folder, f"alone-{number}"))
            with serving(folder) as (address, _):
                done = threading.Event()
                people = [
                    threading.Thread(target=use, args=(address, person, done, asked))
                    for person in range(PEOPLE)
                ]
                for person in people:
                    person.start()
                try:
                    seconds["beside"].append(label(folder, f"beside-{number}"))
                finally:
                    done.set()
                    for person in people:
                        person.join()
    alone, beside = (statistics.median(seconds[way]) for way in ("alone", "beside"))
    found = {way: [round(each, 1) for each in times] for way, times in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["alone"], seconds["beside"], strict=True)]
    print(
        json.dumps(
            {
                **found,
                "longer": round(beside / alone - 1, 3),
                "longer_by_round": [round(ratio - 1, 3) for ratio in ratios],
                "asked": dict(asked),
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def label(folder: Path, crawl: str) -> float:
    """Seconds to label a copy of the pictures."""
    shutil.copytree(folder / "crawl", folder / crawl)
    return timed(lambda: run(folder, "label", crawl))


def use(address: str, person: int, done: threading.Event, asked: Counter[str]) -> None:
    """Look at pages and correct pictures at a person's pace until `done`."""
    name = f"person {person}"
    with httpx.Client(base_url=address, timeout=60) as client:
        at = ""
        while not done.is_set():
            began = time.monotonic()
            page = client.get(f"/?sort=least+sure&size={SHOWN}{at}").text
            token = re.findall(r'name="csrf" content="(\w+)"', page)[0]
            for link in re.findall(r'<img src="([^"]+/small[^"]*)"', page):
                client.get(link)
                asked["thumbnails"] += 1
            asked["pages"] += 1
            headers = {"X-CSRF-Token": token, "Origin": address}
            for id, best in re.findall(r'data-id="(\d+)".*?data-choose="([^"]+)"', page, re.DOTALL):
                if done.wait(CORRECTION_SECONDS) or time.monotonic() - began > PAGE_SECONDS:
                    break
                row = client.get(f"/api/v1/pictures/{id}").json()
                choices = [{"id": int(id), "label": best, "seen": row["final_label"]}]
                body = {"by": name, "choices": choices}
                client.post("/api/v1/corrections", json=body, headers=headers)
                asked["corrections"] += 1
            found = re.search(r'href="([^"]+)" rel="next"', page)
            at = "&" + found[1].partition("at=")[2].join(("at=", "")) if found else ""


if __name__ == "__main__":
    main()
