"""The Tensor engine: products and transpositions."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E4M3Type,
    Float32Type,
    IntegerType,
    i1,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.nki.base import (
    Instruction,
    hardware_of,
    require_memory,
)
from flashlower.dialects.nki.types import (
    PARTITIONS,
    PSUM_BANK_BYTES,
    TileType,
    tile_of,
)


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
