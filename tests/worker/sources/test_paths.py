"""Any name that a disk can hold goes through text and finds its file again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sources.paths import is_url, to_os_path, to_text

names = st.binary(min_size=1, max_size=40).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)


@given(st.lists(names, min_size=1, max_size=4))
def test_text_is_utf8_and_leads_back(parts: list[bytes]) -> None:
    raw = b"/" + b"/".join(parts)
    text = to_text(raw)
    text.encode("utf-8")  # holds no surrogate: every database and JSON takes it
    assert os.fsencode(to_os_path(text)) == raw


@given(names, names)
def test_two_names_never_get_one_text(one: bytes, other: bytes) -> None:
    assert (to_text(b"/" + one) == to_text(b"/" + other)) == (one == other)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/a/b c.jpg", "/a/b c.jpg"),
        ("/schuh/größe.jpg".encode(), "/schuh/größe.jpg"),
        (b"/a/new\nline.jpg", "/a/new\nline.jpg"),
        (b"/a/\xff%.jpg", "file:///a/%FF%25.jpg"),
        (b"/a/nul\0.jpg", "file:///a/nul%00.jpg"),
        (b"/a/../b//c.jpg", "/b/c.jpg"),
    ],
)
def test_known_names(raw: bytes, text: str) -> None:
    assert to_text(raw) == text


def test_a_relative_path_is_made_absolute() -> None:
    assert to_text("x.jpg") == str(Path.cwd() / "x.jpg")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://bucket/a.jpg", True), ("/a/b.jpg", False), ("file:///a/%FF", False), ("a:b", False)],
)
def test_urls_of_object_stores_are_recognised(text: str, expected: bool) -> None:
    assert is_url(text) is expected
