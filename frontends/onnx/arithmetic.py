"""Elementwise arithmetic, comparison and logic."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from xdsl.dialects.builtin import f32

from flashlower.dialects import chlo, stablehlo
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()

UNARY: dict[str, type[Any]] = {
    "Abs": stablehlo.AbsOp,
    "Acos": chlo.AcosOp,
    "Acosh": chlo.AcoshOp,
    "Asin": chlo.AsinOp,
    "Asinh": chlo.AsinhOp,
    "Atanh": chlo.AtanhOp,
    "BitwiseNot": stablehlo.NotOp,
    "Ceil": stablehlo.CeilOp,
    "Cos": stablehlo.CosineOp,
    "Cosh": chlo.CoshOp,
    "Erf": chlo.ErfOp,
    "Exp": stablehlo.ExpOp,
    "Floor": stablehlo.FloorOp,
    "Log": stablehlo.LogOp,
    "Neg": stablehlo.NegOp,
    "Not": stablehlo.NotOp,
    "Round": stablehlo.RoundNearestEvenOp,
    "Sigmoid": stablehlo.LogisticOp,
    "Sign": stablehlo.SignOp,
    "Sin": stablehlo.SineOp,
    "Sinh": chlo.SinhOp,
    "Sqrt": stablehlo.SqrtOp,
    "Tan": stablehlo.TanOp,
    "Tanh": stablehlo.TanhOp,
}

BINARY: dict[str, type[Any]] = {
    "Add": stablehlo.AddOp,
    "And": stablehlo.AndOp,
    "BitwiseAnd": stablehlo.AndOp,
    "BitwiseOr": stablehlo.OrOp,
    "BitwiseXor": stablehlo.XorOp,
    "Div": stablehlo.DivOp,
    "Mul": stablehlo.MulOp,
    "Or": stablehlo.OrOp,
    "Sub": stablehlo.SubtractOp,
    "Xor": stablehlo.XorOp,
}

COMPARISONS = {"Equal": "EQ", "Greater": "GT", "GreaterOrEqual": "GE", "Less": "LT", "LessOrEqual": "LE"}


def _unary(op: type[Any]) -> Callable[[Node], Value]:
    return lambda node: node.b.unary(op, node.input(0))


def _binary(op: type[Any]) -> Callable[[Node], Value]:
    return lambda node: node.b.binary(op, node.input(0), node.input(1))


def _comparison(direction: str) -> Callable[[Node], Value]:
    return lambda node: node.b.compare(node.input(0), node.input(1), direction)


table.update({("", name): _unary(op) for name, op in UNARY.items()})
table.update({("", name): _binary(op) for name, op in BINARY.items()})
table.update({("", name): _comparison(direction) for name, direction in COMPARISONS.items()})


@table.lowers("Atan")
def atan(node: Node) -> Value:
    x = node.input(0)
    return node.b.binary(stablehlo.Atan2Op, x, node.b.like(1, x))


@table.lowers("Reciprocal")
def reciprocal(node: Node) -> Value:
    x = node.input(0)
    return node.b.divide(node.b.like(1, x), x)


@table.lowers("IsNaN")
def is_nan(node: Node) -> Value:
    x = node.input(0)
    return node.b.compare(x, x, "NE")


@table.lowers("IsInf")
def is_inf(node: Node) -> Value:
    b, x = node.b, node.input(0)
    signs = [
        sign
        for sign, name in ((float("inf"), "detect_positive"), (float("-inf"), "detect_negative"))
        if node.attribute(name, 1)
    ]
    if not signs:
        return b.broadcast(b.scalar(False, b.compare(x, x, "EQ").element_type), x.shape)
    found = [b.compare(x, b.like(sign, x), "EQ") for sign in signs]
    return reduce(lambda p, q: b.binary(stablehlo.OrOp, p, q), found)


@table.lowers("Max", "Min", "Sum", "Mean")
def variadic(node: Node) -> Value:
    b = node.b
    op = {"Max": stablehlo.MaxOp, "Min": stablehlo.MinOp}.get(node.op_type, stablehlo.AddOp)
    values = node.present()
    result = reduce(lambda x, y: b.binary(op, x, y), values)
    return b.divide(result, b.like(len(values), result)) if node.op_type == "Mean" else result


@table.lowers("Pow")
def power(node: Node) -> Value:
    """The result has the type of the base."""
    b, base, exponent = node.b, node.input(0), node.input(1)
    number = exponent.array.flat[0] if exponent.uniform and exponent.array is not None else None
    if number is not None and b.broadcast_shape(base, exponent) == base.shape:
        if number == 2:
            return b.multiply(base, base)
        if number == 0.5 and base.is_float:
            return b.unary(stablehlo.SqrtOp, base)
    if exponent.is_float and not base.is_float:
        wide = f32 if exponent.element_type == f32 else exponent.element_type
        result = b.binary(stablehlo.PowOp, b.cast(base, wide), exponent)
        return b.cast(result, base.element_type)
    return b.binary(stablehlo.PowOp, base, b.cast(exponent, base.element_type))


@table.lowers("Mod")
def modulo(node: Node) -> Value:
    """With `fmod`, the sign of the dividend, as in C; else that of the divisor, as in Python."""
    b, x, y = node.b, node.input(0), node.input(1)
    remainder = b.binary(stablehlo.RemOp, x, y)
    if node.attribute("fmod", 0) or x.is_unsigned:
        return remainder
    zero = b.like(0, x)
    differ = b.compare(b.compare(remainder, zero, "LT"), b.compare(y, zero, "LT"), "NE")
    wrong = b.binary(stablehlo.AndOp, differ, b.compare(remainder, zero, "NE"))
    return b.select(wrong, b.add(remainder, y), remainder)


@table.lowers("BitShift")
def bit_shift(node: Node) -> Value:
    x = node.input(0)
    if node.attribute("direction") == "LEFT":
        op = stablehlo.ShiftLeftOp
    else:
        op = stablehlo.ShiftRightLogicalOp if x.is_unsigned else stablehlo.ShiftRightArithmeticOp
    return node.b.binary(op, x, node.input(1))


@table.lowers("Where")
def where(node: Node) -> Value:
    return node.b.select(node.input(0), node.input(1), node.input(2))


@table.lowers("Clip")
def clip(node: Node) -> Value:
    """min(max(x, low), high), either bound left out; attributes before opset 11."""
    b, x = node.b, node.input(0)
    low, high = (_bound(b, node, i, name) for i, name in ((1, "min"), (2, "max")))
    if low is not None:
        x = b.binary(stablehlo.MaxOp, x, low)
    return x if high is None else b.binary(stablehlo.MinOp, x, high)


def _bound(b: Builder, node: Node, i: int, name: str) -> Value | None:
    if node.attribute(name) is not None:
        return b.like(node.attribute(name), node.input(0))
    return node.optional(i)
