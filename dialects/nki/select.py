"""Instructions that make indices, and that choose between a tile and a number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    StringAttr,
    UnitAttr,
    f32,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.nki.base import (
    COMPARISONS,
    Instruction,
    require_generation,
    require_memory,
    require_op,
    require_same_size,
    require_vector,
)
from flashlower.dialects.nki.types import (
    FP32_MIN,
    ON_CHIP,
    TileType,
    tile_of,
)


class _AffineInstruction(Instruction):
    """Evaluates offset + partition * channel_multiplier + sum of index * step, on the GpSimd engine."""

    offset = opt_operand_def(IndexType())
    static_offset = prop_def(IntegerAttr[I64])
    channel_multiplier = prop_def(IntegerAttr[I64])
    steps = prop_def(DenseArrayBase[I64])
    nums = prop_def(DenseArrayBase[I64])

    def pattern(self) -> list[tuple[int, int]]:
        return list(zip(self.steps.get_values(), self.nums.get_values(), strict=True))

    def start(self) -> int | SSAValue:
        return self.static_offset.value.data if self.offset is None else self.offset

    def verify_pattern(self, dst: TileType) -> None:
        if not 1 <= len(self.pattern()) <= 4:
            raise VerifyException(f"pattern: 1 to 4 dimensions, got {len(self.pattern())}")
        if (size := prod(self.nums.get_values())) != dst.free_size:
            raise VerifyException(f"pattern: {size} elements, but dst has {dst.free_size} a partition")


def _affine_properties(
    pattern: Sequence[tuple[int, int]], offset: int | SSAValue, channel_multiplier: int
) -> dict[str, IntegerAttr | DenseArrayBase]:
    return {
        "static_offset": IntegerAttr(0 if isinstance(offset, SSAValue) else offset, i64),
        "channel_multiplier": IntegerAttr(channel_multiplier, i64),
        "steps": DenseArrayBase.from_list(i64, [step for step, _ in pattern]),
        "nums": DenseArrayBase.from_list(i64, [num for _, num in pattern]),
    }


def _dynamic(offset: int | SSAValue) -> SSAValue | None:
    return offset if isinstance(offset, SSAValue) else None


@irdl_op_definition
class IotaOp(_AffineInstruction):
    """`nisa.iota(dst, pattern, offset, channel_multiplier)`: the affine values, in dst's type."""

    name = "nki.iota"

    dst = operand_def(TileType)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = (
        "$dst (`at` $offset^)? `offset` $static_offset `channel` $channel_multiplier `steps` $steps `nums` $nums "
        "attr-dict `:` type($dst)"
    )

    def __init__(
        self, dst: SSAValue, pattern: Sequence[tuple[int, int]], offset: int | SSAValue, channel_multiplier: int
    ):
        super().__init__(
            operands=[dst, _dynamic(offset)], properties=_affine_properties(pattern, offset, channel_multiplier)
        )

    def verify_(self) -> None:
        require_memory("dst of iota", tile_of(self.dst), ("sbuf",))
        self.verify_pattern(tile_of(self.dst))


@irdl_op_definition
class AffineSelectOp(_AffineInstruction):
    """
    `nisa.affine_select(dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op, offset)`.

    The tile where the affine value compares with 0, the number elsewhere.
    """

    name = "nki.affine_select"

    dst = operand_def(TileType)
    on_true = operand_def(TileType)
    on_false = prop_def(FloatAttr)
    cmp_op = prop_def(StringAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$cmp_op $dst `,` $on_true `else` $on_false (`at` $offset^)? `offset` $static_offset "
        "`channel` $channel_multiplier `steps` $steps `nums` $nums attr-dict `:` type($dst) `,` type($on_true)"
    )

    def __init__(
        self,
        dst: SSAValue,
        on_true: SSAValue,
        on_false: float,
        cmp_op: str,
        pattern: Sequence[tuple[int, int]],
        offset: int | SSAValue,
        channel_multiplier: int,
    ):
        super().__init__(
            operands=[dst, on_true, _dynamic(offset)],
            properties={
                **_affine_properties(pattern, offset, channel_multiplier),
                "on_false": FloatAttr(on_false, f32),
                "cmp_op": StringAttr(cmp_op),
            },
        )

    def verify_(self) -> None:
        dst, on_true = tile_of(self.dst), tile_of(self.on_true)
        for name, type in (("dst", dst), ("on_true", on_true)):
            require_memory(f"{name} of affine_select", type, ("sbuf",))
        require_same_size((("dst", dst), ("on_true", on_true)))
        require_op("cmp_op", self.cmp_op, COMPARISONS)
        self.verify_pattern(dst)


