"""The Vector and Scalar engines: elementwise arithmetic, functions, reductions."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import (
    I64,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    UnitAttr,
    f32,
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
    GPSIMD_OPS,
    REDUCTIONS,
    CopyingInstruction,
    Instruction,
    require_generation,
    require_memory,
    require_op,
    require_same_size,
    require_vector,
)
from flashlower.dialects.nki.types import (
    ON_CHIP,
    TileType,
    tile_of,
)


def _float(value: float | None) -> FloatAttr | None:
    return None if value is None else FloatAttr(float(value), f32)


def _tile(value: SSAValue | float | None) -> SSAValue | None:
    return value if isinstance(value, SSAValue) else None


def _number(value: SSAValue | float | None) -> FloatAttr | None:
    return None if isinstance(value, SSAValue) else _float(value)


def _verify_gpsimd(op: TensorTensorOp, engine: str, tiles: dict[str, TileType]) -> None:
    if engine != "gpsimd":
        raise VerifyException(f"engine: tensor_tensor has gpsimd or none, got {engine!r}")
    widths: list[int] = []
    for name, type in tiles.items():
        require_memory(f"{name} of tensor_tensor on GpSimd", type, ("sbuf",))
        if not isa(type.element_type, IntegerType):
            raise VerifyException(f"engine: tensor_tensor on GpSimd is of integers, {name} has {type.element_type}")
        widths.append(type.element_type.width.data)
    require_op("op on GpSimd", op.op, GPSIMD_OPS)
    if 32 in widths:
        require_generation(op, "tensor_tensor of 32-bit integers on GpSimd", 3)
        if set(widths) != {32}:
            raise VerifyException("engine: tensor_tensor on GpSimd is of 32-bit integers alone, or of narrower ones")


@irdl_op_definition
class ReciprocalOp(CopyingInstruction):
    """`nisa.reciprocal(dst, data)`, on the Vector engine."""

    name = "nki.reciprocal"


def _verify_bitvec(op: StringAttr, tiles: dict[str, TileType]) -> None:
    if op.data in BITVEC_OPS:
        for name, type in tiles.items():
            if not isa(type.element_type, IntegerType):
                raise VerifyException(f"bit operators: {op.data} is on integers, {name} has {type.element_type}")


@irdl_op_definition
class TensorTensorOp(Instruction):
    """
    `nisa.tensor_tensor(dst, data1, data2, op, engine)`: elementwise, without broadcasting.

    The Vector engine computes in f32. `engine = "gpsimd"` is for integers: of 32 bits, which it computes as such from
    NeuronCore-v3 on, or of up to 16, which it computes in f32 as well.
    """

    name = "nki.tensor_tensor"

    dst = operand_def(TileType)
    data1 = operand_def(TileType)
    data2 = operand_def(TileType)
    op = prop_def(StringAttr)
    engine = opt_prop_def(StringAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$op $dst `,` $data1 `,` $data2 (`on` $engine^)? attr-dict `:` type($dst) `,` type($data1) `,` type($data2)"
    )

    def __init__(self, dst: SSAValue, data1: SSAValue, data2: SSAValue, op: str, engine: str | None = None):
        super().__init__(
            operands=[dst, data1, data2],
            properties={"op": StringAttr(op), "engine": None if engine is None else StringAttr(engine)},
        )

    def verify_(self) -> None:
        for name, type in self.tiles().items():
            require_memory(f"{name} of tensor_tensor", type, ON_CHIP)
        require_same_size(self.tiles().items())
        require_op("op", self.op, (*BINARY_OPS, *BITVEC_OPS))
        if tile_of(self.data1).memory.data == tile_of(self.data2).memory.data == "psum":
            raise VerifyException("PSUM operands: tensor_tensor does not read both inputs from PSUM")
        _verify_bitvec(self.op, self.tiles())
        if self.engine is not None:
            _verify_gpsimd(self, self.engine.data, self.tiles())


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
    """
    `nisa.tensor_reduce(dst, op, data, axis, negate)`: over the last `axes` dimensions, on the Vector engine.

    With `negate`, dst is the negative of the reduction.
    """

    name = "nki.tensor_reduce"

    dst = operand_def(TileType)
    data = operand_def(TileType)
    op = prop_def(StringAttr)
    axes = prop_def(IntegerAttr[I64])
    negate = opt_prop_def(UnitAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$op $dst `,` $data `axes` $axes (`negate` $negate^)? attr-dict `:` type($dst) `,` type($data)"

    def __init__(self, dst: SSAValue, op: str, data: SSAValue, axes: int, *, negate: bool = False):
        super().__init__(
            operands=[dst, data],
            properties={
                "op": StringAttr(op),
                "axes": IntegerAttr(axes, i64),
                "negate": UnitAttr() if negate else None,
            },
        )

    def verify_(self) -> None:
        dst, data = tile_of(self.dst), tile_of(self.data)
        for name, type in (("dst", dst), ("data", data)):
            require_memory(f"{name} of tensor_reduce", type, ON_CHIP)
        require_op("op", self.op, REDUCTIONS)
        if self.negate is not None and self.op.data.startswith("logical"):
            raise VerifyException(f"reduction: negate is for arithmetic operators, got {self.op.data}")
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
