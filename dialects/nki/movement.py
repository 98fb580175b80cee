"""Instructions that move data: DMA, copies on chip, and the barrier between logical cores."""

from __future__ import annotations

from abc import ABC
from math import prod

from xdsl.dialects.builtin import Float32Type, FloatAttr, IntegerType, Signedness, StringAttr, f32
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
    CopyingInstruction,
    Instruction,
    require_generation,
    require_memory,
    require_op,
    require_same_size,
)
from flashlower.dialects.nki.types import HBM, ON_CHIP, PARTITIONS, TileType, element_bytes, tile_of
from flashlower.dialects.nki.views import ApOp

OOB_MODES = ("error", "skip")


class _DmaInstruction(Instruction, ABC):
    """Moves `src`, in SBUF or HBM, to `dst`."""

    dst = operand_def(TileType)
    src = operand_def(TileType)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def verify_ends(self, *memories: str) -> None:
        """What every DMA wants; `memories` are where the destination may be."""
        dst, src = tile_of(self.dst), tile_of(self.src)
        require_memory(f"dst of {self.name.removeprefix('nki.')}", dst, memories)
        require_memory(f"src of {self.name.removeprefix('nki.')}", src, ("sbuf", *HBM))
        if dst.element_type != src.element_type:
            raise VerifyException(
                f"DMA type: descriptors made by hardware do not cast, got {src.element_type} to {dst.element_type}"
            )


@irdl_op_definition
class DmaCopyOp(_DmaInstruction):
    """
    `nisa.dma_copy(dst, src)`: between HBM and SBUF, or within HBM.

    With `oob_mode skip`, rows of an indirect access that lie outside of the tensor are not copied.
    """

    name = "nki.dma_copy"

    oob_mode = opt_prop_def(StringAttr)

    assembly_format = "$dst `,` $src (`oob` $oob_mode^)? attr-dict `:` type($dst) `,` type($src)"

    def __init__(self, dst: SSAValue, src: SSAValue, oob_mode: str | None = None):
        super().__init__(
            operands=[dst, src], properties={"oob_mode": None if oob_mode is None else StringAttr(oob_mode)}
        )

    def verify_(self) -> None:
        dst, src = tile_of(self.dst), tile_of(self.src)
        self.verify_ends("sbuf", *HBM)
        if prod(dst.shape) != prod(src.shape):
            raise VerifyException(f"DMA size: dst has {prod(dst.shape)} elements, src has {prod(src.shape)}")
        if self.oob_mode is not None and self.oob_mode.data not in OOB_MODES:
            raise VerifyException(f"oob_mode is one of {', '.join(OOB_MODES)}, got {self.oob_mode.data!r}")
        indirect = [v.owner for v in (self.dst, self.src) if isinstance(v.owner, ApOp) and v.owner.is_indirect]
        if self.oob_mode is not None and not indirect:
            raise VerifyException("indirect access: oob_mode is for an access by rows or by a row")
        for view in indirect:
            if view.rows is not None and tile_of(view.rows).free_size != 1:
                raise VerifyException(f"indirect access: the rows of a copy are [P, 1], got {tile_of(view.rows)}")


@irdl_op_definition
class DmaTransposeOp(_DmaInstruction):
    """
    `nisa.dma_transpose(dst, src, axes=(1, 0))`: dst [columns, rows] in SBUF from src [rows, columns].

    With an access by rows, source row i is row rows.T.flatten()[i] of the tensor.
    """

    name = "nki.dma_transpose"

    assembly_format = "$dst `,` $src attr-dict `:` type($dst) `,` type($src)"

    def __init__(self, dst: SSAValue, src: SSAValue):
        super().__init__(operands=[dst, src])

    def verify_(self) -> None:
        dst, src = tile_of(self.dst), tile_of(self.src)
        self.verify_ends("sbuf")
        if element_bytes(src.element_type) != 2:
            raise VerifyException(f"DMA transpose: elements have 2 bytes, got {src.element_type}")
        if len(src.shape) != 2 or dst.shape != src.shape[::-1]:
            raise VerifyException(f"DMA transpose: {src.shape} becomes {src.shape[::-1]}, got {dst.shape}")
        if isinstance(self.src.owner, ApOp) and self.src.owner.is_indirect:
            self._verify_gather(self.src.owner, src)

    @staticmethod
    def _verify_gather(view: ApOp, src: TileType) -> None:
        """The documented limits of an indirect transpose."""
        if view.rows is None:
            raise VerifyException("DMA transpose: an indirect one is by rows")
        rows = tile_of(view.rows)
        element = rows.element_type
        if not isa(element, IntegerType) or element.signedness.data != Signedness.UNSIGNED:
            raise VerifyException(f"DMA transpose: rows are ui32, got {element}")
        if src.shape[0] % 16 or src.shape[1] > PARTITIONS:
            raise VerifyException(
                f"DMA transpose: by rows, a multiple of 16 rows of at most {PARTITIONS} elements, got {src.shape}"
            )
        if rows.partitions % 16 or (rows.free_size > 1 and rows.partitions != PARTITIONS):
            raise VerifyException(
                f"DMA transpose: rows are on a multiple of 16 partitions, {PARTITIONS} with several columns, got {rows}"
            )


