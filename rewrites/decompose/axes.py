"""Building StableHLO on tensors whose dimensions have names.

A layout gives the dimensions of a tensor the names of iteration dimensions, so that operations can align their
operands by name: a mask over `(m, n)` and logits over `(b, h, g, m, n)` meet by a broadcast, whatever order the
operands of the attention are stored in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import cast

from xdsl.dialects.builtin import AffineMapAttr, TensorType, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from flashlower.dialects import stablehlo
from flashlower.dialects.attention.layout import INNER_DIMS, Term, dim_names, index_names, layout_terms
from flashlower.dialects.stablehlo.reduction import ReductionKind


@dataclass(frozen=True)
class Named:
    """A tensor and the names of its dimensions; it is constant along axes that it does not have."""

    value: SSAValue
    axes: tuple[str, ...]

    @property
    def element_type(self) -> Attribute:
        return cast(TensorType[Attribute], self.value.type).element_type


@dataclass
class TensorBuilder:
    """Emits StableHLO before the operation that is being rewritten."""

    rewriter: PatternRewriter
    sizes: Mapping[str, int]
    """The size of every axis, in the order that tensors are brought to."""
    keys_are_split: bool = False
    """Whether the keys of operands are the axes (split, n), with n counting the keys of one split."""
    _iotas: dict[tuple[str, ...], Named] = field(default_factory=dict[tuple[str, ...], Named])
    _constants: dict[tuple[str, Attribute], Named] = field(default_factory=dict[tuple[str, Attribute], Named])

    def emit(self, op: Operation, hint: str | None = None) -> SSAValue:
        """Inserts an operation of one result, which it returns."""
        self.rewriter.insert(op)
        op.results[0].name_hint = hint
        return op.results[0]

    def bitcast(self, x: Named, element_type: Attribute, hint: str | None = None) -> Named:
        """The same bits as another type."""
        if x.element_type == element_type:
            return x
        type = TensorType(element_type, cast(TensorType[Attribute], x.value.type).get_shape())
        return Named(self.emit(stablehlo.BitcastConvertOp(x.value, type), hint), x.axes)

    def shape(self, axes: Iterable[str]) -> list[int]:
        return [self.sizes[axis] for axis in axes]

    def ordered(self, axes: Iterable[str]) -> tuple[str, ...]:
        """The axes, each once, in the builder's order."""
        wanted = set(axes)
        return tuple(axis for axis in self.sizes if axis in wanted)

    def constant(self, value: float, element_type: Attribute) -> Named:
        # By its text: 0.0 and -0.0 are equal as numbers.
        key = (repr(value), element_type)
        if key not in self._constants:
            self._constants[key] = Named(self.emit(stablehlo.ConstantOp(value, TensorType(element_type, ()))), ())
        return self._constants[key]

    def iota(self, *axes: str) -> Named:
        """The row-major index over some axes, in i64: 0, 1, ... where there is one axis."""
        if axes not in self._iotas:
            count = 1
            for axis in axes:
                count *= self.sizes[axis]
            flat = self.emit(stablehlo.IotaOp(0, TensorType(i64, [count])), "_".join(axes))
            self._iotas[axes] = Named(self.reshape(flat, self.shape(axes)), axes)
        return self._iotas[axes]

    def reshape(self, value: SSAValue, shape: Sequence[int]) -> SSAValue:
        if list(cast(TensorType[Attribute], value.type).get_shape()) == list(shape):
            return value
        return self.emit(stablehlo.ReshapeOp(value, shape), value.name_hint)

    def transpose(self, x: Named, axes: Sequence[str]) -> Named:
        """The same tensor with its axes in another order."""
        if tuple(axes) == x.axes:
            return x
        permutation = [x.axes.index(axis) for axis in axes]
        return Named(self.emit(stablehlo.TransposeOp(x.value, permutation), x.value.name_hint), tuple(axes))

    def broadcast(self, x: Named, axes: Sequence[str]) -> Named:
        """`x` with at least its own axes, which stand in `axes` in the same order."""
        if tuple(axes) == x.axes:
            return x
        dimensions = [axes.index(axis) for axis in x.axes]
        value = self.emit(stablehlo.BroadcastInDimOp(x.value, dimensions, self.shape(axes)), x.value.name_hint)
        return Named(value, tuple(axes))

    def align(self, *operands: Named, axes: Iterable[str] = ()) -> list[Named]:
        """Operands with the same axes: all that any of them has, and the given ones."""
        every = self.ordered([*axes, *(axis for x in operands for axis in x.axes)])
        return [self.broadcast(self.transpose(x, self.ordered(x.axes)), every) for x in operands]

    def elementwise(self, op: Callable[..., Operation], *operands: Named, hint: str | None = None) -> Named:
        """`op` of the aligned operands."""
        aligned = self.align(*operands)
        return Named(self.emit(op(*(x.value for x in aligned)), hint), aligned[0].axes)

    def compare(self, lhs: Named, direction: stablehlo.ComparisonDirection, rhs: Named) -> Named:
        return self.elementwise(partial(stablehlo.CompareOp, direction=direction), lhs, rhs)

    def select(self, condition: Named, on_true: Named, on_false: Named, hint: str | None = None) -> Named:
        return self.elementwise(stablehlo.SelectOp, condition, on_true, on_false, hint=hint)

    def where(self, condition: Named, x: Named, otherwise: float, hint: str | None = None) -> Named:
        """`x` where the condition holds, else a number."""
        return self.select(condition, x, self.constant(otherwise, x.element_type), hint or x.value.name_hint)

    def convert(self, x: Named, element_type: Attribute) -> Named:
        if x.element_type == element_type:
            return x
        return Named(self.emit(stablehlo.ConvertOp(x.value, element_type), x.value.name_hint), x.axes)

    def reduce(self, x: Named, axis: str, kind: ReductionKind, initial: float, hint: str) -> Named:
        """`x` folded over one axis, which it has."""
        init = self.constant(initial, x.element_type)
        op = stablehlo.ReduceOp(x.value, init.value, [x.axes.index(axis)], kind)
        return Named(self.emit(op, hint), tuple(a for a in x.axes if a != axis))

    def dot(self, x: Named, y: Named, contracted: str, element_type: Attribute, hint: str) -> Named:
        """Sums over one axis of products; the other axes that both have are batch axes."""
        x, y = (z if contracted in z.axes else self.align(z, axes=[contracted])[0] for z in (x, y))
        batch = [axis for axis in x.axes if axis in y.axes and axis != contracted]
        numbers = stablehlo.DotDimensionNumbersAttr.get(
            [x.axes.index(axis) for axis in batch],
            [y.axes.index(axis) for axis in batch],
            [x.axes.index(contracted)],
            [y.axes.index(contracted)],
        )
        free = [axis for operand in (x, y) for axis in operand.axes if axis not in (*batch, contracted)]
        value = self.emit(stablehlo.DotGeneralOp(x.value, y.value, numbers, element_type), hint)
        result = Named(value, (*batch, *free))
        return self.transpose(result, self.ordered(result.axes))

    def read(self, value: SSAValue, layout: AffineMapAttr, hint: str) -> Named:
        """
        An operand, with one axis for each iteration dimension of its layout; n may stand for (split, n).

        A digit of a dimension is spread over it: every index has the element of its digit.
        """
        names = index_names(layout.data.num_dims - len(INNER_DIMS))
        axes: list[str] = []
        digits: list[tuple[Term, int]] = []
        for terms in layout_terms(layout.data):
            for term in terms:
                name = names[term.dim]
                mine = ["split", "n"] if name == "n" and self.keys_are_split else [name]
                axes += mine
                digits.append((term, prod(self.shape(mine))))
        result = value
        if not all(term.is_dim for term, _ in digits):
            shape = [term.digit_size(size) for term, size in digits]
            result = self.reshape(value, shape)
            for position, (term, size) in enumerate(digits):
                if not term.is_dim:
                    result = self._spread(result, position, term, size)
        result = self.reshape(result, self.shape(axes))
        if result is not value:
            result.name_hint = hint
        return Named(result, tuple(axes))

    def _spread(self, value: SSAValue, position: int, term: Term, size: int) -> SSAValue:
        """A tensor with a digit at some position as one with its dimension there."""
        shape = list(cast(TensorType[Attribute], value.type).get_shape())
        count = shape[position]
        # A quotient repeats each element, a remainder all of them in turn.
        whole = [count, term.divisor] if term.modulus is None else [size // term.modulus, count]
        dimensions = [i if i < position else i + 1 for i in range(len(shape))]
        dimensions[position] = position if term.modulus is None else position + 1
        spread = [*shape[:position], *whole, *shape[position + 1 :]]
        value = self.emit(stablehlo.BroadcastInDimOp(value, dimensions, spread))
        return self.reshape(value, [*shape[:position], size, *shape[position + 1 :]])

    def take(self, x: Named, axis: str, indices: Named, hint: str) -> Named:
        """`x` at indices along one axis; other axes that both have are batch axes. Indices are clamped to the axis."""
        shared = [a for a in x.axes if a in indices.axes and a != axis]
        kept = [a for a in x.axes if a != axis and a not in shared]
        count = len(indices.axes)
        numbers = stablehlo.GatherDimensionNumbersAttr.get(
            offset_dims=range(count, count + len(kept)),
            collapsed_slice_dims=[x.axes.index(axis)],
            operand_batching_dims=[x.axes.index(a) for a in shared],
            start_indices_batching_dims=[indices.axes.index(a) for a in shared],
            start_index_map=[x.axes.index(axis)],
            index_vector_dim=count,
        )
        sizes = [self.sizes[a] if a in kept else 1 for a in x.axes]
        value = self.emit(stablehlo.GatherOp(x.value, indices.value, numbers, sizes), hint)
        return Named(value, (*indices.axes, *kept))

    def join_pages(self, x: Named) -> Named:
        """`x` with the keys n (which may stand for (split, n)) in place of its axes p and slot."""
        x = self.broadcast(x, (*x.axes, *(axis for axis in ("p", "slot") if axis not in x.axes)))
        head = tuple(axis for axis in x.axes if axis in "kd")
        outer = tuple(axis for axis in self.ordered(x.axes) if axis not in (*head, "p", "slot"))
        x = self.transpose(x, (*outer, "p", "slot", *head))
        axes = (*outer, *(["split", "n"] if self.keys_are_split else ["n"]), *head)
        return Named(self.reshape(x.value, self.shape(axes)), axes)

    def write(self, x: Named, layout: AffineMapAttr, type: Attribute) -> SSAValue:
        """A result in its layout and type; `x` may lack axes, and have others of size 1."""
        tensor_type = cast(TensorType[Attribute], type)
        names = dim_names(layout.data.num_dims - len(INNER_DIMS))
        axes = tuple(names[term.dim] for terms in layout_terms(layout.data) for term in terms)
        x = self.convert(x, tensor_type.element_type)
        kept = tuple(axis for axis in x.axes if axis in axes)
        x = Named(self.reshape(x.value, self.shape(kept)), kept)
        x = self.broadcast(self.transpose(x, [axis for axis in axes if axis in kept]), axes)
        return self.reshape(x.value, tensor_type.get_shape())
