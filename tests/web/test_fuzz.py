"""Whatever stands in an address or in a body: an answer that was meant, never a fault."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.catalogue import Catalogue
from tests.db.samples import MODEL, labelled, put, register, rejected
from tests.web.serving import served
from web.access import Access, Secrets
from web.views import FLAGS, FRACTIONS, OTHERS, TEXTS, TIMES

MEANT = (200, 304, 400, 404)
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TOKEN = {"Authorization": "Bearer t"}


@pytest.fixture
def client(catalogue: Catalogue, tmp_path: Path) -> Iterator[httpx.Client]:
    outcomes = [labelled("/a/1.jpg"), labelled("/a/2.jpg"), rejected("/a/3.jpg")]
    put(register(catalogue), outcomes, MODEL, "spring")
    with served(catalogue, tmp_path, access=Access(Secrets(token="t"))) as opened:
        opened.headers.update(TOKEN)
        yield opened


def position(values: list[Any]) -> str:
    """A position of a page, as somebody may write one."""
    text = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    return f"after.{text}"


names = st.sampled_from([*TEXTS, *FLAGS, *TIMES, *FRACTIONS, *OTHERS, "by", "colour"])
odd = st.sampled_from(
    ["true", "0.5", "nan", "inf", "-1", "1", "*", "spring", "labelled", "least sure", "\0", "\x7f"]
    + ["9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-25"]
    + ["2=shoes", "99=*", "0=x", "2000000000000000000000=x", "²=x", "shoes/*", "%", "_", "'", '"']
    + [position(["id", True, 10**30]), position(["id", True, -(2**63)]), position(["id", True, 1])]
    + [position(["id", True, float("nan")]), position(["id", True, 1e400]), position([])]
    + [position(["id", True, True]), position(["confidence", False, 0.5, 2**70])]
)
pairs = st.lists(st.tuples(names, odd | st.text(max_size=30)), max_size=4)
paths = st.sampled_from(["/", "/api/v1/pictures", "/api/v1/stats", "/api/v1/count"]) | (
    st.sampled_from(["/facets/label", "/facets/day", "/api/v1/progress", "/api/v1/batches"])
)


@FEW
@given(path=paths, query=pairs)
def test_any_address_is_answered(
    client: httpx.Client, path: str, query: list[tuple[str, str]]
) -> None:
    text = urlencode(query, errors="surrogatepass")
    found = client.get(f"{path}?{text}")
    assert found.status_code in MEANT, (path, query, found.text)


@pytest.mark.parametrize(
    "at",
    [position(["id", True, value]) for value in (10**30, -(10**30), float("nan"), True, "x", None)],
)
def test_a_position_that_no_page_gave_is_refused(client: httpx.Client, at: str) -> None:
    assert client.get("/", params={"at": at}).status_code == 400


@pytest.mark.parametrize("query", ["day=9999-12-31", "labelled_after=0001-01-01T00:00:00%2B14:00"])
def test_a_time_that_no_calendar_has_is_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/?{query}").status_code == 400


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
names_of_fields = ["by", "choices", "note", "where", "label", "expected", "batch", "crawl", "ids"]
fields = st.sampled_from(names_of_fields)
choices = st.lists(
    st.fixed_dictionaries({"id": values, "label": values, "seen": values}), max_size=3
)
bodies = st.fixed_dictionaries({"by": st.just("m") | values}, optional={"choices": choices}) | (
    st.dictionaries(fields | st.just("reason"), values, max_size=5)
)


@FEW
@given(name=st.sampled_from(["corrections", "undo", "requeue", "release"]), body=bodies)
def test_any_body_is_answered(client: httpx.Client, name: str, body: dict[str, Any]) -> None:
    found = client.post(f"/api/v1/{name}", content=json.dumps(body))
    assert found.status_code in MEANT, (name, body, found.text)
