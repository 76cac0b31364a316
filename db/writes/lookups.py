"""The query that every batch runs, cached: building it takes longer than running it."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from db.tables import LABEL_PARTS, labels
from db.writes.row_values import FIELD_NAMES


@functools.lru_cache(maxsize=8)
def labels_by_hash(table: sa.Table, on_postgresql: bool) -> sa.Select[Any]:
    """A query for the label fields of one labelled row per content hash.

    Its parameters are `asked`, the hashes (a list on PostgreSQL, the text of a JSON list on
    SQLite), and `model_version`.
    """
    if on_postgresql:
        listed = sa.bindparam("asked", type_=postgresql.ARRAY(sa.Text))
        source = sa.func.unnest(listed).table_valued("value").render_derived()
    else:
        source = sa.func.json_each(sa.bindparam("asked", type_=sa.Text)).table_valued("value")
    # one row per hash, by the index: a "photo unavailable" picture has any number of rows
    first = (
        sa.select(table.c.id)
        .where(table.c.content_hash == source.c.value)
        .where(table.c.model_version == sa.bindparam("model_version", type_=sa.Text))
        .where(table.c.status == "labelled")
        .limit(1)
        .correlate(source)
        .scalar_subquery()
    )
    # the parts of the model's label, which those of a human label replace in the row
    columns = [(labels if name in LABEL_PARTS else table).c[name] for name in FIELD_NAMES]
    rows = table.join(labels, labels.c.label == table.c.model_label)
    query = sa.select(table.c.content_hash, *columns).select_from(rows)
    return query.where(table.c.id.in_(sa.select(first).select_from(source)))
