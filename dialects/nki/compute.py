"""Instructions that compute: the Tensor, Vector, Scalar and GpSimd engines."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import (
    I64,
    BFloat16Type,
    DenseArrayBase,
    Float8E4M3FNType,
    Float8E4M3Type,
    Float32Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    StringAttr,
    UnitAttr,
    f32,
    i1,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
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
    ACTIVATIONS,
    BINARY_OPS,
    BITVEC_OPS,
    COMPARISONS,
    REDUCTIONS,
    Instruction,
    hardware_of,
    require_generation,
    require_memory,
    require_op,
    require_same_size,
    require_vector,
)
from flashlower.dialects.nki.types import (
    FP32_MIN,
    ON_CHIP,
    PARTITIONS,
    PSUM_BANK_BYTES,
    TileType,
    tile_of,
)


def _float(value: float | None) -> FloatAttr | None:
    return None if value is None else FloatAttr(float(value), f32)


def _tile(value: SSAValue | float | None) -> SSAValue | None:
    return value if isinstance(value, SSAValue) else None


def _number(value: SSAValue | float | None) -> FloatAttr | None:
    return None if isinstance(value, SSAValue) else _float(value)


@irdl_op_definition
class NcMatmulOp(Instruction):
    """
    `nisa.nc_matmul(dst, stationary, moving, accumulate)`: dst = stationary.T @ moving, on the Tensor engine.

    The contraction lies on the partitions of both operands. `accumulate`, an i1 that is known when the kernel is
    traced, adds to what dst holds; it is always written out.
    """

    name = "nki.nc_matmul"

    dst = operand_def(TileType)
    stationary = operand_def(TileType)
    moving = operand_def(TileType)
    accumulate = operand_def(i1)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$dst `,` $stationary `,` $moving `accumulate` $accumulate attr-dict "
        "`:` type($dst) `,` type($stationary) `,` type($moving)"
    )

    def __init__(self, dst: SSAValue, stationary: SSAValue, moving: SSAValue, accumulate: SSAValue):
        super().__init__(operands=[dst, stationary, moving, accumulate])

    def verify_(self) -> None:
        dst, stationary, moving = tile_of(self.dst), tile_of(self.stationary), tile_of(self.moving)
        hardware = hardware_of(self)
        require_memory("stationary of nc_matmul", stationary, ("sbuf",))
        require_memory("moving of nc_matmul", moving, ("sbuf",))
        require_memory("dst of nc_matmul", dst, ("psum",))
        if stationary.partitions != moving.partitions:
            raise VerifyException(
                f"contraction: stationary has {stationary.partitions} partitions, moving has {moving.partitions}"
            )
        if stationary.free_size > PARTITIONS:
            raise VerifyException(f"stationary size: at most {PARTITIONS}, got {stationary.free_size}")
        limit = 512 if hardware is None else hardware.moving_size
        if moving.free_size > limit:
            raise VerifyException(f"moving size: at most {limit}, got {moving.free_size}")
        if (dst.partitions, dst.free_size) != (stationary.free_size, moving.free_size):
            raise VerifyException(
                f"matmul shape: dst is [{stationary.free_size}, {moving.free_size}], "
                f"got [{dst.partitions}, {dst.free_size}]"
            )
        later = hardware is not None and hardware.generation >= 4
        if not isinstance(dst.element_type, Float32Type) and not (later and isinstance(dst.element_type, BFloat16Type)):
            raise VerifyException(f"matmul result: dst is f32, got {dst.element_type}")
        if not later and dst.free_size * 4 > PSUM_BANK_BYTES:
            raise VerifyException(f"PSUM bank: a result has at most {PSUM_BANK_BYTES} bytes, got {dst.free_size * 4}")
        self._verify_operands(stationary, moving, later)

    def _verify_operands(self, stationary: TileType, moving: TileType, later: bool) -> None:
        types = (stationary.element_type, moving.element_type)
        for element in types:
            if isa(element, IntegerType):
                raise VerifyException(f"matmul operands: floats, got {element}")
            if isinstance(element, Float8E4M3FNType) and not later and hardware_of(self) is not None:
                raise VerifyException("target: nc_matmul of f8E4M3FN needs NeuronCore-v4")
        if isinstance(types[0], Float32Type) != isinstance(types[1], Float32Type):
            raise VerifyException(f"matmul operands: f32 does not mix with others, got {types[0]} and {types[1]}")
        if set(map(type, types)) == {Float8E4M3Type, Float8E4M3FNType}:
            raise VerifyException("matmul operands: f8E4M3 and f8E4M3FN do not mix")


@irdl_op_definition
class NcTransposeOp(Instruction):
    """`nisa.nc_transpose(dst, data, engine=nisa.engine.tensor)`: [P, F] in SBUF to [F, P] in PSUM."""

    name = "nki.nc_transpose"

    dst = operand_def(TileType)
    data = operand_def(TileType)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$dst `,` $data attr-dict `:` type($dst) `,` type($data)"

    def __init__(self, dst: SSAValue, data: SSAValue):
        super().__init__(operands=[dst, data])

    def verify_(self) -> None:
        dst, data = tile_of(self.dst), tile_of(self.data)
        require_memory("data of nc_transpose", data, ("sbuf",))
        require_memory("dst of nc_transpose", dst, ("psum",))
        if dst.element_type != data.element_type:
            raise VerifyException(f"transpose type: dst has {data.element_type}, as data, got {dst.element_type}")
        if data.free_size > PARTITIONS:
            raise VerifyException(f"transpose size: a free size of at most {PARTITIONS}, got {data.free_size}")
        if (dst.partitions, dst.free_size) != (data.free_size, data.partitions):
            raise VerifyException(
                f"transpose shape: dst is [{data.free_size}, {data.partitions}], "
                f"got [{dst.partitions}, {dst.free_size}]"
            )


@irdl_op_definition
class ReciprocalOp(Instruction):
    """`nisa.reciprocal(dst, data)`, on the Vector engine."""

    name = "nki.reciprocal"

    dst = operand_def(TileType)
    data = operand_def(TileType)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$dst `,` $data attr-dict `:` type($dst) `,` type($data)"

    def __init__(self, dst: SSAValue, data: SSAValue):
        super().__init__(operands=[dst, data])

    def verify_(self) -> None:
        for name, type in self.tiles().items():
            require_memory(f"{name} of reciprocal", type, ON_CHIP)
        require_same_size(self.tiles().items())


@irdl_op_definition
class TensorTensorOp(Instruction):
    """`nisa.tensor_tensor(dst, data1, data2, op)`: elementwise, without broadcasting."""

    name = "nki.tensor_tensor"

    dst = operand_def(TileType)
    data1 = operand_def(TileType)
    data2 = operand_def(TileType)
    op = prop_def(StringAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$op $dst `,` $data1 `,` $data2 attr-dict `:` type($dst) `,` type($data1) `,` type($data2)"

    def __init__(self, dst: SSAValue, data1: SSAValue, data2: SSAValue, op: str):
        super().__init__(operands=[dst, data1, data2], properties={"op": StringAttr(op)})

    def verify_(self) -> None:
        for name, type in self.tiles().items():
            require_memory(f"{name} of tensor_tensor", type, ON_CHIP)
        require_same_size(self.tiles().items())
        require_op("op", self.op, (*BINARY_OPS, *BITVEC_OPS))
        if tile_of(self.data1).memory.data == tile_of(self.data2).memory.data == "psum":
            raise VerifyException("PSUM operands: tensor_tensor does not read both inputs from PSUM")
        _verify_bitvec(self.op, self.tiles())


def _verify_bitvec(op: StringAttr, tiles: dict[str, TileType]) -> None:
    if op.data in BITVEC_OPS:
        for name, type in tiles.items():
            if not isa(type.element_type, IntegerType):
                raise VerifyException(f"bit operators: {op.data} is on integers, {name} has {type.element_type}")


@irdl_op_definition
class TensorScalarOp(Instruction):
    """
    `nisa.tensor_scalar(dst, data, op0, operand0, reverse0, op1, operand1, reverse1)`.

    (data op0 operand0) op1 operand1, where an operand is a number or an f32 tile [P, 1]; `reverse` swaps the sides.
    """

    name = "nki.tensor_scalar"

    dst = operand_def(TileType)
    data = operand_def(TileType)
    operand0 = opt_operand_def(TileType)
    operand1 = opt_operand_def(TileType)
    op0 = prop_def(StringAttr)
    number0 = opt_prop_def(FloatAttr)
    reverse0 = opt_prop_def(UnitAttr)
    op1 = opt_prop_def(StringAttr)
    number1 = opt_prop_def(FloatAttr)
    reverse1 = opt_prop_def(UnitAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$dst `,` $data $op0 (`tile` $operand0^ `:` type($operand0))? (`number` $number0^)? (`reverse` $reverse0^)? "
        "(`then` $op1^)? (`tile1` $operand1^ `:` type($operand1))? (`number1` $number1^)? (`reverse1` $reverse1^)? "
        "attr-dict `:` type($dst) `,` type($data)"
    )

    def __init__(
        self,
        dst: SSAValue,
        data: SSAValue,
        op0: str,
        operand0: SSAValue | float,
        *,
        reverse0: bool = False,
        op1: str | None = None,
        operand1: SSAValue | float | None = None,
        reverse1: bool = False,
    ):
        super().__init__(
            operands=[dst, data, _tile(operand0), _tile(operand1)],
            properties={
                "op0": StringAttr(op0),
                "number0": _number(operand0),
                "reverse0": UnitAttr() if reverse0 else None,
                "op1": None if op1 is None else StringAttr(op1),
                "number1": _number(operand1),
                "reverse1": UnitAttr() if reverse1 else None,
            },
        )

    def verify_(self) -> None:
        dst, data = tile_of(self.dst), tile_of(self.data)
        for name, type in (("dst", dst), ("data", data)):
            require_memory(f"{name} of tensor_scalar", type, ON_CHIP)
        require_same_size((("dst", dst), ("data", data)))
        require_op("op0", self.op0, BINARY_OPS)
        if (self.operand0 is None) == (self.number0 is None):
            raise VerifyException("operand0 of tensor_scalar is a tile or a number, one of them")
        if self.op1 is not None:
            require_op("op1", self.op1, BINARY_OPS)
            if (self.operand1 is None) == (self.number1 is None):
                raise VerifyException("operand1 of tensor_scalar is a tile or a number, one of them")
        elif self.operand1 is not None or self.number1 is not None:
            raise VerifyException("operand1 of tensor_scalar comes with op1")
        for name, operand in (("operand0", self.operand0), ("operand1", self.operand1)):
            if operand is not None:
                require_vector(name, operand, data.partitions)


@irdl_op_definition
class ScalarTensorTensorOp(Instruction):
    """`nisa.scalar_tensor_tensor(dst, data, op0, operand0, op1, operand1)`: (data op0 operand0) op1 operand1.

    operand0 is a number or an f32 tile [P, 1], operand1 a tile like data.
    """

    name = "nki.scalar_tensor_tensor"

    dst = operand_def(TileType)
    data = operand_def(TileType)
    operand1 = operand_def(TileType)
    operand0 = opt_operand_def(TileType)
    op0 = prop_def(StringAttr)
    number0 = opt_prop_def(FloatAttr)
    op1 = prop_def(StringAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$dst `,` $data $op0 (`tile` $operand0^ `:` type($operand0))? (`number` $number0^)? `then` $op1 $operand1 "
        "attr-dict `:` type($dst) `,` type($data) `,` type($operand1)"
    )

    def __init__(
        self, dst: SSAValue, data: SSAValue, op0: str, operand0: SSAValue | float, op1: str, operand1: SSAValue
    ):
        super().__init__(
            operands=[dst, data, operand1, _tile(operand0)],
            properties={"op0": StringAttr(op0), "number0": _number(operand0), "op1": StringAttr(op1)},
        )

    def verify_(self) -> None:
        tiles = (("dst", tile_of(self.dst)), ("data", tile_of(self.data)), ("operand1", tile_of(self.operand1)))
        for name, type in tiles:
            require_memory(f"{name} of scalar_tensor_tensor", type, ON_CHIP)
        require_same_size(tiles)
        require_op("op0", self.op0, BINARY_OPS)
        require_op("op1", self.op1, BINARY_OPS)
        if tile_of(self.data).memory.data == tile_of(self.operand1).memory.data == "psum":
            raise VerifyException("PSUM operands: scalar_tensor_tensor does not read both inputs from PSUM")
        if (self.operand0 is None) == (self.number0 is None):
            raise VerifyException("operand0 of scalar_tensor_tensor is a tile or a number, one of them")
        if self.operand0 is not None:
            require_vector("operand0", self.operand0, tile_of(self.data).partitions)


@irdl_op_definition
class TensorReduceOp(Instruction):
    """`nisa.tensor_reduce(dst, op, data, axis)`: over the last `axes` dimensions, on the Vector engine."""

    name = "nki.tensor_reduce"

    dst = operand_def(TileType)
    data = operand_def(TileType)
    op = prop_def(StringAttr)
    axes = prop_def(IntegerAttr[I64])

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$op $dst `,` $data `axes` $axes attr-dict `:` type($dst) `,` type($data)"

    def __init__(self, dst: SSAValue, op: str, data: SSAValue, axes: int):
        super().__init__(operands=[dst, data], properties={"op": StringAttr(op), "axes": IntegerAttr(axes, i64)})

    def verify_(self) -> None:
        dst, data = tile_of(self.dst), tile_of(self.data)
        for name, type in (("dst", dst), ("data", data)):
            require_memory(f"{name} of tensor_reduce", type, ON_CHIP)
        require_op("op", self.op, REDUCTIONS)
        axes = self.axes.value.data
        if not 1 <= axes < len(data.shape):
            raise VerifyException(
                f"reduction: over 1 to {len(data.shape) - 1} trailing free dimensions of {data}, got {axes}"
            )
        left = prod(data.shape[1:-axes])
        if (dst.partitions, dst.free_size) != (data.partitions, left):
            raise VerifyException(
                f"reduction: dst is [{data.partitions}, {left}], got [{dst.partitions}, {dst.free_size}]"
            )


@irdl_op_definition
class ActivationOp(Instruction):
    """
    `nisa.activation(dst, op, data, bias, scale, reduce_op=nl.add, reduce_res, reduce_cmd=reset_reduce)`.

    op(data * scale + bias) on the Scalar engine, f32 inside; `reduce_res` [P, 1] gets the sum over the free dimensions.
    """

    name = "nki.activation"

    dst = operand_def(TileType)
    data = operand_def(TileType)
    bias = opt_operand_def(TileType)
    scale = opt_operand_def(TileType)
    reduce_res = opt_operand_def(TileType)
    op = prop_def(StringAttr)
    factor = opt_prop_def(FloatAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$op $dst `,` $data (`bias` $bias^ `:` type($bias))? (`scale` $scale^ `:` type($scale))? (`factor` $factor^)? "
        "(`sum` $reduce_res^ `:` type($reduce_res))? attr-dict `:` type($dst) `,` type($data)"
    )

    def __init__(
        self,
        dst: SSAValue,
        op: str,
        data: SSAValue,
        *,
        bias: SSAValue | None = None,
        scale: SSAValue | float | None = None,
        reduce_res: SSAValue | None = None,
    ):
        super().__init__(
            operands=[dst, data, bias, _tile(scale), reduce_res],
            properties={"op": StringAttr(op), "factor": _number(scale)},
        )

    def verify_(self) -> None:
        dst, data = tile_of(self.dst), tile_of(self.data)
        for name, type in self.tiles().items():
            require_memory(f"{name} of activation", type, ON_CHIP)
        require_same_size((("dst", dst), ("data", data)))
        require_op("op", self.op, ACTIVATIONS)
        if self.scale is not None and self.factor is not None:
            raise VerifyException("the scale of activation is a tile or a number, not both")
        if self.bias is not None:
            require_vector("bias", self.bias, data.partitions, f32=False)
        if self.scale is not None:
            require_vector("scale", self.scale, data.partitions)
        if self.reduce_res is not None:
            require_vector("reduce_res", self.reduce_res, data.partitions)


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


def _dynamic(offset: int | SSAValue) -> SSAValue | None:
    return offset if isinstance(offset, SSAValue) else None


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
