"""What a network of a bundle may be made of: nothing that can contain code.

Keras rebuilds each object of a configuration by its ``module``, ``class_name`` and
``registered_name``, at any depth: layers, what they wrap, their initializers and data types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NETWORK = "Functional"
TENSOR = "__keras_tensor__"  # a connection between two layers
IDENTITY = ("class_name", "module", "registered_name")

# Lambda can contain code; wrappers (TimeDistributed, Bidirectional) and models of another kind
# are not needed.
LAYERS = frozenset(
    """
    InputLayer Rescaling Conv2D DepthwiseConv2D SeparableConv2D BatchNormalization ReLU Activation
    Softmax Add Multiply Concatenate MaxPooling2D AveragePooling2D GlobalAveragePooling2D
    GlobalMaxPooling2D Flatten Reshape ZeroPadding2D Dropout Dense
    """.split()
)
INITIALIZERS = frozenset(
    """
    Zeros Ones Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Orthogonal
    """.split()
)
ALLOWED: Mapping[str | None, frozenset[str]] = {
    "keras.layers": LAYERS,
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": frozenset({"L1", "L2", "L1L2"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "keras": frozenset({"DTypePolicy", NETWORK}),
    "keras.models": frozenset({NETWORK}),
    "keras.src.models.functional": frozenset({NETWORK}),
    None: frozenset({TENSOR}),
}


def first_refused(config: Any) -> str | None:
    """The first object of a Keras configuration, at any depth, that is not in `ALLOWED`.

    Named as in ``keras.layers.Lambda``; None if all are allowed.
    """
    return next((name for each in _objects(config) if (name := _refused(each))), None)


def _refused(item: Mapping[str, Any]) -> str | None:
    class_name, module, registered = (item.get(key) for key in IDENTITY)
    known = isinstance(module, str | None) and isinstance(class_name, str)
    # a registered name takes precedence over the class
    if known and class_name in ALLOWED.get(module, ()) and registered in (None, class_name):
        return None
    named = class_name if registered in (None, class_name) else registered
    return f"{module}.{named}" if module else str(named)


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Each mapping that Keras may take for an object; without recursion, however deep it is."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            if any(key in item for key in IDENTITY):
                yield item
            waiting.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
