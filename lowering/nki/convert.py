"""
`convert-attention-to-nki`: functions of attention become `nki.kernel` ops of the same name.

A kernel takes the function's tensors in argument order and returns its results in shared HBM. NKI has no 64-bit
integers and no 1-bit ones: those arguments are int32 and uint8 there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    DenseArrayBase,
    Float8E4M3FNType,
    Float64Type,
    IntegerType,
    ModuleOp,
    TensorType,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import DiagnosticException, VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp, UpdateCacheOp
from flashlower.dialects.attention.layout import layout_to_str
from flashlower.dialects.nki.types import HARDWARE, PARTITIONS, Hardware, TileType, dtype_name
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.combine_kernel import SPLIT, CombineKernel, partial_access
from flashlower.lowering.nki.cost import ALL_BYTES, NEEDED_BYTES, account
from flashlower.lowering.nki.grid import MASKED, u8
from flashlower.lowering.nki.keys_kernel import KeysKernel
from flashlower.lowering.nki.operands import STAGED_BYTES
from flashlower.lowering.nki.problem import (
    ONE_SHAPE,
    Block,
    Machine,
    Outputs,
    Problem,
    block_counts,
    block_loops,
    choose_block,
    choose_row_block,
)
from flashlower.lowering.nki.rows_kernel import RowsKernel
from flashlower.lowering.nki.schedule import ARRANGEMENTS, NkiSchedule
from flashlower.rewrites.outline_attention import attention_groups, is_kernel_function

TensorOf = TensorType[Attribute]

DEFAULT_NKI_TARGET = "trn2"

SCHEDULE = "nki.schedule"
"""The attribute of a kernel with the schedule that it was made by."""

SCORE_BYTES = (32768, 16384, 8192, 4096, 2048)
"""Bytes of a partition that the logits of a block may take; the first with which a kernel fits is used."""


class TooLargeError(DiagnosticException):
    """A kernel needs more memory on chip than there is."""


@dataclass(frozen=True)
class ConvertAttentionToNkiPass(ModulePass):
    """
    Converts functions that are attention and nothing else (as `outline-attention` makes them) to `nki.kernel` ops.

    Raises `DiagnosticException` for what an NKI kernel cannot do; the message says why.
    """

    name = "convert-attention-to-nki"

    target: str = DEFAULT_NKI_TARGET
    """The hardware: trn1 (and inf2), trn2 or trn3."""

    cores: int | None = None
    """Logical cores that share the work: 1, or 2 from trn2 on; without, the schedule's, or else 1."""

    arrangement: str = "auto"
    """
    What lies on the partitions of a tile of logits: keys, rows (queries times head group), or auto: the schedule's, or
    else what the cost account says.
    """

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = "trn1" if self.target == "inf2" else self.target
        if target not in HARDWARE:
            raise DiagnosticException(f"{self.name}: unknown target '{self.target}', expected trn1, inf2, trn2 or trn3")
        if self.arrangement not in ("auto", *ARRANGEMENTS):
            expected = ", ".join(("auto", *ARRANGEMENTS))
            raise DiagnosticException(f"{self.name}: arrangement is '{self.arrangement}', expected one of {expected}")
        converted: set[str] = set()
        for function in [inner for inner in op.walk() if isinstance(inner, func.FuncOp)]:
            groups = attention_groups(function)
            if not groups:
                continue
            for inner in (inner for group in groups for inner in group):
                if isinstance(inner, UpdateCacheOp):
                    raise DiagnosticException(
                        f"{self.name}: @{function.sym_name.data} has {inner.name}, but NKI kernels do not store: "
                        "lower it by decompose-attention, or store new keys before the kernel is called"
                    )
                if isinstance(inner, AttentionOp):
                    self._check_codes(inner)
            if not is_kernel_function(function):
                raise DiagnosticException(
                    f"{self.name}: @{function.sym_name.data} is more than attention on its arguments: "
                    "run outline-attention first"
                )
            machine = Machine(HARDWARE[target], self._cores(function, target))
            kernel = best_kernel(function, machine, self.arrangement)
            Rewriter.replace_op(function, kernel, [])
            converted.add(function.sym_name.data)
        for call in [inner for inner in op.walk() if isinstance(inner, func.CallOp)]:
            name = call.callee.string_value()
            if name in converted:
                launch = nki.CallOp(name, call.arguments, call.result_types)
                for old, new in zip(call.results, launch.outputs, strict=True):
                    new.name_hint = old.name_hint
                Rewriter.replace_op(call, launch)
        for inner in op.walk():
            if isinstance(inner, AttentionOp | CombineOp):
                raise DiagnosticException(f"{self.name}: {inner.name} outside of a func.func")

    def _check_codes(self, op: AttentionOp) -> None:
        """Codes that are 8-bit floats, with nothing to compute on them, are read as those floats; others are not."""
        for name, value in (("k", op.key), ("v", op.value)):
            quantization = op.quantization(name)
            if quantization is None:
                continue
            attr, type = quantization.attr, value.type
            if isa(type, TensorOf) and type.element_type == attr.codes and not list(quantization.shared()):
                continue
            raise DiagnosticException(
                f"{self.name}: {name} of {op.name} has {attr.code_name} codes in elements of "
                f"{type.element_type if isa(type, TensorOf) else type}, which NKI kernels do not dequantise: pass it "
                "dequantised, or as 8-bit floats without scales"
            )

    def _cores(self, function: func.FuncOp, target: str) -> int:
        """The cores of a launch."""
        cores = self.cores
        for op in function.body.block.ops:
            if cores is None and isinstance(op, AttentionOp) and op.schedule is not None:
                cores = op.schedule.option("cores")
        cores = 1 if cores is None else cores
        if cores not in (1, 2) or (cores == 2 and target == "trn1"):
            raise DiagnosticException(f"{self.name}: cores is {cores}, expected 1, or 2 from trn2 on")
        return cores


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


