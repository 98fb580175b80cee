"""
A builder of `tl` kernels that infers result types, so that lowering code reads like the kernel it makes.

    b = KernelBuilder("scale_kernel", {"x_ptr": PtrType(f32), "n": i32}, doc="Double n numbers.")
    x_ptr, n = b.args
    block = b.constexpr("BLOCK", 128)
    offs = b.add(b.mul(b.program_id(0), block), b.arange(0, block), name="offs")
    mask = b.lt(offs, n, name="mask")
    x = b.load(b.add(x_ptr, offs), mask=mask, other=0.0, name="x")
    b.store(b.add(x_ptr, offs), b.mul(x, 2.0), mask=mask)
    kernel = b.finish()  # a tl.jit

Where a value is expected a Python number is one too: it becomes a `tl.constant` of the element type of its
partner (the other operand, the loaded type). Every method takes `name=`, the name that is printed; a value
without one is inlined where it is used once. Operands that do not fit raise TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from xdsl.dialects.builtin import StringAttr, i1, i32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects import tl
from flashlower.dialects.tl.blocks import scalar_attr
from flashlower.dialects.tl.types import PtrType, element_type, is_bool, is_float

Number: TypeAlias = bool | int | float
Operand: TypeAlias = SSAValue | Number

COMMENT = "tl.comment"
"""The attribute that is printed as a comment above the statement of an op."""


class Carried(Mapping[str, SSAValue]):
    """
    Loop-carried values by name: inside a loop the current ones, after it the last ones.

    `c.acc` and `c["acc"]` are the same.
    """

    def __init__(self, names: Sequence[str], values: Sequence[SSAValue]):
        self._values = dict(zip(names, values, strict=True))

    def __getitem__(self, name: str) -> SSAValue:
        return self._values[name]

    def __getattr__(self, name: str) -> SSAValue:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the loop carries {', '.join(self._values) or 'nothing'}, not {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Loop:
    """
    A loop under construction: what `with b.range(...) as loop` gives.

    `loop.index` is the counter and `loop.args` the carried values, inside the body; `loop.results` the
    carried values after it, once the `with` has ended.
    """

    def __init__(self, index: SSAValue, args: Carried):
        self.index = index
        self.args = args
        self._results: Carried | None = None

    @property
    def results(self) -> Carried:
        if self._results is None:
            raise TypeError("the results of a loop exist after its `with` block")
        return self._results

    def finish(self, results: Carried) -> None:
        """Called by the builder at the end of the `with`."""
        self._results = results


class KernelBuilder:
    """Builds one `tl.jit`; see the module's text for an example."""

    def __init__(self, name: str, args: Mapping[str, Attribute], *, doc: str | None = None):
        self.op = tl.JitOp(name, tuple(args.values()), doc)
        self._block: Block = self.op.body.block
        self._open: list[tuple[tuple[str, ...], list[Attribute]]] = []
        for argument, hint in zip(self._block.args, args, strict=True):
            argument.name_hint = hint
        self._entry = self._block
        self._names = dict(zip(args, self._block.args, strict=True))

    # Arguments and the end.

    @property
    def args(self) -> tuple[SSAValue, ...]:
        """The kernel's arguments, in order."""
        return tuple(self._entry.args)

    def arg(self, name: str) -> SSAValue:
        """The argument of this name."""
        if name not in self._names:
            raise TypeError(f"kernel {self.op.sym_name.data} has no argument {name}")
        return self._names[name]

    def finish(self) -> tl.JitOp:
        """End the kernel with its return, verify it and return it; raises TypeError when it is not valid."""
        if self._block is not self._entry:
            raise TypeError("finish() is called outside of all loops and branches")
        self._entry.add_op(tl.ReturnOp())
        try:
            self.op.verify()
        except VerifyException as error:
            raise TypeError(f"kernel {self.op.sym_name.data}: {error}") from error
        return self.op

    # Insertion, names and comments.

    def insert(self, op: Operation, name: str | None = None, comment: str | None = None) -> SSAValue:
        """Append an op with one result and return that; every other method goes through here."""
        self._append(op, comment)
        (result,) = op.results
        if name is not None:
            result.name_hint = name
        return result

    def _append(self, op: Operation, comment: str | None) -> None:
        if comment is not None:
            op.attributes[COMMENT] = StringAttr(comment)
        self._block.add_op(op)

    def _make(self, make: Callable[[], Operation], name: str | None, comment: str | None) -> SSAValue:
        try:
            op = make()
        except VerifyException as error:
            what = "" if name is None else f" (for {name})"
            raise TypeError(f"{error}{what}") from error
        return self.insert(op, name, comment)

    def _verify(self, op: Operation) -> None:
        try:
            op.verify_()
        except VerifyException as error:
            raise TypeError(str(error)) from error

    # Constants.

    def constant(self, value: Number, element: Attribute | None = None) -> SSAValue:
        """A literal. Without `element`: i1 for a bool, i32 for an int; a float needs one."""
        if element is None:
            if isinstance(value, float):
                raise TypeError(f"which float type has the constant {value}?")
            element = i1 if isinstance(value, bool) else i32
        found = element
        return self._make(lambda: tl.ConstantOp(scalar_attr(value, found)), None, None)

    def constexpr(self, name: str, value: Number, element: Attribute | None = None) -> SSAValue:
        """`name: tl.constexpr = value`, at the start of the kernel; i32 for ints."""
        if element is None:
            if isinstance(value, float):
                raise TypeError(f"which float type has the constexpr {name}?")
            element = i1 if isinstance(value, bool) else i32
        try:
            op = tl.ConstexprOp(scalar_attr(value, element))
        except VerifyException as error:
            raise TypeError(f"{error} (for {name})") from error
        op.result.name_hint = name
        last = None
        for existing in self._entry.ops:
            if not isinstance(existing, tl.ConstexprOp):
                break
            last = existing
        if last is not None:
            self._entry.insert_op_after(op, last)
        elif (first := self._entry.first_op) is not None:
            self._entry.insert_op_before(op, first)
        else:
            self._entry.add_op(op)
        return op.result

    def value(self, operand: Operand, like: Attribute | None) -> SSAValue:
        """An operand as a value: a number becomes a constant with the element type of `like`."""
        if isinstance(operand, SSAValue):
            return operand
        return self.constant(operand, None if like is None else element_type(like))

    def _pair(self, lhs: Operand, rhs: Operand) -> tuple[SSAValue, SSAValue]:
        if isinstance(lhs, SSAValue) and isinstance(rhs, SSAValue):
            return lhs, rhs
        if isinstance(lhs, SSAValue):
            pointer = isinstance(element_type(lhs.type), PtrType)
            return lhs, self.value(rhs, i32 if pointer else lhs.type)
        if isinstance(rhs, SSAValue):
            return self.value(lhs, rhs.type), rhs
        raise TypeError(f"of {lhs} and {rhs} at least one is a value of the kernel")

    def _sizes(self, shape: Sequence[SSAValue | int]) -> list[SSAValue]:
        return [self.value(size, i32) for size in shape]

    # Operators.

    def _binary(
        self,
        op: Callable[[SSAValue, SSAValue], Operation],
        lhs: Operand,
        rhs: Operand,
        name: str | None,
        comment: str | None,
    ) -> SSAValue:
        left, right = self._pair(lhs, rhs)
        return self._make(lambda: op(left, right), name, comment)

    def add(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs + rhs; on a pointer the offset is in elements."""
        return self._binary(tl.AddOp, lhs, rhs, name, comment)

    def sub(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs - rhs."""
        return self._binary(tl.SubOp, lhs, rhs, name, comment)

    def mul(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs * rhs."""
        return self._binary(tl.MulOp, lhs, rhs, name, comment)

    def truediv(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs / rhs on f32 and f64."""
        return self._binary(tl.TrueDivOp, lhs, rhs, name, comment)

    def floordiv(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs // rhs on integers, towards zero as in C."""
        return self._binary(tl.FloorDivOp, lhs, rhs, name, comment)

    def mod(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs % rhs on integers, with the sign of lhs as in C."""
        return self._binary(tl.ModOp, lhs, rhs, name, comment)

    def cdiv(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.cdiv(lhs, rhs) for lhs >= 0 and rhs > 0."""
        return self._binary(tl.CdivOp, lhs, rhs, name, comment)

    def shl(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs << rhs."""
        return self._binary(tl.ShlOp, lhs, rhs, name, comment)

    def shr(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs >> rhs."""
        return self._binary(tl.ShrOp, lhs, rhs, name, comment)

    def and_(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs & rhs on integers and masks."""
        return self._binary(tl.AndOp, lhs, rhs, name, comment)

    def or_(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs | rhs on integers and masks."""
        return self._binary(tl.OrOp, lhs, rhs, name, comment)

    def xor(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs ^ rhs on integers and masks."""
        return self._binary(tl.XorOp, lhs, rhs, name, comment)

    def maximum(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.maximum(lhs, rhs) on integers, f32 and f64."""
        return self._binary(tl.MaximumOp, lhs, rhs, name, comment)

    def minimum(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.minimum(lhs, rhs) on integers, f32 and f64."""
        return self._binary(tl.MinimumOp, lhs, rhs, name, comment)

    def lt(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs < rhs."""
        return self._binary(tl.LtOp, lhs, rhs, name, comment)

    def le(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs <= rhs."""
        return self._binary(tl.LeOp, lhs, rhs, name, comment)

    def gt(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs > rhs."""
        return self._binary(tl.GtOp, lhs, rhs, name, comment)

    def ge(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs >= rhs."""
        return self._binary(tl.GeOp, lhs, rhs, name, comment)

    def eq(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs == rhs."""
        return self._binary(tl.EqOp, lhs, rhs, name, comment)

    def ne(self, lhs: Operand, rhs: Operand, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """lhs != rhs."""
        return self._binary(tl.NeOp, lhs, rhs, name, comment)

    # Functions of one value.

    def neg(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """-x."""
        return self._make(lambda: tl.NegOp(x), name, comment)

    def invert(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """~x on integers and masks."""
        return self._make(lambda: tl.InvertOp(x), name, comment)

    def abs(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.abs(x)."""
        return self._make(lambda: tl.AbsOp(x), name, comment)

    def exp(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.exp(x) on f32 and f64."""
        return self._make(lambda: tl.ExpOp(x), name, comment)

    def exp2(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.exp2(x) on f32 and f64."""
        return self._make(lambda: tl.Exp2Op(x), name, comment)

    def log(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.log(x) on f32 and f64."""
        return self._make(lambda: tl.LogOp(x), name, comment)

    def log2(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.log2(x) on f32 and f64."""
        return self._make(lambda: tl.Log2Op(x), name, comment)

    def sqrt(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.sqrt(x) on f32 and f64."""
        return self._make(lambda: tl.SqrtOp(x), name, comment)

    def rsqrt(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.rsqrt(x) on f32 and f64."""
        return self._make(lambda: tl.RsqrtOp(x), name, comment)

    def sin(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.sin(x) on f32 and f64."""
        return self._make(lambda: tl.SinOp(x), name, comment)

    def cos(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.cos(x) on f32 and f64."""
        return self._make(lambda: tl.CosOp(x), name, comment)

    def floor(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.floor(x) on f32 and f64."""
        return self._make(lambda: tl.FloorOp(x), name, comment)

    def ceil(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.ceil(x) on f32 and f64."""
        return self._make(lambda: tl.CeilOp(x), name, comment)

    def all_of(self, masks: Sequence[SSAValue | None], *, name: str | None = None) -> SSAValue | None:
        """The conjunction of the masks that are there; None when there are none."""
        present = [mask for mask in masks if mask is not None]
        if not present:
            return None
        result = present[0]
        for mask in present[1:]:
            result = self.and_(result, mask)
        if name is not None and len(present) > 1:
            result.name_hint = name
        return result

    def fma(
        self,
        x: SSAValue,
        y: Operand,
        z: Operand,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.fma(x, y, z): x * y + z rounded once."""
        factor, term = self.value(y, x.type), self.value(z, x.type)
        return self._make(lambda: tl.FmaOp(x, factor, term), name, comment)

    def where(
        self,
        condition: SSAValue,
        x: Operand,
        y: Operand,
        *,
        element: Attribute | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.where(condition, x, y); `element` types two numbers."""
        if not isinstance(x, SSAValue) and not isinstance(y, SSAValue):
            x = self.constant(x, element)
        left, right = self._pair(x, y)
        return self._make(lambda: tl.WhereOp(condition, left, right), name, comment)

    def cast(self, x: SSAValue, element: Attribute, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """x.to(element); x itself when it has that element type already."""
        if element_type(x.type) == element:
            return x
        return self._make(lambda: tl.CastOp(x, element), name, comment)

    # The grid, blocks and shapes.

    def program_id(self, axis: int, *, name: str | None = None) -> SSAValue:
        """tl.program_id(axis), i32."""
        return self._make(lambda: tl.ProgramIdOp(axis), name, None)

    def arange(
        self,
        start: SSAValue | int,
        end: SSAValue | int,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.arange(start, end), a block of i32; both are numbers, constants or constexprs."""
        low, high = self._sizes([start, end])
        return self._make(lambda: tl.ArangeOp(low, high), name, comment)

    def full(
        self,
        shape: Sequence[SSAValue | int],
        value: Operand,
        element: Attribute | None = None,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.full(shape, value, dtype); a number needs `element`."""
        sizes, scalar = self._sizes(shape), self.value(value, element)
        return self._make(lambda: tl.FullOp(scalar, sizes), name, comment)

    def zeros(
        self,
        shape: Sequence[SSAValue | int],
        element: Attribute,
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.zeros(shape, dtype)."""
        sizes = self._sizes(shape)
        return self._make(lambda: tl.ZerosOp(sizes, element), name, comment)

    def broadcast_to(
        self,
        x: SSAValue,
        shape: Sequence[SSAValue | int],
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.broadcast_to(x, shape)."""
        sizes = self._sizes(shape)
        return self._make(lambda: tl.BroadcastToOp(x, sizes), name, comment)

    def reshape(
        self,
        x: SSAValue,
        shape: Sequence[SSAValue | int],
        *,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.reshape(x, shape)."""
        sizes = self._sizes(shape)
        return self._make(lambda: tl.ReshapeOp(x, sizes), name, comment)

    def expand_dims(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """x[:, None] for axis 1 and x[None, :] for axis 0 of a block with one dimension, and so on."""
        return self._make(lambda: tl.ExpandDimsOp(x, axis), name, comment)

    def rows(self, x: SSAValue) -> SSAValue:
        """x[:, None]: one number a row."""
        return self.expand_dims(x, 1)

    def columns(self, x: SSAValue) -> SSAValue:
        """x[None, :]: one number a column."""
        return self.expand_dims(x, 0)

    def trans(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.trans(x)."""
        return self._make(lambda: tl.TransOp(x), name, comment)

    def max(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.max(x, axis); 16-bit floats give f32."""
        return self._make(lambda: tl.MaxOp(x, axis), name, comment)

    def sum(self, x: SSAValue, axis: int, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.sum(x, axis) of integers, f32 and f64."""
        return self._make(lambda: tl.SumOp(x, axis), name, comment)

    def cumsum(self, x: SSAValue, *, name: str | None = None, comment: str | None = None) -> SSAValue:
        """tl.cumsum(x) of a block of i32 or f32 with one dimension."""
        return self._make(lambda: tl.CumsumOp(x), name, comment)

    def dot(
        self,
        a: SSAValue,
        b: SSAValue,
        acc: SSAValue | None = None,
        *,
        input_precision: str | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.dot(a, b, acc); f32, or i32 for i8 operands."""
        return self._make(lambda: tl.DotOp(a, b, acc, input_precision), name, comment)

    # Memory.

    def load(
        self,
        ptr: SSAValue,
        *,
        mask: SSAValue | None = None,
        other: Operand | None = None,
        eviction_policy: str | None = None,
        cache_modifier: str | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> SSAValue:
        """tl.load(ptr, mask=mask, other=other); without a mask `other` is dropped."""
        pointer = element_type(ptr.type)
        fill = None
        if mask is not None and other is not None and isinstance(pointer, PtrType):
            fill = self._fill(other, pointer.pointee)
        return self._make(
            lambda: tl.LoadOp(ptr, mask, fill, eviction_policy=eviction_policy, cache_modifier=cache_modifier),
            name,
            comment,
        )

    def _fill(self, other: Operand, element: Attribute) -> SSAValue:
        if isinstance(other, SSAValue) or is_float(element) or is_bool(element):
            return self.value(other, element)
        # There are no 8-bit float literals, and 0.0 is fine as the filler of integers.
        if other == int(other) and not isinstance(other, bool):
            other = int(other)
        return self.value(other, element)

    def store(
        self,
        ptr: SSAValue,
        value: Operand,
        *,
        mask: SSAValue | None = None,
        eviction_policy: str | None = None,
        cache_modifier: str | None = None,
        comment: str | None = None,
    ) -> None:
        """tl.store(ptr, value, mask=mask)."""
        pointer = element_type(ptr.type)
        if not isinstance(pointer, PtrType):
            raise TypeError(f"tl.store goes through a pointer or a block of pointers, got {ptr.type}")
        stored = self._fill(value, pointer.pointee)
        op = tl.StoreOp(ptr, stored, mask, eviction_policy=eviction_policy, cache_modifier=cache_modifier)
        self._verify(op)
        self._append(op, comment)

    def atomic_add(
        self, ptr: SSAValue, value: Operand, order: str, *, name: str | None = None, comment: str | None = None
    ) -> SSAValue:
        """tl.atomic_add(ptr, value, sem=order) of one number; gives the number before."""
        if not isinstance(ptr.type, PtrType):
            raise TypeError(f"tl.atomic_add goes through a pointer, got {ptr.type}")
        added = self.value(value, ptr.type.pointee)
        return self._make(lambda: tl.AtomicAddOp(ptr, added, order), name, comment)

    def statement(self, op: Operation, comment: str | None = None) -> None:
        """Appends an op without results, such as `tl.debug_barrier`."""
        self._verify(op)
        self._append(op, comment)

    # Loops and branches.

    @contextmanager
    def range(
        self,
        start: Operand,
        end: Operand,
        step: Operand = 1,
        *,
        inits: Mapping[str, SSAValue] | None = None,
        num_stages: int | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> Generator[Loop]:
        """
        for name in tl.range(start, end, step): a loop that carries `inits` by name.

            with b.range(0, n, block, inits={"acc": acc}, name="start_n") as loop:
                b.yield_(acc=b.add(loop.args.acc, ...))
            acc = loop.results.acc

        The three bounds have one integer type; numbers take it from the others, or are i32. `yield_` is the
        last call in the body and names every carried value; a loop that carries nothing needs none.
        """
        initial = dict(inits or {})
        bounds = (start, end, step)
        type = next((bound.type for bound in bounds if isinstance(bound, SSAValue)), i32)
        low, high, stride = (self.value(bound, type) for bound in bounds)
        body = Block(arg_types=[type, *(init.type for init in initial.values())])
        index, *carried = body.args
        index.name_hint = name
        for argument, hint in zip(carried, initial, strict=True):
            argument.name_hint = hint
        loop = Loop(index, Carried(tuple(initial), carried))
        outer, self._block = self._block, body
        self._open.append((tuple(initial), [value.type for value in initial.values()]))
        try:
            yield loop
        finally:
            self._block = outer
            self._open.pop()
        if not isinstance(body.last_op, tl.YieldOp):
            if initial:
                raise TypeError(f"the loop carries {', '.join(initial)}: end its body with yield_")
            body.add_op(tl.YieldOp())
        op = tl.RangeOp(low, high, stride, tuple(initial.values()), Region(body), num_stages=num_stages)
        self._verify(op)
        self._append(op, comment)
        for result, hint in zip(op.outputs, initial, strict=True):
            result.name_hint = hint
        loop.finish(Carried(tuple(initial), op.outputs))

    def yield_(self, **values: Operand) -> None:
        """The next values of the loop that is being built, by name: the last call in its body."""
        if not self._open:
            raise TypeError("yield_ is called inside a loop")
        names, types = self._open[-1]
        if set(values) != set(names):
            raise TypeError(
                f"yield_ gives {', '.join(values) or 'nothing'}, but {', '.join(names) or 'nothing'} is carried"
            )
        self._block.add_op(
            tl.YieldOp(*[self.value(values[name], type) for name, type in zip(names, types, strict=True)])
        )

    def if_(
        self,
        condition: SSAValue,
        then: Callable[[], Mapping[str, SSAValue] | None],
        otherwise: Callable[[], Mapping[str, SSAValue] | None] | None = None,
        *,
        comment: str | None = None,
    ) -> Carried:
        """
        if condition: then() else: otherwise(); each builds its branch and returns its results by name.

            r = b.if_(is_masked, lambda: {"s": b.where(keep, s, -1e30)}, lambda: {"s": s})
            r.s

        Both return the same names and types, or None for no results; `otherwise` may be left out then.
        """
        branches: list[Region] = []
        given: list[dict[str, SSAValue]] = []
        for build in (then, otherwise):
            if build is None:
                branches.append(Region())
                continue
            block = Block()
            outer, self._block = self._block, block
            try:
                values = dict(build() or {})
            finally:
                self._block = outer
            given.append(values)
            branches.append(Region(block))
        names = tuple(given[0])
        if names and otherwise is None:
            raise TypeError("a branch with results needs the other branch too")
        for region, values in zip(branches, given, strict=False):
            if set(values) != set(names):
                raise TypeError(f"the branches give {', '.join(names)} and {', '.join(values)}")
            region.block.add_op(tl.YieldOp(*(values[name] for name in names)))
        op = tl.IfOp(condition, [given[0][name].type for name in names], branches[0], branches[1])
        self._verify(op)
        self._append(op, comment)
        for result, hint in zip(op.outputs, names, strict=True):
            result.name_hint = hint
        return Carried(names, op.outputs)
