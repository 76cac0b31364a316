"""What a random sample of a crawl tells about all of its labels: bounds, and a certificate.

Every figure is a one-sided exact bound (``exact_bounds``). A picture that nobody answered counts as
a mistake, so more answers never make a bound worse, and nothing is gained by stopping early.

In a stratified sample each label has its own number of pictures, at least its share of the crawl.
The mistakes of such a sample vary less than those of a simple one with the same mean (Hoeffding,
*On the distribution of the number of successes in independent trials*, 1956), so the exact bound of
a simple sample holds for their mean. Rounding gives some labels more weight in the sample than in
the crawl; the share of mistakes in the crawl is at most ``stretch`` times their mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cascade.evaluation.exact_bounds import needed, upper_bound
from cascade.evaluation.learn_then_test import Tested, fixed_sequence

OUT_OF_SCOPE = "out_of_scope"
STEPS = (0.999, 0.995, 0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # strictest first
MISTAKES_ALLOWED = 2  # at the first step: a sequence that starts smaller ends at one mistake
MOST_PICTURES = 5_000  # of a sample; nobody looks at more

Stratum = tuple[str, bool]  # label, and whether it is sure


@dataclass(frozen=True)
class Judged:
    """A picture of the sample: the model's labels when it was drawn, and a person's.

    Attributes:
        label: The model's label.
        best_leaf: The model's most probable leaf.
        confidence: The probability of ``label``.
        sure: The label is a leaf that needs no review.
        truth: A person's label; None: nobody answered.
        extra: Only for the figures of its label, which has more pictures than its share.
    """

    label: str
    best_leaf: str
    confidence: float
    sure: bool
    truth: str | None
    extra: bool = False

    @property
    def right(self) -> bool:
        """The label is the person's or an ancestor of it."""
        return self.truth is not None and f"{self.truth}/".startswith(f"{self.label}/")

    def right_at(self, depth: int) -> bool:
        """The first ``depth`` levels of the label are the person's."""
        own = self.label.split("/")[:depth]
        return self.truth is not None and own == self.truth.split("/")[:depth]


@dataclass(frozen=True)
class Bound:
    """A share in the crawl, as the sample shows it.

    Attributes:
        name: What is counted.
        of: How many pictures of the sample are looked at.
        count: How many of them count: right ones, or lost ones.
        share: The estimate, 0 to 1; None without pictures.
        low: The share is at least this, with the confidence; None where ``high`` is given.
        high: The share is at most this.
        rows: How many pictures of the crawl the figure is about.
    """

    name: str
    of: int
    count: int
    share: float | None
    low: float | None
    high: float | None
    rows: int


@dataclass(frozen=True)
class Certificate:
    """Whether the precision of the sure labels is certified, and from which strictness on.

    Attributes:
        precision: The share of right labels that was to be certified.
        confidence: Of all tests together.
        steps: The thresholds that were tested, in this order; 0 is the model's own strictness.
        threshold: The least probability from which on sure labels are certified; None: nowhere.
        more: Further sure labels to look at, if they hold no mistake; 0 if certified.
        new_audit: Sure labels that a new audit needs if mistakes stay as frequent; None: mistakes
            are too frequent, or it is certified.
    """

    precision: float
    confidence: float
    steps: Sequence[Tested]
    threshold: float | None
    more: int
    new_audit: int | None


@dataclass(frozen=True)
class Findings:
    """All that an audit tells."""

    sample: int
    answered: int
    bounds: Sequence[Bound]
    by_label: Sequence[Bound]
    certificate: Certificate

    def to_json(self) -> dict[str, Any]:
        """As JSON objects and lists."""
        return asdict(self)


def first_steps(
    population: Mapping[Stratum, Sequence[int]], drawn: Mapping[Stratum, float], least: int
) -> list[float]:
    """The thresholds to test, the strictest first, chosen before anybody looks at a picture.

    Args:
        population: For each stratum, how many of its pictures have a confidence of at least each of
            ``STEPS``, in their order, and last how many pictures it has.
        drawn: How many pictures of each stratum the sample holds in the mean.
        least: How many sure labels the strictest threshold must be expected to keep.

    Returns:
        Thresholds that end with 0, which keeps all sure labels.
    """
    found = []
    for number, step in enumerate(STEPS):
        kept = sum(
            drawn.get(stratum, 0) * counts[number] / counts[-1]
            for stratum, counts in population.items()
            if stratum[1] and counts[-1]
        )
        if kept >= least:
            found.append(step)
    return [*found, 0.0]


def findings(
    sample: Sequence[Judged],
    population: Mapping[Stratum, int],
    *,
    stratified: bool,
    steps: Sequence[float],
    precision: float,
    confidence: float,
    next_confidence: float,
) -> Findings:
    """All figures of an audit.

    Args:
        sample: The pictures that were drawn.
        population: How many pictures of the crawl are in each stratum.
        stratified: The sample was drawn by stratum.
        steps: From ``first_steps``; a stratified sample is tested at 0 only.
        precision: The share of right labels to certify among sure labels, 0 to 1.
        confidence: Of each bound by itself, and of the certificate.
        next_confidence: The confidence at which a further audit would be judged.
    """
    count = _Counter(sample, population, stratified, confidence)
    bounds = [count.right("sure labels", lambda stratum: stratum[1], lambda one: one.right)]
    depths = max((label.count("/") + 1 for label, _ in population), default=0)
    for depth in range(1, depths + 1):
        bounds.append(count.right(f"level {depth}", _reaches(depth), _right_at(depth)))
    bounds.append(count.right("best leaf", _everything, lambda one: one.truth == one.best_leaf))
    if any(label == OUT_OF_SCOPE for label, _ in population):
        bounds.append(count.at_most("lost as out_of_scope", _lost))
    return Findings(
        len(sample),
        sum(one.truth is not None for one in sample),
        bounds,
        count.by_label(),
        _certificate(count, steps, precision, next_confidence),
    )