def best_kernel(function: func.FuncOp, machine: Machine, arrangement: str) -> nki.KernelOp:
    """The kernel of a function; of two arrangements, the one whose busiest engine has less to do by the account."""
    attention = [op for op in function.body.block.ops if isinstance(op, AttentionOp)]
    if arrangement == "auto" and any(
        op.schedule is None or op.schedule.option("keys_on_partitions") is None for op in attention
    ):
        kernels: list[nki.KernelOp] = []
        failures: list[TooLargeError] = []
        for choice in ARRANGEMENTS:
            try:
                kernels.append(convert_function(function, machine, choice))
            except TooLargeError as e:
                failures.append(e)
        if not kernels:
            raise failures[-1]
        return min(kernels, key=lambda kernel: account(kernel).bottleneck)
    return convert_function(function, machine, arrangement)


def convert_function(function: func.FuncOp, machine: Machine, arrangement: str) -> nki.KernelOp:
    """The kernel of a function; the most logits at once with which it fits into SBUF."""
    failure: VerifyException | None = None
    for score_bytes in SCORE_BYTES:
        kernel = FunctionLowering(function, machine, arrangement, score_bytes).build()
        try:
            kernel.verify()
            return kernel
        except VerifyException as e:
            if "capacity" not in str(e) and "SBUF size" not in str(e):
                raise DiagnosticException(f"@{function.sym_name.data} does not make an NKI kernel: {e}") from e
            failure = e
    # Sums of V lie in PSUM, logits in SBUF.
    advice = "cut V along its head size" if "PSUM" in str(failure) else "split the keys with flash-decoding"
    raise TooLargeError(f"@{function.sym_name.data} does not fit on {machine.hardware.name}: {failure}; {advice}")


