"""Running a Keras network at serving time: one compiled function with a fixed signature."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np


def keras_runner(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from ``(N, height, width, 3)`` uint8 to ``(N, K)`` float32 logits.

    On TensorFlow it is traced once, for any N, and its weights become constants, so that it runs
    without retracing (``model.predict`` in a loop is several times slower and grows). On another
    Keras backend the model is called as it is.
    """
    if keras.config.backend() == "tensorflow":
        return _frozen_tensorflow(model)

    def run(pixels: np.ndarray) -> np.ndarray:
        answer: np.ndarray = keras.ops.convert_to_numpy(model(pixels, training=False))
        return answer

    return run


def _frozen_tensorflow(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    traced = tf.function(
        lambda pixels: model(pixels, training=False), input_signature=[signature], autograph=False
    )
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())

    def run(pixels: np.ndarray) -> np.ndarray:
        answer: np.ndarray = frozen(tf.constant(pixels))[0].numpy()
        return answer

    return run
