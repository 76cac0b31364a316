"""Distillation: soft labels from one or more teachers for a student network.

A student that learns a teacher's probabilities besides the labels learns more than from the labels
alone (Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*). Several
teachers give the mean of their calibrated probabilities.

Teachers with the student's input size see each picture as it is shown in training, augmented and
mixed (Beyer et al. 2022, *Knowledge distillation: A good teacher is patient and consistent*),
because they have memorised the labels of the originals. So do teachers of another size with
``teacher_views``: the same random changes are made to the picture at their size. Without it they
see each original once and once mirrored. Answers that contradict a label do not
count for teachers of another size.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cascade.backends import AUTO, OPENVINO_BF16, available, installed
from cascade.bundle import Bundle
from cascade.classifier import Cascade
from cascade.data.dataset import Pictures, decode_items, targets
from cascade.decisions import DecisionSet
from cascade.errors import BundleError, DatasetError
from cascade.evaluation.predictions import all_logits

if TYPE_CHECKING:
    from cascade.training.build import TrainingData
    from cascade.training.settings import TrainingSettings

log = logging.getLogger(__name__)

EPSILON = 1e-9  # so that outcomes without any probability can be scaled


def load_teacher(folder: Path) -> Cascade:
    """Load a teacher with its fastest backend: lower precision does not hurt soft labels."""
    bundle = Bundle.open(folder)
    fast = OPENVINO_BF16 in available(bundle) and installed(OPENVINO_BF16)
    return Cascade.load(folder, backend=OPENVINO_BF16 if fast else AUTO)


class TeacherEnsemble:
    """Gives the mean soft labels of several cascades; thread-safe.

    Raises ``BundleError`` for a teacher whose decisions are not ``decisions``.
    """

    def __init__(self, teachers: Sequence[Cascade], decisions: DecisionSet) -> None:
        for teacher in teachers:
            _check_decisions(teacher, decisions)
        self.teachers = tuple(teachers)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """``(N, height, width, 3)`` uint8 pictures to ``(N, K)`` float32 probabilities."""
        return _mean([_probabilities(teacher, pixels) for teacher in self.teachers])


def with_teachers(
    data: TrainingData, settings: TrainingSettings, folders: Sequence[Path]
) -> tuple[TrainingData, TrainingSettings]:
    """Training data and settings with the teachers in ``folders``.

    Teachers of the network's input size answer while training, with ``settings.teacher_views`` also
    those of one other size; else others give soft labels once, here.

    Raises:
        BundleError: a folder is no bundle, or its decisions differ.
        DatasetError: pictures cannot be decoded again at a teacher's input size.
        ValueError: the decisions do not share one network.
    """
    if not settings.architecture.shared:
        raise ValueError("--teacher: expected an experiment with one network for all decisions")
    cascades = [load_teacher(folder) for folder in folders]
    decisions = data.taxonomy.decisions(settings.form)
    settings = replace(settings, teachers=tuple(cascade.version for cascade in cascades))
    sizes = {(each.preprocessing.width, each.preprocessing.height) for each in cascades}
    if sizes == {(data.preprocessing.width, data.preprocessing.height)}:
        return replace(data, teacher=TeacherEnsemble(cascades, decisions)), settings
    if settings.teacher_views:
        if len(sizes) > 1:
            raise ValueError(
                f"--teacher-views: expected teachers of one input size, received {sorted(sizes)}"
            )
        train = replace(data.train, teacher_pixels=_decoded(cascades[0], data.train))
        return replace(data, train=train, teacher=TeacherEnsemble(cascades, decisions)), settings
    return replace(data, train=with_soft_labels(data.train, cascades, decisions)), settings


def with_soft_labels(
    pictures: Pictures, teachers: Sequence[Cascade], decisions: DecisionSet
) -> Pictures:
    """The pictures with the mean of the teachers' probabilities for ``decisions``.

    Raises:
        BundleError: A teacher has other decisions.
        DatasetError: The pictures are not files, so they cannot be decoded at a teacher's size.
    """
    soft_labels = _mean([_soft_labels(teacher, pictures, decisions) for teacher in teachers])
    fits = targets(pictures.items, decisions, teachers[0].routing.taxonomy)
    return replace(pictures, soft_labels=corrected_soft_labels(soft_labels, fits, decisions))


def corrected_soft_labels(
    soft_labels: np.ndarray, fits: np.ndarray, decisions: DecisionSet
) -> np.ndarray:
    """Soft labels without the teachers' mistakes.

    A teacher is often wrong in shops that it never saw, where a student most needs the labels.
    Where the most probable outcome of a decision contradicts the label, only the outcomes that fit
    the label keep their probabilities, and these are scaled to a sum of 1.

    Args:
        soft_labels: ``(N, K)`` probabilities, the outcomes of each decision side by side.
        fits: ``(N, K)``; 1 for each outcome that fits the label, see ``cascade.data.dataset``.
        decisions: The decisions of the K columns.

    Returns:
        ``(N, K)`` float32, a copy.
    """
    corrected = soft_labels.astype(np.float32)
    for columns in decisions.columns:
        given, fitting = corrected[:, columns], fits[:, columns]
        wrong = fitting.any(axis=1) & (fitting[np.arange(len(given)), given.argmax(axis=1)] == 0)
        kept = (given[wrong] + EPSILON) * fitting[wrong]
        given[wrong] = kept / kept.sum(axis=1, keepdims=True)
        corrected[:, columns] = given
    return corrected


def _soft_labels(teacher: Cascade, pictures: Pictures, decisions: DecisionSet) -> np.ndarray:
    """``(N, K)``: mean over each picture and its mirror image."""
    _check_decisions(teacher, decisions)
    pixels = _decoded(teacher, pictures)
    log.info("soft labels of teacher %s for %d pictures", teacher.version, len(pictures))
    mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
    mean: np.ndarray = np.mean(
        [_probabilities(teacher, each) for each in (pixels, mirrored)], axis=0
    )
    return mean


def _decoded(teacher: Cascade, pictures: Pictures) -> np.ndarray:
    """``(N, H, W, 3)`` uint8: the pictures at the teacher's input size."""
    size = teacher.preprocessing
    if pictures.pixels.shape[1:3] == (size.height, size.width):
        return pictures.pixels
    decoded = decode_items(pictures.items, size)
    if len(decoded) != len(pictures):
        raise DatasetError(
            f"teacher {teacher.version}: expected pictures in files, to decode them at its "
            f"input size of {size.width} × {size.height}; train on a folder or a manifest"
        )
    return decoded.pixels


def _probabilities(teacher: Cascade, pixels: np.ndarray) -> np.ndarray:
    return teacher.routing.outcome_probabilities(all_logits(teacher, pixels))


def _mean(each: Sequence[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = np.mean(each, axis=0).astype(np.float32)
    return mean


def _check_decisions(teacher: Cascade, decisions: DecisionSet) -> None:
    if tuple(teacher.bundle.decisions) != tuple(decisions):
        raise BundleError(
            f"{teacher.bundle.folder}: expected a teacher with the same decisions as the student; "
            "take one of the same tree and --form"
        )
