"""Operators that only move elements."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import i1

from flashlower.dialects import stablehlo
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


@table.lowers("Shape")
def shape(node: Node) -> Value:
    x = node.input(0)
    return Value(array=np.asarray(x.shape[slice(node.attribute("start", 0), node.attribute("end"))], np.int64))


@table.lowers("Size")
def size(node: Node) -> Value:
    return Value(array=np.asarray(node.input(0).size, np.int64))


@table.lowers("Reshape")
def reshape(node: Node) -> Value:
    """-1 is what is left, 0 (without `allowzero`) the size of the input's dimension; an attribute before opset 5."""
    x = node.input(0)
    given = node.attribute("shape")
    target = [int(n) for n in given] if given is not None else node.integers(1, "the shape")
    if not node.attribute("allowzero", 0):
        if len(target) > x.rank and 0 in target[x.rank :]:
            raise node.error(f"shape {target} keeps a dimension that the input of shape {list(x.shape)} has not")
        target = [x.shape[i] if n == 0 else n for i, n in enumerate(target)]
    if target.count(-1) > 1 or any(n < -1 for n in target):
        raise node.error(f"shape {target} is not one with at most one -1")
    if -1 in target:
        rest = math.prod(n for n in target if n != -1)
        if rest == 0 or x.size % rest:
            raise node.error(f"input of shape {list(x.shape)} does not fit shape {target}")
        target[target.index(-1)] = x.size // rest
    if math.prod(target) != x.size:
        raise node.error(f"input of shape {list(x.shape)} does not fit shape {target}")
    return node.b.reshape(x, target)


@table.lowers("Flatten")
def flatten(node: Node) -> Value:
    x, axis = node.input(0), node.attribute("axis", 1)
    if not -x.rank <= axis <= x.rank:
        raise node.error(f"axis {axis} is out of range for rank {x.rank}")
    axis = axis + x.rank if axis < 0 else axis
    return node.b.reshape(x, [math.prod(x.shape[:axis]), math.prod(x.shape[axis:])])


@table.lowers("Transpose")
def transpose(node: Node) -> Value:
    x = node.input(0)
    return node.b.transpose(x, [int(i) for i in node.attribute("perm", range(x.rank)[::-1])])


@table.lowers("Unsqueeze")
def unsqueeze(node: Node) -> Value:
    x = node.input(0)
    given = node.attribute("axes")
    count = len(given) if given is not None else node.input(1).size
    axes = node.axes(1, x.rank + count) or []
    if len(set(axes)) != count:
        raise node.error(f"axes {axes} are not distinct")
    sizes = iter(x.shape)
    return node.b.reshape(x, [1 if i in axes else next(sizes) for i in range(x.rank + count)])


@table.lowers("Squeeze")
def squeeze(node: Node) -> Value:
    x = node.input(0)
    axes = node.axes(1)
    if axes is None:
        axes = [i for i, n in enumerate(x.shape) if n == 1]
    if wrong := [i for i in axes if x.shape[i] != 1]:
        raise node.error(f"dimension {wrong[0]} of shape {list(x.shape)} has not size 1")
    return node.b.reshape(x, [n for i, n in enumerate(x.shape) if i not in axes])


@table.lowers("Expand")
def expand(node: Node) -> Value:
    """Broadcasts in both directions: a size of 1 in the given shape keeps the input's."""
    x = node.input(0)
    target = np.broadcast_shapes(x.shape, tuple(node.integers(1, "the shape")))
    if x.uniform and x.array is not None:
        return Value(array=np.broadcast_to(x.array.flat[0], target))
    return node.b.broadcast(x, target)


@table.lowers("Tile")
def tile(node: Node) -> Value:
    x, repeats = node.input(0), node.integers(1, "repeats")
    if len(repeats) != x.rank:
        raise node.error(f"repeats {repeats} do not fit rank {x.rank}")
    if all(n == 1 for n in repeats):
        return x
    wide = [n for pair in zip(repeats, x.shape) for n in pair]
    result = node.b.broadcast_in_dim(x, range(1, 2 * x.rank, 2), wide)
    return node.b.reshape(result, [n * size for n, size in zip(repeats, x.shape)])


@table.lowers("Concat")
def concat(node: Node) -> Value:
    values = node.present()
    axis = node.axis(node.attribute("axis", 1))
    return node.b.concatenate(values, axis)


