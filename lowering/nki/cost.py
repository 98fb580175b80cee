"""
A cost account of NKI kernels: what each engine is given to do, read off the kernel IR.

It is an account and not a speed: instructions and elements are counted exactly, cycles are the documentation's rule of
thumb (an element a partition and cycle, and about 64 cycles to start an instruction), and nothing is said about
how engines overlap. It compares two kernels for one job, and that is what `convert-attention-to-nki` uses it for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from xdsl.dialects import affine, arith
from xdsl.dialects.builtin import I64, DenseArrayBase, Float32Type, IntegerAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.nki.base import Instruction
from flashlower.dialects.nki.types import TileType, element_bytes, tile_of

START_CYCLES = 64
"""What an instruction takes at least, by the documentation."""

DMA_BYTES_PER_CYCLE = 256
"""About the share of a core in the bandwidth of HBM, over its clock."""

F32_PASSES = 4
"""The Tensor engine multiplies f32 in four passes."""

ENGINES: dict[type[Operation], str] = {
    nki.NcMatmulOp: "Tensor",
    nki.NcTransposeOp: "Tensor",
    nki.ActivationOp: "Scalar",
    nki.IotaOp: "GpSimd",
    nki.AffineSelectOp: "GpSimd",
    nki.DmaCopyOp: "DMA",
    nki.DmaTransposeOp: "DMA",
}
"""The engine of an instruction; all others run on the Vector engine, and a barrier on none."""


NEEDED_BYTES = "nki.needed_bytes"
"""The attribute of a kernel with the bytes of each argument that it needs: of pools and tables, the sequences' part."""

ALL_BYTES = -1
"""There: an argument that is needed as a whole."""


@dataclass
class Engine:
    """What one engine does in a launch, on one core."""

    instructions: int = 0
    elements: int = 0
    """Elements a partition; for the Tensor engine, columns of moving operands."""
    cycles: int = 0
    bytes: int = 0
    """Bytes that the DMA engines write."""

    def __add__(self, other: Engine) -> Engine:
        return Engine(
            self.instructions + other.instructions,
            self.elements + other.elements,
            self.cycles + other.cycles,
            self.bytes + other.bytes,
        )


@dataclass
class Account:
    """The work of a kernel by engine, and the least bytes that its tensors allow: of one core, or of a launch."""

    engines: dict[str, Engine] = field(
        default_factory=lambda: {name: Engine() for name in ("Tensor", "Vector", "Scalar", "GpSimd", "DMA")}
    )
    least_bytes: int = 0

    @property
    def bottleneck(self) -> int:
        """The cycles of the engine that has most."""
        return max(engine.cycles for engine in self.engines.values())

    @property
    def vector_and_scalar(self) -> int:
        """The cycles of the Vector and Scalar engines."""
        return self.engines["Vector"].cycles + self.engines["Scalar"].cycles

    @property
    def order(self) -> tuple[int, int]:
        """Which core has most to do: the cycles of the busiest engine, then those of the Vector and Scalar engines."""
        return self.bottleneck, self.vector_and_scalar

    def __add__(self, other: Account) -> Account:
        return Account(
            {name: engine + other.engines[name] for name, engine in self.engines.items()},
            self.least_bytes + other.least_bytes,
        )

    @property
    def traffic(self) -> str:
        """What DMA moves over the least, as text."""
        moved = self.engines["DMA"].bytes
        ratio = f"{moved / self.least_bytes:.2f}" if self.least_bytes else "-"
        return f"least bytes {self.least_bytes}, moved {ratio} times that"

    def table(self) -> str:
        """The engines as text."""
        lines = [f"{'engine':8}{'instructions':>14}{'elements':>12}{'cycles':>12}{'bytes':>14}"]
        for name, engine in self.engines.items():
            numbers = (engine.instructions, engine.elements, engine.cycles)
            lines.append(f"{name:8}{numbers[0]:>14}{numbers[1]:>12}{numbers[2]:>12}{engine.bytes or '':>14}")
        return "\n".join(lines)


def launch_account(kernel: nki.KernelOp) -> Account:
    """The account of all cores together: what a token costs, however the cores share it."""
    first, *others = _accounts(kernel)
    return sum(others, first)


def account(kernel: nki.KernelOp) -> Account:
    """The account of the core that has most to do. Raises `DiagnosticException` for loops of unknown bounds."""
    return max(_accounts(kernel), key=lambda found: found.order)


