"""
`convert-attention-to-triton`: attention operations become `tl.jit` kernels and the host code that launches them.

Every operation is converted on its own, where it stands: `launch.empty` makes the buffers of its results, and
`launch.kernel` fills them. Whatever else a function holds stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, Float64Type, IndexType, ModuleOp, StringAttr, TensorType, f32, i32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import GreedyRewritePatternApplier, PatternRewriteWalker
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp, UpdateCacheOp
from flashlower.dialects.attention.layout import INNER_DIMS
from flashlower.dialects.launch import EmptyOp, KernelOp
from flashlower.dialects.tl import JitOp
from flashlower.dialects.tl.canonicalize import PATTERNS
from flashlower.dialects.tl.types import is_float, is_float8, is_integer, is_number
from flashlower.lowering.triton.attention_kernel import AttentionKernel
from flashlower.lowering.triton.combine_kernel import CombineKernel, SharedRuns
from flashlower.lowering.triton.frame import can_pack_group, outer_dims, row_dims
from flashlower.lowering.triton.fused_combine import CLEARED, FusedCombine, clear_kernel
from flashlower.lowering.triton.host import Digit, Host, TensorOf, constant_index, leading_digits
from flashlower.lowering.triton.in_place import check_in_place
from flashlower.lowering.triton.nibbles import take_bytes
from flashlower.lowering.triton.runs import combine_of, count_runs
from flashlower.lowering.triton.score import constant_of
from flashlower.lowering.triton.update_cache_kernel import UpdateCacheKernel
from flashlower.rewrites.schedule.targets import DEFAULT_TARGET, TargetDescription, get_target
from flashlower.rewrites.schedule.tiles import choose_schedule

Convertible = SdpaOp | PartialOp | CombineOp

MAX_EXTENT = (1 << 31) - (1 << 16)
"""Rows and keys are counted in 32 bits, up to the end of the last tile."""

MAX_SPLITS = 65535
"""The most programs along the second axis of a grid."""

INTEGER_OPERANDS = ("block_table", "rows", "kv_lens")

ZERO_POINTS = ("k_zero", "v_zero")
"""Operands of integers or floats."""

KERNEL_SUFFIXES: dict[type[Operation], str] = {
    SdpaOp: "kernel",
    PartialOp: "partial_kernel",
    CombineOp: "combine_kernel",
    UpdateCacheOp: "update_kernel",
}


@dataclass(frozen=True)
class ConvertAttentionToTritonPass(ModulePass):
    """
    Converts `attention.sdpa`, `attention.partial`, `attention.combine` and `attention.update_cache` to kernels of the
    `tl` dialect.

    Kernels are called `<function>_kernel`, `<function>_partial_kernel`, `<function>_combine_kernel` and
    `<function>_update_kernel`, numbered where a function has several. Caches are updated in place.

    Raises `DiagnosticException` for what a Triton kernel cannot do; the message says why.
    """

    name = "convert-attention-to-triton"

    target: str = DEFAULT_TARGET
    """The GPU to choose schedules for, where operations have none: h100, h200, a100 or mi300x."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = get_target(self.target)
        check_in_place(op)
        take_bytes(op)
        found = [a for a in op.walk() if isinstance(a, Convertible | UpdateCacheOp)]
        shared: dict[Convertible, SharedRuns] = {}
        for attention, name in zip(found, kernel_names(op, found)):
            if attention.parent is None:
                continue  # A combine that went with its partial.
            if isinstance(attention, UpdateCacheOp):
                convert_update(attention, name)
                continue
            if isinstance(attention, PartialOp):
                if (combine := fusible_combine(attention)) is not None:
                    convert_fused(attention, combine, name, target)
                    continue
                if (runs := share_runs(attention)) is not None:
                    shared[attention] = shared[runs[0]] = runs[1]
            convert_attention(attention, name, target, shared.get(attention))
        for attention in shared:
            if isinstance(attention, PartialOp):
                Rewriter.erase_op(attention)


def kernel_names(module: ModuleOp, attentions: Sequence[Convertible | UpdateCacheOp]) -> list[str]:
    """
    A free symbol for the kernel of each operation.

    Raises `DiagnosticException` for an operation that no function holds.
    """
    symbols = (op.properties.get("sym_name") for op in module.walk())
    taken = {symbol.data for symbol in symbols if isinstance(symbol, StringAttr)}
    bases = [f"{function_of(op).sym_name.data}_{KERNEL_SUFFIXES[type(op)]}" for op in attentions]
    names: list[str] = []
    for base in bases:
        number = 0
        name = base if bases.count(base) == 1 else f"{base}_{number}"
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names.append(name)
    return names


