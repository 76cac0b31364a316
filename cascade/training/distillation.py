"""What a teacher says of the training pictures, for a smaller network to learn from.

Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network: a network that learns
another's probabilities beside the labels learns more than the labels say. Several teachers answer
with the mean of their calibrated probabilities: what they agree on is surer than any of them.

Teachers of the network's own size are asked about each picture as it is shown in training, changed
and mixed (Beyer et al. 2022, Knowledge distillation: A good teacher is patient and consistent): of
the pictures themselves they know the labels by heart. Teachers of another size see each picture
once and once mirrored, at that size.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cascade.backends import AUTO, OPENVINO_BF16, available, installed
from cascade.bundle import Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import Pictures, decode_items
from cascade.decisions import DecisionSet
from cascade.errors import BundleError, DatasetError
from cascade.evaluation.predictions import all_logits

log = logging.getLogger(__name__)


def open_teacher(folder: Path) -> Cascade:
    """A teacher in the quickest runtime that its bundle has: rounding costs a teacher nothing."""
    bundle = Bundle.open(folder)
    quick = OPENVINO_BF16 in available(bundle) and installed(OPENVINO_BF16)
    return Cascade.load(folder, backend=OPENVINO_BF16 if quick else AUTO)


class Teachers:
    """Cascades that answer for the pictures of a training batch; any thread may ask.

    Raises ``BundleError`` where one decides otherwise than ``decisions``.
    """

    def __init__(self, cascades: Sequence[Cascade], decisions: DecisionSet) -> None:
        for cascade in cascades:
            _check(cascade, decisions)
        self.cascades = tuple(cascades)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """``(N, height, width, 3)`` uint8 to ``(N, K)`` float32 probabilities."""
        said = [
            cascade.routing.outcome_probabilities(all_logits(cascade, pixels))
            for cascade in self.cascades
        ]
        mean: np.ndarray = np.mean(said, axis=0).astype(np.float32)
        return mean


def taught_by(teachers: Sequence[Cascade], pictures: Pictures, decisions: DecisionSet) -> Pictures:
    """The pictures with the mean of the teachers' probabilities for each of ``decisions``.

    Raises ``BundleError`` where one decides otherwise, ``DatasetError`` where the pictures lie in
    no files that could be decoded at its size.
    """
    said = [_said(teacher, pictures, decisions) for teacher in teachers]
    return replace(pictures, taught=np.mean(said, axis=0).astype(np.float32))


def _said(teacher: Cascade, pictures: Pictures, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)``: of each picture and its mirror image, the mean."""
    _check(teacher, decisions)
    pixels = pictures.pixels
    frame = teacher.preprocessing
    if pixels.shape[1:3] != (frame.height, frame.width):
        decoded = decode_items(pictures.items, frame)
        if len(decoded) != len(pictures):
            raise DatasetError("expected pictures in files, for the teacher to see at its own size")
        pixels = decoded.pixels
    log.info("asking the teacher %s about %d pictures", teacher.version, len(pictures))
    seen = [
        teacher.routing.outcome_probabilities(all_logits(teacher, each))
        for each in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))
    ]
    mean: np.ndarray = np.mean(seen, axis=0)
    return mean


def _check(teacher: Cascade, decisions: DecisionSet) -> None:
    if tuple(teacher.bundle.decisions) != tuple(decisions):
        raise BundleError(
            f"{teacher.bundle.folder}: expected a teacher with the decisions of the network that "
            "is trained; take one of the same tree and --form"
        )
