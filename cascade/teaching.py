"""What a teacher says of the training pictures, for a smaller network to learn from.

Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network: a network that learns
another's probabilities beside the labels learns more than the labels say. The teacher sees each
picture once and once mirrored, at its own size, and answers with its calibrated probabilities.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cascade.classifier import Cascade
from cascade.dataset import Pictures, decode_items
from cascade.errors import BundleError, DatasetError
from cascade.evaluation_answers import every_logit
from cascade.taxonomy import Decision

log = logging.getLogger(__name__)


def taught_by(teacher: Cascade, pictures: Pictures, decisions: Sequence[Decision]) -> Pictures:
    """The pictures with the teacher's probabilities for each of ``decisions``.

    Raises ``BundleError`` where it decides otherwise, ``DatasetError`` where the pictures lie in no
    files that could be decoded at its size.
    """
    if tuple(teacher.bundle.decisions) != tuple(decisions):
        raise BundleError(
            f"{teacher.bundle.folder}: expected a teacher with the decisions of the network that "
            "is trained; take one of the same tree and --form"
        )
    pixels = pictures.pixels
    frame = teacher.preprocessing
    if pixels.shape[1:3] != (frame.height, frame.width):
        decoded = decode_items(pictures.items, frame)
        if len(decoded) != len(pictures):
            raise DatasetError("expected pictures in files, for the teacher to see at its own size")
        pixels = decoded.pixels
    log.info("asking the teacher %s about %d pictures", teacher.version, len(pictures))
    seen = [
        teacher.routing.outcome_probabilities(every_logit(teacher, each))
        for each in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))
    ]
    return replace(pictures, taught=np.mean(seen, axis=0).astype(np.float32))
