"""A catalogue with the sample labels, on each database."""

from __future__ import annotations

import pytest

from db.catalogue import Catalogue
from tests.db.samples import register


@pytest.fixture
def store(catalogue: Catalogue) -> Catalogue:
    """An empty catalogue with the sample models registered."""
    return register(catalogue)
