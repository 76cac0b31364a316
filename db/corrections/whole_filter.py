"""`correct_all`: one label for all rows of a filter, in set-based SQL."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db import clocks
from db.corrections import log, taxonomy_labels
from db.corrections.log import Done
from db.errors import InvalidRecord
from db.filters import Filter, conditions
from db.session import writing
from db.tables import catalogue, corrections
from db.writes.row_values import checked_text


def correct_all(
    engine: Engine,
    wanted: Filter,
    label: str | None,
    by: str,
    expected: int,
    *,
    note: str | None = None,
) -> Done:
    """Give every row of the filter the human label `label`, or None, in one transaction.

    The entries of the log are written first and name the rows, so that exactly the rows are changed
    that are logged, even if others write meanwhile.

    Args:
        engine: The catalogue.
        wanted: Which rows.
        label: A label of a registered taxonomy; None withdraws the human labels.
        by: The person's name.
        expected: The number of rows that the person confirmed.
        note: Kept with each entry.

    Raises:
        InvalidRecord: the filter matches another number of rows than `expected`, a label of no
            registered taxonomy, no name. Nothing is recorded.
    """
    log.checked_name(by)
    with writing(engine) as connection:
        name = taxonomy_labels.resolved_or_refused(connection, [label])[label]
        now = clocks.now(connection)
        batch = log.new_batch(now)
        where = conditions(connection, wanted)
        values = {"corrected_by": by, "corrected_at": now, "to_label": name}
        values |= {"note": checked_text(note, "note"), "batch": batch}
        entries = (
            sa.select(
                catalogue.c.id.label("catalogue_id"),
                catalogue.c.label.label("from_label"),
                catalogue.c.model_label.label("model_label"),
                catalogue.c.human_label.label("from_human_label"),
                *(sa.literal(v, corrections.c[n].type).label(n) for n, v in values.items()),
            )
            .where(*where, catalogue.c.human_label.is_distinct_from(name))
            .order_by(catalogue.c.id)
            .with_for_update()
        )
        changed = log.write_selected(connection, entries)
        same = sa.select(sa.func.count()).select_from(catalogue)
        same = same.where(*where, catalogue.c.human_label.is_not_distinct_from(name))
        unchanged = int(connection.execute(same).scalar_one())
        if changed + unchanged != expected:
            raise InvalidRecord(
                f"nothing was recorded: expected {expected:,} rows of this filter, as confirmed, "
                f"found {changed + unchanged:,}; look at them again and confirm their number"
            )
        log.carry_out(connection, batch, now)
    return Done(batch if changed else "", changed, unchanged)
