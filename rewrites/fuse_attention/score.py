"""Reads the score expression from the graph: everything between the two dots that is not softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from xdsl.dialects.builtin import TensorType, bf16, f16
from xdsl.ir import Attribute, Operation, SSAValue

from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder, fit
from flashlower.rewrites.fuse_attention.expression import (
    Affine,
    Bool,
    BoolConst,
    CompareFloat,
    Const,
    Expr,
    Float,
    FromInt,
    IntOp,
    Select,
    TensorRead,
    captures,
    tree_size,
)
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.simplify import (
    ABSORBING,
    compare,
    conjunction,
    disjunction,
    float_op,
    int_op,
    negate,
    select,
    select_bool,
)

FLOAT_OPS = frozenset(
    f"stablehlo.{name}"
    for name in [
        *("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "negate", "abs", "exponential"),
        *("log", "tanh", "sqrt", "rsqrt", "floor", "ceil", "sine", "cosine"),
    ]
)
INT_OPS = frozenset(
    f"stablehlo.{name}"
    for name in ("add", "subtract", "multiply", "negate", "maximum", "minimum", "divide", "remainder")
)

VIEWS = frozenset(f"stablehlo.{name}" for name in ("broadcast_in_dim", "reshape", "transpose", "slice"))

# A captured tensor is cheaper than recomputing a long formula for every logit.
MAX_INLINED_OPS = 64

# What no score that people write needs; it bounds recursion, and formulas that grow with every step.
MAX_DEPTH = 100
MAX_NODES = 1000

# From these values on, adding a logit below 16 gives the mask value back in a narrow type.
ABSORBING_IN: dict[Attribute, float] = {f16: -(2.0**15), bf16: -(2.0**12)}

# Integers below these are exact in a narrow type.
EXACT_IN: dict[Attribute, int] = {f16: 1 << 11, bf16: 1 << 8}


@dataclass
class ScoreReader:
    """
    Turns reads into expressions.

    `key` is the variable of the keys, `logit` the read of the first dot's result, `product` what that is, and
    `computed_from_logit` what is computed from it.
    """

    key: Var
    tracer: Tracer
    folder: ConstantFolder
    logit: Read
    product: Float
    computed_from_logit: set[SSAValue]
    _known: dict[tuple[object, ...], Expr] = field(default_factory=dict[tuple[object, ...], Expr])
    _depth: int = 0

    def float_expr(self, read: Read) -> Float:
        return cast(Float, self.expr(read))

    def expr(self, read: Read) -> Expr:
        """The element that `read` reads. Raises `NotAttention` where it is no elementwise function of the logit."""
        key = (read.value, *(i.key for i in read.indices))
        if key not in self._known:
            if self._depth > MAX_DEPTH:
                raise NotAttention("the score is computed in too many steps")
            self._depth += 1
            try:
                self._known[key] = self._expr(read)
            finally:
                self._depth -= 1
        return self._known[key]

    def _expr(self, read: Read) -> Expr:
        while read.value != self.logit.value and (step := self.tracer.step(read)) is not None:
            read = step
        if read.value == self.logit.value:
            if not read.same_as(self.logit):
                raise NotAttention("logits are used at two different positions")
            return self.product
        if read.value in self.computed_from_logit:
            if (expr := self._formula(read)) is None:
                op = hlo.owner(read.value)
                raise NotAttention(f"{op.name if op else 'a value'} between the dots is no function of one logit")
            return expr
        if (number := self.folder.splat(read.value)) is not None:
            return _constant(read.value, number)
        is_constant = self.folder.is_constant(read.value)
        expr = None
        if not self._is_per_row(read) and self._cost(read.value) <= MAX_INLINED_OPS:
            try:
                expr = self._formula(read)
            except NotAttention:
                expr = None
            if expr is not None and not (is_constant and captures(expr)):
                return expr
        fitted = fit(self.folder, read) if is_constant else None
        if fitted is None and is_constant and expr is not None and len(captures(expr)) == 1:
            # One smaller constant tensor.
            fitted = expr
        return _capture(read) if fitted is None else fitted

    def _is_per_row(self, read: Read) -> bool:
        """Whether a value is float arithmetic that no key takes part in: ALiBi's slopes, say. It is computed once."""
        op = hlo.owner(read.value)
        if op is None or op.name not in FLOAT_OPS or not hlo.is_float(read.value):
            return False
        return not any(i.uses(self.key) for i in read.indices)

    def _formula(self, read: Read) -> Expr | None:
        """The expression of an elementwise operation, or None where it is another or the expression is too long."""
        expr = self._elementwise(read)
        return None if expr is None or tree_size(expr, MAX_NODES) > MAX_NODES else expr

    def _cost(self, value: SSAValue) -> int:
        """How many elementwise operations compute `value`; stops counting beyond what may be inlined."""
        seen: set[SSAValue] = set()
        worklist = [value]
        count = 0
        while worklist and count <= MAX_INLINED_OPS:
            v = worklist.pop()
            op = hlo.owner(v)
            if op is None or v in seen or not is_elementwise(v):
                continue
            seen.add(v)
            count += 1
            worklist.extend(op.operands)
        return count

    def _elementwise(self, read: Read) -> Expr | None:
        """The expression of an elementwise operation, or None for any other."""
        op = hlo.owner(read.value)
        if op is None or op.name in VIEWS or not is_elementwise(read.value):
            # A view that is still here could not be followed.
            return None
        self.tracer.visited.add(op)
        if op.name in ("stablehlo.iota", "stablehlo.dynamic_iota"):
            position = Affine.of_index(read.indices[hlo.iota_dimension(op)])
            if hlo.is_float(read.value):
                return _from_int(position, read.value)
            return None if _may_wrap(position, read.value) else position
        args = [self.expr(_operand_read(operand, read)) for operand in op.operands]
        if op.name == "stablehlo.convert":
            return _convert(read.value, args[0], op.operands[0])
        if op.name == "stablehlo.compare":
            return self._compare(op, args)
        if op.name == "stablehlo.select":
            condition = cast(Bool, args[0])
            if hlo.is_float(read.value):
                return select(condition, cast(Float, args[1]), cast(Float, args[2]))
            if hlo.is_bool(read.value):
                return select_bool(condition, cast(Bool, args[1]), cast(Bool, args[2]))
            return select_int(condition, cast(Affine, args[1]), cast(Affine, args[2]))
        if op.name == "stablehlo.not":
            return negate(cast(Bool, args[0]))
        if op.name == "stablehlo.and":
            return conjunction(cast(list[Bool], args))
        if op.name == "stablehlo.or":
            return disjunction(cast(list[Bool], args))
        if op.name == "stablehlo.clamp":
            low, value, high = cast(list[Float], args)
            return float_op("minimum", (float_op("maximum", (value, low)), high))
        name = op.name.removeprefix("stablehlo.")
        if hlo.is_float(read.value):
            absorbing = ABSORBING_IN.get(hlo.element_type(read.value), ABSORBING)
            return _rounded(float_op(name, tuple(cast(list[Float], args)), absorbing), read.value)
        result = int_op(name, tuple(cast(list[Affine], args)))
        return None if result is None or _may_wrap(result, read.value) else result

    def _compare(self, op: Operation, args: list[Expr]) -> Expr | None:
        direction = hlo.comparison_direction(op)
        if direction not in ("EQ", "NE", "GE", "GT", "LE", "LT"):
            return None
        if hlo.is_float(op.operands[0]):
            if hlo.is_total_order(op) or not all(_compares_exactly(a, op.operands[0]) for a in args):
                return None
            return CompareFloat(direction.lower(), cast(Float, args[0]), cast(Float, args[1]))
        if hlo.is_bool(op.operands[0]):
            lhs, rhs = cast(list[Bool], args)
            equal = select_bool(lhs, rhs, negate(rhs))
            return {"EQ": equal, "NE": negate(equal)}.get(direction)
        return compare(direction, cast(Affine, args[0]), cast(Affine, args[1]))


