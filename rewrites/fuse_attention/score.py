"""Reads the score expression from the graph: everything between the two dots that is not softmax."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from xdsl.ir import SSAValue

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder, fit
from flashlower.rewrites.fuse_attention.expression import (
    Affine,
    And,
    Bool,
    BoolConst,
    Compare,
    CompareFloat,
    Const,
    Expr,
    Float,
    FloatOp,
    FromInt,
    IntOp,
    Logit,
    Not,
    Or,
    Select,
    SoftCap,
    TensorRead,
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

# A captured tensor is cheaper than recomputing a long formula for every logit.
MAX_INLINED_OPS = 64


class NotAttention(Exception):
    """Why a candidate is not attention, in words for the user."""


@dataclass
class ScoreReader:
    """
    Turns reads into expressions.

    `key` is the variable of the keys, `logit` the read of the first dot's result, and `computed_from_logit` what is
    computed from it.
    """

    key: Var

    tracer: Tracer
    folder: ConstantFolder
    logit: Read
    computed_from_logit: set[SSAValue]
    _known: dict[tuple[object, ...], Expr] = field(default_factory=dict[tuple[object, ...], Expr])

    def float_expr(self, read: Read) -> Float:
        return cast(Float, self.expr(read))

    def expr(self, read: Read) -> Expr:
        """The element that `read` reads. Raises `NotAttention` where it is no elementwise function of the logit."""
        key = (read.value, *(i.key for i in read.indices))
        if key not in self._known:
            self._known[key] = self._expr(read)
        return self._known[key]

    def _expr(self, read: Read) -> Expr:
        while read.value != self.logit.value and (step := self.tracer.step(read)) is not None:
            read = step
        if read.value == self.logit.value:
            if not read.same_as(self.logit):
                raise NotAttention("logits are used at two different positions")
            return Logit()
        if read.value in self.computed_from_logit:
            if (expr := self._elementwise(read)) is None:
                op = hlo.owner(read.value)
                raise NotAttention(f"{op.name if op else 'a value'} between the dots is no function of one logit")
            return expr
        if (number := self.folder.splat(read.value)) is not None:
            return _constant(read.value, number)
        if self.folder.is_constant(read.value):
            return self._constant_tensor(read)
        if not self._is_per_row(read) and self._cost(read.value, MAX_INLINED_OPS) <= MAX_INLINED_OPS:
            expr = self._elementwise(read)
            if expr is not None:
                return expr
        return _capture(read)

    def _constant_tensor(self, read: Read) -> Expr:
        """A tensor that depends on no input: a formula of the indices if it is one, else a captured tensor."""
        if not self._is_per_row(read):
            symbolic = self._elementwise(read)
            if symbolic is not None and not captures(symbolic):
                return symbolic
        fitted = fit(self.folder, read)
        return _capture(read) if fitted is None else fitted

    def _is_per_row(self, read: Read) -> bool:
        """Whether a value is float arithmetic that no key takes part in: ALiBi's slopes, say. It is computed once."""
        op = hlo.owner(read.value)
        return op is not None and op.name in FLOAT_OPS and not any(i.uses(self.key) for i in read.indices)

    def _cost(self, value: SSAValue, limit: int) -> int:
        """How many elementwise operations compute `value`; stops counting beyond the limit."""
        seen: set[SSAValue] = set()
        worklist = [value]
        count = 0
        while worklist and count <= limit:
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
        if op is None or not is_elementwise(read.value):
            return None
        self.tracer.visited.add(op)
        if op.name in ("stablehlo.iota", "stablehlo.dynamic_iota"):
            index = read.indices[hlo.iota_dimension(op)]
            position = Affine(constant=index.offset)
            for digit, stride in index.terms:
                position = position + Affine.atom(digit) * stride
            return FromInt(position) if hlo.is_float(read.value) else position
        args = [self.expr(_operand_read(operand, read)) for operand in op.operands]
        if op.name == "stablehlo.convert":
            return _convert(read.value, args[0], op.operands[0])
        if op.name == "stablehlo.compare":
            direction = hlo.comparison_direction(op)
            if hlo.is_float(op.operands[0]):
                return CompareFloat(direction.lower(), cast(Float, args[0]), cast(Float, args[1]))
            if hlo.is_bool(op.operands[0]):
                equal = select_bool(cast(Bool, args[0]), cast(Bool, args[1]), negate(cast(Bool, args[1])))
                return {"EQ": equal, "NE": negate(equal)}.get(direction)
            return compare(direction, cast(Affine, args[0]), cast(Affine, args[1]))
        if op.name == "stablehlo.select":
            condition = cast(Bool, args[0])
            if hlo.is_float(read.value):
                return select(condition, cast(Float, args[1]), cast(Float, args[2]))
            if hlo.is_bool(read.value):
                return select_bool(condition, cast(Bool, args[1]), cast(Bool, args[2]))
            return _select_int(condition, cast(Affine, args[1]), cast(Affine, args[2]))
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
            return float_op(name, tuple(cast(list[Float], args)))
        return int_op(name, tuple(cast(list[Affine], args)))