def function_of(op: Operation) -> FuncOp:
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, FuncOp):
        parent = parent.parent_op()
    if parent is None:
        raise DiagnosticException(f"{op.name} stands outside of any func.func, so nothing can launch its kernel")
    return parent


@dataclass(frozen=True)
class Result:
    """A result of an operation that a kernel fills: its name, and how it lies over the iteration space."""

    name: str
    value: SSAValue
    digits: list[Digit | None]


def share_runs(op: PartialOp) -> tuple[CombineOp, SharedRuns] | None:
    """
    The combine of a partial and the buffers between them, where their kernels share the keys out by runs.

    Nothing else reads those results, so they may lie as [h, g, split, m, d] and [h, g, split, m].
    """
    count, combine = count_runs(op), combine_of(op)
    if count is None or combine is None or op.kv_lens is None or op.kv_lens_layout is None:
        return None
    sizes = op.dim_sizes()
    shape = [sizes["h"], sizes["g"], count.rows, sizes["m"]]
    buffers: list[SSAValue] = []
    for result in op.results:
        empty = EmptyOp((), TensorType(f32, [*shape, sizes["d"]] if result is op.output else shape))
        empty.result.name_hint = result.name_hint
        Rewriter.insert_op(empty, InsertPoint.before(op))
        buffers.append(empty.result)
    return combine, SharedRuns(count, buffers, op.kv_lens, op.kv_lens_layout)


def convert_attention(op: Convertible, name: str, target: TargetDescription, shared: SharedRuns | None = None) -> None:
    """
    Replaces an operation by the launch of a kernel, which is put before the function that holds the operation.

    With `shared` a partial stays where it is until its combine is converted, too.
    Raises `DiagnosticException` where the operation cannot be converted.
    """
    check_types(op)
    sizes = op.index_sizes() if isinstance(op, AttentionOp) else op.dim_sizes()
    check_extents(op, sizes)
    schedule = op.schedule or choose_schedule(op, target)
    new_ops: list[Operation] = []
    host = Host(new_ops.append, sizes)
    for operand, value, digits in operands(op):
        host.read_sizes(operand, value, digits)
    host.count_pages()
    if isinstance(op, PartialOp) and shared is not None:
        buffers = shared.partials
    else:
        buffers = [host.empty(result.name, result.value, result.digits) for result in results(op)]

    try:
        if isinstance(op, CombineOp):
            if shared is not None:
                host.read_sizes("kv_lens", shared.lengths, leading_digits(shared.layout))
            kernel = CombineKernel(op, name, schedule, host, *buffers, shared=shared)
            grid = [host.product((*outer_dims(sizes, pack_group=False), "m"))]
        else:
            count = None if shared is None else shared.count
            kernel = AttentionKernel(op, name, schedule, host, *buffers, runs=count)
            rows = host.ceil_divide(host.product(row_dims(sizes, kernel.pack_group)), schedule.block_m.data)
            outer = outer_dims(sizes, kernel.pack_group)
            programs = host.product(outer if count is None else [dim for dim in outer if dim in INNER_DIMS])
            if kernel.heads > 1:
                programs = host.ceil_divide(programs, kernel.heads)
            grid = [host.multiply(rows, programs)]
            if isinstance(op, PartialOp):
                grid.append(host.constant(op.num_splits if count is None else count.runs))
        jit = kernel.build()
    except TypeError as e:
        # The builder checks Triton's rules, such as the most elements that a block may have.
        raise DiagnosticException(f"{op.name} does not make a Triton kernel: {e}") from e
    simplify(jit)
    arguments = kernel.parameters.pass_used(jit)
    host.insert(KernelOp(name, grid, arguments, num_warps=schedule.warps.data, pdl=schedule.option("pdl") == 1))

    Rewriter.insert_op(jit, InsertPoint.before(function_of(op)))
    Rewriter.insert_op(new_ops, InsertPoint.before(op))
    if isinstance(op, PartialOp) and shared is not None:
        return
    for result, buffer in zip(op.results, buffers, strict=True):
        result.replace_all_uses_with(buffer)
    Rewriter.erase_op(op)


