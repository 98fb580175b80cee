"""
Updates in place: a kernel overwrites the cache that it is given, so the value before the update must not be needed.

`attention.update_cache` has results; a kernel writes to its operands. That is the same where nothing reads an operand
after the update, and where it is memory of the caller's or of the function's own.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.traits import ConstantLike
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.attention import UpdateCacheOp


def written_arguments(module: ModuleOp) -> dict[str, frozenset[int]]:
    """The arguments that functions write to, by position: updates in them, or in functions that they call."""
    functions = [op for op in module.walk() if isinstance(op, FuncOp)]
    written: dict[str, frozenset[int]] = {f.sym_name.data: frozenset() for f in functions}
    while True:
        found = {f.sym_name.data: _written_in(f, written) for f in functions}
        if found == written:
            return written
        written = found


def _written_in(function: FuncOp, written: dict[str, frozenset[int]]) -> frozenset[int]:
    # A value that an update gives back is the memory that it was given.
    sources: dict[SSAValue, SSAValue] = {}
    positions: set[int] = set()
    for op in function.walk():
        for operand in written_operands(op, written):
            memory = sources.get(operand, operand)
            if isinstance(memory.owner, Block) and memory.owner.parent is function.body:
                positions.add(function.args.index(memory))
        if isinstance(op, UpdateCacheOp):
            sources |= {result: sources.get(operand, operand) for operand, result in op.updates()}
    return frozenset(positions)


def written_operands(op: Operation, written: dict[str, frozenset[int]]) -> list[SSAValue]:
    """The operands that an operation writes to."""
    if isinstance(op, UpdateCacheOp):
        return [operand for operand, _ in op.updates()]
    if isinstance(op, CallOp):
        return [op.arguments[position] for position in sorted(written.get(op.callee.string_value(), ()))]
    return []


def check_in_place(module: ModuleOp) -> None:
    """Raises `DiagnosticException` for an update of a value that is read later, or of a constant."""
    written = written_arguments(module)
    for op in module.walk():
        for operand in written_operands(op, written):
            name = f"%{operand.name_hint}" if operand.name_hint else "a value"
            if isinstance(operand.owner, Operation) and operand.owner.has_trait(ConstantLike):
                raise DiagnosticException(f"{op.name} updates {name} in place, but that is a constant: pass it in")
            if list(op.operands).count(operand) > 1:
                raise DiagnosticException(f"{op.name} updates {name} in place, but has it as another operand as well")
            for use in operand.uses:
                if use.operation is not op and not _comes_before(use.operation, op):
                    raise DiagnosticException(
                        f"{op.name} updates {name} in place, but {use.operation.name} reads it from before the update: "
                        "use the result of the update"
                    )


def _comes_before(first: Operation, second: Operation) -> bool:
    """Whether an operation comes before another in the same block."""
    return first.parent is second.parent and first.is_before_in_block(second)
