"""The filter options that `query`, `export`, `review`, `relabel` and others share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from db.queries import Filter

Command = TypeVar("Command", bound=Callable[..., Any])
FRACTION = click.FloatRange(0, 1)
TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])
STATUS = click.Choice(["pending", "labelled", "rejected", "quarantined", "cancelled"])

OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--label", metavar="PATTERN", help="'shoes/female/*', or shoes-Female-sandals."),
    click.option("--category", metavar="NAME", help="The first level, such as shoes."),
    click.option("--gender", metavar="NAME", help="female or male."),
    click.option("--type", metavar="NAME", help="The last level, such as sandals."),
    click.option("--status", type=STATUS),
    click.option("--reason", metavar="CODE", help="Why rejected, such as truncated."),
    click.option("--crawl", metavar="NAME"),
    click.option("--shop", metavar="NAME"),
    click.option("--product-id", metavar="PATTERN"),
    click.option("--url", metavar="PATTERN", help="'https://shop.example/*'."),
    click.option("--path", metavar="PATTERN", help="A path, or '/crawl/spring/*'."),
    click.option("--content-hash", metavar="HASH", help="These very bytes."),
    click.option("--model-version", metavar="VERSION", help="Labelled by this model."),
    click.option("--min-confidence", type=FRACTION, help="Of the label; each level has its own:"),
    click.option("--max-confidence", type=FRACTION),
    click.option("--min-category-confidence", type=FRACTION),
    click.option("--max-category-confidence", type=FRACTION),
    click.option("--min-gender-confidence", type=FRACTION),
    click.option("--max-gender-confidence", type=FRACTION),
    click.option("--min-type-confidence", type=FRACTION),
    click.option("--max-type-confidence", type=FRACTION),
    click.option("--min-margin", type=FRACTION, help="Between the best leaf and the next."),
    click.option("--max-margin", type=FRACTION),
    click.option(
        "--needs-review/--sure",
        default=None,
        help="Where the cascade was not sure and no person has settled it / the others.",
    ),
    click.option("--corrected/--not-corrected", default=None, help="A person labelled it."),
    click.option(
        "--duplicates/--unique", default=None, help="The same bytes stand in several rows."
    ),
    click.option("--labelled-after", type=TIME, help="At this time (UTC) or later."),
    click.option("--labelled-before", type=TIME, help="Before this time (UTC)."),
)


def filter_options(command: Command) -> Command:
    """Add the filters to a command, in the order above."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def made_filter(filters: Mapping[str, Any]) -> Filter:
    """The filter that the options mean."""
    from db.queries import Filter

    values: dict[str, Any] = {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for name, value in filters.items()
    }
    return Filter(**values)


def check_filter(engine: Engine, wanted: Filter) -> None:
    """Refuse a crawl that never was, and say so where no registered label is what was asked for.

    Either is a slip of the keys, which an empty answer would hide. A label is only warned of: it
    may be one of a model that has not labelled anything yet.

    Raises:
        InvalidRecord: there is no such crawl; the message names those that there are.
    """
    from db.ledger import require_crawl
    from db.queries import fits_no_label

    if wanted.crawl is not None:
        require_crawl(engine, wanted.crawl)
    if fits_no_label(engine, wanted):
        names = ("label", "category", "gender", "type")
        given = [(name, getattr(wanted, name)) for name in names]
        asked = " ".join(f"--{name} {value!r}" for name, value in given if value is not None)
        click.echo(
            f"no registered label fits {asked}; 'stats' shows the labels in use, "
            "'taxonomy' those of the model",
            err=True,
        )
