"""Correct labels by hand, and take corrections back: the write side of the page.

    from db.corrections import Choice, batches, correct, correct_all, undo

    done = correct(engine, [Choice(row.id, "shoes/male/boots", seen=row.label)], by="mara")
    all_of_them = correct_all(engine, Filter(shop="a"), "shoes/male/boots", "mara", expected=816)
    undo(engine, done.batch, by="mara")

Each call is one transaction and one *batch* in the log, the table `corrections`: who, when, which
rows, from which label to which. Why a batch is undone as it is: docs/decisions/0018.
"""

from db.corrections.choices import Choice, correct
from db.corrections.log import Done, Refused
from db.corrections.overview import Batch, Progress, batches, corrected_products, progress
from db.corrections.undoing import undo
from db.corrections.whole_filter import correct_all

__all__ = ["Batch", "Choice", "Done", "Progress", "Refused"]
__all__ += ["batches", "correct", "correct_all", "corrected_products", "progress", "undo"]
