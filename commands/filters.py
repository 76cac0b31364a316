"""The filter options of `query`, `stats`, `export`, `review sheet` and `relabel`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from commands.options import Command

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from db.queries import Filter

HINT_SECONDS = 0.5  # a hint is not worth more
FRACTION = click.FloatRange(0, 1)


class Time(click.ParamType["datetime"]):
    """A day or a time, in UTC unless it has another zone; ``today`` and ``yesterday`` too."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse ``2026-11-25``, ``25.11.2026 14:30`` or ``25 Nov 2026``."""
        from tabular.values import likely_dates, time_of

        if isinstance(value, datetime):
            return value
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        days = {"today": today, "yesterday": today - timedelta(days=1)}
        if (day := days.get(str(value).strip().casefold())) is not None:
            return day
        try:
            return time_of(value)
        except ValueError:
            self.fail(
                f"expected a day such as 2026-11-25, 25.11.2026 or yesterday, or a time such as "
                f"2026-11-25T14:30, received {value!r}{likely_dates(value)}"
            )


TIME = Time()


class Level(click.ParamType["tuple[int, str]"]):
    """A level of a label, as (depth, pattern)."""

    name = "N=PATTERN"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, str]:
        """Parse ``2=winter``."""
        if isinstance(value, tuple):
            return value
        depth, _, pattern = str(value).partition("=")
        if not depth.isdecimal() or int(depth) < 1 or not pattern:
            self.fail(f"expected a level and its name, such as 2=winter, received {value!r}")
        return int(depth), pattern


LEVEL = Level()
STATUS = click.Choice(["pending", "labelled", "rejected", "quarantined", "cancelled"])
MEASURES = {
    "confidence": "confidence of the label",
    "category-confidence": "confidence of the category",
    "gender-confidence": "confidence of the gender",
    "type-confidence": "confidence of the type",
    "best-leaf-confidence": "confidence of the best leaf",
    "margin": "difference between the two best leaves",
}


def _range_options() -> Iterator[Callable[[Any], Any]]:
    for name, measure in MEASURES.items():
        for bound, word in (("min", "Least"), ("max", "Greatest")):
            flags = [f"--{bound}-{name}"]
            if flags == ["--min-best-leaf-confidence"]:
                flags.append("--best-leaf-confidence")
            help = f"{word} {measure}."
            yield click.option(
                *flags, flags[0][2:].replace("-", "_"), type=FRACTION, metavar="FRACTION", help=help
            )


OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--label", metavar="PATTERN", help="Label: 'shoes/female/*' or shoes-Female-sandals."
    ),
    click.option("--category", metavar="NAME", help="First level of the label, such as shoes."),
    click.option("--gender", metavar="NAME", help="Gender: female or male."),
    click.option("--type", metavar="NAME", help="Last level of the label, such as sandals."),
    click.option(
        "--level",
        "levels",
        type=LEVEL,
        multiple=True,
        help="A level of the label, counted from 1: 2=winter fits kids/winter/boots.",
    ),
    click.option(
        "--best-leaf",
        metavar="PATTERN",
        help="The model's most probable full path, also where the label stops earlier.",
    ),
    click.option("--status", type=STATUS, help="Status of the row."),
    click.option("--reason", metavar="CODE", help="Reason of a rejection, such as truncated."),
    click.option("--crawl", metavar="NAME", help="Crawl."),
    click.option("--shop", metavar="NAME", help="Shop."),
    click.option("--product-id", metavar="PATTERN", help="The shop's product id."),
    click.option("--url", metavar="PATTERN", help="URL: 'https://shop.example/*'."),
    click.option("--path", metavar="PATTERN", help="Path: '/crawl/spring/*'."),
    click.option("--content-hash", metavar="HASH", help="Hash of the file's content."),
    click.option(
        "--model-version",
        metavar="VERSION",
        help="Model that labelled the row: its version, or the beginning of it.",
    ),
    *_range_options(),
    click.option(
        "--needs-review/--sure",
        default=None,
        help="Rows that are uncertain and not reviewed / the others.",
    ),
    click.option(
        "--corrected/--not-corrected",
        default=None,
        help="Rows that a person labelled or confirmed / the others.",
    ),
    click.option(
        "--duplicates/--unique",
        default=None,
        help="Rows whose content other rows have as well / the others.",
    ),
    click.option("--audit", metavar="NUMBER", help="The sample of this audit: 'audit list'."),
    click.option(
        "--labelled-after",
        type=TIME,
        metavar="TIME",
        help="At or after this time (UTC): 2026-11-25, 25.11.2026, 2026-11-25T14:30, yesterday.",
    ),
    click.option(
        "--labelled-before", type=TIME, metavar="TIME", help="Before this time, in the same form."
    ),
)


def filter_options(command: Command) -> Command:
    """Add the filter options to a command, in the order above."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def filter_from_options(options: Mapping[str, Any]) -> Filter:
    """Make the filter of the option values."""
    from db.queries import Filter

    values = dict(options)
    values["levels"] = values.get("levels") or None
    return Filter(**values)


def check_filter(engine: Engine, wanted: Filter, *, work: bool = False) -> Filter:
    """The filter with the full version of its model; what leads to an empty result is said.

    A crawl, shop, reason or model that the catalogue never had, and a label that no taxonomy has,
    are named on standard error: they are probably typing errors. So are rows that a label leaves
    out: they have it as their best leaf, but stopped earlier.

    Args:
        engine: The catalogue.
        wanted: The filter.
        work: The rows are to be worked on, not only read: an unknown crawl is refused.

    Raises:
        InvalidRecord: there is no such crawl to work on; the message lists the crawls.
        InvalidQuery: several models' versions begin as the given one.
    """
    from db.ledger import require_crawl
    from db.queries import matches_no_label, unseen_values, with_full_version

    if wanted.crawl is not None and work:
        require_crawl(engine, wanted.crawl)
    wanted = with_full_version(engine, wanted)
    for line in unseen_values(engine, wanted):
        click.echo(f"fashion-cascade: {line}", err=True)
    _hint_at_stopped(engine, wanted)
    if matches_no_label(engine, wanted):
        names = ("label", "category", "gender", "type", "best_leaf")
        given = [(name, getattr(wanted, name)) for name in names]
        given += [("level", f"{depth}={name}") for depth, name in wanted.levels or ()]
        asked = " ".join(
            f"--{name.replace('_', '-')} {value!r}" for name, value in given if value is not None
        )
        click.echo(
            f"no registered label fits {asked}; 'stats' shows the labels in use, "
            "'taxonomy' those of the model",
            err=True,
        )
    return wanted


def _hint_at_stopped(engine: Engine, wanted: Filter) -> None:
    """Say how many pictures a filter by label leaves out because their label stops earlier."""
    from db.errors import QueryTooSlow
    from db.queries import by_best_leaf, stopped_above

    if wanted.label is None or wanted.best_leaf is not None:
        return
    try:
        found = stopped_above(engine, wanted, seconds=HINT_SECONDS)
    except QueryTooSlow:
        return
    if not found:
        return
    (first, number), *others = found.items()
    where = f"{number:,} more stopped at {first}" + "".join(
        f", {rows:,} at {label}" for label, rows in others
    )
    instead, options = by_best_leaf(wanted), ["--best-leaf", shlex.quote(wanted.label)]
    for name in ("min_best_leaf_confidence", "max_best_leaf_confidence"):
        if (value := getattr(instead, name)) is not None:
            options += [f"--{name.removeprefix('min_').replace('_', '-')}", f"{value:g}"]
    click.echo(f"{where}: {' '.join(options)}", err=True)