@table.lowers("Split")
def split(node: Node) -> list[Value | None]:
    x = node.input(0)
    axis = node.axis(node.attribute("axis", 0))
    whole = x.shape[axis]
    given = node.attribute("split")
    if given is None and node.optional(1) is not None:
        given = node.integers(1, "split")
    if given is None:
        count = node.attribute("num_outputs", len(node.outputs))
        chunk = -(-whole // count)
        given = [max(min(chunk, whole - i * chunk), 0) for i in range(count)]
    if sum(given) != whole or any(n < 0 for n in given):
        raise node.error(f"parts of {list(given)} do not add up to dimension {axis} of size {whole}")
    ends = np.cumsum(given).tolist()
    return [node.b.slice_axis(x, axis, end - n, end) for n, end in zip(given, ends)]


@table.lowers("Slice")
def slice_(node: Node) -> Value:
    """Inputs starts, ends, axes, steps; attributes before opset 10."""
    x = node.input(0)

    def given(i: int, name: str) -> list[int] | None:
        if node.attribute(name) is not None:
            return [int(n) for n in node.attribute(name)]
        return None if node.optional(i) is None else node.integers(i, name)

    starts, ends = given(1, "starts"), given(2, "ends")
    if starts is None or ends is None:
        raise node.error("starts or ends are missing")
    axes = given(3, "axes") or list(range(len(starts)))
    steps = given(4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise node.error("starts, ends, axes and steps differ in length")
    reversed_axes: list[int] = []
    low, high, strides = [0] * x.rank, list(x.shape), [1] * x.rank
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = node.axis(axis)
        if step == 0:
            raise node.error("a step is 0")
        places = (
            range(x.shape[axis])[slice(start, end, step)] if step > 0 else _backwards(x.shape[axis], start, end, step)
        )
        if not places:
            low[axis] = high[axis] = 0
            continue
        if step < 0:
            places = places[::-1]
            reversed_axes.append(axis)
        low[axis], high[axis], strides[axis] = places[0], places[-1] + 1, places.step
    return node.b.reverse(node.b.slice(x, low, high, strides), reversed_axes)


def _backwards(size: int, start: int, end: int, step: int) -> range:
    """ONNX clamps as NumPy does, but an end of -size - 1 and below means up to the first element."""
    start = min(start + size if start < 0 else start, size - 1)
    end = end + size if end < 0 else end
    return range(start, max(end, -1), step) if start >= 0 else range(0)


@table.lowers("Pad")
def pad(node: Node) -> Value:
    """Constant, edge, reflect and wrap; `pads` is an attribute before opset 11."""
    b, x = node.b, node.input(0)
    given = node.attribute("pads")
    pads = [int(n) for n in given] if given is not None else node.integers(1, "pads")
    axes = node.axes(3) or list(range(x.rank))
    if len(pads) != 2 * len(axes):
        raise node.error(f"pads {pads} do not fit {len(axes)} axes")
    low, high = [0] * x.rank, [0] * x.rank
    for axis, before, after in zip(axes, pads, pads[len(axes) :]):
        low[axis], high[axis] = before, after
    mode = node.attribute("mode", "constant")
    if mode == "constant":
        value = node.optional(2)
        fill = b.like(node.attribute("value", 0.0), x) if value is None else b.reshape(value, ())
        return b.pad(x, fill, low, high)
    if mode not in ("edge", "reflect", "wrap"):
        raise node.error(f"mode {mode!r} is not supported; use constant, edge, reflect or wrap")
    for axis in axes:
        before, after, size = low[axis], high[axis], x.shape[axis]
        places = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
        wide = np.pad(places, (max(before, 0), max(after, 0)), mode=cast(Any, mode))
        parts = [
            b.slice_axis(x, axis, run[0], run[-1] + 1)
            if up
            else b.reverse(b.slice_axis(x, axis, run[-1], run[0] + 1), [axis])
            for up, run in _runs(cast(list[int], wide.tolist()))
        ]
        x = b.concatenate(parts, axis) if parts else b.slice_axis(x, axis, 0, 0)
    return x


def _runs(places: list[int]) -> list[tuple[bool, list[int]]]:
    """Runs of places that count up, or down, by one."""
    runs: list[tuple[bool, list[int]]] = []
    for place in places:
        if runs:
            up, run = runs[-1]
            if len(run) == 1 and abs(place - run[0]) == 1:
                runs[-1] = (place > run[0], [*run, place])
                continue
            if len(run) > 1 and place == run[-1] + (1 if up else -1):
                run.append(place)
                continue
        runs.append((True, [place]))
    return runs


@table.lowers("Trilu")
def trilu(node: Node) -> Value:
    """Keeps the elements above (`upper`) or below the diagonal k, and 0 elsewhere."""
    b, x = node.b, node.input(0)
    if x.rank < 2:
        raise node.error(f"the input has rank {x.rank}, expected at least 2")
    k = 0 if node.optional(1) is None else int(node.known(1, "k").reshape(()))
    plane = x.shape[-2:]
    rows = b.add(b.iota(plane, 0), b.constant(np.asarray(k, np.int64)))
    keep = b.compare(b.iota(plane, 1), rows, "GE" if node.attribute("upper", 1) else "LE")
    if x.element_type == i1:
        return b.binary(stablehlo.AndOp, x, keep)
    return b.select(keep, x, b.like(0, x))


@table.lowers("DepthToSpace", "SpaceToDepth")
def rearrange(node: Node) -> Value:
    b, x, block = node.b, node.input(0), int(node.attribute("blocksize"))
    n, c, h, w = x.shape
    if node.op_type == "SpaceToDepth":
        parts = b.reshape(x, [n, c, h // block, block, w // block, block])
        moved = b.transpose(parts, [0, 1, 3, 5, 2, 4] if node.attribute("mode", "DCR") == "CRD" else [0, 3, 5, 1, 2, 4])
        return b.reshape(moved, [n, c * block * block, h // block, w // block])
    if node.attribute("mode", "DCR") == "DCR":
        moved = b.transpose(b.reshape(x, [n, block, block, c // block**2, h, w]), [0, 3, 4, 1, 5, 2])
    else:
        moved = b.transpose(b.reshape(x, [n, c // block**2, block, block, h, w]), [0, 1, 4, 2, 5, 3])
    return b.reshape(moved, [n, c // block**2, h * block, w * block])
