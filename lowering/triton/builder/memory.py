"""Loads and stores."""

from __future__ import annotations

from xdsl.ir import Attribute, Operation, SSAValue

from flashlower.dialects import tl
from flashlower.dialects.tl.types import PtrType, element_type, is_bool, is_float
from flashlower.lowering.triton.builder.core import BuilderCore, Operand


class MemoryBuilder(BuilderCore):
    """Builds what dialects/tl/memory.py has."""

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
