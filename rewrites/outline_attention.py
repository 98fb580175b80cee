"""Outlining: every attention moves into a function of its own, which becomes a kernel.

What stays behind is a program of calls, so a kernel sees nothing but its operands, and a module with many layers
gets one function for each of its attentions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, TensorType, UnitAttr
from xdsl.ir import Block, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import ConstantLike, SymbolOpInterface
from xdsl.utils.exceptions import PassFailedException

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp, UpdateCacheOp
from flashlower.rewrites.canonicalize_attention import combines_alone
from flashlower.rewrites.inline import KERNEL_ATTRIBUTE

Group = tuple[AttentionOp | CombineOp | UpdateCacheOp, ...]
"""Attention operations that become one function: one of them, or a partial and the combine that alone reads it."""


def attention_groups(within: Operation) -> list[Group]:
    """The groups of attention operations inside an operation, in order, each operation in one group."""
    groups: list[Group] = []
    for op in within.walk():
        if isinstance(op, SdpaOp | UpdateCacheOp) or (isinstance(op, PartialOp) and _combine_of(op) is None):
            groups.append((op,))
        elif isinstance(op, CombineOp):
            partial = op.partial.owner
            if isinstance(partial, PartialOp) and _combine_of(partial) is op:
                groups.append((partial, op))
            else:
                groups.append((op,))
    return groups


def _combine_of(partial: PartialOp) -> CombineOp | None:
    """The combine that a partial is computed with: the only user of its results, in the same block."""
    combine = partial.output.get_user_of_unique_use()
    if isinstance(combine, CombineOp) and combine.parent is partial.parent and combines_alone(combine, partial):
        return combine
    return None


def is_kernel_function(function: func.FuncOp) -> bool:
    """
    Whether a function is a kernel as it stands: it says so (`flashlower.kernel`), or it is one group of attention
    operations on its arguments and scalar constants, and returns results of that group only; or of updates of caches.
    """
    if KERNEL_ATTRIBUTE in function.attributes:
        return True
    if len(function.body.blocks) != 1:
        return False
    groups = attention_groups(function)
    updates = all(isinstance(op, UpdateCacheOp) for group in groups for op in group)
    if not groups or (len(groups) > 1 and not updates):
        return False
    group = [op for group in groups for op in group]
    *others, terminator = function.body.block.ops
    if not isinstance(terminator, func.ReturnOp) or not all(op in group or _is_scalar_constant(op) for op in others):
        return False
    last = group if updates else group[-1:]
    return all(value.owner in last for value in terminator.arguments)


def _is_scalar_constant(op: Operation) -> bool:
    return op.has_trait(ConstantLike) and not any(isinstance(result.type, TensorType) for result in op.results)


@dataclass(frozen=True)
class OutlineAttentionPass(ModulePass):
    """
    Moves every attention into a private function `@<function>_attention_<i>` with the attribute `flashlower.kernel`.

    An `attention.combine` and the `attention.partial` that only it reads become one function. Its arguments are the
    operands, then what the score region captures, each value once; scalar constants are copied into it. Functions
    that are kernels already (`is_kernel_function`) stay as they are.

    Raises `PassFailedException` for an attention outside of a function.
    """

    name = "outline-attention"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        names = {
            symbol.data
            for inner in op.walk()
            if (trait := inner.get_trait(SymbolOpInterface)) is not None
            and (symbol := trait.get_sym_attr_name(inner)) is not None
        }
        inside_functions: set[Operation] = set()
        for function in [inner for inner in op.walk() if isinstance(inner, func.FuncOp)]:
            groups = attention_groups(function)
            inside_functions.update(member for group in groups for member in group)
            if is_kernel_function(function):
                continue
            fresh = _fresh_names(function.sym_name.data, names)
            kernels = [_outline(group, next(fresh)) for group in groups]
            Rewriter.insert_op(kernels, InsertPoint.after(function))
            inside_functions.update(inner for kernel in kernels for inner in kernel.walk())
        for inner in op.walk():
            if isinstance(inner, AttentionOp | CombineOp | UpdateCacheOp) and inner not in inside_functions:
                raise PassFailedException(f"{self.name}: {inner.name} outside of a func.func")


def _fresh_names(parent: str, taken: set[str]) -> Iterator[str]:
    i = 0
    while True:
        name = f"{parent}_attention_{i}"
        i += 1
        if name not in taken:
            taken.add(name)
            yield name


def _inputs(group: Group) -> dict[SSAValue, str]:
    """What a group reads from outside, and a readable name for each."""
    inputs: dict[SSAValue, str] = {}
    captures: dict[SSAValue, None] = {}
    made = {result for op in group for result in op.results}
    for op in group:
        if isinstance(op, UpdateCacheOp):
            for name, value, _ in op.layouts():
                inputs.setdefault(value, name)
        elif isinstance(op, AttentionOp):
            for name, value, _ in AttentionOp.layouts(op):
                inputs.setdefault(value, name)
            captures.update(dict.fromkeys((*op.captures(), *op.bound_scalars)))
        else:
            operands = (
                ("partial", op.partial),
                ("partial_lse", op.partial_lse),
                ("partial_sum", op.partial_sum),
                ("sinks", op.sinks),
            )
            for name, value in operands:
                if value is not None and value not in made:
                    inputs.setdefault(value, name)
    for i, value in enumerate(captures):
        inputs.setdefault(value, value.name_hint or f"captured_{i}")
    return inputs


def _outline(group: Group, name: str) -> func.FuncOp:
    """Replaces a group by a call of a new function, which is returned."""
    inputs = _inputs(group)
    constants = [value.op for value in inputs if isinstance(value, OpResult) and _is_scalar_constant(value.op)]
    arguments = [value for value in inputs if value.owner not in constants]
    block = Block(arg_types=[value.type for value in arguments])
    values: dict[SSAValue, SSAValue] = {}
    for value, arg in zip(arguments, block.args):
        arg.name_hint = inputs[value]
        values[value] = arg
    for constant in constants:
        block.add_op(constant.clone(values))
    for op in group:
        block.add_op(op.clone(values))
    last = group[-1]
    results: Sequence[SSAValue] = last.results
    block.add_op(func.ReturnOp(*(values[result] for result in results)))
    kernel = func.FuncOp(
        name,
        ([arg.type for arg in block.args], [result.type for result in results]),
        Region(block),
        visibility="private",
    )
    kernel.attributes[KERNEL_ATTRIBUTE] = UnitAttr()
    call = func.CallOp(name, arguments, [result.type for result in results])
    for result, new_result in zip(results, call.results):
        new_result.name_hint = result.name_hint
    Rewriter.replace_op(last, call)
    for op in reversed(group[:-1]):
        Rewriter.erase_op(op)
    return kernel
