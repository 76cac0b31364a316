"""Read Scrapy feeds: items with the pictures that its images or files pipeline has stored."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from db.records import PendingRow
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import MAX_VALUE, scalar, text_of
from worker.errors import InputError
from worker.sources.paths import is_url, to_os_path
from worker.sources.scan import file_state

RESULTS = {"images": "image_urls", "files": "file_urls"}  # the field of results by that of URLs
NESTED = (*RESULTS, *RESULTS.values())
COLUMNS = ("path", "shop", "product_id", *NESTED)
STORED = ("downloaded", "uptodate", "cached")  # the status of a file that is there
NO_RESULT = "the feed has no result for this address; the log of Scrapy says why"


def is_feed(file: Path, encoding: str | None = None) -> bool:
    """Whether the rows have pictures as items of Scrapy do, and no path."""
    if file.suffix.lower() == ".parquet":
        return False
    try:
        _, first = next(read_rows(file, COLUMNS, [], encoding=encoding, nested=NESTED), ("", {}))
    except TabularError:
        return False  # its reading says what is wrong
    return "path" not in first and any(name in first for name in NESTED)


def read_feed(file: Path, store: str, encoding: str | None = None) -> Iterator[PendingRow]:
    """Yield a row for each picture of each item.

    An address of `image_urls` without a result, or with another status than those of stored files,
    gives a row with a failure. Its path is the one that Scrapy would use.

    Args:
        file: JSON lines, a JSON array or CSV.
        store: the folder or address of Scrapy's IMAGES_STORE or FILES_STORE.
        encoding: of the file; see `tabular.lines.text_lines`.

    Raises:
        InputError: an item that cannot be read.
    """
    try:
        for place, item in read_rows(file, COLUMNS, [], encoding=encoding, nested=NESTED):
            try:
                yield from rows_of_item(item, store)
            except ValueError as error:
                raise InputError(f"{place}: {error}") from error
    except TabularError as error:
        raise InputError(str(error)) from error


def rows_of_item(item: Mapping[str, Any], store: str) -> Iterator[PendingRow]:
    """The rows of one item.

    Raises:
        ValueError: a field that is not as Scrapy writes it.
    """
    shop, product_id = _text(item, "shop"), _text(item, "product_id")
    about = partial(replace, shop=shop, product_id=product_id)
    for results, addresses in RESULTS.items():
        found = set()
        for picture in _list(item.get(results), results):
            if not isinstance(picture, Mapping):
                raise ValueError(
                    f"{results}: expected objects with url, path and status, received "
                    f"{picture!r:.100}"
                )
            url, path, status = (_text(picture, n) for n in ("url", "path", "status"))
            found.add(url)
            if path is None and url is None:
                raise ValueError(f"{results}: expected a path, received {dict(picture)!r:.200}")
            failure = None
            if path is None or status not in (None, *STORED):
                failure = f"status {status}"
            row = _row(store, path or _path_of(str(url)), failure)
            yield about(row, url=url)
        for address in _list(item.get(addresses), addresses):
            if (url := _text({addresses: address}, addresses)) and url not in found:
                found.add(url)
                yield about(_row(store, _path_of(url), NO_RESULT), url=url)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    try:
        return text_of(scalar(values.get(name)))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _row(store: str, path: str, failure: str | None) -> PendingRow:
    below = path if is_url(store) else to_os_path(path)
    state = file_state(f"{store.rstrip('/')}/{below}")
    if failure is not None:
        return PendingRow(state.path, failure=failure)
    return PendingRow(state.path, state.size, state.mtime)


def _path_of(url: str) -> str:
    """The path that Scrapy gives a picture by default."""
    return f"full/{hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()}.jpg"


def _list(value: Any, name: str) -> list[Any]:
    """A field as a list; in CSV it is a text as Python or JSON has it, or joined by commas."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        if len(value) > MAX_VALUE:
            raise ValueError(f"{name}: expected at most {MAX_VALUE:,} characters")
        value = _parsed(value, name)
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name}: expected a list, received {value!r:.100}")
    return list(value)


def _parsed(text: str, name: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        return re.split(r",(?=[a-z][a-z0-9+.-]*://)", text)
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        return [value] if isinstance(value, dict) else value
    raise ValueError(f"{name}: expected a list as Scrapy writes it, received {text!r:.100}")


def absolute_store(given: str | None, file: Path) -> str:
    """The store as an absolute folder or an address; by default the folder of the feed.

    Raises:
        InputError: no such folder.
    """
    store = given if given is not None else str(file.absolute().parent)
    if is_url(store):
        return store.rstrip("/")
    if not os.path.isdir(store):  # noqa: PTH112
        raise InputError(
            f"{store}: expected the folder of IMAGES_STORE of the Scrapy project, found none "
            "there; give it by --images-store"
        )
    return os.path.abspath(store)  # noqa: PTH100
