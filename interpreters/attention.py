"""What the operations of the attention dialect compute, on NumPy arrays.

This is the definition of the operations that can be run: whole arrays, no tiles, sums in the accumulator's type.
Operands are brought to the axes `(b..., h, g, m, n | k | d)` as views, and a score region is run once, on arrays that
broadcast over `(b..., h, g, m, n)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, TensorType
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineExpr
from xdsl.utils.exceptions import InterpretationError, VerifyException

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp, YieldOp
from flashlower.dialects.attention.layout import INNER_DIMS, PAGE_INDICES, DimSizes, layout_terms, used_indices
from flashlower.dialects.attention.quantization import Part
from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.interpreters.quantization import codes_of, dequantised

Array: TypeAlias = npt.NDArray[Any]


def to_axes(array: Array, layout: AffineMapAttr, sizes: Mapping[str, int], inner: Sequence[str]) -> Array:
    """
    An operand with the axes `(b..., *inner)`, of size 1 where its layout does not have a dimension.

    It is a view, but where the layout has a digit of a dimension: then every index has the element of its digit.

    `sizes` are those of all iteration dimensions, and of the indices of pages where the layout has those; `inner`
    names the dimensions after the batch.
    """
    names = list(sizes)
    axes = _axis_positions(names, inner)
    terms = {term.dim: term for index in layout_terms(layout.data) for term in index}
    digit_sizes = {dim: term.digit_size(sizes[names[dim]]) for dim, term in terms.items()}
    order = [list(terms).index(axis) for axis in axes if axis in terms]
    array = array.reshape([digit_sizes[dim] for dim in terms]).transpose(order)
    array = array.reshape([digit_sizes.get(axis, 1) for axis in axes])
    for position, axis in enumerate(axes):
        if (term := terms.get(axis)) is not None and not term.is_dim:
            index = np.arange(sizes[names[axis]])
            digit = index // term.divisor if term.modulus is None else index % term.modulus
            array = np.take(array, digit, position)
    return array


def _axis_positions(names: list[str], inner: Sequence[str]) -> list[int]:
    """Where the batch dimensions, and then those of `inner`, stand among the names."""
    return [*range(names.index(INNER_DIMS[0])), *(names.index(name) for name in inner)]


def from_axes(
    array: Array, type: Attribute, layout: AffineMapAttr, sizes: Mapping[str, int], inner: Sequence[str]
) -> Array:
    """The inverse of `to_axes`: a result with the axes `(b..., *inner)` in its layout and its type's elements."""
    names = list(sizes)
    axes = _axis_positions(names, inner)
    array = np.broadcast_to(array, [sizes[names[axis]] for axis in axes])
    indices = layout_terms(layout.data)
    digits = [term.dim for terms in indices for term in terms]
    # A dimension that the layout lacks has size 1, so it may go anywhere.
    array = array.transpose([axes.index(d) for d in digits] + [i for i, axis in enumerate(axes) if axis not in digits])
    shape = [int(np.prod([sizes[names[term.dim]] for term in terms], dtype=np.int64)) for terms in indices]
    return array.reshape(shape).astype(numpy_dtype(cast(TensorType[Attribute], type).element_type))


def softmax_sums(
    s: Array, v: Array, sink: Array | None = None, counts: Array | None = None
) -> tuple[Array, Array, Array]:
    """
    `(out, lse, sum)` of logits `s` [..., m, n] and values `v` [..., n, d], with a further logit `sink` [..., m, 1].

    Where `counts` [..., m, n] are given, each logit stands for so many equal ones. The sum is that of
    exp(logit - the largest logit). Rows whose logits are all -inf give out = 0, lse = -inf (or the sink) and, without
    a sink, sum = 0; NaN propagates.
    """
    top = np.max(s, axis=-1, keepdims=True, initial=-np.inf)
    masked = top == -np.inf
    if sink is not None:
        top = np.maximum(top, sink)
    top = np.where(top == -np.inf, top.dtype.type(0), top)
    weights = np.exp(s - top)
    if counts is not None:
        weights = weights * counts
    total = np.sum(weights, axis=-1, keepdims=True)
    if sink is not None:
        total = total + np.exp(sink - top)
    # Without a weight there is nothing to scale: 0 / 0, or 0 * NaN.
    out: Array = np.where(masked, np.zeros((), s.dtype), np.matmul(weights, v) / total)
    return out, (top + np.log(total))[..., 0], total[..., 0]


