"""Putting `attention.sdpa` in the place of a group, and what else is used of its rows computed from its LSE."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import TensorType, f32
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter
from xdsl.rewriter import InsertPoint, Rewriter

from flashlower.dialects import stablehlo
from flashlower.dialects.attention import SdpaOp
from flashlower.rewrites.decompose.axes import TensorBuilder
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Read
from flashlower.rewrites.fuse_attention.expression import Const, captures
from flashlower.rewrites.fuse_attention.forward import forward_step, single_user
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.join import new_operations
from flashlower.rewrites.fuse_attention.match import Group
from flashlower.rewrites.fuse_attention.operands import Dimensions
from flashlower.rewrites.fuse_attention.row_uses import RowUse


def lse_of(group: Group) -> Read | None:
    """The value whose layout the LSE has, if anything is computed from it."""
    if not group.row_uses:
        return None
    plain = [use for use in group.row_uses if use.shifts is None and use.factor == 1.0]
    first = (plain or group.row_uses)[0]
    if len(group.row_uses) > 1 or not plain:
        return first.read
    # The only use: reshapes and transposes after it become the layout, as they do for the result.
    while (user := single_user(first.read.value)) is not None and user.name != "stablehlo.convert":
        if (step := forward_step(user, first.read.indices)) is None:
            break
        first.read = Read(user.results[0], step)
    return first.read


def insertion_point(group: Group, result: Read, positions: Mapping[Operation, int]) -> Operation:
    """
    The operation before which the group can be computed: the first one that computes what is replaced.

    Raises `NotAttention` where an operand is computed after it.
    """
    last = hlo.owner(result.value)
    assert last is not None
    owners = [op for use in group.row_uses if (op := hlo.owner(use.read.value)) is not None]
    place = min([last, *owners], key=lambda op: positions.get(op, 0))
    if place is not last:
        operands = [read.value for operand in (group.query, group.key, group.value) for read in operand.reads()]
        operands += [read.value for read in captures(group.score)]
        for value in operands:
            op = hlo.owner(value)
            if op is not None and op.parent is place.parent and not op.is_before_in_block(place):
                raise NotAttention(
                    "the LSE is used before the operands of the group are known; compute them before that"
                )
    return place


def sink_of(group: Group) -> Read | None:
    """The operand with the sinks; a new constant where they are one number."""
    match group.sink:
        case None:
            return None
        case Const(number):
            return Read(stablehlo.ConstantOp(number, TensorType(f32, ())).results[0], ())
        case sink:
            return Read(sink.value, sink.indices)


def insert(sdpa: SdpaOp, group: Group, dims: Dimensions, result: Read, place: Operation) -> None:
    """Inserts the operation, and replaces the values that it gives or that are computed from its results."""
    Rewriter.insert_op([*new_operations([*sdpa.operands]), sdpa], InsertPoint.before(place))
    sdpa.output.name_hint = result.value.name_hint
    last = hlo.owner(result.value)
    assert last is not None
    output: SSAValue = sdpa.output
    if group.weight_factor != 1.0:
        builder = TensorBuilder(PatternRewriter(last), sdpa.dim_sizes())
        factor = builder.constant(group.weight_factor, hlo.element_type(output)).value
        wide = builder.emit(stablehlo.BroadcastInDimOp(factor, [], hlo.shape(output)))
        output = builder.emit(stablehlo.MulOp(output, wide), result.value.name_hint)
    result.value.replace_all_uses_with(output)
    for use in group.row_uses:
        use.read.value.replace_all_uses_with(_row_value(sdpa, dims, use))


def _row_value(sdpa: SdpaOp, dims: Dimensions, use: RowUse) -> SSAValue:
    """What a use is, from the LSE."""
    assert sdpa.lse is not None and sdpa.lse_layout is not None
    value = use.read.value
    layout = dims.layout(use.read, "hgm")
    if layout == sdpa.lse_layout and value.type == sdpa.lse.type and use.factor == 1.0 and use.shifts is None:
        sdpa.lse.name_hint = value.name_hint
        return sdpa.lse
    owner = hlo.owner(value)
    assert owner is not None
    builder = TensorBuilder(PatternRewriter(owner), sdpa.dim_sizes())
    row = builder.read(sdpa.lse, sdpa.lse_layout, "lse")
    for coefficient, shift in use.shifts or []:
        term = builder.convert(builder.read(shift.value, dims.layout(shift, "hgm"), "row_max"), row.element_type)
        if coefficient != 1.0:
            term = builder.elementwise(stablehlo.MulOp, term, builder.constant(coefficient, row.element_type))
        row = builder.elementwise(stablehlo.SubtractOp, row, term)
    if use.shifts is not None:
        row = builder.elementwise(stablehlo.ExpOp, row, hint="row_sum")
    elif use.factor != 1.0:
        row = builder.elementwise(stablehlo.MulOp, row, builder.constant(use.factor, row.element_type))
    return builder.write(row, layout, value.type)
