"""What a run did: counts, a summary for a person, an exit code for a script."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from db.records import Claim, Outcome

# told of outcomes that are safely in the catalogue
Listener = Callable[[Sequence[Outcome]], None]


@dataclass
class Report:
    """Counts of one run. Each path that was asked for stands in exactly one of the counts.

    `on_stored` hears of each batch after it is committed, `on_skipped` of the number of paths
    that needed nothing.
    """

    on_stored: Listener | None = None
    on_skipped: Callable[[int], None] | None = None
    labelled: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    done: int = 0
    busy: int = 0
    quarantined: int = 0
    lost: int = 0  # worked, but taken over or cancelled meanwhile: another's row stands
    inferred: int = 0  # of the labelled: not copied from a picture with the same bytes
    decode_seconds: float = 0.0  # waited for pictures
    # (pictures, batch size, seconds) of each call of the networks
    batches: list[tuple[int, int, float]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def claimed(self, claim: Claim) -> None:
        """Count what needs no work."""
        self.done += len(claim.done)
        self.busy += len(claim.busy)
        self.quarantined += len(claim.quarantined)
        self.skipped(len(claim.done) + len(claim.busy) + len(claim.quarantined))

    def skipped(self, count: int) -> None:
        """Tell the listener of paths that are passed over."""
        if self.on_skipped is not None and count:
            self.on_skipped(count)

    def stored(self, outcomes: Sequence[Outcome], written: int) -> None:
        """Count one committed batch, of which `written` rows were ours to write."""
        for outcome in outcomes:
            if outcome.status == "labelled":
                self.labelled += 1
            else:
                self.rejected[outcome.reason or "unreadable"] += 1
        self.lost += len(outcomes) - written
        if self.on_stored is not None:
            self.on_stored(outcomes)

    @property
    def worked(self) -> int:
        """Pictures that ended as a row in this run."""
        return self.labelled + self.rejected.total()

    @property
    def exit_code(self) -> int:
        """0 when every picture that was worked got a label, 1 when some were rejected."""
        return 1 if self.rejected or self.quarantined else 0

    def summary(self) -> str:
        """A few lines for a person."""
        seconds = time.monotonic() - self.started
        if not self.worked and not self.busy and not self.quarantined:
            if not self.done:
                return "no pictures were found; is it the right folder?"
            return (
                f"nothing to do: {_pictures(self.done)} done before, looked at in {seconds:.1f} s"
            )
        rate = self.worked / seconds if seconds else 0.0
        lines = [
            f"labelled {self.labelled}, rejected {self.rejected.total()}, "
            f"skipped as done {self.done}: {seconds:.1f} s, {rate:.0f} pictures/s"
        ]
        lines += [
            f"  rejected as {reason}: {count}" for reason, count in self.rejected.most_common()
        ]
        if self.labelled > self.inferred:
            lines.append(f"  same bytes as another picture: {self.labelled - self.inferred}")
        if self.quarantined:
            lines.append(f"  quarantined, their workers died: {self.quarantined}")
        if self.busy:
            lines.append(f"  in the hands of another worker now: {self.busy}; run again later")
        if self.lost:
            lines.append(f"  finished by another worker meanwhile: {self.lost}")
        return "\n".join(lines)


def _pictures(count: int) -> str:
    return f"{count} picture" + ("" if count == 1 else "s")
