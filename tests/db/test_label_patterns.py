"""Tests of `db/label_patterns.py`: what a star matches, and that many stars cost nothing."""

from __future__ import annotations

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from db.label_patterns import label_matches

few_letters = st.text("ab/*", max_size=12)


@given(few_letters, st.text("ab/", max_size=12))
def test_a_star_matches_what_the_regular_expression_matches(pattern: str, label: str) -> None:
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    wanted = re.fullmatch(expression, label) is not None
    hyphens = "/" not in pattern and re.fullmatch(expression, label.replace("/", "-")) is not None
    assert label_matches(pattern, label) == (wanted or hyphens)


def test_pieces_do_not_overlap() -> None:
    assert not label_matches("aba*ba", "aba")
    assert label_matches("SHOES/*/sandals", "shoes/Female/sandals")
    assert not label_matches("shoes/*/*s", "shoes/s")


def test_many_stars_end() -> None:
    """In a process of its own: a search that tries every combination never ends."""
    code = (
        "from db.label_patterns import label_matches\n"
        "assert not label_matches('*a' * 40 + 'b', 'a' * 4000)\n"
        "assert label_matches('*a' * 4000, 'a' * 4000)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
