"""
Nodes whose inputs are known, computed while importing by onnx's reference evaluator.

Exporters spell shapes as graphs (`Shape`, `Gather`, `Concat`, then `Reshape`); StableHLO has them as attributes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flashlower.frontends.onnx.package import onnx_package
from flashlower.frontends.onnx.values import Array, Value

GROWING = frozenset({"Expand", "OneHot", "Pad", "Range", "Tile"})
"""What makes large tensors from small ones; these become operations."""

FOLDABLE = GROWING | {
    *("Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "CumSum", "Div", "Equal", "Exp", "Flatten"),
    *("Floor", "Gather", "GatherElements", "GatherND", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual"),
    *("Log", "Max", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "Or", "Pow", "Reciprocal", "ReduceMax", "ReduceMin"),
    *("ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterElements", "ScatterND", "Sign", "Slice", "Split", "Sqrt"),
    *("Squeeze", "Sub", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor"),
}
"""What shapes and masks are computed with, in ONNX's own domain. The evaluator is not right for all others."""

LITERAL_LIMIT = 4096
"""Up to this many elements, a known result becomes a literal; beyond, the operations that compute it stay."""

KNOWN_LIMIT = 1 << 16
"""Up to this many elements, the result of operations on known values is computed as well."""


def can_fold(domain: str, op_type: str, inputs: Sequence[Value | None]) -> bool:
    """Whether a node can be computed while importing: its inputs, of which there are some, are known."""
    if domain or op_type not in FOLDABLE or not any(inputs):
        return False
    return all(value is None or value.array is not None for value in inputs)


def makes_literal(op_type: str, inputs: Sequence[Value | None]) -> bool:
    """Whether the result of a node with known inputs should be a literal."""
    values = [value for value in inputs if value is not None]
    if op_type in GROWING or any(value.formula for value in values):
        return False
    sizes = [sum(value.size for value in values)]
    with contextlib.suppress(ValueError):
        sizes.append(math.prod(np.broadcast_shapes(*(value.shape for value in values))))
    return max(sizes) <= LITERAL_LIMIT


def fold(proto: Any, inputs: Sequence[Value | None], opsets: Mapping[str, int]) -> list[Array | None] | None:
    """The results of one node on known inputs, or None where the reference evaluator cannot compute them."""
    onnx = onnx_package()
    reference = onnx_package("onnx.reference")
    names = [name for name in proto.output if name]
    function = onnx.helper.make_function(
        "flashlower",
        "fold",
        list(dict.fromkeys(name for name in proto.input if name)),
        names,
        [proto],
        [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()],
    )
    feeds = {name: value.array for name, value in zip(proto.input, inputs) if name and value is not None}
    try:
        with np.errstate(all="ignore"):
            results = reference.ReferenceEvaluator(function).run(None, feeds, attributes={})
    # The evaluator raises anything for what it does not know; the node is lowered then, which has errors of its own.
    except Exception:
        return None
    found = dict(zip(names, results))
    arrays = [found.get(name) for name in proto.output]
    if any(array is not None and not isinstance(array, np.ndarray | np.generic) for array in arrays):
        return None
    return [None if array is None else np.asarray(array) for array in arrays]
