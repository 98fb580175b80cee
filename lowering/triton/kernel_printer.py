"""A `tl.jit` as the Python text of a Triton kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Block, BlockArgument, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import tl
from flashlower.dialects.tl.types import PtrType
from flashlower.lowering.triton.builder import COMMENT
from flashlower.lowering.triton.expressions import Expression, Expressions, Kind
from flashlower.lowering.triton.names import Names, checked_symbol, comment_lines, one_line
from flashlower.lowering.triton.variables import Variables, default_name

MAX_LINE = 100
"""Lines longer than this are broken, by naming part of an expression."""

# Shorter pieces than this are not worth a name, and a statement has some columns for one.
_MIN_PIECE = 16
_NAME_ROOM = 12


def print_kernel(kernel: tl.JitOp, symbols: Iterable[str]) -> str:
    """The decorated function, without a line break at the end; `symbols` are the names of the file."""
    forced: set[SSAValue] = set()
    while True:
        printer = _KernelPrinter(kernel, forced, symbols)
        text = printer.print()
        if printer.too_long is None:
            return text
        forced.add(printer.too_long)


def wrap_call(head: str, arguments: Sequence[str], tail: str, indent: str) -> list[str]:
    """`head(arguments)tail` in one line, or with the arguments filled into lines of their own."""
    line = f"{indent}{head}({', '.join(arguments)}){tail}"
    if len(line) <= MAX_LINE:
        return [line]
    lines = [f"{indent}{head}("]
    inner = f"{indent}    "
    current = inner
    for argument in arguments:
        if current != inner and len(current) + len(argument) + 2 > MAX_LINE:
            lines.append(current.rstrip())
            current = inner
        current += f"{argument}, "
    return [*lines, current.rstrip(), f"{indent}){tail}"]


@dataclass(frozen=True, eq=False)
class _Copy:
    """An assignment to a carried variable: its name, the source, what that reads, and its operands."""

    name: str
    text: str
    reads: set[str]
    pieces: Sequence[SSAValue]


class _KernelPrinter:
    """One attempt; `too_long` is an inlined value that should have a name, or None when all lines fit."""

    def __init__(self, kernel: tl.JitOp, forced: set[SSAValue], symbols: Iterable[str]):
        self.too_long: SSAValue | None = None
        self._kernel = kernel
        self._variables = Variables(kernel, forced)
        self._expressions = Expressions(self._operand)
        self._names = Names(symbols)
        self._name_of: dict[SSAValue, str] = {}
        self._written: dict[SSAValue, Expression] = {}
        self._lines: list[str] = []
        self._indent = "    "
        self._assign_names()

    def print(self) -> str:
        kernel = self._kernel
        head = [f"# {line}".rstrip() for line in comment_lines(kernel.doc.data)] if kernel.doc else []
        parameters = [self._name_of[argument] for argument in kernel.body.block.args]
        for position in kernel.constexpr_positions():
            parameters[position] += ": tl.constexpr"
        head.append("@triton.jit")
        head += wrap_call(f"def {checked_symbol(kernel.sym_name.data)}", parameters, ":", "")
        self._print_block(kernel.body.block)
        if not self._lines:
            self._lines.append("    pass")
        return "\n".join([*head, *self._lines])

    # Names.

    def _values(self, block: Block) -> list[SSAValue]:
        """All values in textual order: a loop's arguments before its body, its results after."""
        values: list[SSAValue] = list(block.args)
        for op in block.ops:
            for region in op.regions:
                for inner in region.blocks:
                    values.extend(self._values(inner))
            values.extend(op.results)
        return values

    def _assign_names(self) -> None:
        values = [v for v in self._values(self._kernel.body.block) if not self._variables.is_inlined(v)]
        # A loop's argument leads its variable, and it is its name that a reader looks for.
        groups = self._variables.members(values)
        for members in groups.values():
            leading = [m for m in members if isinstance(m, BlockArgument)] + members
            hint = next((m.name_hint for m in leading if m.name_hint), None)
            name = self._names.fresh(hint or default_name(leading[0]))
            for member in members:
                self._name_of[member] = name

    # Expressions.

    def _operand(self, value: SSAValue) -> Expression:
        if not self._variables.is_inlined(value):
            return Expression(self._name_of[value], kind=self._kind(value))
        if value not in self._written:
            assert isinstance(value.owner, Operation)
            self._written[value] = self._expressions.of(value.owner)
        return self._written[value]

    @staticmethod
    def _kind(value: SSAValue) -> Kind:
        owner = value.owner
        if isinstance(owner, tl.ConstexprOp):
            return Kind.NUMBER
        if isinstance(owner, Block) and not isinstance(value.type, PtrType):
            parent = owner.parent_op()
            if isinstance(parent, tl.JitOp) or value is owner.args[0]:
                return Kind.LOOSE
        return Kind.TENSOR

    # Statements.

    def _print_block(self, block: Block) -> None:
        comments: dict[Operation, list[str]] = {}
        for op in block.ops:
            comment = op.attributes.get(COMMENT)
            if isinstance(comment, StringAttr):
                comments.setdefault(self._variables.statement(op), []).append(one_line(comment.data))
        for op in block.ops:
            self._lines.extend(f"{self._indent}# {comment}" for comment in comments.get(op, []) if comment)
            self._print_op(op)

    def _print_op(self, op: Operation) -> None:
        match op:
            case tl.ReturnOp() | tl.YieldOp() | tl.ConstantOp():
                pass
            case tl.ConstexprOp():
                self._line(f"{self._name_of[op.result]}: tl.constexpr = {self._expressions.of(op).text}", ())
            case tl.StoreOp():
                self._line(self._expressions.store(op), op.operands)
            case tl.DebugBarrierOp():
                self._line(f"{op.name}()", ())
            case tl.GdcWaitOp() | tl.GdcLaunchDependentsOp():
                self._line("if tl.target_info.cuda_capability_geq(9, 0):", ())
                self._line(f"    tl.extra.cuda.{op.name.removeprefix('tl.')}()", ())
            case tl.RangeOp():
                self._print_range(op)
            case tl.IfOp():
                self._print_if(op)
            case tl.InlineAsmElementwiseOp():
                outputs = ", ".join(self._name_of[output] for output in op.outputs)
                self._line(f"{outputs} = {self._expressions.unpack(op)}", op.operands)
            case _:
                if len(op.results) != 1:
                    raise DiagnosticException(f"{op.name} cannot be printed in a Triton kernel")
                if not self._variables.is_inlined(op.results[0]):
                    self._print_assignment(op)

    def _print_assignment(self, op: Operation) -> None:
        (result,) = op.results
        expression = self._expressions.of(op)
        text = self._expressions.settled_text(result, expression)
        self._line(f"{self._name_of[result]} = {text}", op.operands)

    def _line(self, text: str, pieces: Iterable[SSAValue]) -> None:
        """Write a line; when it is too long, one of the expressions inlined into it is to have a name."""
        line = self._indent + text
        self._lines.append(line)
        if len(line) <= MAX_LINE or self.too_long is not None:
            return
        # The longest that fits on a line of its own leaves the least behind.
        room = MAX_LINE - len(self._indent) - _NAME_ROOM
        sizes = {piece: len(self._operand(piece).text) for piece in self._pieces(pieces)}
        fitting = {piece: size for piece, size in sizes.items() if _MIN_PIECE <= size <= room}
        candidates = fitting or {piece: size for piece, size in sizes.items() if size >= _MIN_PIECE}
        if candidates:
            self.too_long = max(candidates, key=lambda piece: candidates[piece])

    def _pieces(self, values: Iterable[SSAValue]) -> list[SSAValue]:
        """All expressions inlined into these values, outer ones first."""
        pieces: list[SSAValue] = []
        for value in values:
            owner = value.owner
            if self._variables.is_inlined(value) and not isinstance(owner, Block | tl.ConstantOp):
                pieces += [value, *self._pieces(owner.operands)]
        return pieces

    def _print_copies(self, targets: Sequence[SSAValue], sources: Sequence[SSAValue]) -> None:
        """
        Assign all sources to the variables of the targets at once.

        One statement comes after all that read its variable; where they read each other's in a circle, the
        old value of one is kept under another name.
        """
        pending: list[_Copy] = []
        for target, source in zip(targets, sources, strict=True):
            name = self._name_of[target]
            if not self._variables.is_inlined(source) and self._name_of[source] == name:
                continue
            pieces = () if isinstance(source.owner, Block) else source.owner.operands
            pending.append(_Copy(name, self._expressions.bound(source), self._reads(source), pieces))
        # Plain copies read best at the end.
        pending.sort(key=lambda copy: copy.text.isidentifier())
        while pending:
            free = next((c for c in pending if not any(c.name in o.reads for o in pending if o is not c)), None)
            if free is not None:
                self._line(f"{free.name} = {free.text}", free.pieces)
                pending.remove(free)
                continue
            first = pending[0]
            kept = self._names.fresh(f"next_{first.name}")
            self._line(f"{kept} = {first.text}", first.pieces)
            pending[0] = _Copy(first.name, kept, set(), ())

    def _reads(self, value: SSAValue) -> set[str]:
        """The variables that the expression of a value reads."""
        if not self._variables.is_inlined(value):
            return {self._name_of[value]}
        assert isinstance(value.owner, Operation)
        return {name for operand in value.owner.operands for name in self._reads(operand)}

    def _print_range(self, op: tl.RangeOp) -> None:
        counter, *carried = op.body.block.args
        self._print_copies(carried, op.inits)
        bounds = [self._operand(bound).text for bound in (op.start, op.end, op.step)]
        if bounds[-1] == "1":
            bounds.pop()
        if op.num_stages is not None:
            bounds.append(f"num_stages={op.num_stages.value.data}")
        self._line(f"for {self._name_of[counter]} in tl.range({', '.join(bounds)}):", (op.start, op.end, op.step))
        self._print_body(op.body.block, carried)

    def _print_body(self, block: Block, targets: Sequence[SSAValue]) -> None:
        outer, self._indent = self._indent, self._indent + "    "
        before = len(self._lines)
        self._print_block(block)
        last = block.last_op
        assert isinstance(last, tl.YieldOp)
        self._print_copies(targets, last.arguments)
        if not any(not line.lstrip().startswith("#") for line in self._lines[before:]):
            self._lines.append(f"{self._indent}pass")
        self._indent = outer

    def _print_if(self, op: tl.IfOp) -> None:
        self._line(f"if {self._operand(op.condition).text}:", (op.condition,))
        self._print_body(op.then_region.block, op.outputs)
        if not op.else_region.blocks:
            return
        before = len(self._lines)
        self._lines.append(f"{self._indent}else:")
        self._print_body(op.else_region.block, op.outputs)
        if self._lines[before + 1 :] == [f"{self._indent}    pass"]:
            del self._lines[before:]
