"""The command `convert`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from cascade.drawings import write_sample_crawl
from cli import main


def test_convert_writes_the_backends_that_agree(small_bundle: Path, tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    write_sample_crawl(pictures, 4, 21, junk=False, labelled=True)
    arguments = ["convert", str(small_bundle), "--pictures", str(pictures), "--out", str(out)]
    found = CliRunner().invoke(main, [*arguments, "--calibrate", "20"])
    manifest = json.loads((out / "manifest.json").read_text())
    assert "litert_float32: 100.000% of leaves" in found.stdout
    assert manifest["version"] in found.stdout
    assert manifest["backends"][:2] == ["tensorflow", "litert_float32"]
    left_out = "litert_int8" not in manifest["backends"]
    assert found.exit_code == (1 if left_out else 0)
    assert ("litert_int8: left out" in found.stderr) == left_out


def test_convert_needs_pictures_to_compare_on(small_bundle: Path, tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    write_sample_crawl(pictures, 1, 21, junk=False, labelled=True)
    arguments = ["convert", str(small_bundle), "--pictures", str(pictures), "--out", str(out)]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2
    assert "expected more than 600 pictures" in found.stderr
    assert not out.exists()