def fusible_combine(op: PartialOp) -> CombineOp | None:
    """
    The combine that the schedule puts into the kernel of a partial, where nothing else reads its results; none for a
    transposed one, whose results lie the other way.
    """
    schedule = op.schedule
    if schedule is None or schedule.option("kernels") != 1 or schedule.option("transposed"):
        return None
    return combine_of(op)


def convert_fused(op: PartialOp, combine: CombineOp, name: str, target: TargetDescription) -> None:
    """
    Replaces a partial and its combine by the launch of one kernel, and one before it that clears its tickets.

    Raises `DiagnosticException` where they cannot be converted.
    """
    check_types(op)
    check_types(combine)
    check_extents(op, op.index_sizes())
    schedule = op.schedule or choose_schedule(op, target)
    new_ops: list[Operation] = []
    host = Host(new_ops.append, op.index_sizes())
    for operand, value, digits in operands(op):
        host.read_sizes(operand, value, digits)
    host.count_pages()
    buffers = [host.empty(result.name, result.value, result.digits) for result in results(op)]
    made = [host.empty(result.name, result.value, result.digits) for result in results(combine)]
    rows = host.ceil_divide(host.product(row_dims(host.sizes, can_pack_group(op))), schedule.block_m.data)
    tiles = host.multiply(rows, host.product(outer_dims(host.sizes, can_pack_group(op))))
    count = constant_index(tiles)
    tickets = host.add(EmptyOp([tiles] if count is None else [], TensorType(i32, [count or DYNAMIC_INDEX])))
    tickets.name_hint = "tickets"
    fused = FusedCombine(combine, made[0], made[1] if len(made) > 1 else None, tickets)
    try:
        kernel = AttentionKernel(op, name, schedule, host, *buffers, fused=fused)
        jit = kernel.build()
    except TypeError as e:
        raise DiagnosticException(f"{op.name} does not make a Triton kernel: {e}") from e
    simplify(jit)
    clear = clear_kernel(f"{name}_clear", count)
    arguments = [tickets] if count is not None else [tickets, tiles]
    host.insert(KernelOp(f"{name}_clear", [host.ceil_divide(tiles, CLEARED)], arguments))
    grid = [tiles, host.constant(op.num_splits)]
    pdl = schedule.option("pdl") == 1
    host.insert(KernelOp(name, grid, kernel.parameters.pass_used(jit), num_warps=schedule.warps.data, pdl=pdl))

    Rewriter.insert_op([clear, jit], InsertPoint.before(function_of(op)))
    Rewriter.insert_op(new_ops, InsertPoint.before(combine))
    for result, buffer in zip(combine.results, made, strict=True):
        result.replace_all_uses_with(buffer)
    Rewriter.erase_op(combine)
    Rewriter.erase_op(op)


def convert_update(op: UpdateCacheOp, name: str) -> None:
    """
    Replaces an update of a cache by the launch of a kernel that writes in place: its results are its operands.

    Raises `DiagnosticException` where the operation cannot be converted.
    """
    for operand, value, _ in op.layouts():
        element = cast(TensorOf, value.type).element_type
        if not is_number(element):
            raise DiagnosticException(f"{operand} of {op.name} has type {value.type}, of which Triton has no numbers")
    new_ops: list[Operation] = []
    host = Host(new_ops.append, op.index_sizes())
    for operand, value, layout in op.layouts():
        host.read_sizes(operand, value, leading_digits(layout))
    host.count_pages()
    try:
        kernel = UpdateCacheKernel(op, name, host)
        grid = kernel.grid(host)
        jit = kernel.build()
    except TypeError as e:
        # The builder checks Triton's rules, such as the most elements that a block may have.
        raise DiagnosticException(f"{op.name} does not make a Triton kernel: {e}") from e
    simplify(jit)
    arguments = kernel.parameters.pass_used(jit)
    host.insert(KernelOp(name, [grid], arguments, num_warps=kernel.num_warps))
    Rewriter.insert_op(jit, InsertPoint.before(function_of(op)))
    Rewriter.insert_op(new_ops, InsertPoint.before(op))
    for operand, result in op.updates():
        result.replace_all_uses_with(operand)
    Rewriter.erase_op(op)


