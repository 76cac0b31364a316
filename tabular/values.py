"""One value of a row, whatever the file's format: text, number, truth or nothing."""

from __future__ import annotations

import contextlib
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

MAX_VALUE = 1 << 18  # characters of one value
MAX_INTEGER = 2**63 - 1
_WHOLE_FLOATS = 2.0**53  # below it each whole number is a float of its own
# as Excel writes them in English, German, French, Italian, Spanish, Dutch
_TRUE = {"true", "wahr", "vrai", "vero", "verdadero", "waar", "yes", "1"}
_FALSE = {"false", "falsch", "faux", "falso", "onwaar", "no", "0"}
_DATES = ("%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
_WITH_SLASHES = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?=\D|$)")
_TIMES = ("", " %H:%M", " %H:%M:%S")


def scalar(value: Any) -> Any:
    """`value` as None, text, bool, number or time.

    Whole floats become integers, since tools write a column of integers with gaps as floats. NaN
    is how the same tools write a gap.

    Raises:
        ValueError: a list, an object, infinity, or a value that is too long.
    """
    if isinstance(value, str):
        if len(value) > MAX_VALUE:
            raise ValueError(f"expected at most {MAX_VALUE:,} characters, received {len(value):,}")
        return value
    if value is None or isinstance(value, (bool, int, date)):
        return value
    if isinstance(value, (float, Decimal)):
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise ValueError("expected a finite number")
        if value == int(value) and (isinstance(value, Decimal) or abs(value) < _WHOLE_FLOATS):
            return int(value)
        return value
    if isinstance(value, bytes):
        return scalar(value.decode("utf-8"))
    kind = type(value).__name__
    kind = {"list": "a list", "dict": "an object"}.get(kind, kind)
    raise ValueError(f"expected one value, received {kind}")


def text_of(value: Any) -> str | None:
    """A value of `scalar` as text; None for nothing and for the empty text.

    Raises:
        ValueError: half of a surrogate pair, which no database stores.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"expected text in UTF-8, received {text!r:.200}") from error
    return text


def truth(value: Any) -> bool:
    """True or false, also as spreadsheets write it; nothing is false.

    Raises:
        ValueError: neither.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    word = str(value).strip().casefold()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"expected true or false, received {value!r:.200}")


def integer(value: Any) -> int:
    """A whole number of at most 64 bits; ``12.0`` is one.

    Raises:
        ValueError: anything else.
    """
    text = str(value).strip()
    digits = text.removeprefix("-").removesuffix(".0")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise ValueError(f"expected a whole number, received {value!r:.200}")
    number = int(text.removesuffix(".0"))
    if abs(number) > MAX_INTEGER:
        raise ValueError(f"expected a number of at most 64 bits, received {number}")
    return number


def number(value: Any) -> float:
    """A finite number; a decimal comma, as spreadsheets of many countries write it, is read.

    Raises:
        ValueError: anything else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        found = float(value.strip().replace(",", ".") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected a number, received {value!r:.200}") from None
    if not math.isfinite(found):
        raise ValueError(f"expected a finite number, received {value!r:.200}")
    return found


def time_of(value: Any) -> datetime:
    """A time; one without a zone is in UTC, as exports write it and spreadsheets cut it.

    ``03/04/2026`` is refused, since nobody can tell day from month.

    Raises:
        ValueError: no time.
    """
    if isinstance(value, str):
        found = _parsed(value.strip())
    elif isinstance(value, datetime):
        found = value
    else:
        found = None
    if found is None:
        raise ValueError(
            f"expected a time like 2026-11-25T18:30:00Z, received {value!r:.200}"
            f"{likely_dates(value)}; in a spreadsheet, format the column as yyyy-mm-dd hh:mm:ss "
            "before saving"
        )
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def likely_dates(value: Any) -> str:
    """For the message about ``03/04/2026``: ': write 2026-04-03 or 2026-03-04'; or nothing."""
    found = _WITH_SLASHES.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        return ""
    first, second, year = map(int, found.groups())
    dates = []
    for month, day in ((second, first), (first, second)):
        with contextlib.suppress(ValueError):
            dates.append(date(year, month, day).isoformat())
    return f": write {' or '.join(dict.fromkeys(dates))}" if dates else ""


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in (f"{day}{clock}" for day in _DATES for clock in _TIMES):
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None
