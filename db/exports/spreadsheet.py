"""Exports as an Excel workbook (.xlsx) with typed cells, streamed. Text is never a formula."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import Exported, Layout, batches, export_sink, exported
from db.filters import Filter

MOST_ROWS = 1_048_575  # of a sheet, without the header
LONGEST_TEXT = 32_767  # characters of a cell
SHEET = "catalogue"
TIME_FORMAT = "yyyy-mm-dd hh:mm:ss"
WIDTHS = {"path": 60, "url": 40, "label": 28, "best_leaf": 28, "second_leaf": 28}
WIDTH = 16
# XML cannot hold these
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def export_spreadsheet(engine: Engine, wanted: Filter, target: Path, layout: Layout) -> Exported:
    """Write the matching rows as the one sheet of a workbook; times are in UTC.

    Text stays text, whatever it begins with, also after a person edits its cell. Control characters
    are written as ``\\xNN``; longer text than a cell can hold is cut.

    Raises:
        ExportError: more rows than a sheet can hold; nothing is written.
    """
    # lxml, if another package brought it, raises errors of its own where a disk is full
    os.environ.setdefault("OPENPYXL_LXML", "False")
    import openpyxl
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(SHEET)
    sheet.freeze_panes = "A2"
    for number, name in enumerate(layout.columns, 1):
        sheet.column_dimensions[get_column_letter(number)].width = WIDTHS.get(name, WIDTH)

    def cell(value: Any) -> Any:
        if isinstance(value, str):
            made = WriteOnlyCell(sheet, _text(value))
            made.data_type = "s"  # not a formula or an error value
            made.quotePrefix = True
            return made
        if isinstance(value, datetime):
            made = WriteOnlyCell(sheet, value.astimezone(UTC).replace(tzinfo=None))
            made.number_format = TIME_FORMAT
            return made
        return value

    header = [WriteOnlyCell(sheet, name) for name in layout.columns]
    for made in header:
        made.font = Font(bold=True)
    with export_sink(target) as sink, _closed_after_error(sheet):
        sheet.append(header)
        rows = 0
        for batch in batches(engine, wanted, layout=layout):
            rows += len(batch)
            if rows > MOST_ROWS:
                raise ExportError(
                    f"{target}: a sheet holds at most {MOST_ROWS:,} rows: narrow the filter, or "
                    "export CSV or Parquet"
                )
            for row in batch:
                sheet.append([cell(value) for value in row])
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(layout.columns))}{rows + 1}"
        book.save(sink)
        checksum = sink.sha256()
    return exported(target, rows, checksum)


@contextmanager
def _closed_after_error(sheet: Any) -> Iterator[None]:
    """Close the temporary file of a sheet's rows if the block fails; it is deleted at the exit."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # closed already, or the disk is full: the error says so
            sheet.close()
        raise


def _text(value: str) -> str:
    text = _NO_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
