"""Shapes and strides of views."""

from collections.abc import Sequence
from math import prod
from typing import Any

from nki._rules import fail


def put(values: Sequence[int], dim: int, new: Sequence[int]) -> list[int]:
    """`values` with entry `dim` replaced by `new`."""
    result = list(values)
    result[dim : dim + 1 if dim != -1 else None] = new
    return result


def infer(size: int, shape: Sequence[int]) -> list[int]:
    """`shape` with its -1 filled in; its product is `size`."""
    known = prod(n for n in shape if n != -1)
    result = [size // known if n == -1 and known else n for n in shape]
    if prod(result) != size:
        fail("view", f"{size} elements do not split into {list(shape)}")
    return result


def contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Row-major, without gaps; dimensions of size 1 do not matter."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def reshape_strides(shape: Sequence[int], strides: Sequence[int], new: Sequence[int]) -> list[int]:
    """The strides of `new` over the same elements in the same order; fails if no strides do."""
    old = [(n, s) for n, s in zip(shape, strides) if n != 1]
    result: list[int] = []
    i = j = 0
    while j < len(new):
        if new[j] == 1:
            result.append(1)
            j += 1
            continue
        end_i, end_j = i + 1, j + 1
        have, want = old[i][0] if i < len(old) else 0, new[j]
        while have != want:
            if have < want and end_i < len(old):
                have *= old[end_i][0]
                end_i += 1
            elif have > want and end_j < len(new):
                want *= new[end_j]
                end_j += 1
            else:
                fail("view", f"{list(shape)} cannot be reshaped to {list(new)} without a copy")
        if any(old[k][1] != old[k + 1][1] * old[k + 1][0] for k in range(i, end_i - 1)):
            fail("view", f"{list(shape)} cannot be reshaped to {list(new)} without a copy")
        result += [old[end_i - 1][1] * prod(new[k + 1 : end_j]) for k in range(j, end_j)]
        i, j = end_i, end_j
    return result


def index(shape: Sequence[int], strides: Sequence[int], key: Any, on_chip: bool) -> tuple[list[int], list[int], int]:
    """Shape, strides and added offset of `tensor[key]`.

    An integer drops its dimension, except for the partitions of a tensor on chip, and except where fewer than two
    dimensions (on chip) or one (HBM) would be left. Slices stay inside of the tensor.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(k is Ellipsis for k in keys) > 1:
        fail("out-of-range", "more than one ellipsis")
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    if len(keys) > len(shape):
        fail("out-of-range", f"{len(keys)} indices for {len(shape)} dimensions")
    keys += [slice(None)] * (len(shape) - len(keys))
    offset = 0
    kept: list[tuple[int, int, bool]] = []
    for dim, (k, size, stride) in enumerate(zip(keys, shape, strides)):
        start, stop, step, drop = _bounds(k, size)
        if not (0 <= start < stop <= size) or step < 1:
            fail("out-of-range", f"index {k} of dimension {dim}, which has {size} elements")
        offset += start * stride
        kept.append((-(-(stop - start) // step), stride * step, drop and not (on_chip and dim == 0)))
    least = 2 if on_chip else 1
    dropped = [i for i, entry in enumerate(kept) if entry[2]]
    while dropped and len(kept) - len(dropped) < least:
        dropped.pop()
    left = [entry for i, entry in enumerate(kept) if i not in dropped]
    return [n for n, _, _ in left], [s for _, s, _ in left], offset


def _bounds(key: Any, size: int) -> tuple[int, int, int, bool]:
    if isinstance(key, slice):
        start = 0 if key.start is None else key.start
        stop = size if key.stop is None else key.stop
        step = 1 if key.step is None else key.step
        if not all(isinstance(n, int) for n in (start, stop, step)):
            fail("compile-time-value", f"the slice {key} is not made of integers")
        return start + size * (start < 0), stop + size * (stop < 0), step, False
    if hasattr(key, "size") and hasattr(key, "start"):
        return key.start, key.start + key.size, 1, False
    if not isinstance(key, int):
        fail("compile-time-value", f"the index {key!r} is not an integer")
    start = key + size * (key < 0)
    return start, start + 1, 1, True
