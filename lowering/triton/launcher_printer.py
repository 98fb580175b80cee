"""A `func.func` of launches as the text of a plain Python function."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xdsl.dialects import arith, func, tensor
from xdsl.dialects.builtin import DYNAMIC_INDEX, IndexType, StringAttr, TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.utils.hints import isa

from flashlower.dialects import launch
from flashlower.dialects.tl.types import is_float, is_integer
from flashlower.lowering.triton.builder import COMMENT
from flashlower.lowering.triton.expressions import Expression, Precedence
from flashlower.lowering.triton.kernel_printer import MAX_LINE, wrap_call
from flashlower.lowering.triton.names import Names, checked_symbol, literal, one_line, tensor_dtype
from flashlower.lowering.triton.workspace import result_buffers

_INFIX: dict[type[Operation], tuple[str, Precedence]] = {
    arith.AddiOp: ("+", Precedence.SUM),
    arith.SubiOp: ("-", Precedence.SUM),
    arith.MuliOp: ("*", Precedence.PRODUCT),
    arith.DivUIOp: ("//", Precedence.PRODUCT),
    arith.FloorDivSIOp: ("//", Precedence.PRODUCT),
    arith.RemUIOp: ("%", Precedence.PRODUCT),
}
"""Sizes are not negative, so the unsigned divisions are Python's."""

_CALLS: dict[type[Operation], str] = {
    arith.CeilDivUIOp: "triton.cdiv",
    arith.CeilDivSIOp: "triton.cdiv",
    arith.MinSIOp: "min",
    arith.MinUIOp: "min",
    arith.MaxSIOp: "max",
    arith.MaxUIOp: "max",
}

_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;()\[\]=<>+*/'-]*")
"""Messages that can stand in an f-string as they are."""

_STATEMENTS = (
    launch.EmptyOp,
    launch.KernelOp,
    launch.RequireOp,
    func.CallOp,
    func.ReturnOp,
    tensor.CastOp,
)

_INLINED = (launch.SizeOp, launch.StrideOp, *_INFIX, *_CALLS)


def _printable_type(type: Attribute) -> bool:
    if isa(type, TensorType):
        return tensor_dtype(type.element_type) is not None
    return isinstance(type, IndexType) or is_integer(type) or is_float(type)


def obstacle(function: func.FuncOp) -> str | None:
    """Why a function cannot be printed, by itself; None when it can."""
    if len(function.body.blocks) != 1:
        return "it has no body" if not function.body.blocks else "it has branches"
    for op in function.body.block.ops:
        if not isinstance(op, (arith.ConstantOp, *_STATEMENTS, *_INLINED)):
            return f"it has {one_line(op.name)}"
        if isinstance(op, arith.ConstantOp) and isa(op.result.type, TensorType):
            return "it has a constant tensor"
    values = [*function.body.block.args, *(result for op in function.body.block.ops for result in op.results)]
    for value in values:
        if not _printable_type(value.type):
            return f"it has a {one_line(str(value.type))}"
    return None


def printable_functions(functions: Iterable[func.FuncOp]) -> Mapping[func.FuncOp, str | None]:
    """Each function with why it cannot be printed, or None; a call of one that cannot is a reason too."""
    found = {function: obstacle(function) for function in functions}
    while True:
        good = {function.sym_name.data for function, reason in found.items() if reason is None}
        changed = False
        for function, reason in found.items():
            if reason is not None:
                continue
            for op in function.body.block.ops:
                if isinstance(op, func.CallOp) and op.callee.string_value() not in good:
                    found[function] = f"it calls {one_line(op.callee.string_value())}"
                    changed = True
                    break
        if not changed:
            return found


def print_function(function: func.FuncOp, symbols: Iterable[str]) -> str:
    """The function, without a line break at the end; it has no obstacle."""
    return _FunctionPrinter(function, symbols).print()


def _shape_text(type: TensorType) -> str:
    sizes = ["None" if size == DYNAMIC_INDEX else str(size) for size in type.get_shape()]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