class FunctionLowering:
    """Builds the kernel of one function: its attention operations, one after the other."""

    def __init__(self, function: func.FuncOp, machine: Machine, arrangement: str, score_bytes: int):
        self.function = function
        self.machine = machine
        self.arrangement = arrangement
        self.score_bytes = score_bytes
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
        self.pool_bytes: dict[SSAValue, int] = {}
        self.tensors: dict[SSAValue, SSAValue] = dict(zip(block.args, self.b.arguments, strict=True))

    def build(self) -> nki.KernelOp:
        for op in self.ops:
            if isinstance(op, AttentionOp):
                self.b.kernel.attributes[SCHEDULE] = self._schedule(op).attribute(self.machine.cores)
        terminator = cast(func.ReturnOp, self.function.body.block.last_op)
        returned = list(terminator.arguments)
        for op in self.ops:
            for result, hint in zip(op.results, self._result_names(op), strict=False):
                if result in returned:
                    type = kernel_type(f"result {hint} of {op.name}", result.type, self.machine.hardware)
                    self.tensors[result] = self.b.tile(hint, type.shape, type.element_type, type.memory.data)
        for op in self.ops:
            self._lower(op)
        if self.pool_bytes:
            needed = [self.pool_bytes.get(argument, ALL_BYTES) for argument in self.b.arguments]
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
        for access, needed in problem.pool_bytes():
            self.pool_bytes[access.tensor] = max(needed, self.pool_bytes.get(access.tensor, 0))
        return problem

    def _schedule(self, op: AttentionOp) -> NkiSchedule:
        if self.arrangement in ARRANGEMENTS:
            return dataclasses.replace(NkiSchedule.of(op, self.arrangement), arrangement=self.arrangement)
        return NkiSchedule.of(op, ARRANGEMENTS[0])

    def _kernel(self, problem: Problem, outputs: Outputs, keys: int, cores: int) -> KeysKernel | RowsKernel:
        """The kernel of an operation over runs of at most `keys` keys."""
        schedule = self._schedule(problem.op)
        if schedule.arrangement == "rows":
            block = choose_row_block(problem.sizes, schedule.rows)
            return RowsKernel(self.b, problem, outputs, block, schedule.step)
        tiles = -(-keys // PARTITIONS)
        limit = min(max(self.score_bytes // (4 * tiles), 1), schedule.rows)
        block = choose_block(problem.sizes, limit, cores, pack=problem.pages is None or not problem.differs_by_head)
        return KeysKernel(self.b, problem, outputs, block, schedule.step)

    def _emit(
        self,
        kernel: KeysKernel | RowsKernel,
        n: Sum,
        keys: int,
        cores: int,
        more: Mapping[str, Sum] | None = None,
    ) -> None:
        """All rows over a run of keys; K and V stay in SBUF where several blocks of rows read them."""
        sizes, block = kernel.sizes, kernel.block
        counts = block_counts(sizes, block)
        several = counts["g"] * counts["m"] > 1
        fits = kernel.key_values.bytes_per_partition(keys) <= STAGED_BYTES
        if kernel.problem.kv_lens is not None and kernel.key_values.transposes_on_tensor_engine:
            # Rows of keys that do not exist are cleared first, and which these are a block of rows finds out.
            fits = False
        stage = partial(kernel.key_values.stage, n=n, keys=keys) if several and fits else None
        with block_loops(self.b, sizes, block, cores, stage) as indices:
            kernel.emit(indices, n, keys, more)

    def _lower_sdpa(self, op: SdpaOp) -> None:
        outputs, problem = self._outputs(op), self._problem(op)
        first, end = problem.reached_keys()
        cores = self.machine.cores
        self._emit(self._kernel(problem, outputs, end - first, cores), Sum(first), end - first, cores)

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
        kernel = self._kernel(problem, outputs, max(size for _, size in runs), 1)
        cores = self.machine.cores
        for first, count, start, step, size in _even_runs(runs):
            core = self.b.program_id() if cores > 1 else Sum()
            with self.b.loop(SPLIT, first + count, start=core + first, step=cores) as split:
                at = (split + -first) * step + start
                if size:
                    self._emit(kernel, at, size, 1, {SPLIT: split})
                    continue
                with block_loops(self.b, sizes, kernel.block, 1) as indices:
                    self._empty_split(outputs, kernel.block, {**indices, SPLIT: split}, sizes["d"])
        if cores > 1:
            for result in op.results:
                self.b.add(nki.CoreBarrierOp(self.tensors[result]))

    def _empty_split(self, outputs: Outputs, block: Block, indices: Mapping[str, Sum], width: int) -> None:
        b = self.b
        for access, value, dims in (
            (outputs.out, 0.0, [("d", width)]),
            (outputs.lse, MASKED, []),
            (outputs.sum, 0.0, []),
        ):
            if access is not None:
                tile = b.filled("empty", [block.rows, dims[0][1] if dims else 1], value)
                b.add(nki.DmaCopyOp(access.view(b, [*block.dims(), *dims], indices, lead=3), tile))


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
