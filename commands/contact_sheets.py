"""The pages of ``review sheet`` and ``relabel --diff --html``, with their pictures inside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from db.records import Row
    from db.relabelling import LabelChange


def review_sheet(rows: Sequence[Row], table: str, roots: Sequence[str] = ()) -> str:
    """A contact sheet of pictures to review, a section for each label.

    Args:
        rows: The rows, sorted by their effective label (a person's, else the model's).
        table: Name of the CSV file to fill in.
        roots: Where pictures may be opened (the setting).
    """
    from rendering.html import render
    from rendering.text import counted

    sections = [
        {"label": label, "pictures": [_picture(row, roots) for row in group]}
        for label, group in groupby(rows, lambda row: row.label or "")
    ]
    return render(
        "review_sheet.html", count=counted(len(rows), "picture"), table=table, sections=sections
    )


def relabel_diff(changes: Sequence[LabelChange], model: str, roots: Sequence[str] = ()) -> str:
    """Old labels beside those of a new model, with sample pictures: changes first.

    Args:
        changes: Counts by old and new label; also of labels that stay the same.
        model: Version of the new model.
        roots: Where pictures may be opened (the setting).
    """
    from rendering.html import render

    changed = [change for change in changes if change.old != change.new]
    unchanged = [change for change in changes if change.old == change.new]
    sections = [
        {
            "old": change.old,
            "new": change.new,
            "rows": f"{change.rows:,}",
            "pictures": [
                {"path": path, "thumbnail": _thumbnail(path, roots)} for path in change.samples
            ],
        }
        for change in changed + unchanged
    ]
    return render(
        "relabel_diff.html",
        changed=f"{sum(change.rows for change in changed):,}",
        total=f"{sum(change.rows for change in changes):,}",
        model=model,
        sections=sections,
    )


def _picture(row: Row, roots: Sequence[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "path": row.path,
        "thumbnail": _thumbnail(row.path, roots),
        "leaves": [
            {"path": leaf, "confidence": "" if share is None else f"{share:.2f}"}
            for leaf, share in row.best_leaves()
        ],
    }


def _thumbnail(path: str, roots: Sequence[str]) -> dict[str, str | None]:
    """The picture as the cascade sees it, or the reason why it cannot be read."""
    from cascade.pictures.preprocessing import Preprocessing
    from rendering.html import jpeg_data_uri
    from worker.sources.paths import to_os_path
    from worker.sources.row_files import row_loader

    loaded = row_loader(Preprocessing())(to_os_path(path), roots)
    if loaded.pixels is None:
        return {"source": None, "reason": loaded.reason or "unreadable"}
    return {"source": jpeg_data_uri(loaded.pixels), "reason": None}
