"""
A dequantisation before a dot, read back as codes with scales.

A graph computes `round((code - zero) * scale + offset)` from the inside out; here it is followed from the outside in:
a conversion that rounds, a sum with an offset, a product with scales, a difference with a zero point, the conversion
of integers to floats, and below that what takes codes out of wider integers. Views between them only change which
element is read. What is found is exact: where the graph rounds between these steps, or computes in a type that
cannot hold a step, nothing is found, and the floats are read as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xdsl.dialects.builtin import AnyFloat, BFloat16Type, Float16Type, Float32Type, IntegerType, TensorType
from xdsl.ir import Attribute, Operation

from flashlower.dialects import stablehlo
from flashlower.dialects.attention import QuantizationAttr
from flashlower.dialects.attention.quantization import CODES, Part
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Index, Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.join import key_dimensions
from flashlower.rewrites.fuse_attention.unpack import Codes, integer_range, integer_type, unpack

# Integers of at most this size are exact.
_EXACT: dict[type[Attribute], int] = {BFloat16Type: 1 << 8, Float16Type: 1 << 11, Float32Type: 1 << 24}

_FLOAT_CODES: Mapping[Attribute, str] = {type: name for name, type in CODES.items() if name.startswith("f")}


@dataclass(frozen=True)
class QuantizedRead:
    """A quantised operand: the attribute, and what its scales, zero points and offsets are read from."""

    attr: QuantizationAttr
    parts: Mapping[Part, Read]
    is_exact: bool
    """Whether values are codes less an integer, which every type of 16 bits holds."""

    def fits(self, type: Attribute) -> bool:
        """Whether values are numbers of a type of floats."""
        return self.is_exact or self.attr.rounded_to == type or isinstance(type, Float32Type)


@dataclass(frozen=True)
class _State:
    """What was found on the way in."""

    rounded: AnyFloat | None = None
    parts: Mapping[Part, Read] = field(default_factory=dict[Part, Read])
    zero: int = 0
    has_zero: bool = False
    zero_range: tuple[int, int] | None = (0, 0)
    """Of the zero points, None for floats."""
    exact_in: tuple[Attribute, ...] = ()
    """Types that must hold the difference of code and zero point."""

    @property
    def has_arithmetic(self) -> bool:
        return bool(self.parts) or self.has_zero


class DequantisationReader:
    """Finds the codes of K or V; `channel` is the variable of the contracted or resulting head size."""

    def __init__(self, tracer: Tracer, folder: ConstantFolder, keys: Var, channel: Var):
        self.tracer = tracer
        self.folder = folder
        self.keys = keys
        self.channel = channel

    def find(self, read: Read) -> tuple[Read, QuantizedRead] | None:
        """The codes that an operand is computed from, or None where it is not, or not exactly so."""
        return self._float(read, _State())

    def _float(self, read: Read, state: _State) -> tuple[Read, QuantizedRead] | None:
        while True:
            element_type = hlo.element_type(read.value)
            if (name := _FLOAT_CODES.get(element_type)) is not None:
                return self._finish(Codes(read, name), state)
            op = hlo.owner(read.value)
            if op is None:
                return None
            if (step := self.tracer.view(read)) is not None:
                read = step
                continue
            match op.name:
                case "stablehlo.convert" if hlo.is_float(op.operands[0]):
                    if not hlo.is_lossless_convert(op):
                        if (rounded := _rounded(state, element_type)) is None:
                            return None
                        state = rounded
                    read = Read(op.operands[0], read.indices)
                case "stablehlo.convert" if integer_type(op.operands[0]) is not None:
                    return self._integer(Read(op.operands[0], read.indices), _exact(state, element_type))
                case "stablehlo.multiply" if not state.parts.keys() & {"scale"} and not state.has_zero:
                    return self._product(op, read, state)
                case "stablehlo.add" if not state.has_arithmetic and isinstance(element_type, Float32Type):
                    return self._either(op, read, state, "offset")
                case "stablehlo.subtract" if not state.has_zero:
                    zero = Read(op.operands[1], read.indices)
                    if (with_zero := self._with_zero(zero, _exact(state, element_type))) is None:
                        return None
                    if with_zero.zero_range is None and not isinstance(element_type, Float32Type):
                        return None
                    state, read = with_zero, Read(op.operands[0], read.indices)
                case _:
                    return None

    def _product(self, op: Operation, read: Read, state: _State) -> tuple[Read, QuantizedRead] | None:
        element_type = hlo.element_type(read.value)
        if isinstance(element_type, BFloat16Type | Float16Type):
            # The product is rounded, which an offset does not come after.
            if state.parts or state.rounded not in (None, element_type):
                return None
            state = replace(_exact(state, element_type), rounded=element_type)
        elif not isinstance(element_type, Float32Type):
            return None
        return self._either(op, read, state, "scale")

    def _either(self, op: Operation, read: Read, state: _State, part: Part) -> tuple[Read, QuantizedRead] | None:
        """The codes are on one side, and the part on the other."""
        for side in (0, 1):
            other = self._part(Read(op.operands[1 - side], read.indices))
            if other is not None:
                inner = replace(state, parts={**state.parts, part: other})
                if (found := self._float(Read(op.operands[side], read.indices), inner)) is not None:
                    return found
        return None

    def _with_zero(self, read: Read, state: _State) -> _State | None:
        """The state with a zero point: a number in the attribute, or else an operand."""
        number = self.folder.splat(read.value)
        if number is not None and abs(number) < 1 << 8 and number == int(number):
            whole = int(number)
            return replace(state, zero=whole, has_zero=True, zero_range=(whole, whole))
        if (part := self._part(read)) is None:
            return None
        type = integer_type(part.value)
        parts: dict[Part, Read] = {**state.parts, "zero": part}
        return replace(state, parts=parts, has_zero=True, zero_range=None if type is None else integer_range(type))

    def _integer(self, read: Read, state: _State) -> tuple[Read, QuantizedRead] | None:
        """Below the conversion to floats: a zero point may be subtracted from integers, then codes are unpacked."""
        types: list[IntegerType] = []
        # Views may lie over a difference, or be what a layout says of codes.
        top = read
        while (type := integer_type(read.value)) is not None:
            types.append(type)
            op = hlo.owner(read.value)
            if (step := self.tracer.view(read)) is not None:
                read = step
            elif op is not None and op.name == "stablehlo.convert":
                top = read = Read(op.operands[0], read.indices)
            elif op is not None and op.name == "stablehlo.subtract" and not state.has_zero:
                with_zero = self._with_zero(Read(op.operands[1], read.indices), state)
                if with_zero is not None and with_zero.zero_range is not None:
                    inner = Read(op.operands[0], read.indices)
                    if (found := self._codes(inner, with_zero, types, has_zero=True)) is not None:
                        return found
                break
            else:
                break
        return self._codes(top, state, types, has_zero=False)

    def _codes(
        self, read: Read, state: _State, types: list[IntegerType], *, has_zero: bool
    ) -> tuple[Read, QuantizedRead] | None:
        """The codes below integers of these types, which must hold them, less the zero point if that is off there."""
        for codes in unpack(read, self.tracer, self.folder):
            numbers = _difference(codes, state) if has_zero else integer_range(codes.type)
            fits = numbers is not None and all(_within(numbers, integer_range(type)) for type in types)
            if fits and (found := self._finish(codes, state)) is not None:
                return found
        return None

    def _finish(self, codes: Codes, state: _State) -> tuple[Read, QuantizedRead] | None:
        read = codes.source(self.tracer, self.keys, self.channel)
        if read is None:
            return None
        if codes.is_float and state.has_zero:
            return None
        if state.zero and not _within((state.zero, state.zero), integer_range(codes.type)):
            # A number that is no code is an operand.
            part = _scalar(float(state.zero))
            state = replace(state, zero=0, parts={**state.parts, "zero": part})
        if not codes.is_float:
            difference = _difference(codes, state)
            for type in state.exact_in:
                limit = _EXACT.get(_class_of(type), 0)
                if difference is None and isinstance(type, Float32Type):
                    continue
                sides = (integer_range(codes.type), state.zero_range, difference)
                if any(side is None or max(map(abs, side)) > limit for side in sides):
                    return None
        is_exact = not state.parts.keys() & {"scale", "offset"} and (codes.is_float or state.zero_range is not None)
        is_exact = is_exact and "zero" not in state.parts
        rounded = None if is_exact else state.rounded
        attr = QuantizationAttr(codes.name, state.zero, rounded)
        return read, QuantizedRead(attr, state.parts, is_exact)

    def _part(self, read: Read) -> Read | None:
        """What a scale, zero point or offset is read from, or None where no layout can say it."""
        number = self.folder.splat(read.value)
        if number is not None and hlo.is_float(read.value):
            return _scalar(float(number))
        best: Read | None = None
        joinable: Read | None = None
        while True:
            if self._has_layout(read, (self.keys, self.channel)):
                best = read
            elif self._has_layout(read, (self.channel,)) and key_dimensions(read, self.keys):
                joinable = read
            op = hlo.owner(read.value)
            if (step := self.tracer.view(read)) is not None:
                read = step
            elif op is not None and op.name == "stablehlo.convert" and _keeps_values(op):
                read = Read(op.operands[0], read.indices)
            else:
                return best or joinable

    def _has_layout(self, read: Read, own: tuple[Var, ...]) -> bool:
        """Whether keys and channels are read as a whole, or as neighbours that share an element."""
        return all(
            index.offset == 0
            and all(d.size == 1 or d.div * d.size == d.var.size for d, _ in index.terms if d.var in own)
            for index in read.indices
        )


def without_digits(read: Read, variables: tuple[Var, ...]) -> Read:
    """A read as if the tensor did not vary with parts of some variables."""
    indices = tuple(
        Index(tuple(t for t in index.terms if not is_partial(t[0], variables)), index.offset) for index in read.indices
    )
    return Read(read.value, indices)


def is_partial(digit: Digit, variables: tuple[Var, ...]) -> bool:
    """Whether a digit is a part of one of the variables, and not the whole of it."""
    return digit.var in variables and not digit.is_whole and digit.size != 1


def _scalar(number: float) -> Read:
    constant = stablehlo.ConstantOp(number, TensorType(Float32Type(), ()))
    return Read(constant.results[0], ())


def _rounded(state: _State, type: Attribute) -> _State | None:
    """The state after a conversion that rounds; inside of the product it must not change a difference of integers."""
    if state.has_arithmetic:
        return None if state.parts.keys() & {"offset"} and "scale" not in state.parts else _exact(state, type)
    if state.rounded is not None or not isinstance(type, BFloat16Type | Float16Type):
        return None
    return replace(state, rounded=type)


def _exact(state: _State, type: Attribute) -> _State:
    return replace(state, exact_in=(*state.exact_in, type))


def _difference(codes: Codes, state: _State) -> tuple[int, int] | None:
    """The least and the largest difference of code and zero point; None for zero points that are no integers."""
    if state.zero_range is None:
        return None
    (low, high), (least, most) = integer_range(codes.type), state.zero_range
    return low - most, high - least


def _within(numbers: tuple[int, int], of: tuple[int, int]) -> bool:
    return of[0] <= numbers[0] and numbers[1] <= of[1]


def _class_of(type: Attribute) -> type[Attribute]:
    return type.__class__


def _keeps_values(op: Operation) -> bool:
    """Whether a conversion of a scale, zero point or offset keeps every value."""
    source, result = op.operands[0], op.results[0]
    if hlo.is_float(source) and hlo.is_float(result):
        return hlo.is_lossless_convert(op)
    if (integers := integer_type(source)) is None:
        return False
    if (wider := integer_type(result)) is not None:
        return _within(integer_range(integers), integer_range(wider))
    return max(map(abs, integer_range(integers))) <= _EXACT.get(_class_of(hlo.element_type(result)), 0)
