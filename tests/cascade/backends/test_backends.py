"""Every backend gives the reference's labels; a worker on LiteRT never imports TensorFlow."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cascade.backends import (
    LITERT,
    LITERT_FLOAT32,
    LITERT_INT8,
    OPENVINO,
    OPENVINO_BF16,
    OPENVINO_FLOAT32,
    TENSORFLOW,
    TENSORFLOW_FLOAT16,
    Runner,
    available,
    choose_backend,
    installed,
    labels_agree,
)
from cascade.backends.litert import LiteRTRunner
from cascade.backends.openvino import OpenVINORunner
from cascade.bundle import Bundle, seal
from cascade.classifier import Cascade
from cascade.conversion import Agreement, convert
from cascade.errors import BundleError
from tests.bundles import drawn

ROOT = Path(__file__).parents[3]
EXACT = [
    LITERT_FLOAT32,
    pytest.param(
        OPENVINO_FLOAT32,
        marks=pytest.mark.skipif(not installed(OPENVINO_FLOAT32), reason="only on x86-64"),
    ),
]


def runner(backend: str, folder: Path, threads: int) -> Runner:
    path = folder / "backends" / LITERT_FLOAT32 / "0.tflite"
    return LiteRTRunner(path, threads) if backend in LITERT else OpenVINORunner(path, threads)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Drawings that the small bundle has not seen, ``(N, 120, 90, 3)`` uint8."""
    return drawn(tmp_path_factory.mktemp("drawings"), 6, 11, "test").pixels


@pytest.fixture(scope="module")
def converted(
    small_bundle: Path, pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Agreement]]:
    """The small bundle with every backend; its networks see pictures routed to them."""
    out = tmp_path_factory.mktemp("converted") / "bundle"
    _, agreements = convert(small_bundle, out, pixels[::2], pixels[1::2])
    return out, agreements


def test_a_converted_bundle_keeps_the_version_and_records_its_agreement(
    small_bundle: Path, converted: tuple[Path, dict[str, Agreement]]
) -> None:
    folder, agreements = converted
    bundle, original = Bundle.open(folder), Bundle.open(small_bundle)
    assert bundle.version == original.version
    assert available(original) == (TENSORFLOW,)
    assert LITERT_FLOAT32 in available(bundle)
    assert bundle.manifest["training"] == original.manifest["training"]
    assert bundle.manifest["figures"]["validation"] == original.manifest["figures"]["validation"]
    assert bundle.manifest["figures"]["backends"][LITERT_FLOAT32]["leaves"] == 1.0
    assert agreements[LITERT_FLOAT32].confidence < 1e-4
    assert agreements[OPENVINO_FLOAT32].confidence < 1e-4
    assert set(agreements) == {*LITERT, *OPENVINO}


