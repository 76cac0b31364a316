"""How a crawl stands: the ledger's counts, which always add up, and the pace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import ledger
from db.catalogue import Catalogue

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@dataclass(frozen=True)
class CrawlProgress:
    """The rows of one crawl by status. `enqueued` is the sum of all the others."""

    crawl: str
    enqueued: int
    labelled: int
    rejected: int
    quarantined: int
    cancelled: int
    pending: int
    reasons: dict[str, int]

    @property
    def finished(self) -> int:
        """Rows that need nothing more."""
        return self.enqueued - self.pending


def crawl_progress(engine: Engine, crawl: str | None = None) -> list[CrawlProgress]:
    """How each crawl stands, or the one that is named."""
    counted = ledger.counts_by_crawl(engine, crawl)
    found = []
    for name, counts in counted.items():
        totals = dict.fromkeys(("labelled", "rejected", "quarantined"), 0)
        totals |= {"cancelled": 0, "pending": 0}
        reasons: dict[str, int] = {}
        for (status, reason), number in counts.items():
            totals[status] += number
            if status == "rejected" and reason is not None:
                reasons[reason] = number
        found.append(CrawlProgress(name, sum(totals.values()), **totals, reasons=reasons))
    return found


def oldest_pending_seconds(catalogue_url: str) -> float:
    """How long the oldest waiting row has waited; 0 when none waits."""
    catalogue = Catalogue.open(catalogue_url, create=False)
    try:
        return ledger.oldest_pending_seconds(catalogue.engine)
    finally:
        catalogue.close()
