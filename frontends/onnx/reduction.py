"""Reductions, running sums, and places of extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType, i1, i64

from flashlower.dialects import chlo, stablehlo
from flashlower.dialects.stablehlo.base import dense_i64
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


def _sum(b: Builder, x: Value, axes: list[int], keep: bool) -> Value:
    return b.reduce(x, "add", axes, keep)


def _square(b: Builder, x: Value, axes: list[int], keep: bool) -> Value:
    return _sum(b, b.multiply(x, x), axes, keep)


def _log_sum_exp(b: Builder, x: Value, axes: list[int], keep: bool) -> Value:
    """log(sum(exp(x - max))) + max; a maximum that is not finite is not subtracted."""
    top = b.reduce(x, "maximum", axes, True)
    finite = b.result(stablehlo.IsFiniteOp(b.ssa(top)))
    top = b.select(finite, top, b.like(0, top))
    total = b.reduce(b.unary(stablehlo.ExpOp, b.subtract(x, top)), "add", axes, True)
    result = b.add(b.unary(stablehlo.LogOp, total), top)
    return result if keep else b.reshape(result, [n for i, n in enumerate(x.shape) if i not in axes])


REDUCTIONS: dict[str, Callable[[Builder, Value, list[int], bool], Value]] = {
    "ReduceL1": lambda b, x, axes, keep: _sum(b, b.unary(stablehlo.AbsOp, x), axes, keep),
    "ReduceL2": lambda b, x, axes, keep: b.unary(stablehlo.SqrtOp, _square(b, x, axes, keep)),
    "ReduceLogSum": lambda b, x, axes, keep: b.unary(stablehlo.LogOp, _sum(b, x, axes, keep)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMean": lambda b, x, axes, keep: b.mean(x, axes, keep),
    "ReduceProd": lambda b, x, axes, keep: b.reduce(x, "multiply", axes, keep),
    "ReduceSum": _sum,
    "ReduceSumSquare": _square,
}
"""What computes with sums or products, in f32 for 16-bit floats."""


def _reduction(node: Node) -> Value:
    b, x = node.b, node.input(0)
    axes = node.axes(1)
    if not axes:
        if axes == [] and node.attribute("axes") is None and not node.attribute("noop_with_empty_axes", 0):
            axes = None
        elif axes is None and node.attribute("noop_with_empty_axes", 0):
            axes = []
    places = list(range(x.rank)) if axes is None else axes
    keep = bool(node.attribute("keepdims", 1))
    if node.op_type in ("ReduceMax", "ReduceMin"):
        if not x.size and x.rank and not x.is_float:
            raise node.error(f"the input of shape {list(x.shape)} has no elements")
        if x.element_type == i1:
            return b.reduce(x, "or" if node.op_type == "ReduceMax" else "and", places, keep)
        return b.reduce(x, "maximum" if node.op_type == "ReduceMax" else "minimum", places, keep)
    return b.cast(REDUCTIONS[node.op_type](b, b.widen(x), places, keep), x.element_type)


table.update({("", name): _reduction for name in (*REDUCTIONS, "ReduceMax", "ReduceMin")})


@table.lowers("CumSum")
def cumulative_sum(node: Node) -> Value:
    """As windows that end at each element; `exclusive` leaves the element out, `reverse` sums from the end."""
    b, x = node.b, node.input(0)
    axis = node.axis(int(node.known(1, "axis").reshape(())))
    size = x.shape[axis]
    if not x.size:
        return x
    backwards, exclusive = bool(node.attribute("reverse", 0)), bool(node.attribute("exclusive", 0))
    wide = b.widen(x)
    low = [0] * x.rank
    high = [0] * x.rank
    (high if backwards else low)[axis] = size - 1 + exclusive
    (low if backwards else high)[axis] = -1 if exclusive else 0
    result = b.add_op(
        stablehlo.ReduceWindowOp.build(
            operands=[[b.ssa(wide)], [b.ssa(b.like(0, wide))]],
            result_types=[[wide.type]],
            properties={
                "window_dimensions": dense_i64([size if i == axis else 1 for i in range(x.rank)]),
                "padding": DenseIntOrFPElementsAttr.from_list(
                    TensorType(i64, [x.rank, 2]), [n for pair in zip(low, high) for n in pair]
                ),
            },
            regions=[stablehlo.reduction_body("add", wide.element_type)],
        )
    )
    return b.cast(Value(result.results[0]), x.element_type)


@table.lowers("ArgMax", "ArgMin")
def arg_extreme(node: Node) -> Value:
    """The first (or last) index at which the extreme of an axis is; NaN counts as the extreme."""
    b, x = node.b, node.input(0)
    axis = node.axis(node.attribute("axis", 0))
    size = x.shape[axis]
    if not size:
        raise node.error(f"axis {axis} of shape {list(x.shape)} has no elements")
    extreme = b.reduce(x, "maximum" if node.op_type == "ArgMax" else "minimum", [axis], True)
    found = b.compare(x, extreme, "EQ")
    if x.is_float:
        found = b.binary(stablehlo.OrOp, found, b.compare(x, x, "NE"))
    last = node.attribute("select_last_index", 0)
    places = b.select(found, b.iota(x.shape, axis), b.scalar(-1 if last else size, i64))
    return b.reduce(places, "maximum" if last else "minimum", [axis], bool(node.attribute("keepdims", 1)))


@table.lowers("TopK")
def top_k(node: Node) -> list[Value | None]:
    b, x = node.b, node.input(0)
    axis = node.axis(node.attribute("axis", -1))
    given = node.attribute("k")
    k = int(node.known(1, "k").reshape(()) if given is None else given)
    largest = bool(node.attribute("largest", 1))
    if not largest and not x.is_float:
        raise node.error("largest=0 is supported for floats only")
    moved = b.move_axis(x, axis, x.rank - 1)
    source = moved if largest else b.unary(stablehlo.NegOp, moved)
    found: Any = b.add_op(chlo.TopKOp(b.ssa(source), k))
    values, indices = Value(found.values), b.cast(Value(found.indices), i64)
    values = values if largest else b.unary(stablehlo.NegOp, values)
    return [b.move_axis(values, x.rank - 1, axis), b.move_axis(indices, x.rank - 1, axis)]
