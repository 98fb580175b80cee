"""
Keys that lie in several dimensions of a tensor, as pages that were gathered do: [b, page of the sequence, slot, h, d].

A graph that dequantises first joins the dimensions of floats by a reshape. What is read in their place, codes and
scales, has no such reshape, so one is made.
"""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue

from flashlower.dialects import stablehlo
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Index, Read, Var


def key_dimensions(read: Read, keys: Var) -> list[int]:
    """
    The dimensions that digits of the keys lie in, the most significant first, where several make up one whole number of
    keys or of groups of neighbours; none otherwise.
    """
    found: list[tuple[Digit, int]] = []
    for position, (index, size) in enumerate(zip(read.indices, hlo.shape(read.value), strict=True)):
        if not index.uses(keys):
            continue
        if len(index.terms) != 1 or index.offset or index.terms[0][1] != 1 or index.terms[0][0].size != size:
            return []
        found.append((index.terms[0][0], position))
    found.sort(key=lambda item: -item[0].div)
    end = keys.size
    for digit, _ in found:
        if digit.div * digit.size != end:
            return []
        end = digit.div
    return [position for _, position in found] if len(found) > 1 else []


def joined(read: Read, keys: Var) -> Read:
    """The read with one dimension of keys, of a new tensor; as it is where they lie in one."""
    dims = key_dimensions(read, keys)
    if not dims:
        return read
    shape = hlo.shape(read.value)
    order = [d for d in range(len(shape)) if d not in dims]
    place = sum(d < dims[0] for d in order)
    order[place:place] = dims
    value = read.value
    if order != sorted(order):
        value = stablehlo.TransposeOp(value, order).result
    sizes = [shape[d] for d in order]
    digits = [read.indices[d].terms[0][0] for d in dims]
    count = keys.size // digits[-1].div
    value = stablehlo.ReshapeOp(value, [*sizes[:place], count, *sizes[place + len(dims) :]]).result
    indices = [read.indices[d] for d in order]
    indices[place : place + len(dims)] = [Index(((Digit(keys, digits[-1].div, count), 1),))]
    return Read(value, tuple(indices))


def new_operations(operands: list[SSAValue]) -> list[Operation]:
    """The operations that values are computed by and that stand nowhere yet, in order."""
    found: list[Operation] = []
    for operand in operands:
        op = hlo.owner(operand)
        if op is not None and op.parent is None and op not in found:
            found += [*(o for o in new_operations([*op.operands]) if o not in found), op]
    return found
