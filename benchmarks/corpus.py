"""Make the benchmarks' pictures from given photographs; no two files are the same."""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image, ImageOps

QUALITY = 85
SEED = 6


def make(photos: Path, folder: Path, kind: str, count: int) -> list[Path]:
    """Make ``count`` files of one kind in ``folder``, unless they exist; returns the sorted paths.

    ``shop``: JPEG of 300 × 400; ``large``: JPEG of 1200 × 1600; ``crawl``: shop pictures with
    every tenth a PNG, every tenth a WebP, and one in fifty junk.
    """
    target = folder / f"{kind}-{count}"
    if not target.is_dir():
        sources = _sources(photos)
        part = target.with_name(target.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            photo = sources[number % len(sources)]
            data, extension = _picture(photo, kind, number, mirror=number >= len(sources))
            (part / f"{number:06d}{extension}").write_bytes(data)
        part.rename(target)
    return sorted(target.iterdir())


def _sources(photos: Path) -> list[Path]:
    extensions = {".jpg", ".jpeg", ".png", ".webp"}
    found = sorted(p for p in photos.rglob("*") if p.suffix.lower() in extensions)
    if not found:
        raise SystemExit(f"{photos}: expected a folder with photographs; found none")
    random.Random(SEED).shuffle(found)
    return found


def _picture(photo: Path, kind: str, number: int, mirror: bool) -> tuple[bytes, str]:
    if kind == "crawl" and number % 50 == 49:
        return b"<html>not found " + str(number).encode(), ".jpg"
    size = (1200, 1600) if kind == "large" else (300, 400)
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    if mirror:
        image = ImageOps.mirror(image)
    image = ImageOps.pad(image, size, Image.Resampling.LANCZOS, color="white")
    image.putpixel((0, 0), (number % 256, number // 256 % 256, 128))  # no two files are the same
    picture_format = {1: "PNG", 2: "WEBP"}.get(number % 10, "JPEG") if kind == "crawl" else "JPEG"
    buffer = io.BytesIO()
    image.save(buffer, picture_format, quality=QUALITY)
    return buffer.getvalue(), {"PNG": ".png", "WEBP": ".webp", "JPEG": ".jpg"}[picture_format]
