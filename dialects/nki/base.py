"""What the instructions of the `nki` dialect share: the hardware they are for, and rules that many have."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Sequence

from xdsl.dialects.builtin import Float32Type, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, operand_def, traits_def
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.nki.types import HARDWARE, ON_CHIP, Hardware, TileType, tile_of

COMPARISONS = ("equal", "not_equal", "greater_equal", "greater", "less_equal", "less")
BINARY_OPS = ("add", "subtract", "multiply", "maximum", "minimum", *COMPARISONS, "logical_and", "logical_or", "power")
"""Operators of the Vector engine that flashlower uses, by their names in `nl`."""
GPSIMD_OPS = ("add", "multiply")
"""Those that the GpSimd engine of every generation has."""
BITVEC_OPS = ("bitwise_and", "bitwise_or", "bitwise_xor")
REDUCTIONS = ("add", "multiply", "maximum", "minimum", "logical_and", "logical_or")
ACTIVATIONS = ("copy", "exp", "log", "tanh", "sqrt", "rsqrt", "abs", "square", "sigmoid", "sign")
"""Functions of the Scalar engine that flashlower uses."""


def hardware_of(op: Operation) -> Hardware | None:
    """The hardware of the kernel that holds an operation, None outside of kernels."""
    parent = op.parent_op()
    while parent is not None:
        if parent.name == "nki.kernel":
            target = parent.properties.get("target")
            return HARDWARE.get(target.data) if isinstance(target, StringAttr) else None
        parent = parent.parent_op()
    return None


class Instruction(IRDLOperation, ABC):
    """An instruction: it reads and writes tiles and has no results. Its first operand is the destination."""

    def tiles(self) -> dict[str, TileType]:
        """The types of the operands that are tiles, by their names."""
        names = (name for name, _ in self.get_irdl_definition().operands)
        found: dict[str, TileType] = {}
        for name in names:
            value: SSAValue | None = getattr(self, name)
            if value is not None and isinstance(value.type, TileType):
                found[name] = value.type
        return found


class CopyingInstruction(Instruction, ABC):
    """An instruction that makes each element of its destination from the same element of one tile, both on chip."""

    dst = operand_def(TileType)
    data = operand_def(TileType)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$dst `,` $data attr-dict `:` type($dst) `,` type($data)"

    def __init__(self, dst: SSAValue, data: SSAValue):
        super().__init__(operands=[dst, data])

    def verify_(self) -> None:
        for name, type in self.tiles().items():
            require_memory(f"{name} of {self.name.removeprefix('nki.')}", type, ON_CHIP)
        require_same_size(self.tiles().items())


def require_memory(what: str, type: TileType, memories: Sequence[str]) -> None:
    """An engine reaches only some of the memories."""
    if type.memory.data not in memories:
        raise VerifyException(f"memory: {what} is in {' or '.join(memories)}, got {type.memory.data}")


def require_same_size(tiles: Iterable[tuple[str, TileType]]) -> None:
    """The tiles of an elementwise instruction have the same partitions and elements a partition."""
    (first, type), *others = tiles
    for name, other in others:
        if other.partitions != type.partitions:
            raise VerifyException(
                f"equal partitions: {first} has {type.partitions} partitions, {name} has {other.partitions}"
            )
        if other.free_size != type.free_size:
            raise VerifyException(
                f"equal free size: {first} has {type.free_size} elements a partition, {name} has {other.free_size}"
            )


def require_vector(what: str, value: SSAValue, partitions: int, *, f32: bool = True) -> None:
    """A per-partition operand has the shape [P, 1], and the arithmetic instructions want f32."""
    type = tile_of(value)
    if not type.on_chip or type.partitions != partitions or type.free_size != 1:
        raise VerifyException(f"vector operand: {what} has shape [{partitions}, 1] on chip, got {type}")
    if f32 and not isinstance(type.element_type, Float32Type):
        raise VerifyException(f"vector operand: {what} is f32, got {type.element_type}")


def require_op(what: str, op: StringAttr, allowed: Sequence[str]) -> None:
    """An operator that the engine has."""
    if op.data not in allowed:
        raise VerifyException(f"operator: {what} is one of {', '.join(allowed)}, got {op.data!r}")


def require_generation(op: Operation, what: str, least: int) -> None:
    """What only later NeuronCores have."""
    hardware = hardware_of(op)
    if hardware is not None and hardware.generation < least:
        raise VerifyException(f"target: {what} needs NeuronCore-v{least}, {hardware.name} has v{hardware.generation}")
