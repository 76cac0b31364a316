"""The progress of crawls: rows by status, which always add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db import ledger

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
        """Rows that need no more work."""
        return self.enqueued - self.pending

    def with_rate(self, earlier: CrawlProgress, seconds: float) -> dict[str, Any]:
        """The fields with `per_second` and `seconds_left`, from progress `seconds` earlier.

        `seconds_left` is None if nothing was finished in between.
        """
        rate = max(0.0, (self.finished - earlier.finished) / seconds) if seconds else 0.0
        left = self.pending / rate if rate else None
        return {**vars(self), "per_second": round(rate, 1), "seconds_left": left}


def crawl_progress(engine: Engine, crawl: str | None = None) -> list[CrawlProgress]:
    """The progress of each crawl, or of the named one."""
    progress = []
    for name, counts in ledger.counts_by_crawl(engine, crawl).items():
        totals = dict.fromkeys(("labelled", "rejected", "quarantined"), 0)
        totals |= {"cancelled": 0, "pending": 0}
        reasons: dict[str, int] = {}
        for (status, reason), number in counts.items():
            totals[status] += number
            if status == "rejected" and reason is not None:
                reasons[reason] = number
        progress.append(CrawlProgress(name, sum(totals.values()), **totals, reasons=reasons))
    return progress
