"""Products of matrices."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import i32

from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


@table.lowers("MatMul")
def matmul(node: Node) -> Value:
    return matrix_product(node.b, node.input(0), node.input(1))


def matrix_product(b: Builder, lhs: Value, rhs: Value) -> Value:
    """As `numpy.matmul`: leading dimensions broadcast, a vector has no dimension but the one that is summed over."""
    if not lhs.rank or not rhs.rank:
        raise ValueError("an operand is a scalar")
    if rhs.rank <= 2:
        # One matrix for all: the leading dimensions of the left are rows.
        return b.dot(lhs, rhs, (), (), (lhs.rank - 1,), (0,))
    if lhs.rank == 1:
        result = matrix_product(b, b.reshape(lhs, (1, *lhs.shape)), rhs)
        return b.reshape(result, (*result.shape[:-2], result.shape[-1]))
    batch = np.broadcast_shapes(lhs.shape[:-2], rhs.shape[:-2])
    left = b.broadcast(lhs, (*batch, *lhs.shape[-2:]))
    right = b.broadcast(rhs, (*batch, *rhs.shape[-2:]))
    n = len(batch)
    return b.dot(left, right, range(n), range(n), (n + 1,), (n,))


@table.lowers("MatMulInteger")
def matmul_integer(node: Node) -> Value:
    """The product of integers less their zero points, in i32."""
    b = node.b
    values = [b.cast(node.input(i), i32) for i in range(2)]
    for i in range(2):
        zero = node.optional(2 + i)
        if zero is not None:
            column = (*zero.shape, 1) if i == 0 and zero.rank == 1 else zero.shape
            values[i] = b.subtract(values[i], b.cast(b.reshape(zero, column), i32))
    return matrix_product(b, *values)


@table.lowers("Gemm")
def gemm(node: Node) -> Value:
    """alpha * A' * B' + beta * C."""
    b, x, y = node.b, node.input(0), node.input(1)
    if x.rank != 2 or y.rank != 2:
        raise node.error(f"A and B have shapes {list(x.shape)} and {list(y.shape)}, expected matrices")
    axes = (0 if node.attribute("transA", 0) else 1,), (1 if node.attribute("transB", 0) else 0,)
    result = b.dot(x, y, (), (), *axes)
    if (alpha := node.attribute("alpha", 1.0)) != 1:
        result = b.multiply(result, b.like(alpha, result))
    bias, beta = node.optional(2), node.attribute("beta", 1.0)
    if bias is None or beta == 0:
        return result
    if beta != 1:
        bias = b.multiply(bias, b.like(beta, bias))
    return b.add(result, bias)


@table.lowers("Einsum")
def einsum(node: Node) -> Value:
    """Sums of products; an index may not stand twice in one term."""
    equation = node.attribute("equation", "").replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    values = node.present()
    if len(terms) != len(values):
        raise node.error(f"equation {equation!r} has {len(terms)} terms, but there are {len(values)} inputs")
    spare = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    dots = [next(c for c in spare if c not in equation) for _ in range(max(_dots(t, v) for t, v in zip(terms, values)))]
    named: list[tuple[str, Value]] = []
    for term, value in zip(terms, values):
        term = term.replace("...", "".join(dots[len(dots) - _dots(term, value) :]))
        if len(term) != value.rank or len(set(term)) != len(term):
            raise node.error(f"term {term!r} of equation {equation!r} does not fit shape {list(value.shape)}")
        named.append((term, value))
    everything = "".join(term for term, _ in named)
    if not arrow:
        output = "".join(dots) + "".join(sorted(c for c in set(everything) - set(dots) if everything.count(c) == 1))
    else:
        output = output.replace("...", "".join(dots))
    if len(set(output)) != len(output) or set(output) - set(everything):
        raise node.error(f"equation {equation!r} has the result {output!r}, which its terms do not give")
    term, value = named[0]
    for i, (other, factor) in enumerate(named[1:], 2):
        needed = set(output).union(*(t for t, _ in named[i:]))
        term, value = _contract(node.b, term, value, other, factor, needed)
    summed = [i for i, c in enumerate(term) if c not in output]
    value = node.b.reduce(value, "add", summed, False)
    term = "".join(c for c in term if c in output)
    return node.b.transpose(value, [term.index(c) for c in output])


def _dots(term: str, value: Value) -> int:
    return value.rank - (len(term) - 3) if "..." in term else 0


def _contract(b: Builder, lhs: str, left: Value, rhs: str, right: Value, needed: set[str]) -> tuple[str, Value]:
    """The product of two terms, summed over the indices that nothing else needs."""
    sizes: dict[str, int] = {}
    for term, value in ((lhs, left), (rhs, right)):
        for c, size in zip(term, value.shape):
            sizes[c] = size if sizes.get(c, 1) == 1 else sizes[c]
    left = b.broadcast(left, [sizes[c] for c in lhs])
    right = b.broadcast(right, [sizes[c] for c in rhs])
    shared = [c for c in lhs if c in rhs]
    batch = [c for c in shared if c in needed]
    summed = [c for c in shared if c not in needed]
    result = b.dot(
        left,
        right,
        [lhs.index(c) for c in batch],
        [rhs.index(c) for c in batch],
        [lhs.index(c) for c in summed],
        [rhs.index(c) for c in summed],
    )
    return "".join([*batch, *(c for c in lhs + rhs if c not in shared)]), result


@table.lowers("Conv")
def conv(node: Node) -> Value:
    """A sum over the places of the kernel: strided slices of the padded input, each times its weights."""
    b, x, weights = node.b, node.input(0), node.input(1)
    spatial = x.rank - 2
    group = node.attribute("group", 1)
    kernel = weights.shape[2:]
    strides = list(node.attribute("strides", [1] * spatial))
    dilations = list(node.attribute("dilations", [1] * spatial))
    if spatial < 1 or weights.rank != x.rank or weights.shape[1] * group != x.shape[1] or weights.shape[0] % group:
        raise node.error(f"weights of shape {list(weights.shape)} in {group} groups do not fit {list(x.shape)}")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    low, high = _padding(node, x.shape[2:], strides, reach)
    if any(low) or any(high):
        x = b.pad(x, b.like(0, x), (0, 0, *low), (0, 0, *high))
    out = [(size - r) // s + 1 for size, r, s in zip(x.shape[2:], reach, strides)]
    batch, channels, outputs = x.shape[0], x.shape[1] // group, weights.shape[0] // group
    total: Value | None = None
    for place in np.ndindex(*kernel):
        starts = [p * d for p, d in zip(place, dilations)]
        limits = [p + (n - 1) * s + 1 for p, n, s in zip(starts, out, strides)]
        window = b.slice(x, (0, 0, *starts), (*x.shape[:2], *limits), (1, 1, *strides))
        window = b.reshape(window, (batch, group, channels, *out))
        factor = b.slice(weights, (0, 0, *place), (*weights.shape[:2], *(p + 1 for p in place)))
        factor = b.reshape(factor, (group, outputs, channels))
        # [group, outputs, batch, space...]
        product = b.dot(factor, window, (0,), (1,), (2,), (2,))
        total = product if total is None else b.add(total, product)
    assert total is not None
    total = b.transpose(total, (2, 0, 1, *range(3, 3 + spatial)))
    total = b.reshape(total, (batch, group * outputs, *out))
    bias = node.optional(2)
    return total if bias is None else b.add(total, b.reshape(bias, (bias.size, *(1,) * spatial)))


def _padding(node: Node, sizes: tuple[int, ...], strides: list[int], reach: list[int]) -> tuple[list[int], list[int]]:
    mode = node.attribute("auto_pad", "NOTSET")
    n = len(sizes)
    if mode == "NOTSET":
        pads = [int(p) for p in node.attribute("pads", [0] * (2 * n))]
        return pads[:n], pads[n:]
    if mode == "VALID":
        return [0] * n, [0] * n
    total = [max((-(-size // s) - 1) * s + r - size, 0) for size, s, r in zip(sizes, strides, reach)]
    small = [t // 2 for t in total]
    large = [t - s for t, s in zip(total, small)]
    return (large, small) if mode == "SAME_LOWER" else (small, large)
