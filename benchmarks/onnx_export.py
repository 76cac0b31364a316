"""Export a bundle's network to ONNX, to compare with ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cascade.networks.serialisation import read_network

OPSET = 17


def exported(bundle: Path) -> bytes:
    """The first network of a bundle as ONNX, with the same weights.

    Input ``pictures`` ``(N, height, width, 3)`` uint8, output ``answer`` ``(N, K)`` float32 logits.
    """
    return _Export(read_network(bundle, 0)).model().SerializeToString()


class _Export:
    """Translates the layers in order. ONNX Runtime itself folds batch normalization."""

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.names: dict[int, str] = {}

    def model(self) -> Any:
        height, width = self.network.input_shape[1:3]
        for layer in self.network.layers:
            self._layer(layer)
        answer = self.names[id(self.network.outputs[0])]
        self.nodes.append(helper.make_node("Identity", [answer], ["answer"]))
        classes = int(self.network.output_shape[1])
        graph = helper.make_graph(
            self.nodes,
            "cascade",
            [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["N", height, width, 3])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", classes])],
            self.constants,
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9)

    def _constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def _layer(self, layer: Any) -> None:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        names = [self.names.get(id(tensor), "") for tensor in inputs]
        kind, name = type(layer).__name__, layer.name
        weights = [np.asarray(w) for w in layer.get_weights()]
        if kind == "InputLayer":
            found = self._node("Cast", ["pictures"], "as_float", to=TensorProto.FLOAT)
            found = self._node("Transpose", [found], "planes", perm=[0, 3, 1, 2])
        elif kind == "Rescaling":
            scale = self._constant(f"{name}_scale", np.float32(layer.scale))
            offset = self._constant(f"{name}_offset", np.float32(layer.offset))
            found = self._node("Mul", [names[0], scale], f"{name}_scaled")
            found = self._node("Add", [found, offset], name)
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            order = (3, 2, 0, 1) if kind == "Conv2D" else (2, 3, 0, 1)
            kernel = self._constant(f"{name}_kernel", weights[0].transpose(order))
            groups = 1 if kind == "Conv2D" else weights[0].shape[2]
            padding = "SAME_UPPER" if layer.padding == "same" else "VALID"
            strides, parts = list(layer.strides), [names[0], kernel]
            found = self._node("Conv", parts, name, strides=strides, group=groups, auto_pad=padding)
        elif kind == "BatchNormalization":
            parts = [self._constant(f"{name}_{n}", each) for n, each in enumerate(weights)]
            found = self._node(
                "BatchNormalization", [names[0], *parts], name, epsilon=layer.epsilon
            )
        elif kind == "ReLU":
            low = self._constant(f"{name}_low", np.float32(0))
            high = self._constant(f"{name}_high", np.float32(layer.max_value))
            found = self._node("Clip", [names[0], low, high], name)
        elif kind == "Add":
            found = self._node("Add", names, name)
        elif kind == "GlobalAveragePooling2D":
            found = self._node("ReduceMean", [names[0]], name, axes=[2, 3], keepdims=0)
        elif kind == "Dropout":
            found = names[0]
        elif kind == "Dense":
            parts = [self._constant(f"{name}_{n}", each) for n, each in enumerate(weights)]
            found = self._node("Gemm", [names[0], *parts], name)
        elif kind == "Concatenate":
            found = self._node("Concat", names, name, axis=1)
        else:
            raise NotImplementedError(f"layer {kind}: add its translation to ONNX to {__file__}")
        self.names[id(layer.output)] = found


if __name__ == "__main__":
    sys.stdout.buffer.write(exported(Path(sys.argv[1])))
