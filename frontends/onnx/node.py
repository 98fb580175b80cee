"""A node of an ONNX graph as a lowering function sees it, and tables of those functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from xdsl.ir import Attribute

from flashlower.dialects.numpy_values import element_type_of
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.package import OnnxModelError, element_dtype
from flashlower.frontends.onnx.values import Array, Value

if TYPE_CHECKING:
    from flashlower.frontends.onnx.graph import Scope

Results: TypeAlias = Value | Sequence[Value | None]
Lowering: TypeAlias = "Callable[[Node], Results | None]"


class Table(dict[tuple[str, str], Lowering]):
    """Lowering functions by domain and op type; the domain of ONNX's own operators is ''."""

    def lowers(self, *op_types: str, domain: str = "") -> Callable[[Lowering], Lowering]:
        """
        Enters a function that lowers nodes of these op types.

        It returns the node's results (one value, or one for each output), or None where the node is better imported
        as the body of the operator's function.
        """

        def enter(function: Lowering) -> Lowering:
            self.update({(domain, op_type): function for op_type in op_types})
            return function

        return enter


class Node:
    """
    A node, its inputs (None where an optional one is left out) and attributes.

    The methods raise `OnnxModelError`, which names the node, where what a lowering asks for is missing or not known.
    """

    def __init__(self, proto: Any, scope: Scope, inputs: Sequence[Value | None], attributes: Mapping[str, Any]):
        self.proto = proto
        self.scope = scope
        self.inputs = inputs
        self.attributes = attributes
        self.op_type = str(proto.op_type)
        self.domain = normal_domain(proto.domain)
        self.outputs = [str(name) for name in proto.output]

    @property
    def b(self) -> Builder:
        """Appends to the function that is being built."""
        return self.scope.builder

    @property
    def opset(self) -> int:
        """The version of the node's domain that the model asks for."""
        return self.scope.opset_of(self.domain)

    @property
    def where(self) -> str:
        """The node in error messages: its name, op type, domain and opset."""
        return describe(self.proto, self.scope.opsets.get(self.domain))

    def error(self, message: str) -> OnnxModelError:
        return OnnxModelError(f"{self.where}: {message}")

    def has_output(self, i: int) -> bool:
        return i < len(self.outputs) and bool(self.outputs[i])

    def optional(self, i: int) -> Value | None:
        return self.inputs[i] if i < len(self.inputs) else None

    def input(self, i: int) -> Value:
        value = self.optional(i)
        if value is None:
            raise self.error(f"input {i} is missing")
        return value

    def present(self) -> list[Value]:
        """All inputs of a variadic operator."""
        return [self.input(i) for i in range(len(self.inputs))]

    def known(self, i: int, what: str) -> Array:
        """The array of an input that must be known when the model is imported."""
        value = self.input(i)
        if value.array is None:
            raise self.error(
                f"{what} (input {i}, {self.proto.input[i]!r}) is computed from data, but shapes are static: make it a "
                "constant or an initializer, or let it depend on shapes only"
            )
        return value.array

    def integers(self, i: int, what: str) -> list[int]:
        """The integers of an input that must be known when the model is imported."""
        return [int(x) for x in self.known(i, what).reshape(-1)]

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def axis(self, axis: int, rank: int | None = None) -> int:
        """An axis counted from the start; negative ones count from the end."""
        rank = self.input(0).rank if rank is None else rank
        if not -rank <= axis < max(rank, 1):
            raise self.error(f"axis {axis} is out of range for rank {rank}")
        return axis % rank if rank else 0

    def axes(self, i: int, rank: int | None = None) -> list[int] | None:
        """The axes of an operator that has them as an attribute in older opsets, and as input `i` in newer ones."""
        found = self.attribute("axes")
        if found is None and self.optional(i) is not None:
            found = self.integers(i, "axes")
        return None if found is None else [self.axis(int(axis), rank) for axis in found]

    def element_type(self, data_type: int) -> Attribute:
        """The element type of a number of `TensorProto.DataType`."""
        return element_type_of(element_dtype(data_type, f"{self.where}: the result"))


def normal_domain(domain: str) -> str:
    """'' for both names of ONNX's own domain."""
    return "" if domain == "ai.onnx" else str(domain)


def describe(proto: Any, opset: int | None) -> str:
    """A node in error messages."""
    domain = normal_domain(proto.domain) or "ai.onnx"
    name = f"node {proto.name!r}" if proto.name else f"the node of {list(proto.output)}"
    return f"{name} ({proto.op_type}, domain {domain}, opset {'?' if opset is None else opset})"
