"""The record of a run: what is compared, and what an earlier version did not write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cascade.errors import DatasetError
from cascade.training.provenance import check_same_run

RECORD = {"settings": {"seed": 7, "epochs": 2}, "validation": "a", "taxonomy": {"leaves": ("x",)}}


def test_a_new_folder_gets_the_record(tmp_path: Path) -> None:
    path = tmp_path / "work" / "run.json"
    check_same_run(path, RECORD, "--work")
    assert json.loads(path.read_text()) == json.loads(json.dumps(RECORD))
    check_same_run(path, RECORD, "--work")


def test_the_record_of_an_earlier_version_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"settings": {"seed": 7}, "unknown": 1}))
    with pytest.raises(DatasetError, match=r"the settings \(seed\) differ"):
        check_same_run(path, RECORD | {"settings": {"seed": 8}}, "--work")
    check_same_run(path, RECORD, "--work")
    with pytest.raises(DatasetError, match="the validation pictures differ"):  # it is known now
        check_same_run(path, RECORD | {"validation": "b"}, "--work")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\xff"])
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"run\.json: .*another folder with --work"):
        check_same_run(path, RECORD, "--work")
    assert path.read_bytes() == text.encode("latin-1")
