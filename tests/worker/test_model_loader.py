"""The models of a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.bundle import SHIPPED, Bundle
from worker.errors import ModelUnusable
from worker.model_loader import ModelCache, open_model


def test_an_unknown_model_of_a_message_is_named() -> None:
    models = ModelCache("constant:glasses/optical")
    assert models.get(None) is models.default()
    with pytest.raises(ModelUnusable, match="a message wants model abc"):
        models.get("abc")


def test_reserved_words_name_the_shipped_bundles_and_folders_of_that_name_need_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Bundle.open(verify=False).version
    monkeypatch.chdir(tmp_path)
    for word in ("default", "accurate", "auto"):
        Path(word).symlink_to(SHIPPED)
        assert open_model(f"./{word}").source == word  # the folder beside us
    assert {open_model(word).version for word in ("default", "accurate")} == {shipped}
    assert {open_model(word).source for word in ("default", "accurate")} == {str(SHIPPED)}
    with pytest.raises(ModelUnusable, match=r"auto: the word is kept .* or a folder .* \./auto"):
        open_model("auto")
