"""
Ops of the `tl` dialect as Python expressions.

Triton types a Python number by its partner: 1 is an i64 next to an i64 block and 1.0 an f16 next to an f16
block. Alone it is i32 or f32. A scalar argument is typed by its value at launch, and in Triton's interpreter a
loop counter is a Python int. So each expression has a `Kind`, and where the op's operands do not settle the
type that the IR says, one of them is made a tensor of that type with `tl.full` or `tl.cast`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from xdsl.dialects.builtin import Float32Type, IntegerType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from flashlower.dialects import tl
from flashlower.dialects.tl.binary import BinaryOp
from flashlower.dialects.tl.canonicalize import INTEGER_FOLDS
from flashlower.dialects.tl.constants import constant_value
from flashlower.dialects.tl.types import bit_width, element_type, is_bool, is_integer, is_unsigned, shape_of
from flashlower.lowering.triton.names import literal, triton_dtype
from flashlower.lowering.triton.ptx import Unpacking


class Kind(IntEnum):
    """What Triton knows of an expression's type."""

    NUMBER = 0
    """A Python number, in the compiler and in the interpreter."""
    LOOSE = 1
    """A number, or a scalar tensor that may be narrower than the IR says."""
    TENSOR = 2
    """A tensor of exactly the type in the IR."""


class Precedence(IntEnum):
    """How tightly Python's operators bind."""

    COMPARE = 0
    OR = 1
    XOR = 2
    AND = 3
    SHIFT = 4
    SUM = 5
    PRODUCT = 6
    UNARY = 7
    ATOM = 8


@dataclass(frozen=True)
class Expression:
    """Python source of a value."""

    text: str
    precedence: Precedence = Precedence.ATOM
    kind: Kind = Kind.TENSOR

    def within(self, precedence: Precedence) -> str:
        """The text where operands bind at least this tightly."""
        return self.text if self.precedence >= precedence else f"({self.text})"


BINARY: dict[type[Operation], tuple[str, Precedence]] = {
    tl.AddOp: ("+", Precedence.SUM),
    tl.SubOp: ("-", Precedence.SUM),
    tl.MulOp: ("*", Precedence.PRODUCT),
    tl.TrueDivOp: ("/", Precedence.PRODUCT),
    tl.FloorDivOp: ("//", Precedence.PRODUCT),
    tl.ModOp: ("%", Precedence.PRODUCT),
    tl.ShlOp: ("<<", Precedence.SHIFT),
    tl.ShrOp: (">>", Precedence.SHIFT),
    tl.AndOp: ("&", Precedence.AND),
    tl.OrOp: ("|", Precedence.OR),
    tl.XorOp: ("^", Precedence.XOR),
    tl.LtOp: ("<", Precedence.COMPARE),
    tl.LeOp: ("<=", Precedence.COMPARE),
    tl.GtOp: (">", Precedence.COMPARE),
    tl.GeOp: (">=", Precedence.COMPARE),
    tl.EqOp: ("==", Precedence.COMPARE),
    tl.NeOp: ("!=", Precedence.COMPARE),
}
"""Python's operators."""

UNARY: dict[type[Operation], str] = {tl.NegOp: "-", tl.InvertOp: "~"}

FUNCTIONS: tuple[type[Operation], ...] = (
    tl.AbsOp,
    tl.CeilOp,
    tl.CosOp,
    tl.Exp2Op,
    tl.ExpOp,
    tl.FloorOp,
    tl.Log2Op,
    tl.LogOp,
    tl.RsqrtOp,
    tl.SinOp,
    tl.SqrtOp,
    tl.TransOp,
)
"""Functions of one tensor, called by the name of the op."""


def natural_type(value: bool | int | float, element: Attribute) -> bool:
    """Whether Triton types this number, when it stands alone, as `element`."""
    if is_bool(element):
        return isinstance(value, bool)
    if isinstance(element, Float32Type):
        # Numbers below the normal range become f64.
        magnitude = abs(value)
        return magnitude in (0.0, float("inf")) or value != value or magnitude >= 2**-126
    return element == IntegerType(32)