class _Pages:
    """The block table of one operation; pools are read through it."""

    def __init__(self, op: AttentionOp, values: Mapping[SSAValue, Array], sizes: Mapping[str, int], lengths: Array):
        assert op.block_table is not None and op.block_table_layout is not None
        self.sizes = sizes
        lengths = lengths.reshape(*lengths.shape[:-2], 1)
        table = to_axes(values[op.block_table], op.block_table_layout, sizes, ("h", "g", "row", "p"))
        row = np.zeros((), np.int64)
        if op.rows is not None and op.rows_layout is not None:
            row = to_axes(values[op.rows], op.rows_layout, sizes, ("h", "g"))[..., None]
        row = _checked("rows", row, lengths > 0, "row", sizes)
        table = _pick(table, row[..., None], -2)[..., 0, :]
        # Entries of pages without keys may be no pages.
        needed = np.arange(sizes["p"]) * sizes["slot"] < lengths
        self.pages = _checked("block_table", table, needed, "page", sizes)

    def read(self, pool: Array, layout: AffineMapAttr, inner: str) -> Array:
        """K or V on the axes `(b..., h, g, n, inner)`; keys that do not exist are any that do, or 0."""
        pool = to_axes(pool, layout, self.sizes, ("h", "g", "page", "slot", inner))
        pool = np.broadcast_to(
            pool, (*pool.shape[:-3], *(self.sizes[name] for name in ("page", "slot")), pool.shape[-1])
        )
        found = _pick(pool, self.pages[..., None, None], -3)
        return found.reshape(*found.shape[:-3], -1, found.shape[-1])


def _checked(name: str, indices: Array, needed: Array, index: str, sizes: Mapping[str, int]) -> Array:
    """Indices that are read, 0 in place of others. Raises `InterpretationError` for one that is out of range."""
    indices, needed = np.broadcast_arrays(indices, needed)
    wrong = needed & ((indices < 0) | (indices >= sizes[index]))
    if wrong.any():
        raise InterpretationError(f"{name} has {index} {indices[wrong][0]}, but there are {sizes[index]}")
    return np.where(needed, indices, 0)


def _pick(array: Array, indices: Array, axis: int) -> Array:
    """`np.take_along_axis` with broadcasting; zeros of an axis that has nothing to take."""
    lead = np.broadcast_shapes(array.shape[:axis], indices.shape[:axis])
    array = np.broadcast_to(array, (*lead, *array.shape[axis:]))
    indices = np.broadcast_to(indices, (*lead, *indices.shape[axis:]))
    if array.shape[axis] == 0:
        return np.zeros((*lead, indices.shape[axis], *array.shape[array.ndim + axis + 1 :]), array.dtype)
    return np.take_along_axis(array, indices, axis)


