"""`flashlower.from_onnx`: a model into a module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from xdsl.dialects.builtin import FunctionType, ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region
from xdsl.transforms.dead_code_elimination import dce

from flashlower.dialects.building import building
from flashlower.dialects.numpy_values import element_type_of
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.graph import Scope, readable
from flashlower.frontends.onnx.node import normal_domain
from flashlower.frontends.onnx.package import OnnxModelError, element_dtype, onnx_package
from flashlower.frontends.onnx.schema import OLDEST_OPSET, check_opset
from flashlower.frontends.onnx.values import TensorOf, Value


@building
def from_onnx(
    path_or_model: str | os.PathLike[str] | Any,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> ModuleOp:
    """
    The StableHLO of an ONNX model, with its `Attention` nodes as `attention.sdpa`.

    Takes a path (external data is read from beside it) or an `onnx.ModelProto`. The module's `main` takes the graph's
    inputs in order, less those that are initializers; initializers become constants. Shapes are static:
    `input_shapes` gives the shapes of inputs by their names, `dims` the sizes of symbolic dimensions by theirs.

    Raises `ImportError` where the onnx package is not installed, `OnnxModelError` (a `ValueError`) for models that are
    malformed or hold what is not supported, naming node, operator, domain and opset, and `OSError` for files that
    cannot be read.
    """
    model = _load(path_or_model)
    if not model.HasField("graph") or not model.opset_import:
        raise OnnxModelError("the model has no graph or no opset_import: is this an ONNX model?")
    opsets = {normal_domain(opset.domain): int(opset.version) for opset in model.opset_import}
    check_opset(opsets.get("", OLDEST_OPSET))
    graph = model.graph
    block = Block()
    builder = Builder(block)
    scope = Scope(
        builder,
        opsets,
        {(normal_domain(f.domain), str(f.name), str(f.overload)): f for f in model.functions},
    )
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initialized]
    for value, type in zip(inputs, _input_types(inputs, dict(input_shapes or {}), dict(dims or {}))):
        argument = block.insert_arg(type, len(block.args))
        argument.name_hint = readable(value.name)
        scope.values[value.name] = Value(argument)
    outputs = scope.run_graph(graph)
    for declared, value in zip(graph.output, outputs):
        _check_output(declared, value)
    results = [builder.ssa(value) for value in outputs]
    block.add_op(ReturnOp(*results))
    types = FunctionType.from_lists(list(block.arg_types), [result.type for result in results])
    module = ModuleOp([FuncOp("main", types, Region(block))])
    dce(module)
    module.verify()
    return module


def _load(path_or_model: Any) -> Any:
    onnx = onnx_package()
    if isinstance(path_or_model, onnx.ModelProto):
        return path_or_model
    if not isinstance(path_or_model, str | os.PathLike):
        raise TypeError(f"from_onnx takes a path or an onnx.ModelProto, got {type(path_or_model).__name__}")
    path: str = os.fspath(cast(str, path_or_model))
    try:
        return onnx.load(path)
    except OSError:
        raise
    # What is raised depends on the format (protobuf, JSON, text) and on external data.
    except Exception as e:
        raise OnnxModelError(f"{path} cannot be read as an ONNX model: {e}") from e


def _input_types(inputs: Sequence[Any], shapes: dict[str, Sequence[int]], dims: dict[str, int]) -> list[TensorOf]:
    names = [str(value.name) for value in inputs]
    if unknown := [name for name in shapes if name not in names]:
        raise OnnxModelError(f"input_shapes names {unknown[0]!r}, but the inputs are {', '.join(names) or 'none'}")
    for value in inputs:
        if value.name in shapes:
            _learn_dims(value, shapes[value.name], dims)
    return [_input_type(value, shapes.get(value.name), dims) for value in inputs]


def _tensor_type_of(value: Any) -> Any:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "no type"
        raise OnnxModelError(f"input {value.name!r} is no tensor, but {kind}; only tensors are imported")
    return value.type.tensor_type


def _learn_dims(value: Any, shape: Sequence[int], dims: dict[str, int]) -> None:
    """Checks a given shape against the declared one, and takes sizes of symbolic dimensions from it."""
    tensor = _tensor_type_of(value)
    if not tensor.HasField("shape"):
        return
    declared = list(tensor.shape.dim)
    if len(declared) != len(shape):
        raise OnnxModelError(
            f"input {value.name!r} has {len(declared)} dimensions, but input_shapes gives {list(shape)}"
        )
    for i, (dim, size) in enumerate(zip(declared, shape)):
        if dim.HasField("dim_value"):
            known = dim.dim_value
        else:
            known = dims.setdefault(dim.dim_param, size) if dim.dim_param else size
        if known != size:
            what = f"dimension {dim.dim_param!r}" if dim.dim_param else f"dimension {i}"
            raise OnnxModelError(f"input {value.name!r} has {what} of size {known}, but input_shapes gives {size}")


def _input_type(value: Any, shape: Sequence[int] | None, dims: Mapping[str, int]) -> TensorOf:
    tensor = _tensor_type_of(value)
    element_type: Attribute = element_type_of(element_dtype(tensor.elem_type, f"input {value.name!r}"))
    if shape is not None:
        return TensorType(element_type, [int(size) for size in shape])
    if not tensor.HasField("shape"):
        raise OnnxModelError(f"input {value.name!r} has no shape; give it with input_shapes={{{value.name!r}: ...}}")
    sizes: list[int] = []
    for i, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            sizes.append(int(dim.dim_value))
        elif dim.dim_param and dim.dim_param in dims:
            sizes.append(int(dims[dim.dim_param]))
        else:
            name = f"{dim.dim_param!r}" if dim.dim_param else "unknown"
            hint = f"dims={{{dim.dim_param!r}: ...}} or " if dim.dim_param else ""
            raise OnnxModelError(
                f"dimension {i} of input {value.name!r} is {name}, but shapes are static; give it with {hint}"
                f"input_shapes={{{value.name!r}: ...}}"
            )
    return TensorType(element_type, sizes)


def _check_output(declared: Any, value: Value) -> None:
    """What a graph says of its output must be what its nodes compute."""
    if not declared.type.HasField("tensor_type"):
        return
    tensor = declared.type.tensor_type
    expected = element_type_of(element_dtype(tensor.elem_type, f"output {declared.name!r}"))
    if expected != value.element_type:
        raise OnnxModelError(
            f"output {declared.name!r} is declared with elements of type {expected}, but computed with "
            f"{value.element_type}"
        )
    if not tensor.HasField("shape"):
        return
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if len(sizes) != value.rank or any(size not in (None, got) for size, got in zip(sizes, value.shape)):
        shape = ["?" if size is None else size for size in sizes]
        raise OnnxModelError(
            f"output {declared.name!r} is declared with shape {shape}, but computed with {list(value.shape)}"
        )
