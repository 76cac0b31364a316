"""The digest of a backend's files tells two conversions of one model version apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cascade.backends import LITERT_FLOAT32, LITERT_INT8, OPENVINO_FLOAT32, TENSORFLOW
from cascade.backends.digests import digest, digests
from cascade.bundle import Bundle
from cascade.errors import BundleError
from tests.bundles import converted_anew


def test_digest_changes_with_the_files_of_its_backend_only(
    quick_bundle: Path, tmp_path: Path
) -> None:
    before, after = Bundle.open(quick_bundle), converted_anew(quick_bundle, tmp_path / "bundle")
    assert after.version == before.version
    assert digests(before).keys() == digests(after).keys()
    changed = {name for name, value in digests(after).items() if digests(before)[name] != value}
    assert changed & {LITERT_FLOAT32, OPENVINO_FLOAT32} == {LITERT_FLOAT32, OPENVINO_FLOAT32} & set(
        digests(after)
    )
    assert not changed & {TENSORFLOW, LITERT_INT8}


def test_openvino_reads_the_files_of_litert_and_tensorflow_its_own(quick_bundle: Path) -> None:
    bundle = Bundle.open(quick_bundle)
    assert digest(bundle, OPENVINO_FLOAT32) == digest(bundle, LITERT_FLOAT32)
    assert digest(bundle, TENSORFLOW) != digest(bundle, LITERT_FLOAT32)


def test_missing_file_is_refused_by_name(small_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(small_bundle, tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"litert_int8.*0\.tflite"):
        digest(Bundle.open(tmp_path / "bundle"), LITERT_INT8)
