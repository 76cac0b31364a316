"""Plain text for people: aligned tables, Markdown tables, escaped control characters."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence


def printable(text: str) -> str:
    """The text on one line; control, direction and surrogate characters as ``\\n``, ``\\udcff``."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def counted(number: int, noun: str) -> str:
    """``1 picture``, ``1,200 pictures``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for the known value that is written most alike; empty if none is."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(value.casefold(), by_folded, n=1)
    return f"; did you mean {printable(by_folded[near[0]])}?" if near else ""


def table_line(cells: Sequence[str], widths: Sequence[int], *, numeric: bool = False) -> str:
    """Cells padded to their widths and two spaces apart, without spaces at the end.

    Args:
        cells: The texts. A text wider than its column is not cut.
        widths: Characters of each column, as many as there are cells.
        numeric: Align all columns but the first to the right.
    """
    padded = (
        cell.rjust(width) if numeric and column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def table_lines(
    header: Sequence[str] | None,
    rows: Iterable[Sequence[str]],
    *,
    numeric: bool = False,
    measured_rows: int | None = None,
    widest_cell: int | None = None,
) -> Iterator[str]:
    """The lines of a table: header, a rule of dashes, rows.

    Args:
        header: Column names. None prints neither header nor rule.
        rows: Cells of each row, as many as there are columns.
        numeric: Align all columns but the first to the right.
        measured_rows: Number of rows that determine the widths. The others are printed as they
            come, so a million rows need no memory. None measures all rows.
        widest_cell: Columns wider than this many characters go to the end of the line, where they
            do not break the alignment. None keeps the order.
    """
    remaining = iter(rows)
    first = list(itertools.islice(remaining, measured_rows))
    measured = first if header is None else [header, *first]
    widths = [max(map(len, column)) for column in zip(*measured, strict=True)]
    order = list(range(len(widths)))
    if widest_cell is not None:
        order.sort(key=lambda column: widths[column] > widest_cell)
        widths = [min(width, widest_cell) for width in widths]
    widths = [widths[column] for column in order]

    def line(cells: Sequence[str]) -> str:
        return table_line([cells[column] for column in order], widths, numeric=numeric)

    if header is not None:
        yield line(header)
        yield "  ".join("-" * width for width in widths)
    yield from map(line, itertools.chain(first, remaining))


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for a terminal: the first column aligned to the left, the others to the right."""
    return "\n".join(table_lines(header, rows, numeric=True))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with the same alignment."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
