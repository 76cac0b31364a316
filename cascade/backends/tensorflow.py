"""Runs a Keras network for serving, as one compiled function with a fixed signature."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from cascade.chunks import chunks

CHUNK = 32  # pictures at once on a CPU: as fast as 64, with half the memory for activations


def in_float16(model: keras.Model) -> keras.Model:
    """A copy of the network in mixed precision, which is faster on a GPU.

    It multiplies in float16. Weights, the sums of batch norm and the logits stay float32.
    Micikevicius et al. 2018, *Mixed Precision Training*.
    """

    def copied(layer: keras.Layer) -> keras.Layer:
        settings = layer.get_config()
        kept = isinstance(layer, (keras.layers.InputLayer, keras.layers.Concatenate))
        if not kept and not layer.name.startswith("decide_"):
            settings["dtype"] = "mixed_float16"
        return type(layer).from_config(settings)

    copy = keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    return copy


def keras_runner(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from ``(N, height, width, 3)`` uint8 to ``(N, K)`` float32 logits.

    On TensorFlow it is traced once for any N, with the weights as constants, so that it never
    retraces. (``model.predict`` in a loop is several times slower, and its memory grows.) On
    another Keras backend, the model is called directly.
    """
    if keras.config.backend() == "tensorflow":
        return _frozen_tensorflow(model)

    def run(pixels: np.ndarray) -> np.ndarray:
        answer: np.ndarray = keras.ops.convert_to_numpy(model(pixels, training=False))
        return answer.astype(np.float32, copy=False)

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
    on_gpu = bool(tf.config.list_logical_devices("GPU"))

    def run(pixels: np.ndarray) -> np.ndarray:
        size = len(pixels) if on_gpu else CHUNK
        parts = chunks(len(pixels), size)
        answers = [frozen(tf.constant(pixels[part]))[0].numpy() for part in parts]
        return np.concatenate(answers, dtype=np.float32)

    return run


def out_of_memory_errors() -> tuple[type[Exception], ...]:
    """The exceptions of a runner whose batch does not fit the device's memory."""
    if keras.config.backend() != "tensorflow":
        return (MemoryError,)
    import tensorflow as tf

    return MemoryError, tf.errors.ResourceExhaustedError
