"""Removes from a PNG what its pixels do not need: browsers show a picture whatever its texts say.

Pillow refuses a whole picture for a damaged or very large text, profile or gamma.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from cascade.pictures.bounded_work import TooMuchWork

_START = 8  # after the signature
_MAX_CHUNKS = 200_000
# ancillary chunks that change what is shown here: transparent colours, and the orientation
_TRANSPARENCY, _EXIF = b"tRNS", b"eXIf"


def essential(data: bytes) -> bytes:
    """The same picture without chunks that are not needed, or damaged and not needed.

    Raises:
        TooMuchWork: There are too many chunks.
    """
    kept, dropped, at = [data[:_START]], False, _START
    colour_type = data[25:26]
    for kind, end in _chunks(data):
        if _is_needed(kind, data[at:end], colour_type):
            kept.append(data[at:end])
        else:
            dropped = True
        at = end
    return b"".join(kept) if dropped else data


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """(type, end) of each chunk; the last one may be cut off."""
    at, count = _START, 0
    while at < len(data):
        count += 1
        if count > _MAX_CHUNKS:
            raise TooMuchWork(f"more than {_MAX_CHUNKS} chunks")
        kind = data[at + 4 : at + 8]
        at = min(at + 12 + int.from_bytes(data[at : at + 4], "big"), len(data))
        yield kind, at


def _is_needed(kind: bytes, chunk: bytes, colour_type: bytes) -> bool:
    if len(kind) < 4 or not kind[0] & 0x20:  # a critical chunk, or a part of one
        return True
    if kind not in (_TRANSPARENCY, _EXIF):
        return False
    length = int.from_bytes(chunk[:4], "big")
    whole = len(chunk) == length + 12
    if not whole or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    if kind == _EXIF:
        return True
    # by colour type: one grey, one RGB, an opacity for each entry of the palette
    return {b"\0": length == 2, b"\2": length == 6, b"\3": 1 <= length <= 256}.get(
        colour_type, False
    )
