"""Types of attention operations."""

from typing import cast

from xdsl.dialects.builtin import AnyFloat, Float64Type, TensorType, f32, f64
from xdsl.ir import Attribute

TensorOf = TensorType[Attribute]


def accumulator_type(query_type: Attribute) -> AnyFloat:
    """The type of logits, sums and LSE: f32, or f64 where the query is f64."""
    return f64 if isinstance(cast(TensorOf, query_type).element_type, Float64Type) else f32
