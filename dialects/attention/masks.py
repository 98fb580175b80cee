"""What counts as a mask in a score region."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import Block, Operation, SSAValue

LEAST_MASK = -1e4
"""A constant of at most this much is a mask: the finite ones in use start at -1e4."""


def float_constant(value: SSAValue) -> float | None:
    """The number that an `arith.constant` of a float type gives."""
    op = value.owner
    return op.value.value.data if isinstance(op, arith.ConstantOp) and isinstance(op.value, FloatAttr) else None


def is_mask_value(value: SSAValue) -> bool:
    """Whether a value is -inf or a large negative constant."""
    constant = float_constant(value)
    return constant is not None and constant <= LEAST_MASK


def kept_operand(op: Operation) -> SSAValue | None:
    """
    What a mask keeps: a mask is an `arith.select` with -inf, or a constant of at most -1e4, on one side only, and keeps
    the other. None for any other operation.
    """
    if not isinstance(op, arith.SelectOp):
        return None
    left, right = is_mask_value(op.lhs), is_mask_value(op.rhs)
    if left == right:
        return None
    return op.rhs if left else op.lhs


def masks(block: Block) -> Iterator[arith.SelectOp]:
    """The masks that the value of a score region depends on, the last one first."""
    needed = set(block.last_op.operands) if block.last_op is not None else set[SSAValue]()
    for op in reversed(block.ops):
        if any(result in needed for result in op.results):
            needed.update(op.operands)
            if isinstance(op, arith.SelectOp) and kept_operand(op) is not None:
                yield op
