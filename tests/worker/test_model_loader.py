"""The models of a worker."""

from __future__ import annotations

import pytest

from worker.errors import ModelUnusable
from worker.model_loader import ModelCache


def test_an_unknown_model_of_a_message_is_named() -> None:
    models = ModelCache("constant:glasses/optical")
    assert models.get(None) is models.default()
    with pytest.raises(ModelUnusable, match="a message wants model abc"):
        models.get("abc")