def _accounts(kernel: nki.KernelOp) -> list[Account]:
    return [_account_of_core(kernel, core) for core in range(kernel.cores.value.data)]


def _account_of_core(kernel: nki.KernelOp, core: int) -> Account:
    result = Account()
    last = kernel.body.block.last_op
    assert isinstance(last, nki.ReturnOp)
    arguments = kernel.body.block.args
    needed = kernel.attributes.get(NEEDED_BYTES)
    parts = needed.get_values() if isa(needed, DenseArrayBase[I64]) else (ALL_BYTES,) * len(arguments)
    total = sum(_bytes(result) for result in last.arguments)
    for argument, part in zip(arguments, parts, strict=True):
        if argument.uses:
            total += _bytes(argument) if part == ALL_BYTES else part
    # Cores share the work, and so the traffic.
    result.least_bytes = total // kernel.cores.value.data
    ids: dict[SSAValue, int] = {op.result: core for op in kernel.body.block.ops if isinstance(op, nki.ProgramIdOp)}
    _add_block(result, kernel.body.block, 1, ids)
    return result


def _bytes(tensor: SSAValue) -> int:
    type = tile_of(tensor)
    return prod(type.shape) * element_bytes(type.element_type)


def _add_block(result: Account, block: Block, times: int, known: Mapping[SSAValue, int]) -> None:
    for op in block.ops:
        if isinstance(op, nki.ForOp):
            start, end = _value(op.start, known), _value(op.end, known)
            step = op.step.value.data
            if _bounds_depend_on(op.counter, op.body.block):
                for counter in range(start, end, step):
                    _add_block(result, op.body.block, times, {**known, op.counter: counter})
                continue
            count = max(-(-(end - start) // step), 0)
            _add_block(result, op.body.block, times * count, {**known, op.counter: start})
        elif isinstance(op, Instruction) and not isinstance(op, nki.CoreBarrierOp):
            _add(result, op, times)


def _bounds_depend_on(counter: SSAValue, block: Block) -> bool:
    """Whether a loop inside of a block has bounds that change with a counter."""
    derived = {counter}
    for op in block.walk():
        if isinstance(op, nki.ForOp):
            if op.start in derived or op.end in derived:
                return True
        elif derived.intersection(op.operands):
            derived.update(op.results)
    return False


def _value(value: SSAValue, known: Mapping[SSAValue, int]) -> int:
    """A bound of a loop."""
    if value in known:
        return known[value]
    match value.owner:
        case arith.ConstantOp(value=IntegerAttr() as attr):
            return attr.value.data
        case arith.MinSIOp(lhs=lhs, rhs=rhs):
            return min(_value(lhs, known), _value(rhs, known))
        case arith.MaxSIOp(lhs=lhs, rhs=rhs):
            return max(_value(lhs, known), _value(rhs, known))
        case affine.ApplyOp() as op:
            return op.map.data.eval([_value(operand, known) for operand in op.mapOperands], [])[0]
        case _:
            raise DiagnosticException(f"the bound {value} of a loop is not known when the kernel is traced")


def _add(result: Account, op: Instruction, times: int) -> None:
    name = ENGINES.get(type(op), "Vector")
    if isinstance(op, nki.MemsetOp | nki.TensorTensorOp) and op.engine is not None and op.engine.data == "gpsimd":
        name = "GpSimd"
    engine = result.engines[name]
    tiles = op.tiles()
    engine.instructions += times
    if name == "DMA":
        destination = tiles["dst"]
        size = prod(destination.shape) * element_bytes(destination.element_type)
        engine.bytes += times * size
        engine.cycles += times * max(size // DMA_BYTES_PER_CYCLE, 1)
        return
    elements = _elements(op, tiles)
    engine.elements += times * elements
    passes = F32_PASSES if _is_f32_product(op) else 1
    engine.cycles += times * max(elements * passes, START_CYCLES)


def _elements(op: Instruction, tiles: Mapping[str, TileType]) -> int:
    if isinstance(op, nki.NcMatmulOp):
        return tiles["moving"].free_size
    if isinstance(op, nki.NcTransposeOp):
        return tiles["data"].partitions
    return max((type.free_size for type in tiles.values()), default=0)


def _is_f32_product(op: Instruction) -> bool:
    return isinstance(op, nki.NcMatmulOp) and isinstance(tile_of(op.moving).element_type, Float32Type)
