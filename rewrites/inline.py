"""Inlining of `func.call`: a module becomes one function as far as its calls allow.

JAX emits calls of `@_where`, `@tril` and `@silu`; a matcher of tensor ops would have to see through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import builtin, func
from xdsl.ir import Attribute, Block, Operation, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

KERNEL_ATTRIBUTE = "flashlower.kernel"
"""A unit attribute of functions that are kernels: launched as they stand, never inlined."""


@dataclass(frozen=True)
class InlineCallsPass(ModulePass):
    """Replace calls of functions of the same module by their bodies, also inside regions of other ops.

    Left alone are calls of declarations, of functions with several blocks, of kernels (`flashlower.kernel`), and
    of functions that take part in a recursion. Private functions that nothing refers to afterwards are deleted.
    """

    name = "inline-calls"

    def apply(self, ctx: Context, op: builtin.ModuleOp) -> None:
        inline(op, lambda call: call.callee.string_value() if isinstance(call, func.CallOp) else None)


def inline(
    module: builtin.ModuleOp,
    callee_of: Callable[[Operation], str | None],
    accepts: Callable[[Operation, func.FuncOp], bool] = lambda call, callee: True,
) -> None:
    """
    Replaces operations by the bodies of functions that compute the same; see `InlineCallsPass` for those left alone.

    `callee_of` gives the name of the function that an operation stands for, or None. `accepts` may refuse one; by
    then all is inlined in that function.
    """
    functions = {function.sym_name.data: function for function in module.ops if isinstance(function, func.FuncOp)}
    calls = {
        name: [(op, callee) for op in function.walk() if (callee := callee_of(op)) is not None]
        for name, function in functions.items()
    }
    order, recursive = _callees_first(
        {name: {callee for _, callee in made} & functions.keys() for name, made in calls.items()}
    )
    for name in order:
        for call, callee_name in calls[name]:
            callee = functions.get(callee_name)
            if callee is None or callee_name in recursive:
                continue
            if (body := _inlinable_body(callee)) is not None and accepts(call, callee):
                _inline(call, body)
    _delete_unreferenced(module)


def _inlinable_body(function: func.FuncOp) -> Block | None:
    """The block of a function that can replace a call."""
    if function.is_declaration or KERNEL_ATTRIBUTE in function.attributes:
        return None
    block = function.body.blocks.first
    if block is None or block.next_block is not None or not isinstance(block.last_op, func.ReturnOp):
        return None
    return block


def _inline(call: Operation, body: Block) -> None:
    values: dict[SSAValue, SSAValue] = dict(zip(body.args, call.operands, strict=True))
    copies: list[Operation] = []
    returned: tuple[SSAValue, ...] = ()
    for op in body.ops:
        if isinstance(op, func.ReturnOp):
            returned = tuple(values.get(value, value) for value in op.operands)
        else:
            copies.append(op.clone(values))
    Rewriter.insert_op(copies, InsertPoint.before(call))
    own = {result for copy in copies for result in copy.results}
    for result, value in zip(call.results, returned, strict=True):
        # A value that the callee computed takes the caller's name; one of the caller's own keeps its own.
        if value in own and result.name_hint is not None:
            value.name_hint = result.name_hint
        result.replace_all_uses_with(value)
    Rewriter.erase_op(call)


def _callees_first(callees: Mapping[str, set[str]]) -> tuple[list[str], set[str]]:
    """An order in which functions come after those that they call, and those that no such order has a place for.

    The latter lie on cycles of calls, or between two cycles.
    """
    leaves = _peel(callees)
    cyclic = {name: callees[name] - set(leaves) for name in callees.keys() - set(leaves)}
    callers: dict[str, set[str]] = {name: set() for name in cyclic}
    for name, called in cyclic.items():
        for callee in called:
            callers[callee].add(name)
    roots = _peel(callers)
    recursive = cyclic.keys() - set(roots)
    return [*leaves, *(name for name in callees if name in recursive), *reversed(roots)], recursive


def _peel(edges: Mapping[str, set[str]]) -> list[str]:
    """Names whose edges all lead to names that come before them; linear in the number of edges."""
    sources: dict[str, list[str]] = {name: [] for name in edges}
    for name, targets in edges.items():
        for target in targets:
            sources[target].append(name)
    missing = {name: len(targets) for name, targets in edges.items()}
    ready = [name for name, count in missing.items() if count == 0]
    for name in ready:
        for source in sources[name]:
            missing[source] -= 1
            if missing[source] == 0:
                ready.append(source)
    return ready


def _delete_unreferenced(module: builtin.ModuleOp) -> None:
    """Delete the private functions that no other part of the module refers to, directly or through others."""
    private = {
        op.sym_name.data: op
        for op in module.ops
        if isinstance(op, func.FuncOp)
        and op.sym_visibility == builtin.StringAttr("private")
        and KERNEL_ATTRIBUTE not in op.attributes
    }
    if not private:
        return
    kept: set[str] = set()
    pending: list[Operation] = [op for op in module.ops if op not in private.values()]
    while pending:
        for name in _symbols_in(pending.pop()):
            if name in private and name not in kept:
                kept.add(name)
                pending.append(private[name])
    for name, function in private.items():
        if name not in kept:
            Rewriter.erase_op(function)


def _symbols_in(op: Operation) -> Iterator[str]:
    for inner in op.walk():
        yield from _symbols_of((*inner.properties.values(), *inner.attributes.values()))


def _symbols_of(attributes: Iterable[Attribute]) -> Iterator[str]:
    for attr in attributes:
        match attr:
            case builtin.SymbolRefAttr():
                yield attr.root_reference.data
            case builtin.ArrayAttr():
                yield from _symbols_of(attr.data)
            case builtin.DictionaryAttr():
                yield from _symbols_of(attr.data.values())
            # Most attributes are these, and refer to nothing.
            case (
                builtin.DenseArrayBase() | builtin.DenseIntOrFPElementsAttr() | builtin.IntegerAttr() | TypeAttribute()
            ):
                pass
            case ParametrizedAttribute():
                yield from _symbols_of(attr.parameters)
            case _:
                pass
