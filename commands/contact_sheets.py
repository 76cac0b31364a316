"""The contact sheets of ``review sheet`` and ``relabel --diff``: HTML that holds its pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from db.records import Row
    from db.relabelling import Flow

STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em}section{margin-bottom:2em}"
    "figure{display:inline-block;width:110px;margin:4px;vertical-align:top;"
    "border:1px solid #ccc;padding:4px}img{width:90px;height:120px;display:block}"
    "figcaption{font-size:11px;overflow-wrap:anywhere}.gone{width:90px;height:120px;"
    "background:#eee;display:flex;align-items:center;justify-content:center}"
)
JPEG_QUALITY = 80


def page(rows: Sequence[Row], table: str) -> str:
    """The whole page; `rows` come sorted by the label that counts."""
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Pictures to review</title>",
        f"<style>{STYLE}</style><h1>{len(rows)} pictures to review</h1>",
        f"<p>In {escape(table)}, write the right label beside the number of a picture, or "
        "<b>ok</b> where the label is right.</p>",
    ]
    for label, group in groupby(rows, lambda row: row.human_label or row.label or ""):
        figures = "".join(_figure(row) for row in group)
        parts.append(f"<section><h2>{escape(label)}</h2>{figures}</section>")
    return "\n".join(parts) + "\n"


def flow_page(flows: Sequence[Flow], model: str) -> str:
    """What a new model says beside the old labels: a section a flow, changes first."""
    changed = [flow for flow in flows if flow.old != flow.new]
    total, moved = sum(flow.rows for flow in flows), sum(flow.rows for flow in changed)
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Old labels and new</title>",
        f"<style>{STYLE}</style><h1>{moved:,} of {total:,} labels would change</h1>",
        f"<p>Model {escape(model)}; of each change the pictures that it is least sure of.</p>",
    ]
    for flow in changed + [flow for flow in flows if flow.old == flow.new]:
        figures = "".join(
            f"<figure title='{escape(path)}'>{_thumbnail(path)}</figure>" for path in flow.samples
        )
        head = f"{escape(flow.old)} → {escape(flow.new)}: {flow.rows:,}"
        parts.append(f"<section><h2>{head}</h2>{figures}</section>")
    return "\n".join(parts) + "\n"


def _figure(row: Row) -> str:
    said = "" if row.confidence is None else f"{row.confidence:.2f}"
    contested = f" or {escape(row.best_leaf)}" if row.best_leaf not in (None, row.label) else ""
    return (
        f"<figure title='{escape(row.path)}'>{_thumbnail(row.path)}"
        f"<figcaption><b>{row.id}</b> {said}{contested}</figcaption></figure>"
    )


def _thumbnail(path: str) -> str:
    """The picture as the cascade saw it, inside the page; a grey box where it cannot be read."""
    from PIL import Image

    from cascade.pictures.preprocessing import Preprocessing
    from worker.decode import file_loader
    from worker.sources.paths import to_os_path

    loaded = file_loader(Preprocessing())(to_os_path(path), ())
    if loaded.pixels is None:
        return f"<div class='gone'>{escape(loaded.reason or 'unreadable')}</div>"
    data = io.BytesIO()
    Image.fromarray(loaded.pixels).save(data, "JPEG", quality=JPEG_QUALITY)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}'>"