@irdl_op_definition
class TensorCopyOp(CopyingInstruction):
    """`nisa.tensor_copy(dst, src)`: a copy on chip, which may cast."""

    name = "nki.tensor_copy"


@irdl_op_definition
class TensorCopyPredicatedOp(Instruction):
    """
    `nisa.tensor_copy_predicated(dst, src, predicate)`: `src`, a tile or a number, where the predicate is not 0;
    elsewhere dst stays.
    """

    name = "nki.tensor_copy_predicated"

    dst = operand_def(TileType)
    predicate = operand_def(TileType)
    src = opt_operand_def(TileType)
    value = opt_prop_def(FloatAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$dst `where` $predicate (`from` $src^ `:` type($src))? (`value` $value^)? attr-dict "
        "`:` type($dst) `,` type($predicate)"
    )

    def __init__(self, dst: SSAValue, src: SSAValue | float, predicate: SSAValue):
        tile = src if isinstance(src, SSAValue) else None
        super().__init__(
            operands=[dst, predicate, tile],
            properties={"value": None if isinstance(src, SSAValue) else FloatAttr(float(src), f32)},
        )

    def verify_(self) -> None:
        for name, type in self.tiles().items():
            require_memory(f"{name} of tensor_copy_predicated", type, ON_CHIP)
        require_same_size(self.tiles().items())
        if (self.src is None) == (self.value is None):
            raise VerifyException("tensor_copy_predicated copies a tile or a number, one of them")
        dst, predicate = tile_of(self.dst), tile_of(self.predicate)
        element = predicate.element_type
        if not isa(element, IntegerType) or element.signedness.data != Signedness.UNSIGNED:
            raise VerifyException(f"predicate type: the predicate is ui8, ui16 or ui32, got {element}")
        if self.src is not None:
            src = tile_of(self.src)
            if src.element_type != dst.element_type:
                raise VerifyException(
                    f"copy type: src and dst have one type, got {src.element_type} and {dst.element_type}"
                )
            if src.memory.data == predicate.memory.data == "psum":
                raise VerifyException("PSUM operands: src and predicate are not both in PSUM")


@irdl_op_definition
class MemsetOp(Instruction):
    """`nisa.memset(dst, value, engine)`, on the Vector engine or on GpSimd."""

    name = "nki.memset"

    dst = operand_def(TileType)
    value = prop_def(FloatAttr)
    engine = opt_prop_def(StringAttr)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = "$dst `,` $value (`on` $engine^)? attr-dict `:` type($dst)"

    def __init__(self, dst: SSAValue, value: float, engine: str | None = None):
        super().__init__(
            operands=[dst],
            properties={"value": FloatAttr(value, f32), "engine": None if engine is None else StringAttr(engine)},
        )

    def verify_(self) -> None:
        dst = tile_of(self.dst)
        if self.engine is not None:
            require_op("engine", self.engine, ("vector", "gpsimd"))
            if self.engine.data == "gpsimd":
                require_memory("dst of memset on GpSimd", dst, ("sbuf",))
        require_memory("dst of memset", dst, ON_CHIP)
        value = self.value.value.data
        if isa(dst.element_type, IntegerType) and value != int(value):
            raise VerifyException(f"memset value: {dst.element_type} has no {value}")
        if not isinstance(self.value.type, Float32Type):
            raise VerifyException(f"memset value: written as an f32, got {self.value.type}")


@irdl_op_definition
class CoreBarrierOp(Instruction):
    """`nisa.core_barrier(data, cores=(0, 1))`: both cores have written `data`, in shared HBM, when one goes on."""

    name = "nki.core_barrier"

    data = operand_def(TileType)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$data attr-dict `:` type($data)"

    def __init__(self, data: SSAValue):
        super().__init__(operands=[data])

    def verify_(self) -> None:
        require_memory("data of core_barrier", tile_of(self.data), ("shared_hbm",))
        require_generation(self, "core_barrier", 3)
