"""
StableHLO text with named dimensions.

A value knows what each of its dimensions is: a tuple of names, of several where dimensions are flattened into one and
of none where it has size 1. So a generator can move tensors between layouts in random ways and still know what they
hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import ml_dtypes
import numpy as np

Dims = tuple[tuple[str, ...], ...]

NUMPY = {
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i1": np.dtype(np.bool_),
    "i8": np.dtype(np.int8),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
}

INF = {"f16": "0xFC00", "bf16": "0xFF80", "f32": "0xFF800000", "f64": "0xFFF0000000000000"}


@dataclass(frozen=True)
class Value:
    name: str
    dims: Dims
    shape: tuple[int, ...]
    dtype: str

    @property
    def type(self) -> str:
        return tensor_type(self.shape, self.dtype)

    @property
    def names(self) -> list[str]:
        """The names of all dimensions, in order, flattened ones in their parts."""
        return [name for dim in self.dims for name in dim]

    def axis(self, name: str) -> int:
        """The dimension that a name is alone in."""
        return self.dims.index((name,))


def tensor_type(shape: Sequence[int], dtype: str) -> str:
    return f"tensor<{''.join(f'{size}x' for size in shape)}{dtype}>"


def single(*names: str) -> Dims:
    """One dimension for each name."""
    return tuple((name,) for name in names)


def literal(value: float | int | bool, dtype: str) -> str:
    if dtype == "i1":
        return str(bool(value)).lower()
    if dtype.startswith("i"):
        return str(int(value))
    if math.isinf(value):
        # The first bit is the sign.
        return INF[dtype] if value < 0 else INF[dtype].replace("0xF", "0x7")
    return f"{value:.17e}"


@dataclass
class Builder:
    """Builds one module; `sizes` are those of the named dimensions."""

    random: Random
    sizes: dict[str, int]
    lines: list[str] = field(default_factory=list)
    arguments: list[tuple[Value, np.ndarray[Any, Any]]] = field(default_factory=list)
    counter: int = 0
    indent: str = "    "
    results: list[Value] = field(default_factory=list)

    def size(self, dim: Sequence[str]) -> int:
        return math.prod(self.sizes[name] for name in dim)

    def value(self, dims: Dims, dtype: str, prefix: str = "%") -> Value:
        self.counter += 1
        return Value(f"{prefix}{self.counter}", dims, tuple(map(self.size, dims)), dtype)

    def argument(self, dims: Dims, dtype: str, data: np.ndarray[Any, Any] | None = None) -> Value:
        """A new argument of the function; without data, random floats."""
        value = self.value(dims, dtype, "%arg")
        if data is None:
            rng = np.random.default_rng(self.random.getrandbits(32))
            data = rng.standard_normal(value.shape)
        self.arguments.append((value, np.asarray(data).astype(NUMPY[dtype]).reshape(value.shape)))
        return value

    def op(self, name: str, operands: Sequence[Value], dims: Dims, dtype: str, props: str = "") -> Value:
        result = self.value(dims, dtype)
        types = ", ".join(v.type for v in operands)
        self.lines.append(
            f'{self.indent}{result.name} = "stablehlo.{name}"({", ".join(v.name for v in operands)})'
            f"{f' <{{{props}}}>' if props else ''} : ({types}) -> {result.type}"
        )
        return result

    # Constants

    def scalar(self, value: float | int | bool, dtype: str) -> Value:
        return self.op("constant", (), (), dtype, f"value = dense<{literal(value, dtype)}> : tensor<{dtype}>")

    def full(self, value: float | int | bool, like: Value, dtype: str | None = None) -> Value:
        """A constant of the shape of `like`, by a broadcast or a dense literal."""
        dtype = dtype or like.dtype
        if self.random.random() < 0.5:
            return self.broadcast(self.scalar(value, dtype), (), like)
        props = f"value = dense<{literal(value, dtype)}> : {tensor_type(like.shape, dtype)}"
        return self.op("constant", (), like.dims, dtype, props)

    def dense(self, data: np.ndarray[Any, Any], dims: Dims, dtype: str) -> Value:
        value = self.value(dims, dtype)
        assert data.shape == value.shape

        def text(array: np.ndarray[Any, Any]) -> str:
            if array.ndim == 0:
                return literal(array.item(), dtype)
            return "[" + ", ".join(text(a) for a in array) + "]"

        elements = literal(data.flat[0].item(), dtype) if data.size == 1 else text(data)
        self.lines.append(
            f'{self.indent}{value.name} = "stablehlo.constant"() <{{value = dense<{elements}> : {value.type}}}> '
            f": () -> {value.type}"
        )
        return value

    def iota(self, dims: Dims, axis: int, dtype: str) -> Value:
        return self.op("iota", (), dims, dtype, f"iota_dimension = {axis} : i64")

    # Elementwise

    def binary(self, name: str, lhs: Value, rhs: Value) -> Value:
        return self.op(name, (lhs, rhs), lhs.dims, lhs.dtype)

    def unary(self, name: str, operand: Value) -> Value:
        return self.op(name, (operand,), operand.dims, operand.dtype)

    def convert(self, operand: Value, dtype: str) -> Value:
        return self.op("convert", (operand,), operand.dims, dtype)

    def compare(self, direction: str, lhs: Value, rhs: Value) -> Value:
        props = f"comparison_direction = #stablehlo<comparison_direction {direction}>"
        return self.op("compare", (lhs, rhs), lhs.dims, "i1", props)

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        return self.op("select", (condition, then, otherwise), then.dims, then.dtype)

    # Views

    def transpose(self, v: Value, permutation: Sequence[int]) -> Value:
        props = f"permutation = array<i64: {', '.join(map(str, permutation))}>"
        return self.op("transpose", (v,), tuple(v.dims[i] for i in permutation), v.dtype, props)

    def reshape(self, v: Value, dims: Dims) -> Value:
        return self.op("reshape", (v,), dims, v.dtype)

    def broadcast(self, v: Value, positions: Sequence[int], like: Value | Dims) -> Value:
        """broadcast_in_dim of `v`, whose dimensions go to `positions` of the shape of `like`."""
        dims = like.dims if isinstance(like, Value) else like
        props = f"broadcast_dimensions = array<i64{': ' if positions else ''}{', '.join(map(str, positions))}>"
        return self.op("broadcast_in_dim", (v,), dims, v.dtype, props)

    def slice(self, v: Value, axis: int, start: int, limit: int, dim: tuple[str, ...]) -> Value:
        def integers(values: Sequence[int]) -> str:
            return "array<i64: " + ", ".join(map(str, values)) + ">"

        starts = [start if i == axis else 0 for i in range(len(v.shape))]
        limits = [limit if i == axis else size for i, size in enumerate(v.shape)]
        props = f"start_indices = {integers(starts)}, limit_indices = {integers(limits)}, "
        props += f"strides = {integers([1] * len(starts))}"
        return self.op("slice", (v,), (*v.dims[:axis], dim, *v.dims[axis + 1 :]), v.dtype, props)

    # Contractions and reductions

    def dot(self, lhs: Value, rhs: Value, batch: Sequence[tuple[str, ...]], contract: str, dtype: str) -> Value:
        """dot_general over dimensions that both have; the result has the batch first, then the free ones."""

        def positions(v: Value) -> str:
            return "[" + ", ".join(str(v.dims.index(dim)) for dim in batch) + "]"

        numbers = (
            f"#stablehlo.dot<lhs_batching_dimensions = {positions(lhs)}, rhs_batching_dimensions = {positions(rhs)}, "
            f"lhs_contracting_dimensions = [{lhs.axis(contract)}], rhs_contracting_dimensions = [{rhs.axis(contract)}]>"
        )
        taken = {*batch, (contract,)}
        free = [dim for v in (lhs, rhs) for dim in v.dims if dim not in taken]
        return self.op("dot_general", (lhs, rhs), (*batch, *free), dtype, f"dot_dimension_numbers = {numbers}")

    def reduce(self, v: Value, axis: int, kind: str, start: Value) -> Value:
        result = self.value((*v.dims[:axis], *v.dims[axis + 1 :]), v.dtype)
        a, b, c = (self.value((), v.dtype) for _ in range(3))
        i = self.indent
        self.lines += [
            f'{i}{result.name} = "stablehlo.reduce"({v.name}, {start.name}) <{{dimensions = array<i64: {axis}>}}> ({{',
            f"{i}^bb0({a.name}: {a.type}, {b.name}: {b.type}):",
            f'{i}  {c.name} = "stablehlo.{kind}"({a.name}, {b.name}) : ({a.type}, {a.type}) -> {a.type}',
            f'{i}  "stablehlo.return"({c.name}) : ({c.type}) -> ()',
            f"{i}}}) : ({v.type}, {start.type}) -> {result.type}",
        ]
        return result

    def keep_dims(self, reduced: Value, axis: int, like: Value) -> Value:
        """A reduced value over the dimension it lost again, in one step or by way of size 1."""
        rest = [i for i in range(len(like.dims)) if i != axis]
        if self.random.random() < 0.5:
            return self.broadcast(reduced, rest, like)
        one = (*reduced.dims[:axis], (), *reduced.dims[axis:])
        kept = self.reshape(reduced, one) if self.random.random() < 0.5 else self.broadcast(reduced, rest, one)
        return self.broadcast(kept, list(range(len(one))), like)

    # Loops

    @contextmanager
    def loop(self, trips: int, carried: Value) -> Iterator[list[Value]]:
        """
        A while loop that runs its body `trips` times. It yields a list with the carried value in the body; the body
        leaves in it the value of the next iteration, and the loop its result.
        """
        i = self.indent
        start, end, step = self.scalar(0, "i32"), self.scalar(trips, "i32"), self.scalar(1, "i32")
        (n0, x0, n1, x1), c, n2 = (self.value((), "i32") for _ in range(4)), self.value((), "i1"), self.value((), "i32")
        count, result = self.value((), "i32"), self.value(carried.dims, carried.dtype)
        t = carried.type
        self.lines += [
            f'{i}{count.name}, {result.name} = "stablehlo.while"({start.name}, {carried.name}) ({{',
            f"{i}^bb0({n0.name}: tensor<i32>, {x0.name}: {t}):",
            f'{i}  {c.name} = "stablehlo.compare"({n0.name}, {end.name}) <{{comparison_direction = '
            "#stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>",
            f'{i}  "stablehlo.return"({c.name}) : (tensor<i1>) -> ()',
            f"{i}}}, {{",
            f"{i}^bb0({n1.name}: tensor<i32>, {x1.name}: {t}):",
        ]
        values = [Value(x1.name, carried.dims, carried.shape, carried.dtype)]
        self.indent += "  "
        yield values
        self.indent = i
        self.lines += [
            f'{i}  {n2.name} = "stablehlo.add"({n1.name}, {step.name}) : (tensor<i32>, tensor<i32>) -> tensor<i32>',
            f'{i}  "stablehlo.return"({n2.name}, {values[0].name}) : (tensor<i32>, {t}) -> ()',
            f"{i}}}) : (tensor<i32>, {t}) -> (tensor<i32>, {t})",
        ]
        values[0] = result

    def module(self, results: Sequence[Value]) -> str:
        arguments = [v for v, _ in self.arguments]
        inputs, outputs = ", ".join(v.type for v in arguments), ", ".join(v.type for v in results)
        return "\n".join(
            [
                '"builtin.module"() ({',
                f'  "func.func"() <{{function_type = ({inputs}) -> ({outputs}), sym_name = "main"}}> ({{',
                f"  ^bb0({', '.join(f'{v.name}: {v.type}' for v in arguments)}):",
                *self.lines,
                f'    "func.return"({", ".join(v.name for v in results)}) : ({outputs}) -> ()',
                "  }) : () -> ()",
                "}) : () -> ()",
            ]
        )

    # Random walks between layouts

    def noise(self, v: Value) -> Value:
        """The same value after operations that change nothing, or nothing but its dimensions of size 1."""
        for _ in range(self.random.choice([0, 0, 0, 1, 1, 2])):
            rank = len(v.dims)
            kind = self.random.choice(["convert", "broadcast", "unit", "transpose", "merge"])
            if kind == "convert":
                v = self.convert(v, v.dtype)
            elif kind == "broadcast":
                v = self.broadcast(v, list(range(rank)), v)
            elif kind == "unit":
                at = self.random.randint(0, rank)
                wide = self.reshape(v, (*v.dims[:at], (), *v.dims[at:]))
                v = self.reshape(wide, v.dims)
            elif kind == "transpose" and rank > 1:
                order = self.random.sample(range(rank), rank)
                v = self.transpose(self.transpose(v, order), [order.index(i) for i in range(rank)])
            elif kind == "merge" and rank > 1:
                at = self.random.randrange(rank - 1)
                merged = (*v.dims[:at], v.dims[at] + v.dims[at + 1], *v.dims[at + 2 :])
                v = self.reshape(self.reshape(v, merged), v.dims)
        return v

    def relayout(self, v: Value, dims: Dims) -> Value:
        """The value with other dimensions of the same names, by a random path."""
        v = self.noise(v)
        if v.dims == dims:
            return v
        order = [name for dim in dims for name in dim]
        assert sorted(v.names) == sorted(order), (v.dims, dims)
        if v.names != order:
            if any(len(dim) != 1 for dim in v.dims):
                v = self.reshape(v, single(*v.names))
            v = self.noise(self.transpose(v, [v.names.index(name) for name in order]))
        if v.dims != dims:
            v = self.reshape(v, dims)
        return self.noise(v)

    def spread(self, v: Value, like: Value) -> Value:
        """A value of some of the names of `like`, one in each dimension, broadcast to its dimensions."""
        names = [name for name in like.names if name in v.names]
        v = self.relayout(v, single(*names))
        wide = self.broadcast(v, [like.names.index(name) for name in names], single(*like.names))
        return wide if wide.dims == like.dims else self.reshape(wide, like.dims)

    def random_dims(self, names: Sequence[str], *, alone: Sequence[str] = (), merge: float = 0.3) -> Dims:
        """The names in random order, neighbours flattened at random but for those in `alone`."""
        order = self.random.sample(list(names), len(names))
        dims: list[tuple[str, ...]] = []
        for name in order:
            joins = dims and name not in alone and dims[-1][-1] not in alone and self.random.random() < merge
            if joins:
                dims[-1] = (*dims[-1], name)
            else:
                dims.append((name,))
        return tuple(dims)
