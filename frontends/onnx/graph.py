"""Graphs, functions and subgraphs: running over nodes, and finding how each is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.frontends.onnx import folding
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.lowerings import LOWERINGS
from flashlower.frontends.onnx.node import Node, Results, describe, normal_domain
from flashlower.frontends.onnx.package import OnnxModelError, constant_array, onnx_package
from flashlower.frontends.onnx.schema import fault_of, schema_of
from flashlower.frontends.onnx.values import Array, Value

MAX_DEPTH = 64
"""How deep functions may call functions; ONNX forbids recursion."""


class Scope:
    """The names of a graph, a subgraph or a function's body, with what is known of its nodes."""

    def __init__(
        self,
        builder: Builder,
        opsets: Mapping[str, int],
        functions: Mapping[tuple[str, str, str], Any],
        *,
        attributes: Mapping[str, Any] | None = None,
        parent: Scope | None = None,
        depth: int = 0,
    ):
        """
        `functions` are the model's, by domain, name and overload; `attributes` are those of the call, for a function's
        body; `parent` is the graph around a subgraph.
        """
        self.builder = builder
        self.opsets = opsets
        self.functions = functions
        self.attributes = attributes or {}
        self.parent = parent
        self.depth = depth
        self.values: dict[str, Value] = {}

    def subgraph(self) -> Scope:
        """The scope of a subgraph, which sees the names around it."""
        return Scope(
            self.builder,
            self.opsets,
            self.functions,
            attributes=self.attributes,
            parent=self,
            depth=self.depth,
        )

    def opset_of(self, domain: str) -> int:
        """The version of a domain, 1 where the model does not name the domain."""
        return self.opsets.get(domain, 1)

    def find(self, name: str) -> Value | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        return None

    def define(self, name: str, value: Value) -> None:
        self.values[name] = value
        if value.ssa is not None and value.ssa.name_hint is None:
            value.ssa.name_hint = readable(name)

    def define_initializers(self, graph: Any) -> None:
        if graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise OnnxModelError(f"initializer {name!r} is sparse; make it dense")
        for tensor in graph.initializer:
            self.values[tensor.name] = Value(array=constant_array(tensor, f"initializer {tensor.name!r}"))

    def run_graph(self, graph: Any) -> list[Value]:
        """The outputs of a graph whose inputs are defined."""
        self.define_initializers(graph)
        self.run(graph.node)
        return [self.output(output.name, f"graph {graph.name!r}") for output in graph.output]

    def output(self, name: str, what: str) -> Value:
        value = self.find(name)
        if value is None:
            raise OnnxModelError(f"{what} has the output {name!r}, which no node, initializer or input defines")
        return value

    def run(self, nodes: Sequence[Any]) -> None:
        """
        Imports nodes in order.

        Raises `OnnxModelError` for an input that nothing before defines, and for what cannot be imported.
        """
        for i, proto in enumerate(nodes):
            inputs: list[Value | None] = []
            for name in proto.input:
                value = self.find(name) if name else None
                if name and value is None:
                    raise self._undefined(proto, str(name), nodes[i:])
                inputs.append(value)
            results = self._run_node(proto, inputs)
            for name, value in zip(proto.output, results):
                if not name:
                    continue
                if name in self.values:
                    raise OnnxModelError(f"{self._describe(proto)}: {name!r} is defined twice")
                if value is None:
                    raise OnnxModelError(f"{self._describe(proto)}: output {name!r} is not supported")
                self.define(name, value)

    def _describe(self, proto: Any) -> str:
        return describe(proto, self.opsets.get(normal_domain(proto.domain)))

    def _undefined(self, proto: Any, name: str, rest: Sequence[Any]) -> OnnxModelError:
        later = any(name in other.output for other in rest)
        reason = (
            "which is computed by this node or a later one: the graph has a cycle or is not sorted; sort its nodes "
            "topologically"
            if later
            else "which is no input, initializer or output of a node: the model is incomplete"
        )
        return OnnxModelError(f"{self._describe(proto)} reads {name!r}, {reason}")

    def _run_node(self, proto: Any, inputs: list[Value | None]) -> list[Value | None]:
        node = Node(proto, self, inputs, self._attributes_of(proto))
        function = self.functions.get((node.domain, node.op_type, str(proto.overload)))
        if function is not None:
            return self._call(function, node, {a.name: a for a in function.attribute_proto})
        if (fault := fault_of(proto, node.opset, node.domain)) is not None:
            raise node.error(fault)
        try:
            return self._results_of(node)
        except OnnxModelError:
            raise
        except (VerifyException, DiagnosticException, ValueError, TypeError, IndexError, KeyError) as e:
            shapes = ", ".join("-" if v is None else str(v.type) for v in inputs)
            raise node.error(f"{e}; the inputs are ({shapes})") from e

    def _results_of(self, node: Node) -> list[Value | None]:
        foldable = folding.can_fold(node.domain, node.op_type, node.inputs)
        if foldable and folding.makes_literal(node.op_type, node.inputs):
            arrays = self._fold(node)
            if arrays is not None:
                return [None if array is None else Value(array=array) for array in arrays]
        lowering = LOWERINGS.get((node.domain, node.op_type))
        results = None if lowering is None else lowering(node)
        if results is None:
            return self._expand(node)
        found = as_list(results)
        if foldable and all(value is None or value.size <= folding.KNOWN_LIMIT for value in found):
            self._add_arrays(node, found)
        return found

    def _fold(self, node: Node) -> list[Array | None] | None:
        proto = node.proto
        if any(attribute.ref_attr_name for attribute in proto.attribute):
            proto = type(proto)()
            proto.CopyFrom(node.proto)
            del proto.attribute[:]
            proto.attribute.extend(self._bound_attributes(node.proto).values())
        return folding.fold(proto, node.inputs, self.opsets)

    def _add_arrays(self, node: Node, results: Sequence[Value | None]) -> None:
        if all(value is None or value.array is not None for value in results):
            return
        if sum(value.size for value in node.inputs if value is not None) > folding.KNOWN_LIMIT:
            return
        arrays = self._fold(node)
        for value, array in zip(results, arrays or ()):
            if value is None or array is None or array.shape != value.shape:
                continue
            if array.dtype == numpy_dtype(value.element_type):
                value.array = array
                value.formula = True

    # Attributes

    def _bound_attributes(self, proto: Any) -> dict[str, Any]:
        """The attributes of a node, with references to the attributes of the function around it replaced."""
        bound: dict[str, Any] = {}
        for attribute in proto.attribute:
            found = attribute
            if attribute.ref_attr_name:
                found = self.attributes.get(attribute.ref_attr_name)
                if found is None:
                    continue
                found = type(attribute)()
                found.CopyFrom(self.attributes[attribute.ref_attr_name])
                found.name = attribute.name
            bound[str(attribute.name)] = found
        return bound

    def _attributes_of(self, proto: Any) -> dict[str, Any]:
        decode = onnx_package().helper.get_attribute_value
        try:
            values = {name: decode(attribute) for name, attribute in self._bound_attributes(proto).items()}
        except ValueError as e:
            raise OnnxModelError(f"{self._describe(proto)} has an attribute that cannot be read: {e}") from e
        return {name: v.decode(errors="replace") if isinstance(v, bytes) else v for name, v in values.items()}

    # Functions

    def _call(self, function: Any, node: Node, defaults: Mapping[str, Any]) -> list[Value | None]:
        """The results of a function's body on a node's inputs."""
        if self.depth >= MAX_DEPTH:
            raise node.error(f"functions are nested more than {MAX_DEPTH} deep; ONNX allows no recursion")
        if len(node.inputs) > len(function.input) or len(node.outputs) > len(function.output):
            raise node.error(
                f"has {len(node.inputs)} inputs and {len(node.outputs)} outputs, but the function takes "
                f"{len(function.input)} and gives {len(function.output)}"
            )
        body = Scope(
            self.builder,
            {**self.opsets, **{normal_domain(o.domain): int(o.version) for o in function.opset_import}},
            self.functions,
            attributes={**defaults, **self._bound_attributes(node.proto)},
            depth=self.depth + 1,
        )
        missing = set(function.input[len(node.inputs) :])
        for name, value in zip(function.input, node.inputs):
            if value is None:
                missing.add(name)
            else:
                body.values[name] = value
        body.run([without_inputs(proto, missing) for proto in function.node])
        return [body.output(name, node.where) if node.has_output(i) else None for i, name in enumerate(function.output)]

    def _expand(self, node: Node) -> list[Value | None]:
        """A node by the body that the operator's schema defines, where it has one."""
        onnx = onnx_package()
        unsupported = node.error(
            "this operator is not supported; rewrite it with other operators, or as a function of the model"
        )
        schema = schema_of(node.op_type, node.opset, node.domain)
        if schema is None:
            raise unsupported
        defaults = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.name}
        proto = type(node.proto)()
        proto.CopyFrom(node.proto)
        del proto.attribute[:]
        proto.attribute.extend({**defaults, **self._bound_attributes(node.proto)}.values())
        text: bytes | None = None
        if versions := schema.function_opset_versions:
            text = schema.get_function_with_opset_version(best_version(versions, self.opset_of("")))
        elif versions := schema.context_dependent_function_opset_versions:
            types = [_type_proto(value).SerializeToString() for value in node.inputs]
            text = schema.get_context_dependent_function_with_opset_version(
                best_version(versions, self.opset_of("")), proto.SerializeToString(), types
            )
        if not text:
            raise unsupported
        function = onnx.FunctionProto()
        function.ParseFromString(text)
        return self._call(function, node, defaults)


def as_list(results: Results) -> list[Value | None]:
    """What a lowering returned, as a list also where it is one value."""
    return [results] if isinstance(results, Value) else list(results)


def best_version(versions: Sequence[int], opset: int) -> int:
    """The newest version up to an opset, or else the oldest."""
    return max((v for v in versions if v <= opset), default=min(versions))


def without_inputs(proto: Any, missing: set[str]) -> Any:
    """A node of a function's body, with the function's inputs that the call leaves out left out as well."""
    if not missing & set(proto.input):
        return proto
    copy = type(proto)()
    copy.CopyFrom(proto)
    for i, name in enumerate(copy.input):
        if name in missing:
            copy.input[i] = ""
    return copy


def readable(name: str) -> str | None:
    """An ONNX name as the name of a value in the IR, or None where it would say nothing."""
    words = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in str(name)).strip("_")
    return words if words and not words[0].isdigit() else None


def _type_proto(value: Value | None) -> Any:
    onnx = onnx_package()
    if value is None:
        return onnx.TypeProto()
    data_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(numpy_dtype(value.element_type)))
    return onnx.helper.make_tensor_type_proto(data_type, value.shape)
