"""The one CSV writer: every cell with a line end, also a lone carriage return, is quoted."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence

_CRLF = "\r\n"


def csv_line_writer(write: Callable[[str], object]) -> Callable[[Sequence[str]], None]:
    r"""A function that writes one row of cells as a line that ends with ``\n``.

    Python 3.11 quotes only the characters of the writer's own line end: with ``\n``, a
    cell with ``\r`` stays unquoted, and no reader can read the file.
    """

    class Lines:
        def write(self, line: str) -> None:  # called once a row
            write(line.removesuffix(_CRLF) + "\n")

    return csv.writer(Lines(), lineterminator=_CRLF).writerow
