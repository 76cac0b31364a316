"""Write what a crawler lists: its pictures as pending rows, failed downloads as rejected ones."""

from __future__ import annotations

from collections.abc import Sequence

from db.catalogue import Catalogue
from db.records import NOT_DOWNLOADED, Outcome, PendingRow
from worker.lease_owners import this_owner


def add_listed(
    catalogue: Catalogue, crawl: str, rows: Sequence[PendingRow], model_version: str
) -> tuple[list[str], list[Outcome]]:
    """Write some thousand rows; return the paths to be labelled, and what was rejected.

    A picture that was downloaded later is pending again. Idempotent.
    """
    work = catalogue.add_pending_chunk(crawl, rows, model_version)
    failures = {row.path: row.failure for row in rows if row.failure is not None}
    rejected = [
        Outcome(path, "rejected", None, None, None, NOT_DOWNLOADED, detail=failures[path])
        for path in work
        if path in failures
    ]
    if rejected:
        catalogue.store(crawl, this_owner(), model_version, rejected)
    return [path for path in work if path not in failures], rejected
