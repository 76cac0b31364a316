"""A reader with a fault of each kind, to test that the fuzzer finds them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.fuzz.targets import Finding


def read(target: str, data: bytes, part: str, folder: Path) -> None:
    """Raise, die, hang, take much memory or answer wrongly, by the target."""
    if target == "gif":
        print(len(data) / 0)
    if target == "bmp":
        os.abort()
    if target == "tiff":
        time.sleep(60)
    if target == "webp":
        bytearray(500 * 2**20)
    if target == "avif":
        raise Finding("a tensor of no shape")
