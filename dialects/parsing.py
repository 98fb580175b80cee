"""Text to module, with one clear error for whatever is wrong with it."""

from __future__ import annotations

import re
from typing import cast

from xdsl.context import Context
from xdsl.dialect_interfaces.op_asm import OpAsmDialectInterface
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import (
    AnyDenseElement,
    Builtin,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    DenseResourceAttr,
    ModuleOp,
    TensorType,
)
from xdsl.ir import Attribute, Block, Dialect, Operation
from xdsl.parser import Parser
from xdsl.utils.exceptions import DiagnosticException, ParseError, VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects import dense_literals
from flashlower.dialects.chlo import CHLO
from flashlower.dialects.numpy_values import bytes_to_numpy, numpy_dtype
from flashlower.dialects.stablehlo import StableHLO
from flashlower.dialects.stablehlo.base import GENERIC_FORM
from flashlower.universe import UNIVERSE

# MLIR's binary form starts with these bytes.
_BYTECODE_MAGIC = b"ML\xefR"

# A comment, or a string literal as far as it goes, and its end if it has one. Nothing is tried twice: the pattern of
# xDSL 0.74 takes time exponential in the length of a string that does not end.
_STRING = re.compile(r'//[^\n]*+|"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+(?P<end>"?)')


class ModuleTextError(DiagnosticException):
    """The text is not a module that can be read. The message says where, and what to do."""


def make_context() -> Context:
    """A context with xDSL's dialects and flashlower's, each loaded when it is first needed.

    Unregistered ops and attributes are allowed: they pass through untouched.
    """
    context = Context(allow_unregistered=True)
    dense_literals.install()
    # The data of `dense_resource` is kept in the builtin dialect under keys from the text. xDSL's own is shared by
    # all contexts, and renames a key that another module used before, so each context gets one for itself.
    context.load_dialect(
        Dialect("builtin", list(Builtin.operations), list(Builtin.attributes), [OpAsmDialectInterface()])
    )
    factories = {**get_all_dialects(), **UNIVERSE.all_dialects, "chlo": lambda: CHLO, "stablehlo": lambda: StableHLO}
    for name, factory in factories.items():
        if name != "builtin":
            context.register_dialect(name, factory)
    return context


def parse_module(text: str | bytes, ctx: Context | None = None, name: str = "<module>") -> ModuleOp:
    """Parse and verify a module in MLIR's generic form (or the custom form of xDSL's own dialects).

    `name` stands for the text in messages. `dense_resource` constants become dense literals where the text has
    their data. Raises `ModuleTextError` for text that cannot be parsed and for a module that does not verify.
    """
    if isinstance(text, bytes):
        if text.startswith(_BYTECODE_MAGIC):
            raise ModuleTextError(f"{name}: this is MLIR bytecode, but {GENERIC_FORM}")
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise ModuleTextError(f"{name}: text is not UTF-8: {error}") from error
    if not text.strip():
        raise ModuleTextError(f"{name}: text is empty")
    for literal in _STRING.finditer(text):
        if literal["end"] == "":
            message = "string literal does not end on its line, or has an escape that MLIR does not know"
            raise ModuleTextError(_located(text, name, literal.start(), message))
    ctx = make_context() if ctx is None else ctx
    try:
        parser = _PositionParser(ctx, text, name)
    except ParseError as error:
        # A parser reads the first token as it is made.
        raise ModuleTextError(_located(text, name, error.span.start, error.msg)) from None
    try:
        module = parser.parse_module()
    except ParseError as error:
        raise ModuleTextError(_located(text, name, error.span.start, _parse_message(error, text))) from None
    except (VerifyException, ValueError, OverflowError, TypeError, AssertionError, NotImplementedError) as error:
        # Raised from inside attributes and types, which do not know where they stand.
        raise ModuleTextError(_located(text, name, parser.pos, str(error))) from error
    try:
        module.verify()
    except (VerifyException, ValueError) as error:
        op = _first_invalid(module)
        message = f"{op.name} does not verify: {error}"
        raise ModuleTextError(_located(text, name, parser.positions.get(op, 0), message)) from None
    if (op := _reads_undefined(module)) is not None:
        message = f"{op.name} reads a value that is not defined before it, or not in a region around it"
        raise ModuleTextError(_located(text, name, parser.positions.get(op, 0), message))
    inline_resources(module, ctx)
    return module