def test_mixed_precision_rounds_only_factors(
    small_bundle: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    few = pixels[::20]  # a CPU takes a second for each
    out = tmp_path / "bundle"
    bundle, agreements = convert(small_bundle, out, pixels[1:9], few, float16=True)
    assert TENSORFLOW_FLOAT16 in available(bundle)
    assert 0 < agreements[TENSORFLOW_FLOAT16].confidence < 0.02
    whole = Cascade.load(out, backend=TENSORFLOW).logits(few)
    half = Cascade.load(out, backend=TENSORFLOW_FLOAT16).logits(few)
    assert half.dtype == np.float32
    scale = float(np.abs(whole).max())
    assert half == pytest.approx(whole, abs=0.01 * scale)
    # the logits themselves are not numbers of 11 bits
    assert (half != half.astype(np.float16)).mean() > 0.5


@pytest.mark.parametrize(
    ("leaves", "labels", "there", "same"),
    [(1.0, 1.0, True, True), (0.9999, 0.998, True, False), (0.99, 0.99, False, False)],
)
def test_float16_is_available_if_it_agrees_and_chosen_if_labels_agree(
    converted: tuple[Path, dict[str, Agreement]],
    tmp_path: Path,
    leaves: float,
    labels: float,
    there: bool,
    same: bool,
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(converted[0], folder)
    manifest = Bundle.open(folder).manifest
    found = {"leaves": leaves, "labels": labels, "required": 0.995}
    backends = {**manifest["figures"]["backends"], TENSORFLOW_FLOAT16: found}
    seal(folder, manifest["training"], {**manifest["figures"], "backends": backends})
    bundle = Bundle.open(folder)
    assert (TENSORFLOW_FLOAT16 in available(bundle)) is there
    assert labels_agree(bundle, TENSORFLOW_FLOAT16) is same


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("size", [1, 3, 64])
def test_float32_labels_equal_the_reference_at_every_batch_size(
    converted: tuple[Path, dict[str, Agreement]], pixels: np.ndarray, size: int, backend: str
) -> None:
    reference = Cascade.load(converted[0], backend=TENSORFLOW).classify(pixels)
    cascade = Cascade.load(converted[0], backend=backend)
    found = [
        answer
        for start in range(0, len(pixels), size)
        for answer in cascade.classify(pixels[start : start + size])
    ]
    assert [answer.label for answer in found] == [answer.label for answer in reference]
    for own, other in zip(found, reference, strict=True):
        assert own.confidence == pytest.approx(other.confidence, abs=1e-4)


@pytest.mark.parametrize("backend", EXACT)
def test_logits_are_identical_in_any_batch_and_with_any_number_of_threads(
    converted: tuple[Path, dict[str, Agreement]], pixels: np.ndarray, backend: str
) -> None:
    alone = runner(backend, converted[0], 1)
    together = runner(backend, converted[0], 3)(pixels)
    one_by_one = np.concatenate([alone(picture[None]) for picture in pixels[:10]])
    np.testing.assert_array_equal(together[:10], one_by_one)
    two = runner(backend, converted[0], 2)
    np.testing.assert_array_equal(together[::-1], two(pixels[::-1]))


@pytest.mark.parametrize("backend", EXACT)
def test_threads_that_share_a_runner_get_their_own_logits(
    converted: tuple[Path, dict[str, Agreement]], pixels: np.ndarray, backend: str
) -> None:
    run = runner(backend, converted[0], 2)
    expected = run(pixels)
    together = threading.Barrier(4)

    def own(first: int) -> np.ndarray:
        together.wait(30)
        return run(pixels[first : first + 7])

    with ThreadPoolExecutor(4) as pool:
        for first, answer in zip(range(4), pool.map(own, range(4)), strict=True):
            np.testing.assert_array_equal(answer, expected[first : first + 7])


@pytest.mark.skipif(not installed(OPENVINO_BF16), reason="only on x86-64")
def test_bfloat16_below_the_required_agreement_is_not_available(
    converted: tuple[Path, dict[str, Agreement]], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(converted[0], folder)
    manifest = Bundle.open(folder).manifest
    figures = manifest["figures"]
    assert figures["backends"][OPENVINO_BF16]["required"] == 0.995
    figures["backends"][OPENVINO_BF16]["leaves"] = 0.994
    seal(folder, manifest["training"], figures)
    assert OPENVINO_FLOAT32 in available(Bundle.open(folder))
    with pytest.raises(BundleError, match="openvino_bf16"):
        Cascade.load(folder, backend=OPENVINO_BF16)
    figures["backends"][OPENVINO_BF16]["leaves"] = 0.996
    seal(folder, manifest["training"], figures)
    assert Cascade.load(folder, backend=OPENVINO_BF16).backend == OPENVINO_BF16


@pytest.mark.parametrize("backend", EXACT)
def test_an_empty_batch_gives_no_logits(
    converted: tuple[Path, dict[str, Agreement]], backend: str
) -> None:
    cascade = Cascade.load(converted[0], backend=backend)
    assert cascade.classify(np.zeros((0, 120, 90, 3), np.uint8)) == []


def test_auto_chooses_the_fastest_backend_equal_to_the_reference(
    small_bundle: Path,
    converted: tuple[Path, dict[str, Agreement]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    on_cpu = not tf.config.list_physical_devices("GPU")
    quickest = OPENVINO_FLOAT32 if installed(OPENVINO_FLOAT32) else LITERT_FLOAT32
    assert choose_backend(Bundle.open(small_bundle)) == TENSORFLOW
    assert choose_backend(Bundle.open(converted[0])) == (quickest if on_cpu else TENSORFLOW)
    monkeypatch.setattr("cascade.backends.installed", lambda name: name not in OPENVINO)
    assert choose_backend(Bundle.open(converted[0])) == (LITERT_FLOAT32 if on_cpu else TENSORFLOW)
    assert choose_backend(Bundle.open(converted[0]), TENSORFLOW) == TENSORFLOW


def test_a_missing_backend_is_refused_by_name(small_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"litert_int8.*only tensorflow.*convert"):
        Cascade.load(small_bundle, backend=LITERT_INT8)
    with pytest.raises(ValueError, match=r"one of auto, tensorflow.*received 'onnx'"):
        Cascade.load(small_bundle, backend="onnx")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x1c\x00\x00\x00TFL3" + bytes(64)])
def test_a_file_that_is_not_a_network_is_refused(
    converted: tuple[Path, dict[str, Agreement]], tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(converted[0], folder)
    (folder / "backends" / LITERT_FLOAT32 / "0.tflite").write_bytes(content)
    with pytest.raises(BundleError, match="hash"):
        Cascade.load(folder, backend=LITERT_FLOAT32)
    seal(folder, {}, {})
    for backend in filter(installed, (LITERT_FLOAT32, OPENVINO_FLOAT32)):
        with pytest.raises(BundleError, match=r"0\.tflite: expected a LiteRT network"):
            Cascade.load(folder, backend=backend)


def test_convert_refuses_an_existing_folder_and_an_empty_set(
    small_bundle: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="already"):
        convert(small_bundle, tmp_path, pixels[:2], pixels[2:4])
    with pytest.raises(BundleError, match="found none"):
        convert(small_bundle, tmp_path / "new", pixels[:2], pixels[:0])
    assert not (tmp_path / "new").exists()


WITHOUT_TENSORFLOW = """
import sys
import numpy as np
from worker.model_loader import open_model
model = open_model(sys.argv[1], sys.argv[2])
answers = model.classify(np.full((3, 120, 90, 3), 200, np.uint8))
assert len(answers) == 3
heavy = {"tensorflow", "keras", "torch", "jax"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("backend", EXACT)
def test_a_process_without_the_reference_never_imports_tensorflow(
    converted: tuple[Path, dict[str, Agreement]], backend: str
) -> None:
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(converted[0]), backend]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
