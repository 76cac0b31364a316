"""Builds EfficientNet-Lite0, the pretrained trunk that the decision heads share.

Source of the network: Tan and Le 2019, *EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks*; the Lite variant (no squeeze-and-excite, ReLU6) is from TensorFlow's TPU models.
The ImageNet weights beside this module were converted by ``tools/convert_trunk.py``; they are
Apache-2.0, see ``cascade/trunk_weights/NOTICE``.

Only Keras operations are used, so the same code runs on any Keras backend.
"""

from __future__ import annotations

from importlib import resources
from typing import Any, NamedTuple

import keras
import numpy as np

from cascade.errors import BundleError

BATCH_NORM_EPSILON = 1e-3
FEATURES = 1280


class Stage(NamedTuple):
    """Consecutive inverted-residual blocks of the same shape."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters_in: int
    filters_out: int


STAGES = (
    Stage(1, 3, 1, 1, 32, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)


def _batch_norm(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=name)(x)


def _relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=name)(x)


def _block(
    x: Any, stage: Stage, stride: int, filters_in: int, name: str, *, drop: float = 0.0
) -> Any:
    """One inverted residual: expand, depthwise, project; a skip where the shape allows it.

    ``drop`` is the share of pictures for which training leaves out the block, if it has a skip.
    """
    inputs = x
    if stage.expansion != 1:
        x = keras.layers.Conv2D(
            filters_in * stage.expansion, 1, use_bias=False, name=f"{name}_expand"
        )(x)
        x = _relu6(_batch_norm(x, f"{name}_expand_bn"), f"{name}_expand_relu")
    x = keras.layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = _relu6(_batch_norm(x, f"{name}_depthwise_bn"), f"{name}_depthwise_relu")
    x = keras.layers.Conv2D(stage.filters_out, 1, use_bias=False, name=f"{name}_project")(x)
    x = _batch_norm(x, f"{name}_project_bn")
    if stride == 1 and filters_in == stage.filters_out:
        if drop:
            x = keras.layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
        x = keras.layers.Add(name=f"{name}_skip")([inputs, x])
    return x


BLOCKS = sum(stage.repeats for stage in STAGES)


def efficientnet_lite0(
    height: int, width: int, blocks: int = BLOCKS, drop_path: float = 0.0
) -> keras.Model:
    """Build the trunk without its ImageNet classifier.

    Input: ``(N, height, width, 3)`` uint8 RGB, 0 to 255. The first layer scales it to
    ``(x - 127) / 128``. Output: ``(N, 1280)`` float32, globally averaged features.

    Args:
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        blocks: Number of blocks. With fewer than all 16, the output is the averaged features of the
            last block, without the final convolution (112 features after block 10).
        drop_path: Share of pictures for which training leaves out the last block. It decreases
            linearly towards the first block (Huang et al. 2016, *Deep Networks with Stochastic
            Depth*).
    """
    inputs = keras.Input((height, width, 3), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(inputs)
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = _relu6(_batch_norm(x, "stem_bn"), "stem_relu")  # (N, H/2, W/2, 32)
    number = 0
    for stage in STAGES:
        for repeat in range(min(stage.repeats, blocks - number)):
            first = repeat == 0
            x = _block(
                x,
                stage,
                stride=stage.stride if first else 1,
                filters_in=stage.filters_in if first else stage.filters_out,
                name=f"block{number}",
                drop=drop_path * number / BLOCKS,
            )
            number += 1
    if blocks >= BLOCKS:
        x = keras.layers.Conv2D(FEATURES, 1, use_bias=False, name="head")(x)  # (N, H/32, W/32, F)
        x = _relu6(_batch_norm(x, "head_bn"), "head_relu")
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)  # (N, 1280)
    return keras.Model(inputs, features, name="efficientnet_lite0")


def load_imagenet_weights(trunk: keras.Model) -> None:
    """Load the packaged ImageNet weights (stored as float16) into a trunk of any input size.

    Raises ``BundleError`` if the packaged file does not match the network.
    """
    source = resources.files("cascade").joinpath("trunk_weights/efficientnet_lite0.npz")
    with resources.as_file(source) as path, np.load(path, allow_pickle=False) as stored:
        names = {variable.path for variable in trunk.weights}
        if not names <= set(stored.files):  # a shorter trunk needs only some of them
            odd = sorted(names - set(stored.files))[:3]
            raise BundleError(f"trunk weights do not fit the network; first differences: {odd}")
        for variable in trunk.weights:
            variable.assign(stored[variable.path].astype("float32"))