@irdl_op_definition
class SelectReduceOp(Instruction):
    """`nisa.select_reduce(dst, predicate, on_true, on_false)`: a tile where the predicate is not 0, else a number."""

    name = "nki.select_reduce"

    dst = operand_def(TileType)
    predicate = operand_def(TileType)
    on_true = operand_def(TileType)
    on_false = prop_def(FloatAttr)
    reverse_pred = opt_prop_def(UnitAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$dst `where` $predicate `,` $on_true `else` $on_false (`reverse` $reverse_pred^)? attr-dict "
        "`:` type($dst) `,` type($predicate) `,` type($on_true)"
    )

    def __init__(
        self, dst: SSAValue, predicate: SSAValue, on_true: SSAValue, on_false: float, *, reverse_pred: bool = False
    ):
        super().__init__(
            operands=[dst, predicate, on_true],
            properties={
                "on_false": FloatAttr(on_false, f32),
                "reverse_pred": UnitAttr() if reverse_pred else None,
            },
        )

    def verify_(self) -> None:
        for name, type in self.tiles().items():
            require_memory(f"{name} of select_reduce", type, ON_CHIP)
        require_same_size(self.tiles().items())
        predicate, on_true = tile_of(self.predicate), tile_of(self.on_true)
        if not isa(predicate.element_type, IntegerType) or predicate.element_type.width.data > 16:
            raise VerifyException(f"predicate type: an integer of 8 or 16 bits, got {predicate.element_type}")
        if predicate.memory.data == on_true.memory.data == "psum":
            raise VerifyException("PSUM operands: on_true and predicate are not both in PSUM")


@irdl_op_definition
class RangeSelectOp(Instruction):
    """
    `nisa.range_select(dst, on_true_tile, comp_op0, comp_op1, bound0, bound1, on_false_value=FP32_MIN)`.

    The tile where range_start + (index along the free dimension) compares with both bounds, f32 tiles [P, 1], else
    the lowest f32; `reduce_res` [P, 1] gets the maximum.
    """

    name = "nki.range_select"

    dst = operand_def(TileType)
    on_true = operand_def(TileType)
    bound0 = operand_def(TileType)
    bound1 = operand_def(TileType)
    reduce_res = operand_def(TileType)
    comp_op0 = prop_def(StringAttr)
    comp_op1 = prop_def(StringAttr)
    range_start = prop_def(IntegerAttr[I64])
    on_false = prop_def(FloatAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$dst `,` $on_true `from` $range_start $comp_op0 $bound0 `and` $comp_op1 $bound1 `else` $on_false "
        "`max` $reduce_res attr-dict "
        "`:` type($dst) `,` type($on_true) `,` type($bound0) `,` type($bound1) `,` type($reduce_res)"
    )

    def __init__(
        self,
        dst: SSAValue,
        on_true: SSAValue,
        comparisons: tuple[str, str],
        bounds: tuple[SSAValue, SSAValue],
        reduce_res: SSAValue,
        range_start: int = 0,
    ):
        super().__init__(
            operands=[dst, on_true, *bounds, reduce_res],
            properties={
                "comp_op0": StringAttr(comparisons[0]),
                "comp_op1": StringAttr(comparisons[1]),
                "range_start": IntegerAttr(range_start, i64),
                "on_false": FloatAttr(FP32_MIN, f32),
            },
        )

    def verify_(self) -> None:
        require_generation(self, "range_select", 3)
        dst, on_true = tile_of(self.dst), tile_of(self.on_true)
        for name, type in self.tiles().items():
            require_memory(f"{name} of range_select", type, ON_CHIP)
        require_same_size((("dst", dst), ("on_true", on_true)))
        for name, value in (("bound0", self.bound0), ("bound1", self.bound1), ("reduce_res", self.reduce_res)):
            require_vector(name, value, dst.partitions)
        for name, op in (("comp_op0", self.comp_op0), ("comp_op1", self.comp_op1)):
            require_op(name, op, COMPARISONS)
        if self.on_false.value.data != FP32_MIN:
            raise VerifyException(f"range_select: on_false_value is {FP32_MIN}, got {self.on_false.value.data}")