def is_elementwise(value: SSAValue) -> bool:
    """Whether a value is computed by an operation that a score region can hold."""
    op = hlo.owner(value)
    if op is None or len(op.results) != 1:
        return False
    if op.name in ("stablehlo.iota", "stablehlo.dynamic_iota"):
        return True
    if op.name in ("stablehlo.broadcast_in_dim", "stablehlo.reshape", "stablehlo.transpose", "stablehlo.slice"):
        return True
    if op.name == "stablehlo.convert":
        source = op.operands[0]
        return hlo.is_float(value) or not hlo.is_float(source)
    if op.name in ("stablehlo.compare", "stablehlo.select"):
        return True
    if op.name in ("stablehlo.not", "stablehlo.and", "stablehlo.or"):
        return hlo.is_bool(value)
    if op.name == "stablehlo.clamp":
        return hlo.is_float(value)
    if hlo.is_bool(value):
        return False
    return op.name in (FLOAT_OPS if hlo.is_float(value) else INT_OPS)


def _operand_read(operand: SSAValue, read: Read) -> Read:
    """The read of an operand; StableHLO lets a rank-0 operand (of select and clamp) stand for all elements."""
    return Read(operand, read.indices if hlo.shape(operand) else ())


def captures(expr: Expr) -> bool:
    """Whether an expression reads a tensor."""
    match expr:
        case TensorRead():
            return True
        case Affine(coefficients):
            return any(
                isinstance(atom, TensorRead) or (isinstance(atom, IntOp) and any(map(captures, atom.args)))
                for atom, _ in coefficients
            )
        case FromInt(value) | Not(value):
            return captures(value)
        case Compare(_, value):
            return captures(value)
        case SoftCap(value, _):
            return captures(value)
        case And(values) | Or(values):
            return any(map(captures, values))
        case CompareFloat(_, lhs, rhs):
            return captures(lhs) or captures(rhs)
        case FloatOp(_, args):
            return any(map(captures, args))
        case Select(condition, then, otherwise):
            return captures(condition) or captures(then) or captures(otherwise)
        case _:
            return False


def _constant(value: SSAValue, number: float | int | bool) -> Expr:
    if hlo.is_float(value):
        return Const(float(number))
    if hlo.is_bool(value):
        return BoolConst(bool(number))
    return Affine(constant=int(number))


def _capture(read: Read) -> Expr:
    leaf = TensorRead(read.value, read.indices)
    if hlo.is_float(read.value) or hlo.is_bool(read.value):
        return leaf
    return Affine.atom(leaf)


def _convert(result: SSAValue, arg: Expr, operand: SSAValue) -> Expr | None:
    """Conversions: float widths do not matter, logits are in the accumulator's type anyway."""
    if hlo.is_float(operand):
        return arg if hlo.is_float(result) else None
    if hlo.is_bool(operand):
        if hlo.is_float(result):
            return select(cast(Bool, arg), Const(1.0), Const(0.0))
        if hlo.is_bool(result):
            return arg
        return _select_int(cast(Bool, arg), Affine(constant=1), Affine())
    if hlo.is_float(result):
        return (
            FromInt(cast(Affine, arg))
            if not cast(Affine, arg).is_constant
            else Const(float(cast(Affine, arg).constant))
        )
    if hlo.is_bool(result):
        return compare("NE", cast(Affine, arg), Affine())
    return arg


def _select_int(condition: Bool, then: Affine, otherwise: Affine) -> Affine:
    if isinstance(condition, BoolConst):
        return then if condition.value else otherwise
    return then if then == otherwise else Affine.atom(IntOp("select", (condition, then, otherwise)))
