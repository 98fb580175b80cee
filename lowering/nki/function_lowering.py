"""The kernel of one function: its attention operations, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import cast

from xdsl.dialects import func
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    DenseArrayBase,
    Float8E4M3FNType,
    Float64Type,
    IntegerType,
    TensorType,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp
from flashlower.dialects.attention.layout import layout_to_str
from flashlower.dialects.nki.types import PARTITIONS, Hardware, TileType, dtype_name
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block, Part, block_counts, choose_parts, choose_row_block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.combine_kernel import SPLIT, CombineKernel, partial_access
from flashlower.lowering.nki.cost import ALL_BYTES, NEEDED_BYTES
from flashlower.lowering.nki.grid import MASKED, u8
from flashlower.lowering.nki.keys_kernel import KeysKernel, KeysTiles
from flashlower.lowering.nki.operands import STAGED_BYTES
from flashlower.lowering.nki.problem import ONE_SHAPE, Machine, Outputs, Problem
from flashlower.lowering.nki.rows_kernel import RowsKernel
from flashlower.lowering.nki.schedule import ARRANGEMENTS, NkiSchedule

TensorOf = TensorType[Attribute]

SCHEDULE = "nki.schedule"
"""The attribute of a kernel with the schedule that it was made by."""


def kernel_type(name: str, type: Attribute, hardware: Hardware, memory: str = "shared_hbm") -> TileType:
    """A tensor type as NKI has it; raises `DiagnosticException` where it has none, or the hardware does not."""
    if not isa(type, TensorOf):
        raise DiagnosticException(f"{name} has type {type}, but arguments and results of an NKI kernel are tensors")
    if DYNAMIC_INDEX in type.get_shape():
        raise DiagnosticException(f"{name} has type {type}: {ONE_SHAPE}")
    if 0 in type.get_shape():
        raise DiagnosticException(f"{name} has type {type}, which is empty: there is nothing for a kernel to do")
    element = type.element_type
    if isa(element, IntegerType):
        element = u8 if element.width.data == 1 else i32 if element.width.data == 64 else element
    if dtype_name(element) is None:
        extra = "; convert it to f32" if isinstance(element, Float64Type) else ""
        raise DiagnosticException(f"{name} has type {type}, of which NKI has no numbers{extra}")
    if isinstance(element, Float8E4M3FNType) and hardware.generation < 4:
        # Neuron's compiler calls it NCC_EVRF051.
        raise DiagnosticException(
            f"{name} has type {type}, but {hardware.name} has no f8E4M3FN: store f8E4M3 or f8E5M2, or take target=trn3"
        )
    return TileType(type.get_shape() or (1,), element, memory)


class FunctionLowering:
    """Builds the kernel of one function: its attention operations, one after the other."""

    def __init__(
        self, function: func.FuncOp, machine: Machine, arrangement: str, score_bytes: int, sequences: int | None
    ):
        self.function = function
        self.machine = machine
        self.arrangement = arrangement
        self.score_bytes = score_bytes
        self.sequences = sequences
        name = function.sym_name.data
        block = function.body.block
        arguments: dict[str, TileType] = {}
        for i, argument in enumerate(block.args):
            hint = argument.name_hint or f"arg{i}"
            while hint in arguments:
                hint = f"{hint}_{i}"
            arguments[hint] = kernel_type(f"argument {hint} of @{name}", argument.type, machine.hardware)
        self.ops = [op for op in block.ops if isinstance(op, AttentionOp | CombineOp)]
        self.b = KernelBuilder(name, arguments, machine.hardware.name, machine.cores, self._describe())
        self.splits: dict[SSAValue, int] = {}
        self.paged_bytes: dict[SSAValue, int] = {}
        self.tensors: dict[SSAValue, SSAValue] = dict(zip(block.args, self.b.arguments, strict=True))

    def build(self) -> nki.KernelOp:
        terminator = cast(func.ReturnOp, self.function.body.block.last_op)
        returned = list(terminator.arguments)
        for op in self.ops:
            for result, hint in zip(op.results, self._result_names(op), strict=False):
                if result in returned:
                    type = kernel_type(f"result {hint} of {op.name}", result.type, self.machine.hardware)
                    self.tensors[result] = self.b.tile(hint, type.shape, type.element_type, type.memory.data)
        for op in self.ops:
            self._lower(op)
        if self.paged_bytes:
            needed = [self.paged_bytes.get(argument, ALL_BYTES) for argument in self.b.arguments]
            self.b.kernel.attributes[NEEDED_BYTES] = DenseArrayBase.from_list(i64, needed)
        for value in returned:
            if value not in self.tensors:
                raise DiagnosticException(f"@{self.function.sym_name.data} returns a value that no attention makes")
        return self.b.finish([self.tensors[value] for value in returned])

    def _describe(self) -> str:
        lines: list[str] = []
        for op in self.ops:
            layouts = [] if isinstance(op, CombineOp) else op.layouts()
            lines.append(f"{op.name}: " + ", ".join(f"{name}{layout_to_str(lay.data)}" for name, _, lay in layouts))
        return "\n".join(line.rstrip(": ") for line in lines)

    @staticmethod
    def _result_names(op: Operation) -> Sequence[str]:
        return ("partial", "partial_lse", "partial_sum") if isinstance(op, PartialOp) else ("out", "lse")

    def _outputs(self, op: SdpaOp | CombineOp) -> Outputs:
        def access(value: SSAValue | None, layout: AffineMapAttr | None) -> Access | None:
            if value is None or layout is None or value not in self.tensors or not isa(value.type, TensorOf):
                return None
            return Access.of(self.tensors[value], value.type.get_shape(), layout)

        return Outputs(access(op.output, op.output_layout), access(op.lse, op.lse_layout))

    def _lower(self, op: AttentionOp | CombineOp) -> None:
        match op:
            case SdpaOp():
                self._lower_sdpa(op)
            case PartialOp():
                self._lower_partial(op)
            case CombineOp():
                splits = self.splits.get(op.partial, op.num_splits)
                CombineKernel(self.b, op, self.tensors, self._outputs(op), splits, self.machine.cores).emit()
            case _:
                raise DiagnosticException(f"{op.name} is not lowered to NKI")

    def _problem(self, op: AttentionOp) -> Problem:
        problem = Problem(op, self.tensors)
        for access, needed in problem.paged_bytes():
            self.paged_bytes[access.tensor] = max(needed, self.paged_bytes.get(access.tensor, 0))
        return problem

    def _schedule(self, op: AttentionOp) -> NkiSchedule:
        found = NkiSchedule.of(op, ARRANGEMENTS[0])
        if self.arrangement in ARRANGEMENTS:
            found = replace(found, arrangement=self.arrangement)
        if found.arrangement == "rows":
            return replace(found, sequences=None)
        return found if found.sequences is not None else replace(found, sequences=self.sequences)

    def _kernels(
        self, problem: Problem, outputs: Outputs, keys: int, cores: int
    ) -> Iterator[tuple[Part, KeysKernel | RowsKernel]]:
        """The kernels of an operation over runs of at most `keys` keys, one for each size of a block."""
        schedule = self._schedule(problem.op)
        if schedule.arrangement == "rows":
            self.b.kernel.attributes[SCHEDULE] = schedule.attribute(self.machine.cores)
            block = choose_row_block(problem.sizes, schedule.rows)
            yield Part(block, problem.sizes), RowsKernel(self.b, problem, outputs, block, schedule.step)
            return
        tiles = -(-keys // PARTITIONS)
        limit = min(max(self.score_bytes // (4 * tiles), 1), schedule.rows)
        # Numbers of rows in pages are computed for heads that have the same pages.
        sequences = schedule.sequences or PARTITIONS
        pack = problem.pages is None or not problem.differs_by_head
        parts = choose_parts(problem.sizes, limit, cores, pack=pack, sequences=sequences)
        if (most := parts[0].block.sequences) > 1:
            schedule = replace(schedule, sequences=most)
        self.b.kernel.attributes[SCHEDULE] = schedule.attribute(self.machine.cores)
        shared = KeysTiles(self.b, problem, keys)
        for part in parts:
            yield part, KeysKernel(self.b, problem, outputs, part.block, schedule.step, shared)

    def _emit(
        self,
        part: Part,
        kernel: KeysKernel | RowsKernel,
        n: Sum,
        keys: int,
        cores: int,
        more: Mapping[str, Sum] | None = None,
    ) -> None:
        """The rows of a part over a run of keys; K and V stay in SBUF where several blocks of rows read them."""
        counts = block_counts(part.sizes, part.block)
        several = counts["g"] * counts["m"] > 1
        fits = kernel.key_values.bytes_per_partition(keys) <= STAGED_BYTES
        if kernel.problem.kv_lens is not None and kernel.key_values.clears_keys:
            # Rows of keys that do not exist are cleared first, and which these are a block of rows finds out.
            fits = False
        stage = partial(kernel.key_values.stage, n=n, keys=keys) if several and fits else None
        with part.loops(self.b, cores, stage) as indices:
            kernel.emit(indices, n, keys, more)

    def _lower_sdpa(self, op: SdpaOp) -> None:
        outputs, problem = self._outputs(op), self._problem(op)
        first, end = problem.reached_keys()
        cores = self.machine.cores
        for part, kernel in self._kernels(problem, outputs, end - first, cores):
            self._emit(part, kernel, Sum(first), end - first, cores)

    def _lower_partial(self, op: PartialOp) -> None:
        """
        Splits share out the keys; the cores share out the splits.

        Where only `attention.combine` of the same kernel reads the results, any runs of keys are as good as those of
        the definition: even ones, known when the kernel is traced, and no empty ones.
        """
        problem = self._problem(op)
        keys, splits = problem.sizes["n"], op.num_splits
        fused = not any(result in self.tensors for result in op.results)
        if fused:
            first_key, end = problem.reached_keys()
            tiles = -(-(end - first_key) // PARTITIONS)
            width = -(-tiles // splits) * PARTITIONS
            runs = [(start, min(width, end - start)) for start in range(first_key, end, width)]
            self.splits[op.output] = len(runs)
        else:
            if op.kv_lens is not None or op.reach is not None:
                raise DiagnosticException(
                    f"{op.name} whose results leave the function has runs of keys that depend on kv_lens or reach, "
                    "which NKI kernels do not lower: keep attention.combine in the same function"
                )
            tile = op.tile.value.data
            tiles = -(-keys // tile)
            bounds = [min(tiles * i // splits * tile, keys) for i in range(splits + 1)]
            runs = [(start, end - start) for start, end in pairwise(bounds)]
        sizes = problem.sizes
        accesses: dict[str, Access | None] = {}
        memory = "private_hbm" if self.machine.cores == 1 else "shared_hbm"
        for name, result, hint in zip(("out", "lse", "sum"), op.results, self._result_names(op)):
            if result not in self.tensors:
                type = kernel_type(hint, result.type, self.machine.hardware, memory)
                self.tensors[result] = self.b.tile(hint, type.shape, type.element_type, memory)
            accesses[name] = partial_access(self.tensors[result], sizes, splits, with_head_size=name == "out")
        outputs = Outputs(**accesses)
        cores = self.machine.cores
        for part, kernel in self._kernels(problem, outputs, max(size for _, size in runs), 1):
            groups = _even_runs(runs)
            # With several, PSUM has no room for the tiles of all: each has a loop, where its tiles live.
            several = len(groups) > 1
            for first, count, start, step, size in groups:
                own = self._own_split(first)
                with self.b.loop(SPLIT, first + count, start=own, step=cores, keep=several) as split:
                    at = (split + -first) * step + start
                    if size:
                        self._emit(part, kernel, at, size, 1, {SPLIT: split})
                        continue
                    with part.loops(self.b, 1) as indices:
                        self._empty_split(outputs, part.block, {**indices, SPLIT: split}, sizes["d"])
        if cores > 1:
            for result in op.results:
                self.b.add(nki.CoreBarrierOp(self.tensors[result]))

    def _own_split(self, first: int) -> Sum:
        """The first split of this core from one on: even ones are core 0's, odd ones core 1's."""
        if self.machine.cores == 1:
            return Sum(first)
        core = self.b.program_id()
        return core * -1 + (first + 1) if first % 2 else core + first

    def _empty_split(self, outputs: Outputs, block: Block, indices: Mapping[str, Sum], width: int) -> None:
        b = self.b
        for access, value, dims in (
            (outputs.out, 0.0, [("d", width)]),
            (outputs.lse, MASKED, []),
            (outputs.sum, 0.0, []),
        ):
            if access is not None:
                tile = b.filled("empty", [block.rows, dims[0][1] if dims else 1], value)
                rows = block.dims()
                b.add(nki.DmaCopyOp(access.view(b, [*rows, *dims], indices, lead=len(rows)), tile))


def _even_runs(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int, int]]:
    """Runs of keys grouped into those of one size at even distances: first split, count, start, distance, size."""
    groups: list[tuple[int, int, int, int, int]] = []
    for i, (start, size) in enumerate(runs):
        if groups:
            first, count, begin, step, width = groups[-1]
            distance = start - begin if count == 1 else step
            if size == width and start == begin + distance * count:
                groups[-1] = (first, count + 1, begin, distance, width)
                continue
        groups.append((i, 1, start, 0, size))
    return groups
