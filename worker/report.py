"""The result of a run: counts, a summary for a person, an exit code for a script."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from db.records import PUT_OFF, Claim, Outcome


@dataclass
class Report:
    """Counts of one run. Each requested path is in exactly one of the counts.

    Args:
        on_stored: called with each batch after it is committed.
        on_skipped: called with the number of paths that needed no work.
    """

    on_stored: Callable[[Sequence[Outcome]], None] | None = None
    on_skipped: Callable[[int], None] | None = None
    labelled: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    done: int = 0
    busy: int = 0
    quarantined: int = 0
    put_off: int = 0  # their files cannot be read for now: still pending
    gone: int = 0  # not in the catalogue, and not added: forgotten or archived
    lost: int = 0  # processed, but taken over or cancelled meanwhile: not written
    inferred: int = 0  # classified by the networks, not copied from the same bytes
    decode_seconds: float = 0.0  # spent waiting for the decoder
    # (pictures, batch size, seconds) of each call of the networks
    batches: list[tuple[int, int, float]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def count_claim(self, claim: Claim) -> None:
        """Count the paths that need no work."""
        self.done += len(claim.done)
        self.busy += len(claim.busy)
        self.quarantined += len(claim.quarantined)
        self.put_off += len(claim.put_off)
        self.gone += len(claim.gone)
        skipped = (claim.done, claim.busy, claim.quarantined, claim.put_off, claim.gone)
        self.count_skipped(sum(map(len, skipped)))

    def count_skipped(self, count: int) -> None:
        """Report paths that are skipped to the listener."""
        if self.on_skipped is not None and count:
            self.on_skipped(count)

    def count_stored(self, outcomes: Sequence[Outcome], written: int) -> None:
        """Count one committed batch, of which this run wrote `written` rows."""
        for outcome in outcomes:
            if outcome.status == "labelled":
                self.labelled += 1
            elif outcome.status == PUT_OFF:
                self.put_off += 1
            else:
                self.rejected[outcome.reason or "unreadable"] += 1
        self.lost += len(outcomes) - written
        if self.on_stored is not None:
            self.on_stored(outcomes)

    @property
    def processed(self) -> int:
        """Pictures that were labelled or rejected in this run."""
        return self.labelled + self.rejected.total()

    @property
    def exit_code(self) -> int:
        """0 if every picture has a label; 1 if one was rejected, or is left for any reason."""
        return 1 if self.rejected or self.left else 0

    @property
    def left(self) -> int:
        """Pictures that were asked for and are neither labelled nor rejected now."""
        return self.busy + self.quarantined + self.put_off + self.gone

    def summary(self) -> str:
        """A few lines for a person."""
        seconds = time.monotonic() - self.started
        if not self.processed and not self.left:
            if not self.done:
                return "no pictures were found; is it the right folder?"
            return (
                f"nothing to do: {_pictures(self.done)} done before, looked at in {seconds:.1f} s"
            )
        rate = self.processed / seconds if seconds else 0.0
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
        if self.put_off:
            lines.append(
                f"  still pending, their files cannot be read for now: {self.put_off}; "
                "run again later"
            )
        if self.busy:
            lines.append(f"  leased by another worker now: {self.busy}; run again later")
        if self.gone:
            lines.append(f"  forgotten or archived, left out: {self.gone}; --again labels them")
        if self.lost:
            lines.append(f"  finished by another worker or deleted meanwhile: {self.lost}")
        return "\n".join(lines)


def _pictures(count: int) -> str:
    return f"{count} picture" + ("" if count == 1 else "s")
