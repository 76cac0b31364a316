"""The models of a worker."""

from __future__ import annotations

import pytest

from worker.errors import ModelUnusable
from worker.model_loader import ModelCache


def test_a_worker_says_which_model_a_message_wants() -> None:
    models = ModelCache("constant:glasses/optical")
    assert models.get(None) is models.default()
    with pytest.raises(ModelUnusable, match="a message wants model abc"):
        models.get("abc")