def operands(op: Convertible) -> list[tuple[str, SSAValue, list[Digit | None]]]:
    """The operands of an operation, with the leading digits of their layouts."""
    if not isinstance(op, CombineOp):
        return [(name, value, leading_digits(layout)) for name, value, layout in AttentionOp.layouts(op)]
    digits = split_digits(op.dim_sizes())
    found = [("partial", op.partial, [*digits, Digit("d", 1)]), ("lse", op.partial_lse, digits)]
    if op.partial_sum is not None:
        found.append(("sum", op.partial_sum, digits))
    if op.sinks is not None and op.sinks_layout is not None:
        found.append(("sinks", op.sinks, leading_digits(op.sinks_layout)))
    return found


def results(op: Convertible) -> list[Result]:
    """The results of an operation."""
    if isinstance(op, PartialOp):
        digits = split_digits(op.dim_sizes())
        found = [Result("out", op.output, [*digits, Digit("d", 1)]), Result("lse", op.lse, digits)]
        return found if op.sum is None else [*found, Result("sum", op.sum, digits)]
    found = [Result("out", op.output, leading_digits(op.output_layout))]
    if op.lse is not None and op.lse_layout is not None:
        found.append(Result("lse", op.lse, leading_digits(op.lse_layout)))
    return found


def split_digits(sizes: Mapping[str, int]) -> list[Digit | None]:
    """How [b..., h, g, split, m] lies over the iteration space, which has no split."""
    outer = [Digit(dim, 1) for dim in outer_dims(sizes, pack_group=False)]
    return [*outer, None, Digit("m", 1)]


def check_types(op: Convertible) -> None:
    """Raises `DiagnosticException` for tensors that kernels cannot compute on."""
    codes = op.lanes() if isinstance(op, AttentionOp) else {}
    floats: list[tuple[str, SSAValue]] = []
    for name, value, _ in operands(op):
        element = cast(TensorOf, value.type).element_type
        if name in codes or name in ZERO_POINTS:
            if not (is_integer(element) or is_float8(element) or name in ZERO_POINTS):
                raise DiagnosticException(f"{name} of {op.name} has type {value.type}, of which Triton has no numbers")
        elif name not in INTEGER_OPERANDS:
            floats.append((name, value))
    floats += [(result.name, result.value) for result in results(op)]
    for name, value in floats:
        element = cast(TensorOf, value.type).element_type
        if isinstance(element, Float64Type):
            raise DiagnosticException(
                f"f64 attention cannot be lowered to Triton, which has no f64 tl.dot: {name} of {op.name} has type "
                f"{value.type}; convert it to f32"
            )
        if not (is_float(element) or is_float8(element)):
            raise DiagnosticException(f"{name} of {op.name} has type {value.type}, of which Triton has no numbers")
    for value in op.captures() if isinstance(op, AttentionOp) else ():
        if isa(value.type, TensorOf):
            known = is_number(value.type.element_type)
        else:
            known = constant_of(value) is not None or value.type in (IndexType(), f32) or is_integer(value.type)
        if not known:
            raise DiagnosticException(
                f"the score region of {op.name} reads a value of type {value.type}, which no Triton kernel can take"
            )


def check_extents(op: Convertible, sizes: Mapping[str, int]) -> None:
    """Raises `DiagnosticException` where rows or keys cannot be counted in 32 bits, or splits in a grid."""
    rows = [sizes[dim] for dim in ("m", "g")]
    tile = op.tile.value.data if isinstance(op, PartialOp) else 1
    keys = -(-sizes["n"] // tile) * tile
    extents = {"queries times head group": 0 if DYNAMIC_INDEX in rows else prod(rows), "keys": keys}
    for what, extent in extents.items():
        if extent > MAX_EXTENT:
            raise DiagnosticException(f"{op.name} has {extent} {what}, but a Triton kernel counts up to {MAX_EXTENT}")
    if not isinstance(op, SdpaOp) and op.num_splits > MAX_SPLITS:
        raise DiagnosticException(f"{op.name} has {op.num_splits} splits, but a grid has at most {MAX_SPLITS}")


def simplify(kernel: JitOp) -> None:
    """Folds literals and drops what is not used."""
    PatternRewriteWalker(GreedyRewritePatternApplier(list(PATTERNS))).rewrite_region(kernel.body)