class _Problem:
    """The operands of one `attention.sdpa` or `attention.partial` on their axes, and the logits."""

    def __init__(self, interpreter: Interpreter, op: AttentionOp, args: PythonValues):
        values: dict[SSAValue, Array] = {value: np.asarray(arg) for value, arg in zip(op.operands, args)}
        sizes = _sizes_of(op, values)
        self.sizes = {name: size for name, size in sizes.items() if name not in PAGE_INDICES}
        self.dtype = numpy_dtype(op.accumulator_type)
        keys = self.sizes["n"]
        self.positions = np.arange(keys)
        self.lengths = np.asarray(keys)
        if op.kv_lens is not None and op.kv_lens_layout is not None:
            lengths = to_axes(values[op.kv_lens], op.kv_lens_layout, self.sizes, ("h", "g"))
            self.lengths = np.clip(lengths, 0, keys)[..., None, None]
        pages = _Pages(op, values, sizes, self.lengths) if op.block_table is not None else None
        q = self._operand(values[op.query], op.query_layout, "mk")
        k = self._keys_or_values(op, values, pages, "k", op.key, op.key_layout)
        v = self._keys_or_values(op, values, pages, "v", op.value, op.value_layout)
        q, k = (np.broadcast_to(x, (*x.shape[:-1], self.sizes["k"])) for x in (q, k))
        v = np.broadcast_to(v, (*v.shape[:-2], keys, v.shape[-1]))
        if op.kv_lens is not None:
            # Keys beyond a length do not exist: 0 * NaN must not bring them back.
            v = np.where(self.positions[:, None] < self.lengths, v, self.dtype.type(0))
        self.v = v
        self.first, self.end = self._reach(op, values)
        self.sinks: Array | None = None
        if op.sinks is not None and op.sinks_layout is not None:
            sinks = to_axes(values[op.sinks], op.sinks_layout, self.sizes, ("h", "g"))
            self.sinks = sinks.astype(self.dtype)[..., None, None]
        s = np.matmul(q, np.swapaxes(k, -1, -2)) * self.dtype.type(op.scale.value.data)
        self.s = self._score(interpreter, op, s)

    def _reach(self, op: AttentionOp, values: Mapping[SSAValue, Array]) -> tuple[Array, Array]:
        """The keys that any query reaches, by the bounds of the operation, among those that exist."""
        interval = op.reach
        if interval is None:
            return np.asarray(0), self.lengths
        symbols = [
            to_axes(values[value].astype(np.int64), layout, self.sizes, ("h", "g"))[..., None, None]
            for value, layout in op.bounds.scalars
        ]

        def number(expr: AffineExpr) -> Array:
            # xDSL evaluates with Python's operators, which arrays have as well.
            return np.asarray(expr.eval([0, self.sizes["m"]], cast(Sequence[int], symbols)))

        first = interval.evaluate_lower(number, np.maximum, np.minimum)
        end = interval.evaluate_upper(number, np.maximum, np.minimum)
        return (
            np.asarray(0) if first is None else np.clip(first, 0, self.lengths),
            self.lengths if end is None else np.clip(end, 0, self.lengths),
        )

    def _keys_or_values(
        self,
        op: AttentionOp,
        values: Mapping[SSAValue, Array],
        pages: _Pages | None,
        name: str,
        operand: SSAValue,
        layout: AffineMapAttr,
    ) -> Array:
        """K or V on the axes `(b..., h, g, n, k or d)`, from its pages and dequantised."""
        channel = "k" if name == "k" else "d"

        def read(value: SSAValue, layout: AffineMapAttr) -> Array:
            if pages is None or not used_indices(layout.data) & {"page", "slot"}:
                return to_axes(values[value], layout, self.sizes, ("h", "g", "n", channel))
            return pages.read(values[value], layout, channel)

        found = read(operand, layout)
        quantization, packing = op.quantization(name), op.packing(name)
        if quantization is None or packing is None:
            return found.astype(self.dtype, copy=False)
        packing = replace(packing, width=self.sizes[channel] // packing.lanes)
        codes = codes_of(found, quantization.attr, packing, self.dtype)
        parts: dict[Part, Array] = {}
        for part, shared in quantization.shared():
            parts[part] = read(shared.value, shared.layout).astype(self.dtype)
        return dequantised(codes, quantization.attr, parts)

    def _operand(self, array: Array, layout: AffineMapAttr, dims: str) -> Array:
        return to_axes(array, layout, self.sizes, ("h", "g", *dims)).astype(self.dtype, copy=False)

    def _score(self, interpreter: Interpreter, op: AttentionOp, s: Array) -> Array:
        """The final logits, -inf at keys that do not exist."""
        full = tuple(size for name, size in self.sizes.items() if name not in "kd")
        if op.score.blocks:
            heads, group, queries, keys = full[-4:]
            batch = np.indices(full[:-4], sparse=True) if op.batch_rank else ()
            indices = [
                *(index.reshape(*index.shape, 1, 1, 1, 1) for index in batch),
                np.arange(heads * group).reshape(heads, group, 1, 1),
                np.arange(queries)[:, None],
                np.arange(keys),
            ]
            (s,) = interpreter.run_ssacfg_region(op.score, (s, *indices), "score")
            s = np.asarray(s, self.dtype)
        s = np.where(self.positions < self.lengths, s, self.dtype.type(-np.inf))
        return np.broadcast_to(s, full)


def _sizes_of(op: AttentionOp, values: Mapping[SSAValue, Array]) -> dict[str, int]:
    """Sizes of the iteration dimensions and page indices by the shapes at hand, and by the types of results."""
    sizes = DimSizes.of(op.batch_rank, op.lanes())
    try:
        for name, value, layout in op.layouts():
            shape = values[value].shape if value in values else cast(TensorType[Attribute], value.type).get_shape()
            sizes.add(name, shape, layout.data)
        by_name = sizes.by_index()
    except VerifyException as e:
        raise InterpretationError(f"{op.name}: {e}") from e
    for name, size in by_name.items():
        if size == DYNAMIC_INDEX:
            raise InterpretationError(f"{op.name}: no operand gives the size of {name}")
    return by_name


@register_impls
class AttentionFunctions(InterpreterFunctions):
    """`attention.sdpa`, `attention.partial` and `attention.combine` on NumPy arrays."""

    @impl_terminator(YieldOp)
    def run_yield(self, interpreter: Interpreter, op: YieldOp, args: PythonValues) -> tuple[Any, PythonValues]:
        return ReturnedValues(args), ()

    @impl(SdpaOp)
    def run_sdpa(self, interpreter: Interpreter, op: SdpaOp, args: PythonValues) -> PythonValues:
        with np.errstate(all="ignore"):
            problem = _Problem(interpreter, op, args)
            out, lse, _ = softmax_sums(problem.s, problem.v, problem.sinks)
            return _results(op, out, lse, problem.sizes)

    @impl(PartialOp)
    def run_partial(self, interpreter: Interpreter, op: PartialOp, args: PythonValues) -> PythonValues:
        splits, tile = op.num_splits, op.tile.value.data
        with np.errstate(all="ignore"):
            problem = _Problem(interpreter, op, args)
            s, v, keys = problem.s, problem.v, problem.sizes["n"]
            v = np.broadcast_to(v, (*s.shape[:-2], *v.shape[-2:]))
            out = np.zeros((splits, *s.shape[:-1], v.shape[-1]), problem.dtype)
            lse = np.full((splits, *s.shape[:-1]), -np.inf, problem.dtype)
            sums = np.zeros((splits, *s.shape[:-1]), problem.dtype)
            skipped = problem.first // tile
            tiles = np.maximum(-(-problem.end // tile) - skipped, 0)
            for i in range(splits):
                first = (skipped + tiles * i // splits) * tile
                last = np.minimum((skipped + tiles * (i + 1) // splits) * tile, problem.end)
                # Sequences have different lengths: look at what any of them has in this split.
                start = int(np.min(first, initial=keys))
                stop = min(int(np.max(last, initial=0)), keys)
                if start >= stop:
                    continue
                positions = problem.positions[start:stop]
                mine = (first <= positions) & (positions < last)
                s_i, v_i = s[..., start:stop], v[..., start:stop, :]
                if not mine.all():
                    s_i = np.where(mine, s_i, problem.dtype.type(-np.inf))
                    # A value of another split has weight 0, which a NaN in it must not turn to NaN.
                    v_i = np.where(np.swapaxes(mine, -1, -2), v_i, problem.dtype.type(0))
                out[i], lse[i], sums[i] = softmax_sums(s_i, v_i)
        # [split, b..., h, g, m, d] to [b..., h, g, split, m, d]
        results = np.moveaxis(out, 0, -3), np.moveaxis(lse, 0, -2), np.moveaxis(sums, 0, -2)
        return results[: len(op.results)]

    @impl(CombineOp)
    def run_combine(self, interpreter: Interpreter, op: CombineOp, args: PythonValues) -> PythonValues:
        values: dict[SSAValue, Array] = {value: np.asarray(arg) for value, arg in zip(op.operands, args)}
        partial, tops = values[op.partial], values[op.partial_lse]
        sizes = dict(op.dim_sizes())
        *batch, heads, group, _, queries, head_size = partial.shape
        sizes.update(zip(sizes, batch))
        sizes.update(h=heads, g=group, m=queries, d=head_size)
        sink: Array | None = None
        if op.sinks is not None and op.sinks_layout is not None:
            sink = to_axes(values[op.sinks], op.sinks_layout, sizes, ("h", "g")).astype(partial.dtype)
            sink = sink[..., None, None]
        with np.errstate(all="ignore"):
            counts: Array | None = None
            if op.partial_sum is not None:
                sums = values[op.partial_sum]
                tops = np.where(sums == 0, partial.dtype.type(-np.inf), tops - np.log(sums))
                counts = np.swapaxes(sums, -1, -2)[..., None, :]
            # One row of logits, the splits, for every query: [.., m, 1, split] and [.., m, split, d].
            s = np.swapaxes(tops, -1, -2)[..., None, :]
            v = np.where(tops[..., None] == -np.inf, partial.dtype.type(0), partial)
            v = np.swapaxes(v, -3, -2)
            out, lse, _ = softmax_sums(s, v, None if sink is None else sink[..., None], counts)
            return _results(op, out[..., 0, :], lse[..., 0], sizes)


def _results(op: SdpaOp | CombineOp, out: Array, lse: Array, sizes: Mapping[str, int]) -> PythonValues:
    results = [from_axes(out, op.output.type, op.output_layout, sizes, ("h", "g", "m", "d"))]
    if op.lse is not None and op.lse_layout is not None:
        results.append(from_axes(lse, op.lse.type, op.lse_layout, sizes, ("h", "g", "m")))
    return tuple(results)
