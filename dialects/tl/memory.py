"""Loads and stores: https://triton-lang.org/main/python-api/generated/triton.language.load.html."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.types import (
    PtrType,
    block_of,
    element_type,
    is_bool,
    shape_of,
    verify_broadcasts_to,
    verify_value_type,
)

EVICTION_POLICIES = ("evict_first", "evict_last")
LOAD_CACHE_MODIFIERS = (".ca", ".cg", ".cv")
STORE_CACHE_MODIFIERS = (".wb", ".cg", ".cs", ".wt")


def _pointee(what: str, pointer: Attribute) -> Attribute:
    verify_value_type(pointer)
    element = element_type(pointer)
    if not isinstance(element, PtrType):
        raise VerifyException(f"{what} goes through a pointer or a block of pointers, got {pointer}")
    return block_of(element.pointee, shape_of(pointer))


def _verify_choice(what: str, value: StringAttr | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value.data not in allowed:
        raise VerifyException(f"{what} is one of {', '.join(allowed)}, got {value.data!r}")


def _verify_mask(mask: SSAValue | None, pointer: Attribute) -> None:
    if mask is None:
        return
    if not is_bool(element_type(mask.type)):
        raise VerifyException(f"a mask is i1, got {mask.type}")
    verify_broadcasts_to("the mask", mask.type, pointer)


def _strings(values: Mapping[str, str | None]) -> dict[str, Attribute | None]:
    return {name: None if value is None else StringAttr(value) for name, value in values.items()}


@irdl_op_definition
class LoadOp(IRDLOperation):
    """
    `tl.load(ptr, mask=mask, other=other)`: one element per pointer.

    Where the mask is false nothing is read and the result is `other`; without `other` it is undefined. The
    mask and `other` broadcast to the shape of `ptr`.
    """

    name = "tl.load"

    ptr = operand_def()
    mask = opt_operand_def()
    other = opt_operand_def()
    eviction_policy = opt_prop_def(StringAttr)
    cache_modifier = opt_prop_def(StringAttr)
    result = result_def()

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$ptr (`mask` $mask^ `:` type($mask))? (`other` $other^ `:` type($other))? "
        "(`eviction_policy` $eviction_policy^)? (`cache_modifier` $cache_modifier^)? attr-dict "
        "`:` type($ptr) `->` type($result)"
    )

    def __init__(
        self,
        ptr: SSAValue | Operation,
        mask: SSAValue | Operation | None = None,
        other: SSAValue | Operation | None = None,
        *,
        eviction_policy: str | None = None,
        cache_modifier: str | None = None,
    ):
        super().__init__(
            operands=[ptr, mask, other],
            properties=_strings({"eviction_policy": eviction_policy, "cache_modifier": cache_modifier}),
            result_types=[_pointee(self.name, SSAValue.get(ptr).type)],
        )

    def verify_(self) -> None:
        result = _pointee(self.name, self.ptr.type)
        if self.result.type != result:
            raise VerifyException(f"tl.load of {self.ptr.type} gives {result}, got {self.result.type}")
        _verify_mask(self.mask, self.ptr.type)
        if self.other is not None:
            if self.mask is None:
                raise VerifyException("`other` is what masked elements get: tl.load needs a mask with it")
            if element_type(self.other.type) != element_type(result):
                raise VerifyException(f"`other` has the loaded type, got {self.other.type} and {result}")
            verify_broadcasts_to("`other`", self.other.type, result)
        _verify_choice("eviction_policy", self.eviction_policy, EVICTION_POLICIES)
        _verify_choice("cache_modifier", self.cache_modifier, LOAD_CACHE_MODIFIERS)


@irdl_op_definition
class StoreOp(IRDLOperation):
    """`tl.store(ptr, value, mask=mask)`; the value and the mask broadcast to the shape of `ptr`."""

    name = "tl.store"

    ptr = operand_def()
    value = operand_def()
    mask = opt_operand_def()
    eviction_policy = opt_prop_def(StringAttr)
    cache_modifier = opt_prop_def(StringAttr)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = (
        "$ptr `,` $value (`mask` $mask^ `:` type($mask))? "
        "(`eviction_policy` $eviction_policy^)? (`cache_modifier` $cache_modifier^)? attr-dict "
        "`:` type($ptr) `,` type($value)"
    )

    def __init__(
        self,
        ptr: SSAValue | Operation,
        value: SSAValue | Operation,
        mask: SSAValue | Operation | None = None,
        *,
        eviction_policy: str | None = None,
        cache_modifier: str | None = None,
    ):
        super().__init__(
            operands=[ptr, value, mask],
            properties=_strings({"eviction_policy": eviction_policy, "cache_modifier": cache_modifier}),
        )

    def verify_(self) -> None:
        stored = _pointee(self.name, self.ptr.type)
        if element_type(self.value.type) != element_type(stored):
            raise VerifyException(
                f"tl.store to {self.ptr.type} needs {element_type(stored)}, got {self.value.type}: cast it"
            )
        verify_broadcasts_to("the stored value", self.value.type, self.ptr.type)
        _verify_mask(self.mask, self.ptr.type)
        _verify_choice("eviction_policy", self.eviction_policy, EVICTION_POLICIES)
        _verify_choice("cache_modifier", self.cache_modifier, STORE_CACHE_MODIFIERS)