def never_negative(value: SSAValue) -> bool:
    """Whether an integer is 0 or more, as far as a short look tells."""
    number = constant_value(value)
    if number is not None:
        return number >= 0
    owner = value.owner
    if isinstance(owner, Block):
        parent = owner.parent_op()
        return isinstance(parent, tl.RangeOp) and value is owner.args[0] and never_negative(parent.start)
    if isinstance(owner, tl.ProgramIdOp | tl.NumProgramsOp | tl.ArangeOp):
        return True
    same = tl.AddOp | tl.MulOp | tl.FloorDivOp | tl.ModOp | tl.CdivOp | tl.MinimumOp | tl.CastOp
    return isinstance(owner, same) and all(map(never_negative, owner.operands))


class Expressions:
    """Writes expressions; `operand` gives the text of a value that an op uses, inlined or by name."""

    def __init__(self, operand: Callable[[SSAValue], Expression]):
        self._operand = operand

    def of(self, op: Operation) -> Expression:
        """The expression that computes the one result of an op."""
        if type(op) in BINARY:
            return self._binary(op)
        if type(op) in UNARY:
            return self._unary(op)
        if isinstance(op, FUNCTIONS):
            return self._call(op, [self.tensor(op.operands[0]).text])
        match op:
            case tl.ConstantOp():
                return self._number(op)
            case tl.ConstexprOp():
                return self._number(op)
            case tl.ProgramIdOp() | tl.NumProgramsOp():
                return self._call(op, [str(op.axis.value.data)])
            case tl.ArangeOp():
                return self._call(op, [self._operand(op.start).text, self._operand(op.end).text])
            case tl.FullOp():
                value = self._operand(op.value).text
                return self._call(op, [self._shape(op.shape), value, triton_dtype(op.value.type)])
            case tl.ZerosOp():
                dtype = triton_dtype(element_type(op.result.type))
                return self._call(op, [self._shape(op.shape), f"dtype={dtype}"])
            case tl.BroadcastToOp() | tl.ReshapeOp():
                return self._call(op, [self.tensor(op.input).text, self._shape(op.shape)])
            case tl.ExpandDimsOp():
                index = [":"] * len(shape_of(op.input.type))
                index.insert(op.axis.value.data, "None")
                return Expression(f"{self._operand(op.input).within(Precedence.ATOM)}[{', '.join(index)}]")
            case tl.MaxOp() | tl.SumOp():
                return self._call(op, [self._operand(op.input).text, f"axis={op.axis.value.data}"])
            case tl.CumsumOp():
                return self._call(op, [self._operand(op.input).text])
            case tl.DotOp():
                return self._dot(op)
            case tl.CastOp():
                return self._cast(op)
            case tl.BitcastOp():
                dtype = triton_dtype(element_type(op.result.type))
                return Expression(f"{self.tensor(op.input).within(Precedence.ATOM)}.to({dtype}, bitcast=True)")
            case tl.CdivOp():
                return self._cdiv(op)
            case tl.DivRnOp():
                return self._call(op, self._settled((op.lhs, op.rhs)))
            case tl.MaximumOp() | tl.MinimumOp():
                return self._call(op, self._extremum_operands(op))
            case tl.WhereOp():
                condition = self._operand(op.condition).text
                return self._call(op, [condition, *self._settled((op.x, op.y))])
            case tl.FmaOp():
                return self._call(op, self._settled((op.x, op.y, op.z)))
            case tl.LoadOp():
                return self._load(op)
            case tl.AtomicAddOp():
                pointer, value = (self._operand(operand).text for operand in op.operands)
                return self._call(op, [pointer, value, f'sem="{op.order.data}"'])
            case _:
                raise ValueError(f"{op.name} is no expression")

    def store(self, op: tl.StoreOp) -> str:
        """The statement of a store."""
        arguments = [self._operand(op.ptr).text, self._operand(op.value).text]
        arguments += self._memory_options(op.mask, None, op)
        return f"tl.store({', '.join(arguments)})"

    def unpack(self, op: tl.InlineAsmElementwiseOp) -> str:
        """The call of the function that holds a piece of assembly."""
        return f"{Unpacking.of(op).name}({', '.join(self._operand(operand).text for operand in op.operands)})"

    def bound(self, value: SSAValue) -> str:
        """A value as it is assigned to a variable: of the type that the IR says."""
        return self.settled_text(value, self._operand(value))

    def settled_text(self, value: SSAValue, expression: Expression) -> str:
        """The text of an expression for `value` as it is assigned to a variable."""
        return (expression if expression.kind is Kind.TENSOR else self._settle(value, expression)).text

    def tensor(self, value: SSAValue) -> Expression:
        """An operand as a tensor, which methods and most functions need."""
        expression = self._operand(value)
        return expression if expression.kind is Kind.TENSOR else self._as_tensor(value, expression)

    # Types.

    @staticmethod
    def _as_tensor(value: SSAValue, expression: Expression) -> Expression:
        dtype = triton_dtype(value.type)
        if expression.kind is Kind.NUMBER:
            return Expression(f"tl.full((), {expression.text}, {dtype})")
        return Expression(f"tl.cast({expression.text}, {dtype})")

    def _settle(self, value: SSAValue, expression: Expression) -> Expression:
        """Make a tensor of a value that Triton, left alone, would type otherwise."""
        number = constant_value(value)
        if number is not None:
            natural = natural_type(number, value.type)
        else:
            natural = value.type in (IntegerType(32), IntegerType(1)) or isinstance(value.type, Float32Type)
        return expression if natural else self._as_tensor(value, expression)

    def _settled(self, operands: Sequence[SSAValue]) -> list[str]:
        """Operands that Triton brings to one type: a tensor among them settles it, or the first is made one."""
        expressions = [self._operand(operand) for operand in operands]
        if all(expression.kind is not Kind.TENSOR for expression in expressions):
            for position, operand in enumerate(operands):
                settled = self._settle(operand, expressions[position])
                if settled.kind is Kind.TENSOR:
                    expressions[position] = settled
                    break
        return [expression.text for expression in expressions]

    def _extremum_operands(self, op: tl.MaximumOp | tl.MinimumOp) -> list[str]:
        # Triton before 3.8 makes a tensor of a number here before it looks at the other operand; next to i32,
        # i64 and f32 the outcome is the same.
        element = element_type(op.lhs.type)
        if element in (IntegerType(32), IntegerType(64)) or isinstance(element, Float32Type):
            return self._settled((op.lhs, op.rhs))
        return [self.tensor(op.lhs).text, self.tensor(op.rhs).text]

    def _needs_tensor(self, op: Operation) -> bool:
        """Whether an operator on numbers and loose scalars would compute something else than the IR says."""
        element = element_type(op.operands[0].type)
        numbers = [constant_value(operand) for operand in op.operands]
        if isinstance(op, tl.InvertOp):
            # ~True is -2 in Python.
            return True
        if is_bool(element):
            return False
        if not is_integer(element):
            return isinstance(op, tl.TrueDivOp) or not isinstance(element, Float32Type)
        if is_unsigned(element) or bit_width(element) != 32:
            compares = isinstance(op, tl.LtOp | tl.LeOp | tl.GtOp | tl.GeOp | tl.EqOp | tl.NeOp)
            small = all(n is None or -(2**31) <= n < 2**31 for n in numbers)
            return not (compares and small and not is_unsigned(element))
        if all(isinstance(n, int) for n in numbers):
            return not self._fits(op, [n for n in numbers if isinstance(n, int)])
        # Python rounds down, Triton towards zero.
        divides = isinstance(op, tl.FloorDivOp | tl.ModOp)
        return divides and not all(map(never_negative, op.operands))

    @staticmethod
    def _fits(op: Operation, numbers: Sequence[int]) -> bool:
        """Whether Python computes on these i32 numbers what i32 arithmetic does."""
        if isinstance(op, tl.NegOp):
            return numbers[0] > -(2**31)
        fold = INTEGER_FOLDS.get(type(op)) if isinstance(op, BinaryOp) else None
        if fold is None or min(numbers) < 0:
            return False
        if numbers[1] == 0 and isinstance(op, tl.FloorDivOp | tl.ModOp):
            return False
        return fold(numbers[0], numbers[1]) < 2**31

    # Ops.

    @staticmethod
    def _call(op: Operation, arguments: Sequence[str]) -> Expression:
        return Expression(f"{op.name}({', '.join(arguments)})")

    @staticmethod
    def _number(op: tl.ConstantOp | tl.ConstexprOp) -> Expression:
        text = literal(op.python_value, op.result.type)
        precedence = Precedence.UNARY if text.startswith("-") else Precedence.ATOM
        return Expression(text, precedence, Kind.NUMBER)

    def _binary(self, op: Operation) -> Expression:
        symbol, precedence = BINARY[type(op)]
        lhs, rhs = (self._operand(operand) for operand in op.operands)
        kind = max(lhs.kind, rhs.kind)
        if kind is not Kind.TENSOR and self._needs_tensor(op):
            lhs, kind = self._as_tensor(op.operands[0], lhs), Kind.TENSOR
        elif kind is Kind.NUMBER:
            # Later ops see a computed number, whose value they do not know.
            kind = Kind.LOOSE
        # Comparisons chain in Python, so neither side may be one.
        left = Precedence.OR if precedence is Precedence.COMPARE else precedence
        text = f"{lhs.within(left)} {symbol} {rhs.within(Precedence(precedence + 1))}"
        return Expression(text, precedence, kind)

    def _unary(self, op: Operation) -> Expression:
        operand = self._operand(op.operands[0])
        kind = operand.kind
        if kind is not Kind.TENSOR and self._needs_tensor(op):
            operand, kind = self._as_tensor(op.operands[0], operand), Kind.TENSOR
        elif kind is Kind.NUMBER:
            kind = Kind.LOOSE
        return Expression(f"{UNARY[type(op)]}{operand.within(Precedence.UNARY)}", Precedence.UNARY, kind)

    def _cdiv(self, op: tl.CdivOp) -> Expression:
        lhs, rhs = self._operand(op.lhs), self._operand(op.rhs)
        kind = max(lhs.kind, rhs.kind)
        if kind is not Kind.TENSOR and self._needs_tensor(op):
            lhs, kind = self._as_tensor(op.lhs, lhs), Kind.TENSOR
        kind = max(kind, Kind.LOOSE)
        return Expression(f"tl.cdiv({lhs.text}, {rhs.text})", kind=kind)

    def _cast(self, op: tl.CastOp) -> Expression:
        operand, dtype = self._operand(op.input), triton_dtype(element_type(op.result.type))
        if isinstance(op.input.owner, tl.ConstexprOp) and is_integer(op.input.type) and is_integer(op.result.type):
            # Still a number, which takes the type of its partner.
            return operand
        if operand.kind is Kind.TENSOR:
            return Expression(f"{operand.within(Precedence.ATOM)}.to({dtype})")
        # An i64 that arrives as 32 bits has all its value bits, so only other types are settled first.
        element = op.input.type
        source = operand if is_integer(element) else self._settle(op.input, operand)
        return Expression(f"tl.cast({source.text}, {dtype})")

    def _dot(self, op: tl.DotOp) -> Expression:
        arguments = [self._operand(operand).text for operand in op.operands]
        if op.input_precision is not None:
            arguments.append(f'input_precision="{op.input_precision.data}"')
        if is_integer(element_type(op.a.type)):
            arguments.append("out_dtype=tl.int32")
        return self._call(op, arguments)

    def _shape(self, sizes: Sequence[SSAValue]) -> str:
        texts = [self._operand(size).text for size in sizes]
        return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"

    def _load(self, op: tl.LoadOp) -> Expression:
        return self._call(op, [self._operand(op.ptr).text, *self._memory_options(op.mask, op.other, op)])

    def _memory_options(self, mask: SSAValue | None, other: SSAValue | None, op: tl.LoadOp | tl.StoreOp) -> list[str]:
        options: list[str] = []
        if mask is not None:
            options.append(f"mask={self._operand(mask).text}")
        if other is not None:
            options.append(f"other={self._operand(other).text}")
        # The verifiers hold these two to a list of words.
        if op.eviction_policy is not None:
            options.append(f'eviction_policy="{op.eviction_policy.data}"')
        if op.cache_modifier is not None:
            options.append(f'cache_modifier="{op.cache_modifier.data}"')
        return options