def is_elementwise(value: SSAValue) -> bool:
    """Whether a value is computed by an operation that a score region can hold."""
    op = hlo.owner(value)
    if op is None or len(op.results) != 1 or not all(map(_is_number, (value, *op.operands))):
        return False
    match op.name:
        case "stablehlo.iota" | "stablehlo.dynamic_iota":
            return True
        case "stablehlo.convert":
            return hlo.is_float(value) or not hlo.is_float(op.operands[0])
        case "stablehlo.compare" | "stablehlo.select":
            return True
        case "stablehlo.not" | "stablehlo.and" | "stablehlo.or":
            return hlo.is_bool(value)
        case "stablehlo.clamp":
            return hlo.is_float(value)
        case name:
            allowed = FLOAT_OPS if hlo.is_float(value) else INT_OPS
            return name in VIEWS or (not hlo.is_bool(value) and name in allowed)


def _compares_exactly(expr: Expr, value: SSAValue) -> bool:
    """
    Whether a float of the type of `value` can be compared in f32. What a narrow type has rounded cannot, nor what only
    a wide one can hold.
    """
    match hlo.bit_width(value), expr:
        case 32, _:
            return True
        case 64, Const(number):
            return number == np.float32(number)
        case 64, FromInt(integer):
            return integer.fits(1 << 24)
        case width, TensorRead() | Const() | FromInt():
            return width < 32
        case _:
            return False


