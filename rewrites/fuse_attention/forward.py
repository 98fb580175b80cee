"""Following values to where they are used: the same element after operations that only move data."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Indices, reshape_indices


def single_user(value: SSAValue) -> Operation | None:
    """The only operation that uses a value, once and in the block that defines it; None where there is none."""
    uses = list(value.uses)
    owner = hlo.owner(value)
    if len(uses) != 1 or owner is None or uses[0].operation.parent is not owner.parent:
        return None
    return uses[0].operation


def forward_step(op: Operation, indices: Indices) -> Indices | None:
    """The indices of an element after a transpose, a reshape, or a broadcast or conversion that changes no shape."""
    if op.name == "stablehlo.transpose":
        return tuple(indices[i] for i in hlo.permutation(op))
    if op.name == "stablehlo.reshape":
        return reshape_indices(indices, hlo.shape(op.operands[0]), hlo.shape(op.results[0]))
    if op.name == "stablehlo.broadcast_in_dim" and hlo.shape(op.operands[0]) == hlo.shape(op.results[0]):
        return indices if hlo.broadcast_dimensions(op) == tuple(range(len(indices))) else None
    if op.name == "stablehlo.convert" and hlo.is_float_convert(op.results[0]):
        return indices
    return None
