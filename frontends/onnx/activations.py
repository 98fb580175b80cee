"""Activation functions."""

from __future__ import annotations

import math

from flashlower.dialects import chlo, stablehlo
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


@table.lowers("Relu")
def relu(node: Node) -> Value:
    x = node.input(0)
    return node.b.binary(stablehlo.MaxOp, x, node.b.like(0, x))


@table.lowers("LeakyRelu")
def leaky_relu(node: Node) -> Value:
    b, x = node.b, node.input(0)
    scaled = b.multiply(x, b.like(node.attribute("alpha", 0.01), x))
    return b.select(b.compare(x, b.like(0, x), "LT"), scaled, x)


@table.lowers("PRelu")
def prelu(node: Node) -> Value:
    b, x = node.b, node.input(0)
    return b.select(b.compare(x, b.like(0, x), "LT"), b.multiply(x, node.input(1)), x)


@table.lowers("Elu")
def elu(node: Node) -> Value:
    b, x = node.b, node.input(0)
    below = b.multiply(b.unary(stablehlo.Expm1Op, x), b.like(node.attribute("alpha", 1.0), x))
    return b.select(b.compare(x, b.like(0, x), "LT"), below, x)


@table.lowers("HardSigmoid")
def hard_sigmoid(node: Node) -> Value:
    b, x = node.b, node.input(0)
    line = b.add(
        b.multiply(x, b.like(node.attribute("alpha", 0.2), x)),
        b.like(node.attribute("beta", 0.5), x),
    )
    return b.binary(stablehlo.MinOp, b.binary(stablehlo.MaxOp, line, b.like(0, x)), b.like(1, x))


@table.lowers("Softplus")
def softplus(node: Node) -> Value:
    """log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|))."""
    b, x = node.b, node.input(0)
    tail = b.unary(stablehlo.Log1pOp, b.unary(stablehlo.ExpOp, b.unary(stablehlo.NegOp, b.unary(stablehlo.AbsOp, x))))
    return b.add(b.binary(stablehlo.MaxOp, x, b.like(0, x)), tail)


@table.lowers("Swish")
def swish(node: Node) -> Value:
    b, x = node.b, node.input(0)
    alpha = node.attribute("alpha", 1.0)
    inner = x if alpha == 1 else b.multiply(x, b.like(alpha, x))
    return b.multiply(x, b.unary(stablehlo.LogisticOp, inner))


@table.lowers("Gelu")
def gelu(node: Node) -> Value:
    b, x = node.b, node.input(0)
    approximate = node.attribute("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise node.error(f"approximate is {approximate!r}, expected 'none' or 'tanh'")
    return tanh_gelu(b, x) if approximate == "tanh" else erf_gelu(b, x)


def erf_gelu(b: Builder, x: Value) -> Value:
    """x * (1 + erf(x / sqrt(2))) / 2."""
    erf = b.unary(chlo.ErfOp, b.multiply(x, b.like(math.sqrt(0.5), x)))
    return b.multiply(b.multiply(x, b.like(0.5, x)), b.add(erf, b.like(1, x)))


def tanh_gelu(b: Builder, x: Value) -> Value:
    """x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2."""
    cubic = b.multiply(b.multiply(b.multiply(x, x), x), b.like(0.044715, x))
    inner = b.multiply(b.add(x, cubic), b.like(math.sqrt(2 / math.pi), x))
    return b.multiply(b.multiply(x, b.like(0.5, x)), b.add(b.unary(stablehlo.TanhOp, inner), b.like(1, x)))