def _is_number(value: SSAValue) -> bool:
    """Whether a value is a tensor of what score regions compute with: floats, conditions and signed integers."""
    return isinstance(value.type, TensorType) and (hlo.is_float(value) or hlo.is_bool(value) or hlo.is_integer(value))


def _operand_read(operand: SSAValue, read: Read) -> Read:
    """The read of an operand; StableHLO lets a rank-0 operand (of select and clamp) stand for all elements."""
    return Read(operand, read.indices if hlo.shape(operand) else ())


def _constant(value: SSAValue, number: float | int | bool) -> Expr:
    if hlo.is_float(value):
        return Const(float(number))
    if hlo.is_bool(value):
        return BoolConst(bool(number))
    return Affine(constant=int(number))


def _capture(read: Read) -> Expr:
    if not _is_number(read.value):
        raise NotAttention(f"the score depends on a value of type {read.value.type}")
    leaf = TensorRead(read.value, read.indices)
    if hlo.is_float(read.value) or hlo.is_bool(read.value):
        return leaf
    return Affine.atom(leaf)


def _convert(result: SSAValue, arg: Expr, operand: SSAValue) -> Expr | None:
    """Conversions: float widths do not matter, logits are in the accumulator's type anyway."""
    if hlo.is_float(operand):
        return _rounded(cast(Float, arg), result) if hlo.is_float(result) else None
    if hlo.is_bool(operand):
        if hlo.is_float(result):
            return select(cast(Bool, arg), Const(1.0), Const(0.0))
        if hlo.is_bool(result):
            return arg
        return select_int(cast(Bool, arg), Affine(constant=1), Affine())
    integer = cast(Affine, arg)
    if hlo.is_float(result):
        return _from_int(integer, result)
    if hlo.is_bool(result):
        return compare("NE", integer, Affine())
    return None if _may_wrap(integer, result) else integer


def _from_int(integer: Affine, value: SSAValue) -> Float | None:
    """An integer as a float of the type of `value`; None where a narrow type would round it."""
    if integer.is_constant:
        return _rounded(Const(float(integer.constant)), value)
    exact = EXACT_IN.get(hlo.element_type(value))
    return FromInt(integer) if hlo.bit_width(value) >= 32 or (exact and integer.fits(exact)) else None


def _rounded(expr: Float, value: SSAValue) -> Float:
    """Constants as the type of `value` holds them: -1e39 is -inf in f32."""
    match expr:
        case Const(number):
            with np.errstate(over="ignore"):
                return Const(float(np.float64(number).astype(numpy_dtype(hlo.element_type(value)))))
        case Select(condition, Const() as then, Const() as otherwise):
            return select(condition, _rounded(then, value), _rounded(otherwise, value))
        case _:
            return expr


def _may_wrap(integer: Affine, value: SSAValue) -> bool:
    """
    Whether a formula may leave the range of the integer type of `value`.

    Positions and lengths known only at run time are taken to stay in the range of 32-bit types, as every index
    that a graph computes from them must.
    """
    low, _ = integer.bounds()
    width = hlo.bit_width(value)
    if math.isinf(low) and width >= 32:
        return False
    return not integer.fits(1 << (width - 1))


def select_int(condition: Bool, then: Affine, otherwise: Affine) -> Affine:
    if isinstance(condition, BoolConst):
        return then if condition.value else otherwise
    return then if then == otherwise else Affine.atom(IntOp("select", (condition, then, otherwise)))
