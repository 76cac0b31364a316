"""What is fuzzed: for each kind of input, how one is made and who reads it.

A reader may refuse an input in the documented way only: a picture with a reason code, a command
with an exit code and one line, a file of a bundle with a `CascadeError`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz import pictures, texts

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "compatibility" / "data" / "v0.1" / "bundle"
PARTS = ("taxonomy.json", "decisions.json", "calibration.json", "preprocessing.json")
PICTURES = tuple(pictures.MUTATIONS)
TARGETS = (*PICTURES, *texts.TEXT_KINDS)
EXIT_CODES = {0, 1, 2, 3, 4, 5}
SUFFIXES = {"jsonl": ".jsonl", "parquet": ".parquet"}


class Finding(Exception):
    """An answer that is not documented."""


@cache
def names_of_settings() -> tuple[str, ...]:
    from worker.settings import BY_NAME

    return tuple(BY_NAME)


@cache
def bundle_file(name: str) -> Any:
    return json.loads((BUNDLE / name).read_text(encoding="utf-8"))


def made(target: str, case: int) -> tuple[bytes, str]:
    """The input of a case, the same each time; and for a part of a bundle, which part."""
    rng = random.Random(f"{target} {case}")
    if target in PICTURES:
        return pictures.damaged(target, rng), ""
    if target in texts.MAKERS:
        return texts.MAKERS[target](target, rng), ""
    if target == "toml":
        return texts.toml(rng, names_of_settings()), ""
    if target == "dotenv":
        return texts.dotenv(rng, names_of_settings()), ""
    part = {"taxonomy": PARTS[0], "bundle_manifest": "manifest.json"}.get(target) or rng.choice(
        PARTS
    )
    return texts.json_text(bundle_file(part), rng), part


def read(target: str, data: bytes, part: str, folder: Path) -> None:
    """Give an input to its reader. Raises whatever the reader should not have raised."""
    if target in PICTURES:
        return read_picture(data)
    if target in ("taxonomy", "bundle_manifest", "bundle_part"):
        return read_bundle(target, data, part, folder)
    if target == "training_csv":
        return read_training(data, folder)
    return read_by_command(target, data, folder)


def read_picture(data: bytes) -> None:
    import numpy as np

    from cascade.pictures.decode import REASONS, Preprocessing, Rejected, decode

    answer = decode(data, Preprocessing())
    if isinstance(answer, Rejected):
        if answer.reason not in REASONS or not answer.detail:
            raise Finding(f"reason {answer.reason!r}, detail {answer.detail!r}")
    elif answer.shape != (120, 90, 3) or answer.dtype != np.uint8:
        raise Finding(f"a tensor of {answer.shape}, {answer.dtype}")


def read_bundle(target: str, data: bytes, part: str, folder: Path) -> None:
    from cascade.bundle import Bundle, hash_file
    from cascade.errors import CascadeError
    from cascade.taxonomy import Taxonomy

    copy = folder / "bundle"
    if not copy.exists():
        shutil.copytree(BUNDLE, copy)
    (copy / part).write_bytes(data)
    try:
        if target == "taxonomy":
            Taxonomy.load(copy / part)
            return
        if target == "bundle_part":  # with its right hash, so that it is read
            manifest = bundle_file("manifest.json")
            files = manifest["files"] | {part: hash_file(copy / part)}
            (copy / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
        bundle = Bundle.open(copy)
        assert bundle.taxonomy and bundle.preprocessing and bundle.routing
        assert bundle.decisions_of_network
    except CascadeError:
        pass
    finally:
        for name in (part, "manifest.json"):
            shutil.copyfile(BUNDLE / name, copy / name)


def read_training(data: bytes, folder: Path) -> None:
    from cascade.data.dataset import read_labelled
    from cascade.errors import CascadeError
    from cascade.taxonomy import Taxonomy

    file = folder / "training.csv"
    file.write_bytes(data)
    with contextlib.suppress(CascadeError):
        read_labelled(file, Taxonomy.load())


def read_by_command(target: str, data: bytes, folder: Path) -> None:
    """Run the command that reads such a file, in this process, with a catalogue of its own."""
    from click.testing import CliRunner

    from cli import main

    kind, _, form = target.partition("_")
    file = folder / ({"toml": "fashion-cascade.toml", "dotenv": ".env"}.get(target) or "input")
    if form:
        file = file.with_suffix(SUFFIXES.get(form, ".csv"))
    words = {
        "manifest": ["enqueue", "--manifest", str(file), "--crawl", "c", "--dry-run"],
        "review": ["review", "apply", str(file), "--by", "mara"],
        "import": ["import", str(file)],
        "paths": ["enqueue", "-", "--crawl", "c", "--dry-run", *(["-0"] if form else [])],
        "toml": ["settings"],
        "dotenv": ["settings"],
    }[kind]
    before = dict(os.environ)
    if target not in ("toml", "dotenv"):
        os.environ["FASHION_CASCADE_CATALOGUE_URL"] = catalogue(folder)
    file.write_bytes(data)
    try:
        result = CliRunner().invoke(main, words, input=data if kind == "paths" else None)
    finally:
        file.unlink()
        os.environ.clear()
        os.environ.update(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in EXIT_CODES:
        raise Finding(f"exit code {result.exit_code}")
    if result.exit_code and not result.stderr.strip():
        raise Finding(f"exit code {result.exit_code} without a word")
    if "Traceback" in result.stderr:
        raise Finding("a traceback on stderr")


def catalogue(folder: Path) -> str:
    """The URL of a catalogue with one labelled row, made once a folder."""
    url, shown = f"sqlite:///{folder / 'catalogue.db'}", folder / "pictures"
    if not shown.exists():
        from click.testing import CliRunner

        from cli import main

        shown.mkdir()
        (shown / "1.png").write_bytes(pictures.valid("png")[0])
        model = ("--model", "constant:shoes/female/sandals")
        done = CliRunner().invoke(main, ["label", str(shown), "--catalogue", url, *model])
        assert done.exit_code == 0, done.output
    return url