def _certificate(
    count: _Counter, steps: Sequence[float], precision: float, next_confidence: float
) -> Certificate:
    sure = [one for one in count.sample if one.sure and not one.extra]
    tested: list[Tested] = []
    if count.stratified:
        bound = count.right("", lambda stratum: stratum[1], lambda one: one.right)
        low = bound.low or 0.0
        tested = [Tested(0.0, bound.of, bound.count, low, bool(sure) and low >= precision)]
    else:
        scores, right = [one.confidence for one in sure], [one.right for one in sure]
        tested = fixed_sequence(steps, scores, right, precision, count.confidence)
    certified = [step.threshold for step in tested if step.certified]
    mistakes = sum(not one.right for one in sure)
    more = max(1, needed(mistakes, precision, count.confidence) - len(sure))
    return Certificate(
        precision,
        count.confidence,
        tested,
        min(certified) if certified else None,
        0 if certified else more,
        None if certified else enough(mistakes, len(sure), precision, next_confidence),
    )


def enough(mistakes: int, of: int, precision: float, confidence: float) -> int | None:
    """The smallest sample that certifies if mistakes stay as frequent; None if 5,000 do not.

    An estimate, for planning: chance decides how many mistakes the next sample holds.
    """
    rate = mistakes / of if of else 0.0
    allowed = 0
    while (size := needed(allowed, precision, confidence)) <= MOST_PICTURES:
        if rate * size <= allowed:
            return size
        if rate >= 1 - precision:
            return None
        allowed = max(allowed + 1, int(rate * size))
    return None


@dataclass(frozen=True)
class _Counter:
    """Counts pictures of a sample, and bounds their share in the crawl."""

    sample: Sequence[Judged]
    population: Mapping[Stratum, int]
    stratified: bool
    confidence: float

    def right(
        self, name: str, domain: Callable[[Stratum], bool], is_right: Callable[[Judged], bool]
    ) -> Bound:
        """The share of right ones among the pictures of whole strata, from below."""
        rows, chosen, stretch = self._chosen(domain)
        return self._bound(name, chosen, is_right, rows, stretch)

    def _bound(
        self,
        name: str,
        chosen: Sequence[Judged],
        is_right: Callable[[Judged], bool],
        rows: int,
        stretch: float = 1.0,
    ) -> Bound:
        if not chosen:
            return Bound(name, 0, 0, None, 0.0, None, rows)
        hits = sum(map(is_right, chosen))
        wrong = upper_bound(len(chosen) - hits, len(chosen), self.confidence)
        low = max(0.0, 1 - stretch * wrong)
        return Bound(name, len(chosen), hits, hits / len(chosen), low, None, rows)

    def at_most(self, name: str, counts: Callable[[Judged], bool]) -> Bound:
        """The share of all pictures that count, from above."""
        rows, chosen, stretch = self._chosen(_everything)
        if not chosen:
            return Bound(name, 0, 0, None, None, 1.0, rows)
        hits = sum(map(counts, chosen))
        high = min(1.0, stretch * upper_bound(hits, len(chosen), self.confidence))
        return Bound(name, len(chosen), hits, hits / len(chosen), None, high, rows)

    def by_label(self) -> list[Bound]:
        """The precision of each label, each by itself; extra pictures too."""
        labels = sorted({label for label, _ in self.population})
        found = []
        for label in labels:
            rows = sum(n for (own, _), n in self.population.items() if own == label)
            chosen = [one for one in self.sample if one.label == label]
            if self.stratified and len({one.sure for one in chosen}) > 1:
                continue  # two strata with weights of their own
            found.append(self._bound(label, chosen, lambda one: one.right, rows))
        return found

    def _chosen(self, domain: Callable[[Stratum], bool]) -> tuple[int, list[Judged], float]:
        """The rows of the domain's strata, the pictures of the sample among them, the stretch."""
        strata = {stratum: rows for stratum, rows in self.population.items() if domain(stratum)}
        rows = sum(strata.values())
        chosen = [one for one in self.sample if not one.extra and domain((one.label, one.sure))]
        if not self.stratified or not chosen:
            return rows, chosen, 1.0
        drawn = Counter((one.label, one.sure) for one in chosen)
        stretch = max(
            share / rows * len(chosen) / drawn[stratum] for stratum, share in strata.items()
        )
        return rows, chosen, stretch


def _everything(_stratum: Stratum) -> bool:
    return True


def _reaches(depth: int) -> Callable[[Stratum], bool]:
    return lambda stratum: stratum[0].count("/") + 1 >= depth


def _right_at(depth: int) -> Callable[[Judged], bool]:
    return lambda one: one.right_at(depth)


def _lost(one: Judged) -> bool:
    return one.label == OUT_OF_SCOPE and one.truth != OUT_OF_SCOPE