class _FunctionPrinter:
    def __init__(self, function: func.FuncOp, symbols: Iterable[str]):
        self._function = function
        self._names = Names(symbols)
        self._name_of: dict[SSAValue, str] = {}
        self._lines: list[str] = []
        self._results = result_buffers(function)
        """Buffers that a caller may give."""

    def print(self) -> str:
        block = self._function.body.block
        for argument in block.args:
            self._name_of[argument] = self._names.fresh(argument.name_hint or "arg")
        for buffer in self._results:
            self._name_of[buffer.result] = self._names.fresh(buffer.result.name_hint or "out")
        parameters = [self._name_of[argument] for argument in block.args]
        given = [f"{self._name_of[buffer.result]}=None" for buffer in self._results]
        name = checked_symbol(self._function.sym_name.data)
        head = wrap_call(f"def {name}", [*parameters, "*", *given, "empty=None"], ":", "")
        tensors = [argument for argument in block.args if isa(argument.type, TensorType)]
        for argument in tensors:
            self._check(argument)
        if any(isinstance(op, launch.EmptyOp | func.CallOp) for op in block.ops):
            device = f"{self._name_of[tensors[0]]}.device" if tensors else '"cuda"'
            self._line("if empty is None:")
            self._line(f"    empty = _torch_empty({device})")
        for op in block.ops:
            self._print_op(op)
        if not self._lines:
            self._line("pass")
        return "\n".join([*head, *self._lines])

    def _line(self, text: str) -> None:
        self._lines.append(f"    {text}")

    def _check(self, value: SSAValue) -> None:
        assert isa(value.type, TensorType)
        name, dtype = self._name_of[value], tensor_dtype(value.type.element_type)
        self._line(f'_check({name}, "{name}", "{dtype}", {_shape_text(value.type)})')

    # Expressions.

    def _operand(self, value: SSAValue) -> Expression:
        if value in self._name_of:
            return Expression(self._name_of[value])
        owner = value.owner
        assert not isinstance(owner, Block)
        return self._expression(owner)

    def _text(self, value: SSAValue) -> str:
        return self._operand(value).text

    def _expression(self, op: Operation) -> Expression:
        if isinstance(op, arith.ConstantOp):
            return self._constant(op)
        if isinstance(op, launch.SizeOp):
            return Expression(f"{self._text(op.tensor)}.shape[{op.dim.value.data}]")
        if isinstance(op, launch.StrideOp):
            return Expression(f"{self._text(op.tensor)}.stride({op.dim.value.data})")
        if type(op) in _CALLS:
            return Expression(f"{_CALLS[type(op)]}({', '.join(map(self._text, op.operands))})")
        symbol, precedence = _INFIX[type(op)]
        lhs, rhs = (self._operand(operand) for operand in op.operands)
        text = f"{lhs.within(precedence)} {symbol} {rhs.within(Precedence(precedence + 1))}"
        return Expression(text, precedence)

    @staticmethod
    def _constant(op: arith.ConstantOp) -> Expression:
        value = getattr(op.value, "value").data  # noqa: B009
        text = literal(value, op.result.type)
        return Expression(text, Precedence.UNARY if text.startswith("-") else Precedence.ATOM)

    # Statements.

    def _print_op(self, op: Operation) -> None:
        comment = op.attributes.get(COMMENT)
        if isinstance(comment, StringAttr) and (text := one_line(comment.data)):
            self._line(f"# {text}")
        match op:
            case launch.EmptyOp():
                self._print_empty(op)
            case launch.RequireOp():
                self._print_require(op)
            case launch.KernelOp():
                self._print_launch(op)
            case func.CallOp():
                self._print_call(op)
            case func.ReturnOp():
                if op.arguments:
                    self._line(f"return {', '.join(map(self._text, op.arguments))}")
            case tensor.CastOp():
                # The same tensor, of which more is known: that is checked.
                self._name_of[op.dest] = self._name_of[op.source]
                self._check(op.dest)
            case _:
                self._print_value(op)

    def _print_value(self, op: Operation) -> None:
        """Name a value that has a hint or is used more than once; constants and others stay in place."""
        (result,) = op.results
        if isinstance(op, arith.ConstantOp) or result.first_use is None:
            return
        text = self._expression(op).text
        if result.name_hint is None and result.has_one_use() and len(text) < MAX_LINE // 2:
            return
        self._assign(result, text, "size")

    def _assign(self, result: SSAValue, text: str, default: str) -> None:
        name = self._names.fresh(result.name_hint or default)
        self._name_of[result] = name
        self._line(f"{name} = {text}")

    def _print_empty(self, op: launch.EmptyOp) -> None:
        assert isa(op.result.type, TensorType)
        dynamic = iter(op.sizes)
        sizes = [
            self._text(next(dynamic)) if size == DYNAMIC_INDEX else str(size) for size in op.result.type.get_shape()
        ]
        shape = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
        dtype = tensor_dtype(op.result.type.element_type)
        if op not in self._results:
            self._assign(op.result, f'empty({shape}, "{dtype}")', "out")
            return
        name = self._name_of[op.result]
        self._line(f"if {name} is None:")
        self._line(f'    {name} = empty({shape}, "{dtype}")')
        self._line("else:")
        self._line(f'    _check({name}, "{name}", "{dtype}", {shape})')
        if not any(isinstance(use.operation, launch.StrideOp) for use in op.result.uses):
            # Its kernel reads no strides.
            self._line(f"    if not {name}.is_contiguous():")
            self._line(f'        raise ValueError("{name} must be contiguous")')

    def _print_require(self, op: launch.RequireOp) -> None:
        lhs, rhs = (self._operand(value) for value in (op.lhs, op.rhs))
        self._line(f"if {lhs.within(Precedence.OR)} != {rhs.within(Precedence.OR)}:")
        numbers = f"{{{lhs.text}}} and {{{rhs.text}}} differ"
        message = one_line(op.message.data)
        if _PLAIN.fullmatch(message):
            self._line(f'    raise ValueError(f"{message}: {numbers}")')
        else:
            self._line(f'    raise ValueError({message!r} + f": {numbers}")')

    def _print_launch(self, op: launch.KernelOp) -> None:
        grid = [self._text(size) for size in op.grid]
        shape = f"({grid[0]},)" if len(grid) == 1 else f"({', '.join(grid)})"
        arguments = [self._text(argument) for argument in op.arguments]
        for name, option in (("num_warps", op.num_warps), ("num_stages", op.num_stages)):
            if option is not None:
                arguments.append(f"{name}={option.value.data}")
        if op.pdl is not None:
            arguments.append("**_pdl()")
        kernel = checked_symbol(op.kernel.string_value())
        self._lines += wrap_call(f"{kernel}[{shape}]", arguments, "", "    ")

    def _print_call(self, op: func.CallOp) -> None:
        arguments = [*map(self._text, op.arguments), "empty=empty"]
        names: list[str] = []
        for result in op.results:
            self._name_of[result] = self._names.fresh(result.name_hint or "out")
            names.append(self._name_of[result])
        head = f"{', '.join(names)} = " if names else ""
        self._lines += wrap_call(f"{head}{checked_symbol(op.callee.string_value())}", arguments, "", "    ")
