"""Decodes JPEGs with a check that all of their data were there; Pillow hides libjpeg's warnings.

libjpeg fills what is missing with grey and skips what is too much. Pillow tells neither, but its
decoder tells how many bytes libjpeg took. So each stretch of coded data is passed on its own, then
a few bytes that mean nothing: libjpeg skips them if it has the stretch's last pixel and is looking
for the next marker, and holds some of them back if it still waits for pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, JpegImagePlugin

from cascade.pictures.bounded_work import Deadline, TooMuchWork

# Each scan visits each pixel again. Good pictures have at most some 20 scans.
MAX_SCANNED_PIXELS = 1_000_000_000
MAX_SCANS = 500
_MAX_MARKERS = 200_000
_MAX_CHECKED = 2_000  # stretches; above it, only the last one of each scan

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_SOF = (0xC0, 0xC1, 0xC2)
_RESTARTS = range(0xD0, 0xD8)
_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD
_LONE = frozenset((0x01, 0xD8, *_RESTARTS))  # markers without a length
_MARKER = re.compile(rb"\xff[\x01-\xfe]")  # FF 00 is a byte of coded data
_ALL = (1 << 64) - 1  # the 64 coefficients of a block

# libjpeg reads ahead by up to 8 bytes. The filler is not a code in any table, and each 16 bits of
# it stand for at most one coefficient.
_LOOK_AHEAD = b"\xff\x00" * 8
_STEP = b"\xff\x00" * 3
_TAIL = 3


class Damaged(OSError):
    """The data do not hold the whole picture."""


@dataclass(slots=True)
class Structure:
    """The markers of a JPEG.

    Attributes:
        size: Width and height.
        sampling: For each component, its horizontal and vertical sampling factor.
        progressive: Whether the scans hold parts of the coefficients.
        in_pieces: Whether libjpeg can decode it from data that arrive in pieces.
        restart_interval: Blocks (MCUs) between two restart markers; 0 for none.
        scans: How many there are.
        stretches: (start, end, whether its scan ends with it) of the coded data between two
            markers.
        complete: For each component, one bit for each coefficient that the scans complete.
        fault: What the markers alone show to be missing.
        markers: How many there are.
    """

    size: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    progressive: bool = False
    in_pieces: bool = False
    restart_interval: int = 0
    scans: int = 0
    stretches: list[tuple[int, int, bool]] = field(default_factory=list)
    complete: dict[int, int] = field(default_factory=dict)
    fault: str | None = None
    markers: int = 0

    def count_marker(self) -> None:
        """Raise TooMuchWork if there are too many, before Pillow walks over them in Python."""
        self.markers += 1
        if self.markers > _MAX_MARKERS:
            raise TooMuchWork(f"more than {_MAX_MARKERS} markers")

    def blocks(self, components: bytes) -> int:
        """How many blocks (MCUs) a scan of these components has."""
        across = max((h for h, _ in self.sampling.values()), default=1) or 1
        down = max((v for _, v in self.sampling.values()), default=1) or 1
        width, height = -(-self.size[0] // across), -(-self.size[1] // down)
        if len(components) == 1:
            h, v = self.sampling.get(components[0], (1, 1))
            width, height = -(-self.size[0] * h // across), -(-self.size[1] * v // down)
        return -(-width // 8) * -(-height // 8)


def structure(data: bytes) -> Structure:
    """Read the markers.

    Raises:
        TooMuchWork: There are too many.
    """
    found = Structure()
    at = 2
    while match := _MARKER.search(data, at):
        found.count_marker()
        marker, at = data[match.end() - 1], match.end()
        if marker == _EOI:
            break
        if marker in _LONE:
            continue
        body = data[at + 2 : at + int.from_bytes(data[at : at + 2], "big")]
        at += 2 + len(body)
        if marker in _SOF and len(body) >= 6:
            found.size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
            found.sampling = {
                component: (factors >> 4, factors & 15)
                for component, factors in zip(body[6::3], body[7::3], strict=False)
            }
            found.complete = dict.fromkeys(found.sampling, 0)
            found.progressive, found.in_pieces = marker == 0xC2, marker in _HUFFMAN_SOF
        elif marker == _DRI:
            found.restart_interval = int.from_bytes(body[:2], "big")
        elif marker == _SOS and len(body) >= 4:
            at = _scan(data, at, body, found)
    missing = sum((_ALL & ~bits).bit_count() for bits in found.complete.values())
    if missing:
        found.fault = f"{missing} coefficients are in no scan"
    return found


def _scan(data: bytes, at: int, header: bytes, found: Structure) -> int:
    """Add one scan; return where the marker after it begins."""
    found.scans += 1
    components = header[1 : 1 + 2 * header[0] : 2]
    first, last, approximation = header[-3:]
    completes = _ALL
    if found.progressive:  # the low half: bits that are left to a later scan
        completes = 0 if approximation & 15 else (1 << (last & 63) + 1) - (1 << (first & 63))
    for component in components:
        found.complete[component] = found.complete.get(component, 0) | completes
    before = len(found.stretches)
    end = _stretches(data, at, found)
    if found.restart_interval:
        needed = -(-found.blocks(components) // found.restart_interval)
        if len(found.stretches) - before < needed:
            found.fault = f"restart markers are missing in scan {found.scans}"
    return end


def _stretches(data: bytes, start: int, found: Structure) -> int:
    at = start
    while match := _MARKER.search(data, at):
        found.count_marker()
        is_last = data[match.end() - 1] not in _RESTARTS
        found.stretches.append((start, _before_fill(data, match.start()), is_last))
        if is_last:
            return match.start()
        start = at = match.end()
    found.stretches.append((start, _before_fill(data, len(data)), True))
    return len(data)


def _before_fill(data: bytes, marker: int) -> int:
    """Where the fill bytes (FF) before a marker begin."""
    while data[marker - 1] == 0xFF:
        marker -= 1
    return marker


def refuse_too_many_scans(found: Structure) -> None:
    """Raise TooMuchWork if the scans visit the pixels too often."""
    pixels = found.size[0] * found.size[1]
    if found.scans * pixels > MAX_SCANNED_PIXELS or found.scans > MAX_SCANS:
        raise TooMuchWork(f"{found.scans} scans of {pixels} pixels")


def load(
    image: JpegImagePlugin.JpegImageFile, data: bytes, found: Structure, deadline: Deadline
) -> None:
    """Decode the pixels, as ``image.load()`` does. The end marker may be missing.

    Raises:
        Damaged: Coded data are missing, or there are more than the pixels need.
        TooMuchWork: It takes too long.
        OSError: The decoder gave up.
    """
    if not found.in_pieces:  # arithmetic coding, which no browser shows either
        image.load()
        return
    if found.fault:
        raise Damaged(found.fault)
    image.load_prepare()
    name, extents, _, args = image.tile[0]
    decoder = Image._getdecoder(image.mode, name, args, image.decoderconfig)
    try:
        decoder.setimage(image.im, extents)
        _feed(decoder, data, found, deadline)
    finally:
        decoder.cleanup()
    image.tile = []  # all is loaded


def _feed(decoder: Any, data: bytes, found: Structure, deadline: Deadline) -> None:
    """Pass the data on, one stretch after the other, and look at what libjpeg holds back."""
    waiting = b""

    def take(piece: bytes) -> bool:
        """Whether libjpeg takes all of it; it has then no use for it, or ends a look-ahead here.

        Raises:
            _Done: All rows are decoded.
        """
        nonlocal waiting
        waiting += piece
        taken, error = decoder.decode(waiting)
        if error < 0:
            raise OSError(f"the JPEG decoder gave up (error {error})")
        if taken < 0:
            raise _Done
        waiting = waiting[taken:]
        return not waiting.rstrip(b"\xff")  # the half of FF 00 is always held back

    for before, start, end in _checked(found):
        deadline.check()
        too_early = end - start > 2 * _TAIL
        tail = end - 2 * _TAIL if too_early else start
        middle = tail + _TAIL if too_early else start
        try:
            # two steps, because a look-ahead may end exactly with one, but not with both
            skipped = [take(data[before:tail]), take(data[tail:middle])]
            if too_early and all(skipped):
                raise Damaged(f"there are more data than pixels before byte {end}")
            too_early = False
            take(data[middle:end] + _LOOK_AHEAD)
            skipped = [take(_STEP), take(_STEP)]
        except _Done:
            if too_early:
                raise Damaged(f"there are more data than pixels before byte {end}") from None
            return
        if not all(skipped):
            raise Damaged(f"data are missing before byte {end}")
    try:
        take(bytes((0xFF, _EOI)))
    except _Done:
        return
    raise Damaged("data are missing at the end")


class _Done(Exception):
    """All rows are decoded."""


def _checked(found: Structure) -> Iterator[tuple[int, int, int]]:
    """(end of the one before, start, end) of each stretch that is looked at."""
    every = len(found.stretches) <= _MAX_CHECKED
    before = 0
    for start, end, is_last in found.stretches:
        if every or is_last:
            yield before, start, end
            before = end
