"""Gives a LiteRT network a second output: the features that its heads multiply.

The file stays as it is. Only the copy in memory names one more tensor as an output, so the numbers
are the same. The schema comes with the LiteRT package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def with_feature_output(path: Path) -> bytes:
    """The network of a file, with the input of its heads as second output.

    Raises:
        ValueError: Its logits do not come from linear heads over one input.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    graph.outputs = [int(graph.outputs[0]), _input_of_heads(model, graph, schema.BuiltinOperator)]
    model.signatureDefs = None  # it names the outputs, and nothing here goes by their names
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _input_of_heads(model: Any, graph: Any, names: Any) -> int:
    """The tensor that all heads multiply, searched from the logits backwards."""
    kinds = {value: name for name, value in vars(names).items() if isinstance(value, int)}
    makers = {int(output): each for each in graph.operators for output in each.outputs}
    found, waiting = set(), [int(graph.outputs[0])]
    while waiting:
        tensor = waiting.pop()
        maker = makers.get(tensor)
        if maker is None:
            raise ValueError("its logits come from no operator")
        code = model.operatorCodes[maker.opcodeIndex]
        # old files have only the second one, which is of 8 bits
        kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if kind == "FULLY_CONNECTED":
            found.add(int(maker.inputs[0]))
        elif kind in ("CONCATENATION", "DEQUANTIZE", "QUANTIZE"):
            waiting += [int(each) for each in maker.inputs]
        else:
            raise ValueError(f"its logits come from {kind}, not from linear heads")
    if len(found) != 1:
        raise ValueError(f"its heads have {len(found)} inputs, not one")
    return found.pop()