def as_module(module: ModuleOp | str, ctx: Context | None = None) -> ModuleOp:
    """A module of one's own: parsed from text, or a verified copy.

    Raises what `parse_module` raises, `VerifyException` for a module that does not verify, and `TypeError` for what is
    none.
    """
    if isinstance(module, str):
        return parse_module(module, ctx)
    if not isinstance(module, ModuleOp):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected a ModuleOp or the text of a module, got {type(module).__name__}")
    module.verify()
    return module.clone()


class _PositionParser(Parser):
    """A parser that remembers where each op stands, for errors that are found after parsing."""

    def __init__(self, ctx: Context, input: str, name: str) -> None:
        super().__init__(ctx, input, name)
        self.positions: dict[Operation, int] = {}

    def parse_operation(self) -> Operation:
        start = self.pos
        op = super().parse_operation()
        self.positions[op] = start
        return op


def _parse_message(error: ParseError, text: str) -> str:
    # What xDSL says of an op that it has no custom syntax for; the text before has the name of one it does not know.
    if not error.msg.endswith("does not have a custom format."):
        return error.msg
    name = text[: error.span.start].split()[-1]
    if "." not in name:
        return f"expected an op, but got {name}"
    return f"{name} is in pretty form, but {GENERIC_FORM}"


def _located(text: str, name: str, position: int, message: str) -> str:
    """`name:line:column: message`, and the start of the line; weights make lines of megabytes."""
    line_start = text.rfind("\n", 0, position) + 1
    line_end = text.find("\n", position)
    line = text[line_start : len(text) if line_end < 0 else line_end]
    column = position - line_start
    first = max(0, column - 60)
    excerpt = line[first : first + 120]
    marker = " " * (column - first) + "^"
    return f"{name}:{text.count(chr(10), 0, position) + 1}:{column + 1}: {message}\n  {excerpt}\n  {marker}"


def _first_invalid(module: ModuleOp) -> Operation:
    """The innermost op that does not verify."""
    for op in module.walk(reverse=True):
        try:
            op.verify(verify_nested_ops=False)
        except (VerifyException, ValueError):
            return op
    return module


def _reads_undefined(module: ModuleOp) -> Operation | None:
    """The first op with an operand that is not in scope, which xDSL does not verify; regions of many blocks pass."""
    positions = {op: i for i, op in enumerate(module.walk())}
    for op in positions:
        for operand in op.operands:
            block = operand.owner if isinstance(operand.owner, Block) else operand.owner.parent
            around: Operation | None = op
            while around is not None and around.parent is not block:
                around = around.parent_op()
            if around is None:
                region = None if block is None else block.parent
                if region is None or len(region.blocks) == 1:
                    return op
            elif isinstance(operand.owner, Operation) and positions[operand.owner] >= positions[around]:
                return op
    return None


def inline_resources(module: ModuleOp, ctx: Context) -> None:
    """Replace `dense_resource` constants by dense literals, so that the module holds its own data.

    Resources without data (elided ones) stay. Raises `ModuleTextError` for data of the wrong size.
    """
    known: dict[DenseResourceAttr, Attribute] = {}

    def inlined(attr: Attribute) -> Attribute:
        if not isinstance(attr, DenseResourceAttr):
            return attr
        if attr not in known:
            known[attr] = resource_literal(attr, ctx) or attr
        return known[attr]

    for op in module.walk():
        for attributes in (op.properties, op.attributes):
            for key, attr in attributes.items():
                attributes[key] = inlined(attr)


def resource_literal(attr: DenseResourceAttr, ctx: Context) -> DenseIntOrFPElementsAttr | None:
    """The dense literal that a resource stands for, or None where the context has no data for it.

    Raises `ModuleTextError` for data of the wrong size.
    """
    interface = ctx.get_dialect("builtin").get_interface(OpAsmDialectInterface)
    blob = None if interface is None else interface.lookup(attr.resource_handle.data)
    if not blob:
        return None
    type = cast(Attribute, attr.type)
    handle = attr.resource_handle.data
    if not isa(type, TensorType[AnyDenseElement]):
        raise ModuleTextError(f"dense_resource<{handle}> needs a tensor type of numbers, but got {type}")
    # A resource is "0x", the alignment in four bytes, and the elements.
    try:
        data = bytes.fromhex(blob.removeprefix("0x"))[4:]
        bytes_to_numpy(data, numpy_dtype(type.element_type), type.get_shape())
    except (ValueError, DiagnosticException) as error:
        raise ModuleTextError(f"dense_resource<{handle}> : {type} cannot be read: {error}") from error
    return DenseIntOrFPElementsAttr(type, BytesAttr(data))
