"""An `nki.kernel` as the Python text of an NKI kernel."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from math import inf
from typing import cast

from xdsl.dialects import affine, arith
from xdsl.dialects.builtin import BoolAttr, FloatAttr, IntegerAttr, IntegerType, StringAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr, AffineBinaryOpKind
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.nki.types import FP32_MIN, TileType, dtype_name, tile_of
from flashlower.lowering.nki.builder import COMMENT
from flashlower.lowering.triton.kernel_printer import MAX_LINE, wrap_call
from flashlower.lowering.triton.names import Names, checked_symbol, comment_lines, one_line

NEG_INF, NAN, LOWEST = "NEG_INF", "NAN", "FP32_MIN"

CONSTANTS = {NEG_INF: 'float("-inf")', NAN: 'float("nan")', LOWEST: repr(FP32_MIN)}
"""Names in the file of numbers that Python has no literals of, or long ones."""

RESERVED = ("nki", "nisa", "nl", *CONSTANTS, "range", "float", "min", "max")
"""Names that the file gives a meaning, beside those that are never given out."""

Arguments = list[tuple[str, str]]


def print_kernel(kernel: nki.KernelOp, symbols: Iterable[str]) -> str:
    """The decorated function, without a line break at the end; `symbols` are the names of the file."""
    return _KernelPrinter(kernel, symbols).print()


class _KernelPrinter:
    def __init__(self, kernel: nki.KernelOp, symbols: Iterable[str]):
        self._kernel = kernel
        self._names = Names([*symbols, *RESERVED])
        self._name_of: dict[SSAValue, str] = {}
        self._lines: list[str] = []
        self._indent = "    "

    def print(self) -> str:
        kernel = self._kernel
        doc = comment_lines(kernel.doc.data) if kernel.doc else []
        head = [line for text in doc for line in _comment(re.split(r", (?=\w+\[)", text))]
        parameters = [self._named(argument, "tensor") for argument in kernel.body.block.args]
        head += self._usage(parameters)
        head.append("@nki.jit")
        head += wrap_call(f"def {checked_symbol(kernel.sym_name.data)}", parameters, ":", "")
        self._print_block(kernel.body.block)
        return "\n".join([*head, *self._lines])

    def _usage(self, parameters: Sequence[str]) -> list[str]:
        """What the arguments are, and how the kernel is launched, as comments."""
        kernel = self._kernel
        tensors = [
            f"{name} {_tuple(tile_of(argument).shape)} {dtype_name(tile_of(argument).element_type)}"
            for name, argument in zip(parameters, kernel.body.block.args, strict=True)
        ]
        name, cores = kernel.sym_name.data, kernel.cores.value.data
        return [*_comment(tensors), f"# For {kernel.target.data}, launched as {name}[{cores}]."]

    def _named(self, value: SSAValue, default: str) -> str:
        """Gives a value its name."""
        name = self._names.fresh(value.name_hint or default)
        self._name_of[value] = name
        return name

    # Expressions.

    def _scalar(self, value: SSAValue, *, atom: bool = False) -> str:
        """An index or truth value; in brackets where an operand wants an atom and it is none."""
        if value in self._name_of:
            return self._name_of[value]
        op = value.owner
        match op:
            case arith.ConstantOp():
                if isa(op.value, BoolAttr):
                    return str(bool(op.value.value.data))
                assert isinstance(op.value, IntegerAttr)
                text, simple = str(op.value.value.data), op.value.value.data >= 0
            case affine.ApplyOp():
                text, simple = self._affine(op.map.data.results[0], list(op.mapOperands)), False
            case arith.MinSIOp() | arith.MaxSIOp():
                function = "min" if isinstance(op, arith.MinSIOp) else "max"
                text, simple = f"{function}({self._scalar(op.lhs)}, {self._scalar(op.rhs)})", True
            case arith.CmpiOp() if op.predicate.value.data == 4:
                text, simple = f"{self._scalar(op.lhs)} > {self._scalar(op.rhs)}", False
            case nki.ProgramIdOp():
                text, simple = "nl.program_id(0)", True
            case _:
                name = op.name if isinstance(op, Operation) else "a block argument"
                raise DiagnosticException(f"{name} is no scalar of an NKI kernel")
        return f"({text})" if atom and not simple else text

    def _affine(self, expr: AffineExpr, operands: Sequence[SSAValue], *, factor: bool = False) -> str:
        match expr:
            case AffineDimExpr(position):
                return self._scalar(operands[position], atom=True)
            case AffineConstantExpr(value):
                return str(value)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Add, lhs, AffineConstantExpr(value)) if value < 0:
                text = f"{self._affine(lhs, operands)} - {-value}"
            case AffineBinaryOpExpr(
                AffineBinaryOpKind.Add,
                lhs,
                AffineBinaryOpExpr(AffineBinaryOpKind.Mul, term, AffineConstantExpr(value)),
            ) if value < 0:
                product = self._affine(term, operands, factor=True)
                product = product if value == -1 else f"{product} * {-value}"
                text = f"{self._affine(lhs, operands)} - {product}"
            case AffineBinaryOpExpr(AffineBinaryOpKind.Add, lhs, rhs):
                text = f"{self._affine(lhs, operands)} + {self._affine(rhs, operands)}"
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, lhs, rhs):
                return f"{self._affine(lhs, operands, factor=True)} * {self._affine(rhs, operands, factor=True)}"
            case AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, lhs, AffineConstantExpr(value)):
                text = f"{self._affine(lhs, operands, factor=True)} // {value}"
            case _:
                raise DiagnosticException(f"{expr} is no sum of indices in an NKI kernel")
        return f"({text})" if factor else text

    def _index(self, value: int | SSAValue) -> str:
        return self._scalar(value) if isinstance(value, SSAValue) else str(value)

    def _tile(self, value: SSAValue) -> str:
        """A tile or a view of one."""
        if value in self._name_of:
            return self._name_of[value]
        op = value.owner
        match op:
            case nki.SliceOp():
                dims = [
                    self._dim(start, size, whole)
                    for start, size, whole in zip(
                        op.starts(), op.sizes.get_values(), tile_of(op.tile).shape, strict=True
                    )
                ]
                return f"{self._tile(op.tile)}[{', '.join(dims)}]"
            case nki.ApOp():
                arguments = [f"pattern={_pattern(op.pattern())}", f"offset={self._index(op.start())}"]
                if op.rows is not None:
                    arguments += [f"vector_offset={self._tile(op.rows)}", "indirect_dim=0"]
                if op.row is not None:
                    arguments += [f"scalar_offset={self._tile(op.row)}", "indirect_dim=0"]
                if (element := op.result.type.element_type) != tile_of(op.tile).element_type:
                    arguments.append(f"dtype=nl.{dtype_name(element)}")
                return f"{self._tile(op.tile)}.ap({', '.join(arguments)})"
            case _:
                name = op.name if isinstance(op, Operation) else "a block argument"
                raise DiagnosticException(f"{name} is no tile of an NKI kernel")

    def _dim(self, start: int | SSAValue, size: int, whole: int) -> str:
        if not size:
            return self._index(start)
        if isinstance(start, int):
            return f"{start}:{start + size}"
        first = self._scalar(start)
        atom = self._scalar(start)
        return f"{first}:{atom} + {size}"

    # Statements.

    def _print_block(self, block: Block) -> None:
        before = len(self._lines)
        for op in block.ops:
            self._print_op(op)
        if len(self._lines) == before:
            self._lines.append(f"{self._indent}pass")

    def _print_op(self, op: Operation) -> None:
        comment = op.attributes.get(COMMENT)
        if isinstance(comment, StringAttr):
            self._lines.append(f"{self._indent}# {one_line(comment.data)}")
        match op:
            case nki.SliceOp() | nki.ApOp() | arith.ConstantOp() | affine.ApplyOp() | arith.CmpiOp():
                pass
            case arith.MinSIOp() | arith.MaxSIOp() | nki.ProgramIdOp():
                (result,) = op.results
                text = self._scalar(result)
                self._lines.append(f"{self._indent}{self._named(result, 'start')} = {text}")
            case nki.ReshapeOp():
                shape = _tuple(op.result.type.shape)
                text = f"{self._tile(op.tile)}.reshape({shape})"
                self._lines.append(f"{self._indent}{self._named(op.result, 'rows')} = {text}")
            case nki.NdarrayOp():
                self._print_ndarray(op)
            case nki.ForOp():
                self._print_for(op)
            case nki.ReturnOp():
                values = ", ".join(self._tile(value) for value in op.arguments)
                self._lines.append(f"{self._indent}return {values}".rstrip())
            case _:
                # An instruction has the name of its function.
                arguments = [f"{name}={text}" for name, text in self._arguments(op)]
                self._lines += _wrapped(f"nisa.{op.name.removeprefix('nki.')}", arguments, self._indent)

    def _arguments(self, op: Operation) -> Arguments:
        """The arguments of an instruction."""
        match op:
            case nki.ActivationOp():
                return self._activation(op)
            case nki.AffineSelectOp():
                return self._affine_select(op)
            case nki.CoreBarrierOp():
                return [*self._tiles(op, "data"), ("cores", "(0, 1)")]
            case nki.DmaCopyOp():
                return self._dma_copy(op)
            case nki.DmaTransposeOp():
                return [*self._tiles(op, "dst", "src"), ("axes", "(1, 0)")]
            case nki.IotaOp():
                return [*self._tiles(op, "dst"), *self._affine_arguments(op)]
            case nki.MemsetOp():
                return self._memset(op)
            case nki.NcMatmulOp():
                return self._matmul(op)
            case nki.NcTransposeOp():
                return [*self._tiles(op, "dst", "data"), ("engine", "nisa.engine.tensor")]
            case nki.RangeSelectOp():
                return self._range_select(op)
            case nki.ReciprocalOp():
                return self._tiles(op, "dst", "data")
            case nki.ScalarTensorTensorOp():
                return self._scalar_tensor_tensor(op)
            case nki.SelectReduceOp():
                return self._select_reduce(op)
            case nki.TensorCopyOp():
                return self._tiles(op, "dst", "data")
            case nki.TensorCopyPredicatedOp():
                return self._predicated(op)
            case nki.TensorReduceOp():
                return self._reduce(op)
            case nki.TensorScalarOp():
                return self._tensor_scalar(op)
            case nki.TensorTensorOp():
                engine: Arguments = [] if op.engine is None else [("engine", f"nisa.engine.{op.engine.data}")]
                return [*self._tiles(op, "dst", "data1", "data2"), ("op", f"nl.{op.op.data}"), *engine]
            case _:
                raise DiagnosticException(f"{op.name} cannot be printed in an NKI kernel")

    def _print_ndarray(self, op: nki.NdarrayOp) -> None:
        type = op.result.type
        name = self._named(op.result, "tile")
        arguments = [_tuple(type.shape), f"dtype=nl.{dtype_name(type.element_type)}", f"buffer=nl.{type.memory.data}"]
        self._lines += wrap_call(f"{name} = nl.ndarray", arguments, "", self._indent)

    def _print_for(self, op: nki.ForOp) -> None:
        start, end = self._scalar(op.start), self._scalar(op.end)
        step = op.step.value.data
        bounds = [end] if start == "0" and step == 1 else [start, end] if step == 1 else [start, end, str(step)]
        outer, self._indent = self._indent, self._indent + "    "
        names, self._names = self._names, self._names.nested()
        name = self._named(op.counter, "i")
        self._lines.append(f"{outer}for {name} in range({', '.join(bounds)}):")
        self._print_block(op.body.block)
        self._indent, self._names = outer, names

    # Arguments of instructions.

    def _tiles(self, op: Operation, *names: str) -> Arguments:
        """Operands that are tiles, those that are there."""
        found: Arguments = []
        for name in names:
            value = getattr(op, name)
            if isinstance(value, SSAValue):
                tile = cast(SSAValue, value)
                found.append((_KEYWORDS.get((type(op), name), name), self._tile(tile)))
        return found

    def _matmul(self, op: nki.NcMatmulOp) -> Arguments:
        return [*self._tiles(op, "dst", "stationary", "moving"), ("accumulate", self._scalar(op.accumulate))]

    def _dma_copy(self, op: nki.DmaCopyOp) -> Arguments:
        mode: Arguments = [] if op.oob_mode is None else [("oob_mode", f"nisa.oob_mode.{op.oob_mode.data}")]
        return [*self._tiles(op, "dst", "src"), *mode]

    def _predicated(self, op: nki.TensorCopyPredicatedOp) -> Arguments:
        number: Arguments = [] if op.value is None else [("src", _number_of(op.value, tile_of(op.dst)))]
        return [*self._tiles(op, "dst", "src"), *number, *self._tiles(op, "predicate")]

    def _memset(self, op: nki.MemsetOp) -> Arguments:
        engine: Arguments = [] if op.engine is None else [("engine", f"nisa.engine.{op.engine.data}")]
        return [*self._tiles(op, "dst"), ("value", _number_of(op.value, tile_of(op.dst))), *engine]

    def _tensor_scalar(self, op: nki.TensorScalarOp) -> Arguments:
        arguments = [*self._tiles(op, "dst", "data"), ("op0", f"nl.{op.op0.data}")]
        arguments += [*self._tiles(op, "operand0"), *_optional_number("operand0", op.number0)]
        if op.reverse0 is not None:
            arguments.append(("reverse0", "True"))
        if op.op1 is not None:
            arguments += [("op1", f"nl.{op.op1.data}"), *self._tiles(op, "operand1")]
            arguments += _optional_number("operand1", op.number1)
            if op.reverse1 is not None:
                arguments.append(("reverse1", "True"))
        return arguments

    def _scalar_tensor_tensor(self, op: nki.ScalarTensorTensorOp) -> Arguments:
        return [
            *self._tiles(op, "dst", "data"),
            ("op0", f"nl.{op.op0.data}"),
            *self._tiles(op, "operand0"),
            *_optional_number("operand0", op.number0),
            ("op1", f"nl.{op.op1.data}"),
            *self._tiles(op, "operand1"),
        ]

    def _activation(self, op: nki.ActivationOp) -> Arguments:
        arguments = [*self._tiles(op, "dst"), ("op", f"nl.{op.op.data}"), *self._tiles(op, "data", "bias", "scale")]
        arguments += _optional_number("scale", op.factor)
        if op.reduce_res is not None:
            arguments += [
                ("reduce_op", "nl.add"),
                *self._tiles(op, "reduce_res"),
                ("reduce_cmd", "nisa.reduce_cmd.reset_reduce"),
            ]
        return arguments

    def _reduce(self, op: nki.TensorReduceOp) -> Arguments:
        rank, axes = len(tile_of(op.data).shape), op.axes.value.data
        axis = _tuple(tuple(range(rank - axes, rank)))
        negate: Arguments = [] if op.negate is None else [("negate", "True")]
        return [*self._tiles(op, "dst"), ("op", f"nl.{op.op.data}"), *self._tiles(op, "data"), ("axis", axis), *negate]

    def _affine_arguments(self, op: nki.IotaOp | nki.AffineSelectOp) -> Arguments:
        return [
            ("pattern", _pattern(op.pattern())),
            ("offset", self._index(op.start())),
            ("channel_multiplier", str(op.channel_multiplier.value.data)),
        ]

    def _affine_select(self, op: nki.AffineSelectOp) -> Arguments:
        return [
            *self._tiles(op, "dst"),
            *self._affine_arguments(op),
            *self._tiles(op, "on_true"),
            ("on_false_value", _number(op.on_false)),
            ("cmp_op", f"nl.{op.cmp_op.data}"),
        ]

    def _select_reduce(self, op: nki.SelectReduceOp) -> Arguments:
        reverse: Arguments = [] if op.reverse_pred is None else [("reverse_pred", "True")]
        return [*self._tiles(op, "dst", "predicate", "on_true"), ("on_false", _number(op.on_false)), *reverse]

    def _range_select(self, op: nki.RangeSelectOp) -> Arguments:
        return [
            *self._tiles(op, "dst", "on_true"),
            ("comp_op0", f"nl.{op.comp_op0.data}"),
            ("comp_op1", f"nl.{op.comp_op1.data}"),
            *self._tiles(op, "bound0", "bound1"),
            ("reduce_cmd", "nisa.reduce_cmd.reset_reduce"),
            *self._tiles(op, "reduce_res"),
            ("reduce_op", "nl.maximum"),
            ("range_start", str(op.range_start.value.data)),
            ("on_false_value", _number(op.on_false)),
        ]


_KEYWORDS: dict[tuple[type[Operation], str], str] = {
    (nki.AffineSelectOp, "on_true"): "on_true_tile",
    (nki.TensorCopyOp, "data"): "src",
    (nki.RangeSelectOp, "on_true"): "on_true_tile",
}
"""Keywords of NKI that differ from the names of operands."""


def _comment(items: Sequence[str]) -> list[str]:
    """Items of a list as lines of a comment; none is cut."""
    text = ", ".join(item.replace(" ", "\xa0") for item in items)
    return [f"# {line}".replace("\xa0", " ") for line in textwrap.wrap(text, MAX_LINE - 2)]


def _pattern(pattern: Sequence[tuple[int, int]]) -> str:
    return "[" + ", ".join(f"[{step}, {num}]" for step, num in pattern) + "]"


def _tuple(values: Sequence[int]) -> str:
    return f"({values[0]},)" if len(values) == 1 else f"({', '.join(map(str, values))})"


def _number(attr: FloatAttr) -> str:
    value = attr.value.data
    if value == -inf:
        return NEG_INF
    if value == inf:
        return f"-{NEG_INF}"
    if value != value:
        return NAN
    if abs(value) == -FP32_MIN:
        return LOWEST if value < 0 else f"-{LOWEST}"
    return repr(value)


def _number_of(attr: FloatAttr, type: TileType) -> str:
    """A number for a tile: whole where its elements are."""
    return str(int(attr.value.data)) if isa(type.element_type, IntegerType) else _number(attr)


def _wrapped(head: str, arguments: Sequence[str], indent: str) -> list[str]:
    """A call in one line, or with the arguments in lines of their own; the same goes for those of an access pattern."""
    inner = f"{indent}    "
    lines: list[str] = []
    for line in wrap_call(head, arguments, "", indent):
        before, call, rest = line.partition(".ap(")
        if len(line) <= MAX_LINE or not call or not rest.endswith("),"):
            lines.append(line)
            continue
        parts = re.split(r", (?=\w+=)", rest.removesuffix("),"))
        lines += wrap_call(f"{before.strip()}.ap", parts, ",", inner)
    return lines


def _optional_number(name: str, attr: FloatAttr | None) -> Arguments:
    return [] if attr is None else [(name, _number(attr))]
