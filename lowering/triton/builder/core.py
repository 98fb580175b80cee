"""What every part of the builder needs: where ops go, their names, arguments of the kernel, numbers as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from xdsl.dialects.builtin import StringAttr, i1, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects import tl
from flashlower.dialects.tl.constants import scalar_attr
from flashlower.dialects.tl.types import PtrType, element_type

Number: TypeAlias = bool | int | float
Operand: TypeAlias = SSAValue | Number

COMMENT = "tl.comment"
"""The attribute that is printed as a comment above the statement of an op."""


class BuilderCore:
    """The kernel under construction, its arguments and its constants."""

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
