"""Codes that share an element: the shifts, masks, bit casts and concatenations that take them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from xdsl.dialects.builtin import IntegerType, Signedness
from xdsl.ir import Operation, SSAValue
from xdsl.utils.hints import isa

from flashlower.dialects.attention.quantization import CODES, CodeType
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Index, Read, Tracer, Var, split_linear
from flashlower.rewrites.fuse_attention.constants import ConstantFolder, fit
from flashlower.rewrites.fuse_attention.expression import Affine
from flashlower.rewrites.fuse_attention.join import key_dimensions

_NAMES = {(4, False): "u4", (4, True): "i4", (8, False): "u8", (8, True): "i8"}
_SHIFTS_RIGHT = ("stablehlo.shift_right_logical", "stablehlo.shift_right_arithmetic")


@dataclass(frozen=True)
class Codes:
    """Where a code is read: an element of the storage, and which of its lanes (None for the only one)."""

    read: Read
    name: str
    lane: Index | None = None

    @property
    def type(self) -> CodeType:
        return CODES[self.name]

    @property
    def is_float(self) -> bool:
        return not isinstance(self.type, IntegerType)

    def source(self, tracer: Tracer, keys: Var, channel: Var) -> Read | None:
        """
        The tensor that the codes can be read from by a layout, as far back as there is one, or else once its dimensions
        of keys are joined; None for nowhere.
        """
        read, best, joinable = self.read, None, None
        while True:
            if self._has_layout(read, channel):
                dims = [d for index in read.indices for d, _ in index.terms if d.var is keys and d.size != 1]
                if all(d.is_whole for d in dims):
                    best = read
                elif key_dimensions(read, keys) and min(d.div for d in dims) == 1:
                    joinable = read
            op = hlo.owner(read.value)
            if op is None:
                return best or joinable
            if (step := tracer.view(read)) is not None:
                read = step
            elif op.name == "stablehlo.bitcast_convert" and _keeps_shape(op) and integer_type(op.operands[0]):
                # Bytes as 8-bit floats, or as integers of the other sign: the code says how bits are read.
                read = Read(op.operands[0], read.indices)
            else:
                return best or joinable

    def _has_layout(self, read: Read, channel: Var) -> bool:
        """Whether a layout can say where the code of a channel is."""
        if any(index.offset for index in read.indices):
            return False
        mine = [d for index in read.indices for d, _ in index.terms if d.size != 1 and d.var is channel]
        if self.lane is None:
            return all(d.is_whole for d in mine)
        type = integer_type(read.value)
        if type is None or len(mine) != 1 or len(self.lane.terms) != 1 or self.lane.offset:
            return False
        ((lane, stride),) = self.lane.terms
        lanes = type.width.data // self.type.bitwidth
        if lane.var is not channel or lane.size != lanes or stride != 1:
            return False
        width = channel.size // lanes
        interleaved = lane.div == 1 and mine[0] == Digit(channel, lanes, width)
        planar = lane.div == width and mine[0] == Digit(channel, 1, width)
        return interleaved or planar


@dataclass(frozen=True)
class _Lane:
    """Some bits of an element; `lane` counts from the least significant ones."""

    read: Read
    lane: Index
    bits: int
    signed: bool


def integer_type(value: SSAValue) -> IntegerType | None:
    """The element type of a tensor of integers of more than one bit."""
    type = hlo.element_type(value)
    return type if isa(type, IntegerType) and type.width.data > 1 else None


def integer_range(type: CodeType | IntegerType) -> tuple[int, int]:
    """The least and the largest number of a type; signless integers are signed."""
    if not isinstance(type, IntegerType):
        return 0, 0
    width = type.width.data
    if type.signedness.data == Signedness.UNSIGNED:
        return 0, (1 << width) - 1
    return -(1 << width - 1), (1 << width - 1) - 1


def unpack(read: Read, tracer: Tracer, folder: ConstantFolder) -> Iterator[Codes]:
    """
    The codes that integers are, once zero points are off: taken from wider elements, else elements themselves.
    """
    elements: list[Codes] = []
    while (type := integer_type(read.value)) is not None:
        if (lane := _lane(read, tracer, folder)) is not None:
            yield Codes(_element(lane, tracer), _NAMES[lane.bits, lane.signed], lane.lane)
        if (name := _NAMES.get((type.width.data, type.signedness.data != Signedness.UNSIGNED))) is not None:
            elements.insert(0, Codes(read, name))
        op = hlo.owner(read.value)
        if (step := tracer.view(read)) is not None:
            read = step
        elif op is not None and op.name == "stablehlo.convert" and _widens(op):
            read = Read(op.operands[0], read.indices)
        else:
            break
    yield from elements


def _element(lane: _Lane, tracer: Tracer) -> Read:
    """The element that a lane is of, before conversions to wider ones that keep its bits."""
    read = lane.read
    needed = (_highest(lane.lane) + 1) * lane.bits
    while True:
        op = hlo.owner(read.value)
        if (step := tracer.view(read)) is not None:
            read = step
        elif op is not None and op.name in ("stablehlo.convert", "stablehlo.bitcast_convert"):
            source = integer_type(op.operands[0])
            if source is None or source.width.data < needed or not _keeps_shape(op):
                return read
            read = Read(op.operands[0], read.indices)
        else:
            return read


def _lane(read: Read, tracer: Tracer, folder: ConstantFolder) -> _Lane | None:
    """The lane that an operation takes out of an element, if it does."""
    op = hlo.owner(read.value)
    type = integer_type(read.value)
    if op is None or type is None:
        return None
    width = type.width.data
    match op.name:
        case "stablehlo.and":
            for side in (0, 1):
                bits = {15: 4, 255: 8}.get(int(folder.splat(op.operands[1 - side]) or 0))
                if bits is not None and bits < width:
                    return _masked(Read(op.operands[side], read.indices), bits, tracer, folder)
        case "stablehlo.shift_right_logical" | "stablehlo.shift_right_arithmetic":
            amount = folder.splat(op.operands[1])
            bits = width - int(amount or 0)
            if bits not in (4, 8) or bits == width:
                return None
            inner = Read(op.operands[0], read.indices)
            logical = op.name == "stablehlo.shift_right_logical" or type.signedness.data == Signedness.UNSIGNED
            if not logical and (up := hlo.owner(inner.value)) is not None and up.name == "stablehlo.shift_left":
                above = _amount(Read(up.operands[1], read.indices), folder)
                lane = None if above is None else _over(Affine(constant=width - bits) - above, bits)
                return None if lane is None else _Lane(Read(up.operands[0], read.indices), lane, bits, True)
            return _Lane(inner, Index((), width // bits - 1), bits, not logical)
        case "stablehlo.bitcast_convert":
            source = integer_type(op.operands[0])
            if source is not None and source.width.data > width and width in (4, 8):
                signed = type.signedness.data != Signedness.UNSIGNED
                return _Lane(Read(op.operands[0], read.indices[:-1]), read.indices[-1], width, signed)
        case "stablehlo.concatenate":
            return _joined(op, read, tracer, folder)
        case _:
            pass
    return None


def _masked(read: Read, bits: int, tracer: Tracer, folder: ConstantFolder) -> _Lane | None:
    """The lowest bits, of an element or of one that is shifted."""
    while True:
        op = hlo.owner(read.value)
        type = integer_type(read.value)
        if op is None or type is None:
            break
        if op.name in _SHIFTS_RIGHT:
            amount = _amount(Read(op.operands[1], read.indices), folder)
            lane = None if amount is None else _over(amount, bits)
            if lane is None:
                return None
            if (_highest(lane) + 1) * bits > type.width.data:
                return None
            return _Lane(Read(op.operands[0], read.indices), lane, bits, False)
        if (step := tracer.view(read)) is not None:
            read = step
        elif op.name == "stablehlo.convert" and (source := integer_type(op.operands[0])) is not None:
            if source.width.data < bits:
                return None
            read = Read(op.operands[0], read.indices)
        else:
            break
    return _Lane(read, Index(), bits, False)


def _joined(op: Operation, read: Read, tracer: Tracer, folder: ConstantFolder) -> _Lane | None:
    """Lanes 0, 1, ... of one element, one after the other along a dimension."""
    dimension = hlo.concatenate_dimension(op)
    sizes = {hlo.shape(part)[dimension] for part in op.operands}
    if len(sizes) != 1:
        return None
    index = read.indices[dimension]
    split = split_linear(index.terms, index.offset, (len(op.operands), *sizes))
    if split is None:
        return None
    which, rest = split
    found: _Lane | None = None
    for i, part in enumerate(op.operands):
        inner = Read(part, (*read.indices[:dimension], rest, *read.indices[dimension + 1 :]))
        lane = None
        while lane is None:
            if (lane := _lane(inner, tracer, folder)) is not None:
                break
            owner = hlo.owner(inner.value)
            if (step := tracer.view(inner)) is not None:
                inner = step
            elif (
                owner is not None and owner.name == "stablehlo.convert" and integer_type(owner.operands[0]) is not None
            ):
                inner = Read(owner.operands[0], inner.indices)
            else:
                return None
        lane = replace(lane, read=_element(lane, tracer))
        if lane.lane.terms or lane.lane.offset != i:
            return None
        if found is not None and not (
            lane.read.same_as(found.read) and (lane.bits, lane.signed) == (found.bits, found.signed)
        ):
            return None
        found = found or lane
    return None if found is None else replace(found, lane=which)


def _amount(read: Read, folder: ConstantFolder) -> Affine | None:
    """A constant number of bits, as a formula of the indices."""
    number = folder.splat(read.value)
    if number is not None:
        return Affine(constant=int(number))
    if not folder.is_constant(read.value):
        return None
    found = fit(folder, read)
    return found if isinstance(found, Affine) else None


def _over(amount: Affine, bits: int) -> Index | None:
    """An amount of bits as a number of lanes."""
    if amount.constant < 0 or amount.constant % bits:
        return None
    terms: list[tuple[Digit, int]] = []
    for atom, c in amount.coefficients:
        if not isinstance(atom, Digit) or c < 0 or c % bits:
            return None
        terms.append((atom, c // bits))
    return Index.make(terms, amount.constant // bits)


def _widens(op: Operation) -> bool:
    """Whether a conversion of integers keeps every value."""
    source, result = integer_type(op.operands[0]), integer_type(op.results[0])
    if source is None or result is None:
        return False
    (low, high), (least, most) = integer_range(source), integer_range(result)
    return least <= low and high <= most


def _keeps_shape(op: Operation) -> bool:
    return hlo.shape(op.operands[0]) == hlo.shape(op.results[0])


def _highest(index: Index) -> int:
    """The largest value of an index."""
    return index.offset + sum((d.size - 1) * stride for d, stride in index.terms)
